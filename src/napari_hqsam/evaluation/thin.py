"""Thin structures: whether each neurite, vessel or filament is found, and nothing made up.

IoU hardly sees a break in a thin fibre or a fibre that is not there. These figures follow the
skeleton instead, the course that somebody who traces the fibre would draw.

A skeleton is a graph here: its pixels are joined to their neighbours by links of length 1, or √2
across a corner where no third pixel makes the same step. A straight line of n pixels is n long.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.evaluation.metrics import BoolArray, check_shapes, extent


def cl_dice(truth: BoolArray, predicted: BoolArray) -> float:
    """Centreline dice (Shit et al., CVPR 2021).

    The harmonic mean of the share of the predicted skeleton that lies inside the true mask and
    the share of the true skeleton that lies inside the predicted mask, in pixels.

    Parameters
    ----------
    truth, predicted : ndarray of bool
        (H, W), the whole image or any part of it that holds both masks.

    Returns
    -------
    float
        0 to 1; 1 if both masks are empty, 0 if only one is.
    """
    truth, predicted = _cut(truth, predicted)
    if not truth.any() or not predicted.any():
        return float(truth.any() == predicted.any())
    precision = truth[_skeleton(predicted)].mean()
    sensitivity = predicted[_skeleton(truth)].mean()
    both = precision + sensitivity
    return float(2 * precision * sensitivity / both) if both else 0.0


def missed_length(truth: BoolArray, predicted: BoolArray, tolerance: float = 2) -> float:
    """Share of the true skeleton's length that the prediction leaves out.

    A pixel of the true skeleton is left out if no pixel of the predicted mask lies within
    `tolerance` of it. A prediction that is too wide misses nothing: look at the IoU too.

    Parameters
    ----------
    truth, predicted : ndarray of bool
        (H, W), the whole image or any part of it that holds both masks.
    tolerance : float
        Distance between pixel centres, in pixels.

    Returns
    -------
    float
        0 to 1; 0 if there is no truth.
    """
    truth, predicted = _cut(truth, predicted)
    if not truth.any():
        return 0.0
    skeleton = _skeleton(truth)
    missed = _far_from(predicted, tolerance)[skeleton]
    start, end, length = _links(skeleton)
    pixels = len(missed)
    degree = np.bincount(start, minlength=pixels) + np.bincount(end, minlength=pixels)
    # A pixel has half of each of its links, and half a pixel for each end that is free.
    own = np.maximum(0, 2 - degree).astype(np.float64)
    own += np.bincount(start, length, pixels) + np.bincount(end, length, pixels)
    return float(own[missed].sum() / own.sum())


def false_branches(
    truth: BoolArray, predicted: BoolArray, tolerance: float = 2, shortest: float = 10
) -> int:
    """Number of predicted branches that are not there, as one would have to delete when tracing.

    What counts is the part of the predicted skeleton from which no pixel of the true mask lies
    within `tolerance`. It falls into connected pieces. In each piece the first branch starts where
    the piece leaves the truth (at an end, if it lies apart) and goes as far as it can; each
    further branch is the longest course that leaves what has been counted. Those of at least
    `shortest` are counted. So a stray fibre, a side branch and a bridge between two fibres are one
    each, a stray Y is two, and the small spurs that a rough edge gives its skeleton are none. A
    ring that lies apart is one: it is cut open at some pixel.

    Only the part beyond the tolerance is measured: a side branch must stick out by about
    `tolerance` + `shortest` from the fibre's edge. Round blobs have next to no skeleton and are
    not branches.

    Parameters
    ----------
    truth, predicted : ndarray of bool
        (H, W), the whole image or any part of it that holds both masks.
    tolerance : float
        Distance between pixel centres, in pixels.
    shortest : float
        Length of the shortest branch that counts, in pixels.
    """
    truth, predicted = _cut(truth, predicted)
    if not predicted.any():
        return 0
    skeleton = _skeleton(predicted)
    stray = skeleton & _far_from(truth, tolerance)
    return sum(length >= shortest for length in _courses(stray, skeleton & ~stray))


def _cut(truth: BoolArray, predicted: BoolArray) -> tuple[BoolArray, BoolArray]:
    """Both masks, cut to the box that holds them: nothing outside changes a figure."""
    check_shapes(truth, predicted)
    where = extent(truth | predicted)
    return (truth, predicted) if where is None else (truth[where], predicted[where])


def _skeleton(mask: BoolArray) -> BoolArray:
    from skimage.morphology import skeletonize

    skeleton = np.zeros_like(mask)
    where = extent(mask)
    if where is not None:
        skeleton[where] = skeletonize(mask[where])
    return skeleton


def _far_from(mask: BoolArray, tolerance: float) -> BoolArray:
    """Where no pixel of the mask lies within the tolerance."""
    from scipy.ndimage import distance_transform_edt

    if not mask.any():
        return np.ones_like(mask)
    return np.asarray(distance_transform_edt(~mask) > tolerance)


def _links(
    skeleton: BoolArray,
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Start, end and length of the links between pixels, numbered row by row."""
    number = np.full(skeleton.shape, -1)
    number[skeleton] = np.arange(np.count_nonzero(skeleton))
    # The four pixels of each 2 × 2 square. Rows and columns of False close it at the far edges.
    padded = np.pad(skeleton, (0, 1))
    a, b = padded[:-1, :-1], padded[:-1, 1:]
    c, d = padded[1:, :-1], padded[1:, 1:]
    starts, ends, lengths = [], [], []
    for linked, (y0, x0), (y1, x1), length in (
        (a & b, (0, 0), (0, 1), 1.0),
        (a & c, (0, 0), (1, 0), 1.0),
        (a & d & ~b & ~c, (0, 0), (1, 1), np.sqrt(2)),
        (b & c & ~a & ~d, (0, 1), (1, 0), np.sqrt(2)),
    ):
        y, x = np.nonzero(linked)
        starts.append(number[y + y0, x + x0])
        ends.append(number[y + y1, x + x1])
        lengths.append(np.full(len(y), length))
    return np.concatenate(starts), np.concatenate(ends), np.concatenate(lengths)


