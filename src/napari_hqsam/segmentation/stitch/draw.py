"""From objects to labels."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.labels.pyramid import Box, Plane
from napari_hqsam.segmentation.stitch.instances import Ids, Instances
from napari_hqsam.segmentation.stitch.runs import clipped, counting


def draw(plane: Plane, box: Box, parts: Iterable[tuple[Instances, Ids]]) -> NDArray[np.uint64]:
    """The labels of a box of a plane.

    Where objects overlap, the one of the higher score is on top, and of equal ones the lower
    label: the order of `parts` changes nothing.

    Parameters
    ----------
    plane : tuple of int
        Which one it is; `parts` are all of it.
    box : (y0, x0, y1, x1)
        Half-open, in pixels.
    parts : iterable of (Instances, ndarray of uint64)
        What was found in the windows that meet the box, and the label (n,) of each; 0 is not
        drawn.

    Returns
    -------
    ndarray of uint64
        (h, w)
    """
    y0, x0, y1, x1 = box
    height, width = y1 - y0, x1 - x0
    labels = np.zeros(height * width, np.uint64)
    layers = [_layer(found, ids, box) for found, ids in parts]
    if not layers:
        return labels.reshape(height, width)
    score, value, start, length = (np.concatenate(part) for part in zip(*layers, strict=True))
    order = np.lexsort((~value, score))
    value, start, length = value[order], start[order], length[order]
    # of pixels that are set several times the last one stays
    labels[np.repeat(start, length) + counting(length)] = np.repeat(value, length)
    return labels.reshape(height, width)


def _layer(
    found: Instances, ids: Ids, box: Box
) -> tuple[NDArray[np.float32], Ids, NDArray[np.int64], NDArray[np.int64]]:
    """Score, label, first pixel and length of the runs of one window within a box."""
    which, y, x0, x1 = clipped(found, box, ids != 0)
    start = (y - box[0]) * (box[3] - box[1]) + x0 - box[1]
    return found.scores[which], ids[which], start, x1 - x0
