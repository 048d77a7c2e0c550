"""Skeletons of masks: their length, branches and ends."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.labels.progress import Progress

LARGEST = 2**26
"""Pixels, or voxels, of the box of an object up to which its skeleton is made."""

_TOGETHER = 2**24  # pixels of skeletons that are measured at once


@dataclass(frozen=True)
class Skeleton:
    """The middle lines of a mask.

    Attributes
    ----------
    length : float
        Of all branches, in the unit of the steps.
    branches : int
        Stretches between junctions or ends; a ring without junctions is one.
    ends : int
        Pixels with one neighbour.
    """

    length: float = 0.0
    branches: int = 0
    ends: int = 0


def thin(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The pixels (n, ndim) of the skeleton of a mask of two or three dimensions.

    It is made by scikit-image, which takes pixels for squares, and voxels for cubes.
    """
    from skimage.morphology import skeletonize

    found: NDArray[np.int64] = np.argwhere(skeletonize(mask))
    return found


def measure_skeletons(
    skeletons: Sequence[NDArray[np.int64]],
    steps: Sequence[float],
    progress: Progress | None = None,
) -> list[Skeleton]:
    """Measure skeletons by skan, many in one picture, which is much quicker than one by one.

    Parameters
    ----------
    skeletons : sequence of ndarray
        What `thin` gave, all with the dimensions of `steps`.
    steps : sequence of float
        Along each axis.
    progress : callable, optional
        `Progress`. It is told beforehand that skan takes some seconds when it is first used.
    """
    results = [Skeleton()] * len(skeletons)
    done = 0
    if progress is not None and skeletons:
        progress(0, len(skeletons), "measuring skeletons; the first time takes ten seconds more")
    for members in _batches(skeletons):
        for i, found in _measure([(i, skeletons[i]) for i in members], steps):
            results[i] = found
        done += len(members)
        if progress is not None:
            progress(done, len(skeletons), "measuring skeletons")
    return results


def _batches(skeletons: Sequence[NDArray[np.int64]]) -> Iterator[list[int]]:
    """Which are measured together: those of similar extent, so that little room is lost."""
    extents = [tuple(np.ptp(s, axis=0) + 1) if len(s) > 1 else () for s in skeletons]
    order = sorted((i for i, e in enumerate(extents) if e), key=lambda i: (extents[i][1:], i))
    batch: list[int] = []
    length, across = 0, [1] * (len(extents[order[0]]) - 1 if order else 0)
    for i in order:
        wider = [max(a, int(b)) for a, b in zip(across, extents[i][1:], strict=True)]
        longer = length + int(extents[i][0]) + 1
        if batch and longer * math.prod(wider) > _TOGETHER:
            yield sorted(batch)
            batch, longer = [], int(extents[i][0]) + 1
            wider = [int(n) for n in extents[i][1:]]
        batch.append(i)
        length, across = longer, wider
    if batch:
        yield sorted(batch)


def _measure(
    members: Sequence[tuple[int, NDArray[np.int64]]], steps: Sequence[float]
) -> Iterator[tuple[int, Skeleton]]:
    """Put skeletons one below the other, and take the graph of all apart again."""
    from scipy.ndimage import convolve
    from skan import Skeleton as Graph

    boxes = [np.ptp(pixels, axis=0) + 1 for _, pixels in members]
    begins = np.cumsum([0, *(int(box[0]) + 1 for box in boxes)])
    picture = np.zeros((int(begins[-1]), *np.max(boxes, axis=0)[1:]), bool)
    for begin, (_, pixels) in zip(begins, members, strict=False):
        at = pixels - pixels.min(axis=0)
        at[:, 0] += begin
        picture[tuple(at.T)] = True
    around = np.ones((3,) * picture.ndim, np.uint8)
    picture &= convolve(picture.astype(np.uint8), around, mode="constant") > 1
    # skan knows no skeleton of single pixels
    if not picture.any():
        return
    graph = Graph(picture, spacing=list(steps), keep_images=False)
    row = graph.coordinates[:, 0]
    of_path = _member(begins, row[graph.paths.indices[graph.paths.indptr[:-1]]])
    n = len(members)
    lengths = np.bincount(of_path, graph.path_lengths(), n)
    branches = np.bincount(of_path, minlength=n)
    ends = np.bincount(_member(begins, row[graph.degrees == 1]), minlength=n)
    for k, (i, _) in enumerate(members):
        yield i, Skeleton(float(lengths[k]), int(branches[k]), int(ends[k]))


def _member(begins: NDArray[Any], row: NDArray[Any]) -> NDArray[np.int64]:
    which: NDArray[np.int64] = np.searchsorted(begins, row, side="right") - 1
    return which
