"""Which plane of an array is meant: xy, xz, yz, or any other pair of its axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class ArrayPlane:
    """A plane of an array of any number of dimensions; (y, x) is a position within it.

    Attributes
    ----------
    axes : (int, int)
        The array's two axes that are y and x of the plane, the lower one first: a plane has the
        same coordinates whether or not the view is transposed.
    index : tuple of int
        Where the plane lies along each of the other axes, in their order.
    """

    axes: tuple[int, int]
    index: tuple[int, ...]

    @property
    def ndim(self) -> int:
        """Number of axes of the array."""
        return len(self.index) + 2

    @property
    def others(self) -> tuple[int, ...]:
        """The axes that `index` counts along."""
        return tuple(axis for axis in range(self.ndim) if axis not in self.axes)

    def shape(self, array_shape: Sequence[int]) -> tuple[int, int]:
        """(height, width) of the plane in an array of that shape."""
        i, j = self.axes
        return int(array_shape[i]), int(array_shape[j])

    def source_index(self, array_shape: Sequence[int]) -> tuple[int, ...]:
        """`index` without the axes of length 1, which an `ImageSource` leaves out."""
        pairs = zip(self.index, self.others, strict=True)
        return tuple(i for i, axis in pairs if array_shape[axis] > 1)

    def yx(self, positions: ArrayLike) -> NDArray[Any]:
        """(N, 2) positions within the plane of (N, ndim) positions in the array."""
        return np.asarray(positions)[:, list(self.axes)]

    def position(self, y: float, x: float) -> tuple[float, ...]:
        """The (y, x) of this plane as a position in the array."""
        return tuple(self._order(list(self.index), [y, x]))

    def steps(self, step: float) -> tuple[float, ...]:
        """`step` along the plane's axes, 1 along the others."""
        return tuple(self._order([1.0] * len(self.index), [step, step]))

    def region(self, y0: int, x0: int, y1: int, x1: int) -> tuple[Any, ...]:
        """Index of a half-open box of the plane into the array: gives (y1-y0, x1-x0)."""
        return tuple(self._order(list(self.index), [slice(y0, y1), slice(x0, x1)]))

    def pixels(self, y: NDArray[Any], x: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Index of single pixels into the array."""
        return tuple(self._order([np.full(len(y), i) for i in self.index], [y, x]))

    def slab(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """(h, w) pixels with the array's number of dimensions; a view."""
        h, w = pixels.shape
        return pixels.reshape(self._order([1] * len(self.index), [h, w]))

    def flat(self, slab: NDArray[Any]) -> NDArray[Any]:
        """What `slab` gave, as (h, w) again; a view."""
        i, j = self.axes
        return slab.reshape(slab.shape[i], slab.shape[j])

    def _order(self, along: list[Any], within: list[Any]) -> list[Any]:
        """One value for each of the array's axes, from those of `others` and of `axes`."""
        for axis, value in zip(self.axes, within, strict=True):
            along.insert(axis, value)
        return along
