"""Objects of neighbouring planes that are one object of the volume."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.labels.pyramid import Box, tiles
from napari_hqsam.labels.rows import Ints
from napari_hqsam.segmentation.stitch.draw import draw
from napari_hqsam.segmentation.stitch.instances import Ids, Instances
from napari_hqsam.segmentation.stitch.layout import Layout
from napari_hqsam.segmentation.stitch.overlap import best

_SIDE = 2048  # of what is drawn at once of two planes


def between(
    layout: Layout, read: Callable[[int], Instances], shown: Sequence[Ids], threshold: float
) -> tuple[Ints, Ints]:
    """Which objects of planes k and k + 1 are each other's best match.

    What is compared are the labels as they are drawn, so that an object hides what lies below it.

    Parameters
    ----------
    layout : Layout
        Of the windows; k is the last index of a plane.
    read : callable
        The instances of a window.
    shown : sequence of ndarray of uint64
        The number of each object; 0 is not shown. An object has one number in all windows of a
        plane.
    threshold : float
        Least IoU.

    Returns
    -------
    above, below : ndarray of int64
        (n,) numbers of objects. Each occurs once at most in each.
    """
    stacks: dict[tuple[int, ...], list[int]] = {}
    for number, plane in enumerate(layout.planes):
        if plane:
            stacks.setdefault(plane[:-1], []).append(number)
    count = 1 + max((int(ids.max(initial=0)) for ids in shown), default=0)
    areas = np.zeros(count, np.int64)
    found: list[NDArray[np.int64]] = [np.empty((3, 0), np.int64)]
    for stack in stacks.values():
        everything = layout.boxes[np.concatenate([layout.of_plane[k] for k in stack])]
        low, high = everything[:, :2].min(axis=0).tolist(), everything[:, 2:].max(axis=0).tolist()
        for block in tiles((*low, *high), (_SIDE, _SIDE)):
            previous: tuple[int, NDArray[np.uint64]] | None = None
            for k in stack:
                plane = layout.planes[k]
                labels = _drawn(layout, read, shown, plane, block)
                if labels is None:
                    continue
                one, _, pixels = _together(labels, labels)
                np.add.at(areas, one, pixels)
                if previous is not None and previous[0] == plane[-1] - 1:
                    found.append(np.stack(_together(previous[1], labels)))
                previous = plane[-1], labels
    a, b, pixels = np.concatenate(found, axis=1)
    pairs, which = np.unique(a * count + b, return_inverse=True)
    common = np.bincount(which, pixels, minlength=len(pairs)).astype(np.int64)
    a, b = pairs // count, pairs % count
    iou = common / (areas[a] + areas[b] - common)
    linked = (iou >= threshold) & best(a, b, iou) & best(b, a, iou)
    return a[linked], b[linked]


def _drawn(
    layout: Layout,
    read: Callable[[int], Instances],
    shown: Sequence[Ids],
    plane: tuple[int, ...],
    block: Box,
) -> NDArray[np.uint64] | None:
    """The numbers of the objects in a block; None if there are none."""
    windows = [int(i) for i in layout.meeting(plane, block) if shown[i].any()]
    if not windows:
        return None
    return draw(plane, block, [(read(i), shown[i]) for i in windows])


def _together(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> tuple[Ints, Ints, Ints]:
    """How many pixels have label a in one image and b in the other, neither being 0."""
    one, other = a.ravel(), b.ravel()
    first = np.ones(len(one), bool)
    np.not_equal(one[1:], one[:-1], out=first[1:])
    first[1:] |= other[1:] != other[:-1]
    start = np.flatnonzero(first)
    pixels = np.diff(start, append=len(one))
    both = (one[start] > 0) & (other[start] > 0)
    start, pixels = start[both], pixels[both]
    order = np.lexsort((other[start], one[start]))
    start, pixels = start[order], pixels[order]
    i, j = one[start].astype(np.int64), other[start].astype(np.int64)
    new = np.ones(len(i), bool)
    new[1:] = (i[1:] != i[:-1]) | (j[1:] != j[:-1])
    begins = np.flatnonzero(new)
    sums = np.add.reduceat(pixels, begins) if len(begins) else pixels
    return i[begins], j[begins], sums
