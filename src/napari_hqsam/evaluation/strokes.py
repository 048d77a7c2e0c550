"""Strokes along an object, as a person draws them: its longest courses."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.evaluation.metrics import BoolArray

# A stroke that is shorter than this share of the first one is not worth drawing.
_WORTH = 0.05


def strokes_along(mask: BoolArray, count: int) -> list[NDArray[np.float64]]:
    """The medial axis of a mask as up to `count` strokes, the longest first.

    The first is the longest path along the skeleton, from end to end; each other one the longest
    path in what those before have left of it.

    Parameters
    ----------
    mask : ndarray of bool
        (H, W), not empty.
    count : int

    Returns
    -------
    list of ndarray
        Vertices (V, 2), (y, x), of at least one stroke; V is 1 where an object has no length.
    """
    rest = skeleton(mask)
    out: list[NDArray[np.float64]] = []
    while len(out) < count and rest.any():
        path = _longest_path(rest)
        if out and len(path) < max(2, _WORTH * len(out[0])):
            break
        out.append(path.astype(np.float64))
        rest[tuple(path.T)] = False
    return out


def skeleton(mask: BoolArray) -> BoolArray:
    """The skeleton of a mask (H, W); one pixel at least, if the mask has any."""
    from skimage.morphology import skeletonize

    thinned = np.asarray(skeletonize(np.pad(mask, 1))[1:-1, 1:-1])
    if not thinned.any() and mask.any():
        thinned[tuple(np.argwhere(mask)[0])] = True
    return thinned


def is_thin(mask: BoolArray, ratio: float = 10) -> bool:
    """Whether a mask is a thin structure: `ratio` times as long as wide, or more.

    Its length is that of the skeleton, all branches together, and its width the area over that.
    """
    length = np.count_nonzero(skeleton(mask))
    return bool(length**2 >= ratio * np.count_nonzero(mask))


def _longest_path(mask: BoolArray) -> NDArray[np.intp]:
    """(V, 2) pixels of the longest shortest path in a skeleton (exactly so in a tree)."""
    from scipy.sparse.csgraph import connected_components
    from skimage.graph import pixel_graph

    graph, nodes = pixel_graph(mask, connectivity=2)
    pixels = np.stack(np.unravel_index(nodes, mask.shape), axis=1)
    if graph.shape[0] < 2:
        return pixels
    pieces, piece = connected_components(graph, directed=False)
    sizes = np.bincount(piece, minlength=pieces)
    best: list[int] = []
    for number in np.argsort(-sizes):
        if sizes[number] <= len(best):
            break  # no path has more pixels than its piece
        path = _across(graph, int(np.argmax(piece == number)))
        best = path if len(path) > len(best) else best
    return pixels[best]


def _across(graph: Any, some: int) -> list[int]:
    """The way from the node that is farthest from `some` to the one farthest from that."""
    from scipy.sparse.csgraph import dijkstra

    start = _farthest(dijkstra(graph, directed=False, indices=some))
    away, before = dijkstra(graph, directed=False, indices=start, return_predecessors=True)
    path = [_farthest(away)]
    while before[path[-1]] >= 0:
        path.append(int(before[path[-1]]))
    return path


def _farthest(away: NDArray[np.float64]) -> int:
    return int(np.where(np.isfinite(away), away, -1).argmax())