def _courses(stray: BoolArray, kept: BoolArray) -> list[float]:
    """Lengths of the courses that the stray part of a skeleton falls into.

    Each piece is a tree with a root. At each fork the arm that reaches farthest from the root
    carries on and the others end: that is the same as taking the longest course each time.
    """
    from scipy.ndimage import binary_dilation
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components, dijkstra, minimum_spanning_tree

    pixels = int(np.count_nonzero(stray))
    if not pixels:
        return []
    start, end, length = _links(stray)
    graph = coo_array((length, (start, end)), shape=(pixels, pixels)).tocsr()
    tree = minimum_spanning_tree(graph)
    pieces, piece = connected_components(tree, directed=False)

    def distance(roots: NDArray[np.intp]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """To the root of the pixel's piece, and the next pixel on the way there."""
        found = dijkstra(
            tree, directed=False, indices=roots, min_only=True, return_predecessors=True
        )
        return found[0], found[1]

    def largest(values: NDArray[np.float64]) -> NDArray[np.intp]:
        """The pixel of each piece that has the largest value."""
        order = np.lexsort((values, piece))
        return order[np.searchsorted(piece[order], np.arange(pieces), side="right") - 1]

    # What is farthest from any pixel of a tree is one end of its longest path; what is farthest
    # from that end is the other; and no pixel has a longer way than to one of the two.
    one_end = largest(distance(largest(np.zeros(pixels)))[0])
    from_one, _ = distance(one_end)
    from_other, _ = distance(largest(from_one))
    leaves = binary_dilation(kept, np.ones((3, 3), dtype=bool))[stray]
    away, before = distance(largest(np.maximum(from_one, from_other) + leaves * pixels * 2))

    order = np.argsort(-away).tolist()
    from_root, next_pixel = away.tolist(), before.tolist()
    reach = list(from_root)  # how far from the root the arms beyond a pixel go
    courses = []
    for pixel in order:
        fork = next_pixel[pixel]
        if fork < 0:
            courses.append(reach[pixel] + 1)
        elif reach[fork] == from_root[fork]:
            reach[fork] = reach[pixel]
        else:
            courses.append(min(reach[fork], reach[pixel]) - from_root[fork])
            reach[fork] = max(reach[fork], reach[pixel])
    return courses
