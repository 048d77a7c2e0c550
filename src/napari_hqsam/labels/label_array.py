"""Labels that are read and written by boxes of any plane: in memory, or on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.labels.pyramid import Box
from napari_hqsam.labels.store_planes import read_plane, write_plane

if TYPE_CHECKING:
    from napari_hqsam.labels.store import LabelStore


class LabelArray(Protocol):
    """What a session edits."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of integers."""

    def read(self, plane: ArrayPlane, box: Box) -> NDArray[Any]:
        """A copy of the labels (h, w) of a half-open box (y0, x0, y1, x1) of a plane."""

    def write(
        self, plane: ArrayPlane, y0: int, x0: int, pixels: NDArray[Any], where: NDArray[np.bool_]
    ) -> None:
        """Write `pixels` (h, w), where `where` (h, w) says so; all of them or none.

        Raises
        ------
        HQSAMError
            If they cannot be written; the labels are as they were.
        """


class MemoryLabels:
    """A numpy array of labels.

    Parameters
    ----------
    array : ndarray of int
        Changed in place.
    """

    def __init__(self, array: NDArray[Any]) -> None:
        self.array = array

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return tuple(self.array.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the array."""
        return self.array.dtype

    def read(self, plane: ArrayPlane, box: Box) -> NDArray[Any]:
        """As `LabelArray.read`."""
        return np.array(self.array[plane.region(*box)])

    def write(
        self, plane: ArrayPlane, y0: int, x0: int, pixels: NDArray[Any], where: NDArray[np.bool_]
    ) -> None:
        """As `LabelArray.write`."""
        h, w = pixels.shape
        region = self.array[plane.region(y0, x0, y0 + h, x0 + w)]
        np.copyto(region, pixels, where=where, casting="unsafe")


class StoreLabels:
    """A `LabelStore`.

    Parameters
    ----------
    store : LabelStore
    """

    def __init__(self, store: LabelStore) -> None:
        self.store = store

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return self.store.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the store."""
        return self.store.dtype

    def read(self, plane: ArrayPlane, box: Box) -> NDArray[Any]:
        """As `LabelArray.read`."""
        return read_plane(self.store, plane, *box)

    def write(
        self, plane: ArrayPlane, y0: int, x0: int, pixels: NDArray[Any], where: NDArray[np.bool_]
    ) -> None:
        """As `LabelArray.write`."""
        write_plane(self.store, plane, y0, x0, pixels, where)
