"""Masks of an object slice by slice, and how well they agree with the truth in three dimensions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from napari_hqsam.evaluation.detection import Cutout, Located
from napari_hqsam.evaluation.metrics import boundary_iou, extent
from napari_hqsam.evaluation.prompting import on_one_grid

Slices = Mapping[int, Located]
"""The masks of one object by slice; an empty mask is as good as none."""

NOTHING = Cutout(np.zeros((0, 0), bool), (0, 0, 0, 0))


def masks_of(labels: Any, label: int, positions: Iterable[int] | None = None) -> dict[int, Cutout]:
    """The masks of a label.

    Parameters
    ----------
    labels : array-like of int
        (Z, Y, X), read slice by slice.
    label : int
    positions : iterable of int, optional
        Slices to look at; all by default.
    """
    found = {}
    for z in range(len(labels)) if positions is None else positions:
        mask = np.asarray(labels[z]) == label
        where = extent(mask)
        if where is not None:
            y, x = where
            found[z] = Cutout(mask[where].copy(), (y.start, x.start, y.stop, x.stop))
    return found


def volume_iou(truth: Slices, found: Slices) -> float:
    """Intersection over union of all pixels of all slices; 1 if both are empty."""
    shared = union = 0
    for z in truth.keys() | found.keys():
        t, f, _ = on_one_grid(truth.get(z, NOTHING), found.get(z, NOTHING))
        shared += int(np.count_nonzero(t & f))
        union += int(np.count_nonzero(t | f))
    return shared / union if union else 1.0


def mean_boundary_iou(truth: Slices, found: Slices, width: int) -> float:
    """Boundary IoU, mean of the slices on which either is; 1 if there is none.

    Parameters
    ----------
    truth, found : mapping of int to Located
    width : int
        Of the boundary region, in pixels.
    """
    there = occupied(truth) | occupied(found)
    pairs = (on_one_grid(truth.get(z, NOTHING), found.get(z, NOTHING))[:2] for z in sorted(there))
    values = [boundary_iou(t, f, width) for t, f in pairs]
    return float(np.mean(values)) if values else 1.0


def error(truth: Slices, found: Slices, z: int) -> int:
    """How many pixels of a slice are too much or missing."""
    t, f, _ = on_one_grid(truth.get(z, NOTHING), found.get(z, NOTHING))
    return int(np.count_nonzero(t ^ f))


def ends(truth: Slices, found: Slices) -> tuple[int, int]:
    """How many slices `found` goes past the ends of the truth, and by how many it falls short.

    Both ends together. What finds nothing falls short by all slices.
    """
    there, reached = occupied(truth), occupied(found)
    if not reached:
        return 0, max(there) - min(there) + 1
    before, after = min(there) - min(reached), max(reached) - max(there)
    return max(before, 0) + max(after, 0), max(-before, 0) + max(-after, 0)


def occupied(masks: Slices) -> set[int]:
    """The slices on which there is something."""
    return {z for z, mask in masks.items() if mask.data.any()}
