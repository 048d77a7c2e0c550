"""Label images written for other programs: TIFF (Fiji reads its scale), OME-Zarr, PNG."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels import place
from napari_hqsam.labels.calibration import Calibration, check_calibration
from napari_hqsam.labels.pixels import MEMORY_BYTES, Pixels
from napari_hqsam.labels.pyramid import create_pyramid
from napari_hqsam.labels.tiff import write_tiff

if TYPE_CHECKING:
    from napari_hqsam.labels.store import LabelStore

Writer = Callable[[Path, Pixels, Calibration], None]


def write_labels(
    path: str | os.PathLike[str],
    labels: ArrayLike | LabelStore,
    *,
    scale: Sequence[float] | None = None,
    units: str | Sequence[object] | None = None,
    axes: str = "yx",
) -> Path:
    """Write a label image, complete or not at all.

    It is written under a temporary name beside `path` and renamed; a file or a label zarr of the
    same name is replaced. The pixels become uint16, or uint32 above 65,535 (in zarr uint64 above
    4,294,967,295). Labels on disk, or not computed yet, are read block by block, twice: for the
    largest label, and to write them.

    Parameters
    ----------
    path : str or path-like
        Its suffix chooses the format.

        ``.tif``, ``.tiff``
            zlib-compressed; in ImageJ's form, with the calibration in µm, so that Fiji shows it.
            Above 65,535 labels an OME-TIFF with the same calibration, also as a resolution per
            centimetre. Above 512 MB a tiled one (BigTIFF) with pyramid levels, which takes a
            temporary folder beside it.
        ``.zarr``
            An OME-Zarr 0.5 label image, with levels until a plane is at most 1024 pixels wide
            and high.
        ``.png``
            One plane of at most 65,535 labels and 512 MB; it keeps no scale.
    labels : array-like of int or bool, or LabelStore
        0 is background. Shape along `axes`. A numpy, dask or zarr array of any size.
    scale : sequence of float, optional
        Step along each of `axes`, in `units`.
    units : str or sequence, optional
        Unit of z, y and x, or one per axis; without it `scale` counts pixels.
    axes : str
        One letter per dimension out of ``"tzyx"``, in this order; y and x are needed.

    Returns
    -------
    pathlib.Path
        Where the labels are.

    Raises
    ------
    HQSAMError
        If the labels are not whole numbers from 0 up, do not fit the format, are read from
        `path` itself, or cannot be written there.
    """
    target = Path(path).expanduser()
    suffix = target.suffix.lower()
    write = _WRITERS.get(suffix)
    if write is None:
        raise HQSAMError(f"{target}: labels can be saved as .tif, .zarr or .png; change the suffix")
    shape = labels.shape if hasattr(labels, "shape") else np.shape(labels)
    calibration = check_calibration(target, len(shape), axes, scale, units)
    if suffix == ".png" and axes != "yx":
        raise HQSAMError(f'{target}: a PNG holds one plane, not "{axes}"; save it as .tif or .zarr')
    made = place.partial(target)
    try:
        with place.writing(target):
            place.check_target(target)
            pixels = Pixels.of(labels, target)
            _check_pixels(pixels, suffix)
            write(made, pixels, calibration)
            place.replace(made, target)
    finally:
        place.remove(made)
    return target


def _check_pixels(pixels: Pixels, suffix: str) -> None:
    """Refuse labels that the format cannot hold, or that would be replaced by themselves."""
    target, highest = pixels.target, pixels.highest
    limit = {".zarr": 2**64, ".png": 2**16}.get(suffix, 2**32) - 1
    if highest > limit:
        remedy = "save it as .tif or .zarr" if limit < 2**17 else "renumber it or save it as .zarr"
        raise HQSAMError(f"{target}: holds labels up to {limit:,}, not {highest:,}; {remedy}")
    if suffix == ".png" and pixels.nbytes > MEMORY_BYTES:
        raise HQSAMError(f"{target}: the plane is too large for a PNG; save it as .tif or .zarr")
    if suffix == ".zarr" and target.exists() and place.lies_in(pixels.array, target):
        raise HQSAMError(
            f"{target}: the labels are read from there, where they are saved already; for a copy "
            "choose another name"
        )


def _write_zarr(path: Path, labels: Pixels, calibration: Calibration) -> None:
    from napari_hqsam.labels.store import LabelStore

    create_pyramid(path, labels.shape, labels.dtype, calibration, highest=labels.highest)
    labels.copy_to(LabelStore(path, name=labels.target))


def _write_png(path: Path, labels: Pixels, calibration: Calibration) -> None:
    from PIL import Image

    Image.fromarray(np.ascontiguousarray(labels.load())).save(path)


_WRITERS: dict[str, Writer] = {
    ".tif": write_tiff,
    ".tiff": write_tiff,
    ".zarr": _write_zarr,
    ".png": _write_png,
}
