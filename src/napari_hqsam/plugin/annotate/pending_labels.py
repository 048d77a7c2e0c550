"""Labels that are not there yet: the first object that is written makes their layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_hqsam.labels.label_array import LabelArray
    from napari_hqsam.labels.plane import ArrayPlane
    from napari_hqsam.labels.pyramid import Box


class PendingLabels:
    """Empty labels that become real ones; a `LabelArray`.

    Parameters
    ----------
    shape : tuple of int
    make : callable
        Makes the real ones, on the first write.

    Attributes
    ----------
    real : LabelArray or None
        The real ones, once they are there.
    """

    def __init__(self, shape: tuple[int, ...], make: Callable[[], LabelArray]) -> None:
        self._shape, self._make = shape, make
        self.real: LabelArray | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return self._shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the labels."""
        return np.dtype(np.uint32) if self.real is None else self.real.dtype

    def read(self, plane: ArrayPlane, box: Box) -> NDArray[Any]:
        """As `LabelArray.read`."""
        if self.real is not None:
            return self.real.read(plane, box)
        y0, x0, y1, x1 = box
        return np.zeros((y1 - y0, x1 - x0), dtype=self.dtype)

    def write(
        self, plane: ArrayPlane, y0: int, x0: int, pixels: NDArray[Any], where: NDArray[np.bool_]
    ) -> None:
        """As `LabelArray.write`."""
        if self.real is None:
            self.real = self._make()
        self.real.write(plane, y0, x0, pixels, where)
