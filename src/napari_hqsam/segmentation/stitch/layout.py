"""Where windows lie: which of them meet a box."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.labels.pyramid import Box, Plane
from napari_hqsam.labels.rows import Ints

Tile = tuple[Plane, Box]
"""The plane of a window, and the part of it that the window shows."""


def overlaps(boxes: Ints, box: Sequence[int]) -> NDArray[np.bool_]:
    """Which boxes (n, 4) share pixels with one."""
    y0, x0, y1, x1 = box
    b = boxes
    return np.asarray((b[:, 0] < y1) & (b[:, 2] > y0) & (b[:, 1] < x1) & (b[:, 3] > x0))


class Layout:
    """Windows on any number of planes.

    Parameters
    ----------
    tiles : sequence of (plane, box)

    Attributes
    ----------
    planes : list of tuple of int
        Those that have windows, sorted.
    of_plane : list of ndarray of int64
        The windows of each, ascending.
    boxes : ndarray of int64
        (n, 4)
    """

    def __init__(self, tiles: Sequence[Tile]) -> None:
        members: dict[Plane, list[int]] = {}
        for i, (plane, _) in enumerate(tiles):
            members.setdefault(tuple(plane), []).append(i)
        self.planes = sorted(members)
        self.of_plane = [np.array(members[plane], np.int64) for plane in self.planes]
        self.boxes = np.array([box for _, box in tiles], np.int64).reshape(-1, 4)
        self._number = {plane: k for k, plane in enumerate(self.planes)}
        self._trees: dict[int, Any] = {}

    def near(self, plane: Plane, box: Sequence[int]) -> Ints:
        """The windows that overlap a box of a plane or touch it, ascending."""
        import shapely

        k = self._number.get(tuple(plane))
        if k is None:
            return np.empty(0, np.int64)
        if k not in self._trees:
            self._trees[k] = shapely.STRtree(shapely.box(*self.boxes[self.of_plane[k]].T))
        found: Ints = np.sort(self.of_plane[k][self._trees[k].query(shapely.box(*box))])
        return found

    def meeting(self, plane: Plane, box: Sequence[int]) -> Ints:
        """The windows that show pixels of a box of a plane, ascending."""
        near = self.near(plane, box)
        return near[overlaps(self.boxes[near], box)]

    @cached_property
    def inner(self) -> Ints:
        """(n, 4) the windows without the pixels along the edges beyond which others go on."""
        inner = self.boxes.copy()
        for plane, members in zip(self.planes, self.of_plane, strict=True):
            for i in members:
                others: NDArray[np.int64] = self.boxes[self.near(plane, self.boxes[i])]
                box = self.boxes[i]
                inner[i, :2] += (others[:, :2] < box[:2]).any(axis=0)
                inner[i, 2:] -= (others[:, 2:] > box[2:]).any(axis=0)
        return inner
