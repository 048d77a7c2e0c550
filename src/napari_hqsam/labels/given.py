"""Labels that somebody gives for an image: checked once, then read box by box."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images.arrays import fetch
from napari_hqsam.images.lazy import ArrayView
from napari_hqsam.images.units import micrometers
from napari_hqsam.labels.frame import LabelFrame
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.labels.pyramid import Box, tiles
from napari_hqsam.labels.store import LabelStore

# Steps of two files that differ by less are the same, rounded differently.
_TOLERANCE = 0.01
_SIDE = 2048  # of what is read at once


class GivenLabels:
    """The planes of a label image, to be read only.

    Parameters
    ----------
    labels : array-like of int or bool, LabelStore, or path
        A numpy, dask or zarr array, or a label TIFF, PNG or zarr. Axes of length 1 do not count.
        The axes of an array are those of `frame`, in order; those of a file are known by name.
    frame : LabelFrame
        Of the image that they belong to.
    name : str
        What messages call them.

    Attributes
    ----------
    shape : tuple of int
        That of `frame`.
    dtype : numpy.dtype

    Raises
    ------
    HQSAMError
        If they are no whole numbers, or have another shape or pixel size than the image.
    """

    def __init__(self, labels: Any, frame: LabelFrame, name: str = "labels") -> None:
        self.name, self._file, self._frame = name, None, frame
        axes = scale = units = None
        if isinstance(labels, (str, os.PathLike)):
            from napari_hqsam.images.files import open_file

            self._file = open_file(labels)
            self.name, labels = str(self._file.path), self._file.levels[0]
            axes, scale, units = self._file.axes, self._file.scale, self._file.units
        elif isinstance(labels, LabelStore):
            axes, scale, units = labels.axes, labels.scale, labels.units
            self.name, labels = str(labels.name), labels.levels[0]
        elif isinstance(labels, Sequence) and labels and hasattr(labels[0], "shape"):
            labels = labels[0]  # of a pyramid
        elif not hasattr(labels, "shape"):
            labels = np.asarray(labels)
        try:
            self._array = self._view(labels, axes, frame)
            if scale is not None and units is not None:
                self._check_scale(
                    dict(zip(axes or "", zip(scale, units, strict=True), strict=True)), frame
                )
        except BaseException:
            self.close()
            raise
        self.shape, self.dtype = self._array.shape, self._array.dtype

    def read(self, plane: ArrayPlane, box: Box) -> NDArray[Any]:
        """The labels (h, w) of a half-open box (y0, x0, y1, x1) of a plane.

        Raises
        ------
        HQSAMError
            If they cannot be read, or one is negative.
        """
        (pixels,) = fetch(self._array, [plane.region(*box)], self.name)
        if pixels.dtype.kind == "i" and pixels.size and pixels.min() < 0:
            raise HQSAMError(
                f"{self.name}: labels are numbers from 0 up, but {pixels.min()} occurs; "
                "renumber them"
            )
        return pixels.astype(np.uint8) if pixels.dtype.kind == "b" else pixels

    def highest(self) -> int:
        """The largest label; all of them are read, box by box."""
        frame = self._frame
        boxes = list(tiles((0, 0, *frame.plane_shape), (_SIDE, _SIDE)))
        at = (frame.plane(plane) for plane in frame.planes())
        return max(int(self.read(plane, box).max()) for plane in at for box in boxes)

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._file is not None:
            self._file.close()

    def _view(self, labels: Any, axes: str | None, frame: LabelFrame) -> Any:
        kind = np.dtype(labels.dtype).kind
        if kind not in "bui":
            raise HQSAMError(
                f"{self.name}: labels are whole numbers, not {labels.dtype}; convert them, for "
                "example with astype('uint32')"
            )
        shape = tuple(int(n) for n in labels.shape)
        kept = [i for i, n in enumerate(shape) if n > 1 or i >= len(shape) - 2]
        if axes is not None:
            kept = [i for i, a in enumerate(axes) if shape[i] > 1 or a in "yx"]
            own = {axes[i]: i for i in kept}
            if set(own) == set(frame.axes):
                kept = [own[a] for a in frame.axes]
        found = tuple(shape[i] for i in kept)
        if found != frame.shape:
            raise HQSAMError(
                f"{self.name}: labels of shape {found} do not fit the image, whose labels have "
                f'{frame.shape} ("{frame.axes}"); give those of this image and level'
            )
        return ArrayView(labels, kept)

    def _check_scale(self, steps: dict[str, tuple[float, str]], frame: LabelFrame) -> None:
        for axis, image in (frame.grid.micrometers("zyx") or {}).items():
            found = micrometers([steps[axis][0]], [steps[axis][1]]) if axis in steps else None
            if found is not None and abs(found[0] / image - 1) > _TOLERANCE:
                raise HQSAMError(
                    f"{self.name}: its pixels are {found[0]:.4g} µm along {axis}, those of the "
                    f"image {image:.4g} µm; give the labels of this image and level"
                )


def as_label_array(labels: Any, frame: LabelFrame, name: str = "labels") -> GivenLabels:
    """`GivenLabels`, or `labels` if they are that already."""
    return labels if isinstance(labels, GivenLabels) else GivenLabels(labels, frame, name)
