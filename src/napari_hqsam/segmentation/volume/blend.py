"""Masks of an object averaged: their distances from the boundary, as logits of one steepness."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_hqsam.segmentation.refine.settle import depth
from napari_hqsam.segmentation.volume.slice_mask import SliceMask


def blended(
    masks: Sequence[tuple[SliceMask, float]], position: int, score: float | None
) -> SliceMask | None:
    """The weighted mean of masks of one object, for a position.

    Distances, not the network's logits, are averaged: the latter are steeper on one slice than on
    another, and a shape between two would not come to lie between them.

    Parameters
    ----------
    masks : sequence of (SliceMask, float)
        With their weights.
    position : int
    score : float or None

    Returns
    -------
    SliceMask or None
        None if nothing is left.
    """
    chosen = [(mask, weight) for mask, weight in masks if weight > 0 and mask.data.size]
    total = sum(weight for _, weight in masks)
    if not chosen or total <= 0:
        return None
    boxes = np.array([mask.bbox for mask, _ in chosen])
    (y0, x0), (y1, x1) = boxes[:, :2].min(axis=0).tolist(), boxes[:, 2:].max(axis=0).tolist()
    box = (max(y0 - 1, 0), max(x0 - 1, 0), y1 + 1, x1 + 1)
    mean = sum(weight * depth(mask.on(box)) for mask, weight in chosen)
    found = SliceMask.of(chosen[0][0].label, position, np.asarray(mean) > 0, box, score)
    return found if found.data.size else None
