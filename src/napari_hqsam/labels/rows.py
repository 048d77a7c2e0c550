"""Masks as runs of pixels along their rows: exact, and as small as their outline is long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_hqsam.labels.change import Runs
from napari_hqsam.labels.objects import PlaneMask
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.labels.pyramid import Box

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Rows:
    """The pixels of a mask, as half-open runs [x0, x1) of row y.

    Attributes
    ----------
    y, x0, x1 : ndarray of int64
        (n,) each, sorted by row and column; no two runs overlap or touch.
    """

    y: Ints
    x0: Ints
    x1: Ints

    @classmethod
    def of(cls, y: ArrayLike, x0: ArrayLike, x1: ArrayLike) -> Rows:
        """The union of any runs, in any order; empty ones do not count."""
        rows = [np.asarray(a, dtype=np.int64) for a in (y, x0, x1)]
        filled = rows[2] > rows[1]
        _, *united = unite(np.zeros(int(filled.sum()), np.int64), *(a[filled] for a in rows))
        return cls(*united)

    @classmethod
    def union(cls, parts: Sequence[Rows]) -> Rows:
        """All the pixels of several masks."""
        if len(parts) == 1:
            return parts[0]
        empty = np.empty(0, np.int64)
        ends = ([empty, *(getattr(part, name) for part in parts)] for name in ("y", "x0", "x1"))
        return cls.of(*(np.concatenate(end) for end in ends))

    @classmethod
    def of_mask(cls, mask: PlaneMask) -> Rows:
        """The runs of a mask, in pixels of its plane."""
        y0, x0, _, x1 = mask.bbox
        w = max(x1 - x0, 1)
        ends = np.cumsum(mask.runs.lengths, dtype=np.int64)
        inside = mask.runs.values.astype(bool)
        end = ends[inside]
        start = end - mask.runs.lengths[inside]
        first, last = start // w, (end - 1) // w  # a run goes on in the next row
        count = last - first + 1
        which = np.repeat(np.arange(len(start)), count)
        y = first[which] + np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count)
        left = np.maximum(start[which] - y * w, 0)
        right = np.minimum(end[which] - y * w, w)
        return cls(y + y0, left + x0, right + x0)

    @property
    def area(self) -> int:
        """Number of pixels."""
        return int((self.x1 - self.x0).sum())

    @property
    def bbox(self) -> Box:
        """(y0, x0, y1, x1) of the pixels, half-open; of nothing (0, 0, 0, 0)."""
        if len(self.y) == 0:
            return 0, 0, 0, 0
        return int(self.y[0]), int(self.x0.min()), int(self.y[-1]) + 1, int(self.x1.max())

    def clipped(self, box: Box) -> Rows:
        """What lies within a box."""
        y0, x0, y1, x1 = box
        a, b = np.searchsorted(self.y, (y0, y1))
        left, right = np.maximum(self.x0[a:b], x0), np.minimum(self.x1[a:b], x1)
        there = right > left
        return Rows(self.y[a:b][there], left[there], right[there])

    def dense(self, box: Box) -> NDArray[np.bool_]:
        """The mask (h, w) of a box."""
        y0, x0, y1, x1 = box
        part = self.clipped(box)
        steps = np.zeros((y1 - y0, x1 - x0 + 1), np.int8)
        steps[part.y - y0, part.x0 - x0] = 1
        steps[part.y - y0, part.x1 - x0] = -1
        filled: NDArray[np.int8] = np.cumsum(steps[:, :-1], axis=1, dtype=np.int8)
        return filled.view(np.bool_)

    def corners(self) -> tuple[Ints, Ints, NDArray[np.bool_], NDArray[np.bool_]]:
        """Where the outline turns, sorted by row and column.

        Two and two are the ends of a horizontal edge. Where two pixels touch at a corner alone
        there are two at one place: the first ends the edge on the left, the second begins that on
        the right.

        Returns
        -------
        y, x : ndarray of int64
            (n,) each: the upper left corner of pixel (y, x).
        begins, below : ndarray of bool
            (n,) each: whether the run that has the corner begins there, and lies below it.
        """
        n = len(self.y)
        # each end of a run is a corner of the row of corners above it, and of that below it
        y = np.concatenate([self.y, self.y, self.y + 1, self.y + 1])
        x = np.concatenate([self.x0, self.x1, self.x0, self.x1])
        begins = np.tile(np.repeat([True, False], n), 2)
        below = np.repeat([True, False], 2 * n)
        order = np.lexsort((begins, x, y))
        y, x, begins, below = (a[order] for a in (y, x, begins, below))
        straight = (y[1:] == y[:-1]) & (x[1:] == x[:-1]) & (begins[1:] == begins[:-1])
        turns = np.ones(len(y), bool)
        turns[1:] &= ~straight
        turns[:-1] &= ~straight
        return y[turns], x[turns], begins[turns], below[turns]

    def transposed(self) -> Rows:
        """The runs along the columns: those of the mask with y and x exchanged."""
        y, x, begins, below = self.corners()
        left, right = x[::2], x[1::2]
        # runs along columns begin at the upper edges of the mask, and end at its lower ones
        upper = begins[::2] == below[::2]
        ends = []
        for edges in (upper, ~upper):
            length = (right - left)[edges]
            column = np.repeat(left[edges], length) + np.arange(length.sum())
            column -= np.repeat(np.cumsum(length) - length, length)
            row = np.repeat(y[::2][edges], length)
            order = np.lexsort((row, column))
            ends.append((column[order], row[order]))
        (column, top), (_, bottom) = ends
        return Rows(column, top, bottom)

    def mask(self, plane: ArrayPlane) -> PlaneMask:
        """These pixels as the mask of an object on `plane`."""
        if len(self.y) == 0:
            return PlaneMask.of(plane, (0, 0, 0, 0), np.zeros((0, 0), bool))
        return _masks(plane, np.zeros_like(self.y), self.y, self.x0, self.x1)[0][1]


def row_runs(mask: NDArray[np.bool_], y0: int = 0, x0: int = 0) -> tuple[Ints, Ints, Ints]:
    """The runs (y, x0, x1) of a mask (h, w) whose first pixel lies at (y0, x0)."""
    edges = np.zeros((mask.shape[0], mask.shape[1] + 2), bool)
    edges[:, 1:-1] = mask
    y, x = np.nonzero(edges[:, 1:] != edges[:, :-1])
    return y[::2] + y0, x[::2] + x0, x[1::2] + x0


def unite(label: Ints, y: Ints, x0: Ints, x1: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    """Runs sorted by label, row and column; those of a label that overlap or touch become one."""
    order = np.lexsort((x0, y, label))
    label, y, x0, x1 = (a[order] for a in (label, y, x0, x1))
    if len(y) < 2:
        return label, y, x0, x1
    other_row = (label[1:] != label[:-1]) | (y[1:] != y[:-1])
    row = np.concatenate(([0], np.cumsum(other_row)))
    low = min(int(x0.min()), 0)
    width = int(x1.max()) - low + 1
    # how far right the runs reach so far, in their row
    reach = np.maximum.accumulate(row * width + x1 - low) - row * width + low
    first = np.concatenate(([True], other_row | (x0[1:] > reach[:-1])))
    last = np.concatenate((first[1:], [True]))
    return label[first], y[first], x0[first], reach[last]


def masks_of(
    plane: ArrayPlane, label: Ints, y: Ints, x0: Ints, x1: Ints
) -> list[tuple[int, PlaneMask]]:
    """The masks on one plane of many objects, sorted by label.

    Parameters
    ----------
    plane : ArrayPlane
    label, y, x0, x1 : ndarray of int64
        (n,) each: runs in any order, none empty.

    Returns
    -------
    list of (int, PlaneMask)
        Each with the smallest box.
    """
    if len(y) == 0:
        return []
    return _masks(plane, *unite(label, y, x0, x1))


def _masks(
    plane: ArrayPlane, label: Ints, y: Ints, x0: Ints, x1: Ints
) -> list[tuple[int, PlaneMask]]:
    """As `masks_of`, of runs as `unite` gives them."""
    begins = np.flatnonzero(np.concatenate(([True], label[1:] != label[:-1])))
    ends = np.append(begins[1:], len(label))
    top, bottom = y[begins], y[ends - 1] + 1
    left, right = np.minimum.reduceat(x0, begins), np.maximum.reduceat(x1, begins)
    height, width = bottom - top, right - left

    # positions within the box of each object, row by row
    of = np.repeat(np.arange(len(begins)), ends - begins)
    start = (y - top[of]) * width[of] + x0 - left[of]
    end = start + x1 - x0
    before = np.concatenate(([0], end[:-1]))
    before[begins] = 0
    # of each object: outside, inside, outside, ..., inside, outside
    lengths = np.empty(2 * len(start) + len(begins), np.int64)
    at = 2 * np.arange(len(start)) + of
    lengths[at], lengths[at + 1] = start - before, end - start
    tail = 2 * ends + np.arange(len(begins))
    lengths[tail] = height * width - end[ends - 1]
    inside = np.zeros(len(lengths), bool)
    inside[at + 1] = True
    masks = []
    box = np.stack([top, left, bottom, right], axis=1).tolist()
    first = 2 * begins + np.arange(len(begins))
    for k, (a, b) in enumerate(zip(first.tolist(), (tail + 1).tolist(), strict=True)):
        runs = _joined(lengths[a:b], inside[a:b])
        masks.append((int(label[begins[k]]), PlaneMask(plane, _box(box[k]), runs)))
    return masks


def _joined(lengths: Ints, inside: NDArray[np.bool_]) -> Runs:
    """Runs without empty ones; what goes on in the next row is one run."""
    there = lengths > 0
    if not there.all():
        lengths, inside = lengths[there], inside[there]
        first = np.flatnonzero(np.concatenate(([True], inside[1:] != inside[:-1])))
        lengths, inside = np.add.reduceat(lengths, first), inside[first]
    return Runs(inside.copy(), lengths.astype(np.uint32))


def _box(values: Sequence[Any]) -> Box:
    y0, x0, y1, x1 = values
    return y0, x0, y1, x1
