"""What two windows show of the same place: which of their objects are one there."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.labels.pyramid import Box
from napari_hqsam.labels.rows import Ints
from napari_hqsam.segmentation.stitch.instances import Instances
from napari_hqsam.segmentation.stitch.runs import clipped, components, overlapping


class Overlap(NamedTuple):
    """Objects of two windows that share pixels.

    Attributes
    ----------
    first, second : ndarray of int64
        (n,) which ones.
    pixels : ndarray of int64
        (n,) how many they share.
    same : ndarray of bool
        (n,) whether they are one object in the region that both windows show: parts of them there
        are each other's best match, with more than half of their union in common.
    """

    first: Ints
    second: Ints
    pixels: Ints
    same: NDArray[np.bool_]


def overlap(a: Instances, b: Instances) -> Overlap:
    """Compare the objects of two windows of a plane in the region that both show.

    Each object is cut to that region, and its 8-connected parts are matched one to one: an object
    that enters the region twice may be two in a window which does not show where they join.
    """
    region = shared(a.box, b.box)
    runs = [clipped(found, region) for found in (a, b)]
    if len(runs[0][0]) == 0 or len(runs[1][0]) == 0:
        none = np.empty(0, np.int64)
        return Overlap(none, none, none, none.astype(bool))
    width = region[3] - region[1]
    flat = [((y - region[0]) * width - region[1] + x0, x1 - x0) for _, y, x0, x1 in runs]
    (start, length), (other, extent) = flat
    i, j = overlapping(start, start + length, other, other + extent)
    common = np.minimum((start + length)[i], (other + extent)[j]) - np.maximum(start[i], other[j])

    (n, part), (m, piece) = (components(*each) for each in runs)
    areas, sizes = (
        np.bincount(p, weights, minlength=k).astype(np.int64)
        for p, weights, k in ((part, length, n), (piece, extent, m))
    )
    pairs, which = np.unique(part[i] * m + piece[j], return_inverse=True)
    pixels = np.bincount(which, common, minlength=len(pairs)).astype(np.int64)
    left, right = pairs // m, pairs % m
    unions = areas[left] + sizes[right] - pixels
    same = (2 * pixels > unions) & _mutual(left, right, pixels / unions)

    owner, holder = np.zeros(n, np.int64), np.zeros(m, np.int64)
    owner[part], holder[piece] = runs[0][0], runs[1][0]
    objects, which = np.unique(owner[left] * len(b) + holder[right], return_inverse=True)
    return Overlap(
        objects // len(b),
        objects % len(b),
        np.bincount(which, pixels, minlength=len(objects)).astype(np.int64),
        np.bincount(which, same, minlength=len(objects)) > 0,
    )


def shared(a: Box, b: Box) -> Box:
    """The box that lies in both; without pixels if there is none."""
    y0, x0 = max(a[0], b[0]), max(a[1], b[1])
    return y0, x0, max(y0, min(a[2], b[2])), max(x0, min(a[3], b[3]))


def best(a: Ints, b: Ints, value: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether a pair has the highest value of those of its `a`; of equal ones the lowest `b`."""
    order = np.lexsort((b, -value, a))
    first = np.ones(len(a), bool)
    first[1:] = a[order][1:] != a[order][:-1]
    out = np.zeros(len(a), bool)
    out[order[first]] = True
    return out


def _mutual(a: Ints, b: Ints, value: NDArray[np.float64]) -> NDArray[np.bool_]:
    return best(a, b, value) & best(b, a, value)


def cut(found: Instances, others: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which objects of a window may go on in another: where they reach its edge, that goes on.

    Parameters
    ----------
    found : Instances
    others : ndarray of int64
        (m, 4) boxes of the other windows of the plane that overlap or touch this one.

    Returns
    -------
    ndarray of bool
        (n,)
    """
    out = np.zeros(len(found), bool)
    which = np.repeat(np.arange(len(found)), np.diff(found.starts))
    turned = found.x0, found.x1 - 1
    for axis in (0, 1):
        low, high = found.box[axis], found.box[axis + 2] - 1
        along = slice(found.box[1 - axis] - 1, found.box[3 - axis] + 1)
        for edge, beyond, at in ((low, low - 1, 0), (high, high + 1, 1)):
            over = others[(others[:, axis] <= beyond) & (others[:, axis + 2] > beyond)]
            if len(over) == 0:
                continue
            # how many pixels beyond the edge, from its corner on, another window shows
            shown = np.zeros(along.stop - along.start, np.int64)
            for start, stop in over[:, [1 - axis, 3 - axis]] - along.start:
                shown[max(start, 0) : max(stop, 0)] = 1
            count = np.concatenate(([0], np.cumsum(shown)))
            runs = np.flatnonzero((found.y if axis == 0 else turned[at]) == edge)
            first = (found.x0 if axis == 0 else found.y)[runs] - 1 - along.start
            last = (found.x1 if axis == 0 else found.y + 1)[runs] + 1 - along.start
            out[which[runs[count[last] > count[first]]]] = True
    return out
