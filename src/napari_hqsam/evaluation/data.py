"""Labelled images from folders: `images/` and `masks/`, files of the same stem.

A mask is a label image: 0 for background and a number for each object. Stacks are taken plane by
plane, each object in a plane on its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images import ImageSource, open_image
from napari_hqsam.images.units import micrometers

_TIFF = {".tif", ".tiff"}
_SUFFIXES = {".png", ".jpg", ".jpeg"} | _TIFF


class LabelledImage(Protocol):
    """An image and its objects."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def image(self) -> NDArray[Any]: ...  # noqa: D102
    @property
    def labels(self) -> NDArray[Any]: ...  # noqa: D102


@dataclass(frozen=True)
class LabelledPlane:
    """One plane of a file, with its objects.

    Attributes
    ----------
    name : str
        File stem; of a stack with the index of the plane, such as "embryo_z0004".
    image : ndarray
        (H, W) or (H, W, channels), one to three of them.
    labels : ndarray of int
        (H, W), 0 background, one positive number per object.
    pixel_size : float or None
        Micrometres per pixel, if the file says so.
    """

    name: str
    image: NDArray[Any]
    labels: NDArray[Any]
    pixel_size: float | None = None


@dataclass(frozen=True)
class LabelledFile:
    """An image file and its label image.

    Attributes
    ----------
    image, mask : Path
    """

    image: Path
    mask: Path

    def planes(self, limit: int | None = None) -> list[LabelledPlane]:
        """Read the planes that have objects.

        Parameters
        ----------
        limit : int, optional
            At most so many, spread evenly over those of a stack.

        Raises
        ------
        HQSAMError
            If a file cannot be read, or the two do not fit each other.
        """
        labels = read_labels(self.mask)
        with self._open(labels) as source:
            height, width = source.yx_shape()
            indices = [i for i in np.ndindex(source.plane_shape) if labels[i].any()]
            out = []
            for index in spread(indices, limit):
                pixels = source.read(index, 0, 0, height, width)
                axes = zip(source.plane_axes, index, strict=True)
                name = self.image.stem + "".join(f"_{axis}{i:04}" for axis, i in axes)
                image = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
                out.append(LabelledPlane(name, image, labels[index], _pixel_size(source)))
        return out

    def _open(self, labels: NDArray[Any]) -> ImageSource:
        """The image; its axes such that planes fit the labels, if they can."""
        source = open_image(self.image)
        if (*source.plane_shape, *source.yx_shape()) == labels.shape:
            return source
        shape = tuple(int(n) for n in source.levels[0].shape)
        source.close()
        if shape == labels.shape and len(shape) == 3:  # three slices look like three channels
            return open_image(self.image, axes="zyx")
        raise HQSAMError(
            f"{self.mask}: shape {labels.shape} does not fit its image, {self.image.name} of "
            f"shape {shape}"
        )


def labelled_files(folder: Path, masks: str = "masks") -> list[LabelledFile]:
    """The image files of a data set with their label images, by name.

    Parameters
    ----------
    folder : Path
        With `images/` and the folder named by `masks`.
    masks : str
        Which labels.

    Raises
    ------
    HQSAMError
        If a folder is missing or empty, or an image has no label image of the same stem.
    """
    for needed in ("images", masks):
        if not (folder / needed).is_dir():
            raise HQSAMError(f"{folder}: no data set; it needs the folders images/ and {masks}/")
    of_stem = {p.stem: p for p in _pictures(folder / masks)}
    images = _pictures(folder / "images")
    if not images:
        raise HQSAMError(f"{folder / 'images'}: no PNG, JPEG or TIFF here")
    for path in images:
        if path.stem not in of_stem:
            raise HQSAMError(f"{path}: no label image {folder / masks / path.stem}.png or .tif")
    return [LabelledFile(path, of_stem[path.stem]) for path in images]


def read_labels(path: Path) -> NDArray[Any]:
    """Read a label image; of a picture with a palette the indices, not the colours.

    Parameters
    ----------
    path : Path
        PNG, JPEG or TIFF. Whole numbers stored as floats and grey stored as colours will do.

    Returns
    -------
    ndarray of int
        (H, W) or more axes, without those of length 1. Negative numbers become 0.

    Raises
    ------
    HQSAMError
        If it cannot be read, or is not a label image.
    """
    try:
        labels = _read(path)
    except Exception as error:  # Pillow and tifffile raise many kinds
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise HQSAMError(f"{path}: cannot be read as a label image ({reason[:120]})") from error
    if labels.ndim < 2 or not labels.size:
        raise HQSAMError(f"{path}: cannot be read as a label image (no pixels)")
    if path.suffix.lower() not in _TIFF and labels.ndim == 3:
        if (labels[..., :3] != labels[..., :1]).any():
            raise HQSAMError(
                f"{path}: a colour picture; a label image has one number for each pixel"
            )
        labels = labels[..., 0]
    if labels.ndim > 2:
        squeezed = labels.squeeze()
        labels = squeezed if squeezed.ndim >= 2 else labels.reshape(labels.shape[-2:])
    if labels.dtype == bool:
        labels = labels.astype(np.uint8)
    if labels.dtype.kind == "f" and np.isfinite(labels).all() and (labels == labels.round()).all():
        labels = labels.astype(np.int64)
    if labels.dtype.kind not in "iu":
        raise HQSAMError(f"{path}: labels must be whole numbers, not {labels.dtype}")
    return np.maximum(labels, 0)


def spread(items: list[Any], limit: int | None) -> list[Any]:
    """At most `limit` of a list, evenly from its first to its last."""
    if limit is None or len(items) <= limit:
        return items
    return [items[(2 * i + 1) * len(items) // (2 * limit)] for i in range(limit)]


def _pictures(folder: Path) -> list[Path]:
    files = (p for p in folder.iterdir() if not p.name.startswith("."))
    return sorted(p for p in files if p.suffix.lower() in _SUFFIXES)


def _read(path: Path) -> NDArray[Any]:
    if path.suffix.lower() in _TIFF:
        import tifffile

        return np.asarray(tifffile.imread(path))
    from PIL import Image

    with Image.open(path) as picture:
        return np.asarray(picture.convert("L") if picture.mode in ("LA", "La") else picture)


def _pixel_size(source: ImageSource) -> float | None:
    if source.scale is None or source.units is None:
        return None
    at = [source.axes.index(a) for a in "yx"]
    sides = micrometers([source.scale[i] for i in at], [source.units[i] for i in at])
    return None if sides is None else float(np.sqrt(sides[0] * sides[1]))
