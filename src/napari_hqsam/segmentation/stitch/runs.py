"""Runs of many objects at once: cut to a box, joined, counted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.labels.pyramid import Box
from napari_hqsam.labels.rows import Ints
from napari_hqsam.segmentation.stitch.instances import Instances
from napari_hqsam.segmentation.stitch.layout import overlaps


def counting(lengths: Ints) -> Ints:
    """0, 1, … up to each length, one after the other."""
    total = int(lengths.sum())
    return np.arange(total) - np.repeat(np.cumsum(lengths) - lengths, lengths)


def clipped(
    found: Instances, box: Box, chosen: NDArray[np.bool_] | None = None
) -> tuple[Ints, Ints, Ints, Ints]:
    """The runs of the objects (chosen ones only) within a box.

    Returns
    -------
    which, y, x0, x1 : ndarray of int64
        Sorted by object, row and column.
    """
    y0, x0, y1, x1 = box
    meets = overlaps(found.boxes, box)
    if chosen is not None:
        meets &= chosen
    index = np.flatnonzero(meets)
    counts = np.diff(found.starts)[index]
    runs = np.repeat(found.starts[index], counts) + counting(counts)
    which, y = np.repeat(index, counts), found.y[runs]
    left, right = np.maximum(found.x0[runs], x0), np.minimum(found.x1[runs], x1)
    inside = (y >= y0) & (y < y1) & (right > left)
    return which[inside], y[inside], left[inside], right[inside]


def overlapping(a0: Ints, a1: Ints, b0: Ints, b1: Ints) -> tuple[Ints, Ints]:
    """All pairs of half-open intervals [a0, a1) and [b0, b1) that overlap.

    Returns
    -------
    i, j : ndarray of int64
        (n,) indices into the first and the second.
    """
    # one of two that overlap begins within the other
    i, j = _beginning_within(a0, a1, b0, "left")
    k, m = _beginning_within(b0, b1, a0, "right")  # those that begin together were counted
    return np.concatenate([i, m]), np.concatenate([j, k])


def _beginning_within(low: Ints, high: Ints, begins: Ints, side: str) -> tuple[Ints, Ints]:
    order = np.argsort(begins, kind="stable")
    first = np.searchsorted(begins, low, side=side, sorter=order)  # type: ignore[call-overload]
    counts = np.maximum(np.searchsorted(begins, high, sorter=order) - first, 0)
    at = np.repeat(first, counts) + counting(counts)
    return np.repeat(np.arange(len(low)), counts), order[at]


def components(which: Ints, y: Ints, x0: Ints, x1: Ints) -> tuple[int, Ints]:
    """The 8-connected parts of each object: their number, and the part of each run."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(which)
    if n == 0:
        return 0, np.empty(0, np.int64)
    new = which[1:] != which[:-1]
    follows = (y[1:] == y[:-1] + 1) & (x0[1:] <= x1[:-1]) & (x1[1:] >= x0[:-1])
    if (new | follows).all():  # as in most places: one run a row, each at the one above it
        return int(new.sum()) + 1, np.concatenate(([0], np.cumsum(new)))
    left, width = x0.min(), x1.max() - x0.min() + 2
    # every object and row has a line of its own, and one lies free below each object
    line = which * (y.max() - y.min() + 2) + y - y.min()
    low, high = line * width + x0 - left + 1, line * width + x1 - left + 1
    i, j = overlapping(low + width - 1, high + width + 1, low, high)
    graph = coo_array((np.ones(len(i), bool), (i, j)), shape=(n, n))
    count, part = connected_components(graph, directed=False)
    return int(count), part.astype(np.int64)
