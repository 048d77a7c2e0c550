"""Masks that a window may hold, before they are drawn: which are good, and which say the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from napari_hqsam.images.windows import Window
from napari_hqsam.labels.pyramid import Box

Bools = NDArray[np.bool_]

# How far the threshold is moved to see whether a mask is stable, in logits; SAM's.
_OFFSET = 1.0


@dataclass(frozen=True, eq=False)
class Part:
    """A connected part of a low-res mask.

    Attributes
    ----------
    mask : ndarray of bool
        (h, w), inside its box.
    box : tuple of int
        (y0, x0, y1, x1), half-open.
    stability : float
        How little it depends on the threshold, 0 to 1: the IoU of the part at a threshold 1 higher
        and 1 lower.
    """

    mask: Bools
    box: Box
    stability: float

    @property
    def area(self) -> int:
        """Number of pixels."""
        return int(np.count_nonzero(self.mask))


@dataclass(frozen=True, eq=False)
class Candidates:
    """Masks of one window in pixels of its low-res logits.

    Attributes
    ----------
    masks : list of ndarray of bool
        N, each inside its box.
    boxes : ndarray of int64
        (N, 4) smallest boxes (y0, x0, y1, x1), half-open.
    scores : ndarray of float32
        (N,) the better the higher.
    points : ndarray of float64
        (N, 2) the clicks (y, x) that they are from, in pixels of the plane.
    """

    masks: list[Bools]
    boxes: NDArray[np.int64]
    scores: NDArray[np.float32]
    points: NDArray[np.float64]

    @classmethod
    def none(cls) -> Candidates:
        """No candidates."""
        return cls([], np.empty((0, 4), np.int64), np.empty(0, np.float32), np.empty((0, 2)))

    @classmethod
    def join(cls, parts: Sequence[Candidates]) -> Candidates:
        """All of several, in order."""
        return cls(
            [mask for part in parts for mask in part.masks],
            np.concatenate([part.boxes for part in parts]),
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.points for part in parts]),
        )

    def __len__(self) -> int:
        return len(self.masks)

    def suppressed(self, max_overlap: float) -> Candidates:
        """Without those that a better one overlaps by more than an IoU, best first."""
        index = keep_best(self.masks, self.boxes, self.scores, max_overlap)
        masks = [self.masks[i] for i in index]
        return Candidates(masks, self.boxes[index], self.scores[index], self.points[index])


def shown_part(window: Window) -> tuple[int, int]:
    """(h, w) of the low-res logits of a window that are not padding."""
    h, w = (-(-n // 4) for n in window.model_shape)
    return h, w


def stability(logits: Tensor) -> float:
    """IoU of the masks at a threshold 1 above 0 and 1 below it, of logits (h, w)."""
    outer = int((logits > -_OFFSET).sum())
    return int((logits > _OFFSET).sum()) / max(outer, 1)


def part_at(logits: NDArray[np.float32], at: tuple[int, int]) -> Part | None:
    """The connected part of a mask that holds a pixel.

    Parameters
    ----------
    logits : ndarray
        (h, w); the mask is what exceeds 0.
    at : tuple of int
        (y, x).

    Returns
    -------
    Part or None
        None if the pixel is not in the mask.
    """
    if logits[at] <= 0:
        return None
    from scipy.ndimage import label

    numbers, _ = label(logits > 0)
    inside = numbers == numbers[at]
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    y0, y1, x0, x1 = (int(v) for v in (rows[0], rows[-1] + 1, columns[0], columns[-1] + 1))
    inner = np.count_nonzero(inside & (logits > _OFFSET))
    wider, _ = label(logits > -_OFFSET)
    outer = np.count_nonzero(wider == wider[at])
    return Part(inside[y0:y1, x0:x1], (y0, x0, y1, x1), inner / outer)


def keep_best(
    masks: Sequence[Bools],
    boxes: NDArray[np.int64],
    scores: NDArray[np.float32],
    max_overlap: float,
) -> NDArray[np.intp]:
    """Non-maximum suppression by the IoU of masks.

    Parameters
    ----------
    masks : sequence of ndarray of bool
        N masks, each inside its box.
    boxes : ndarray of int64
        (N, 4), (y0, x0, y1, x1), half-open.
    scores : ndarray of float32
        (N,) of two that are equal the first is the better one.
    max_overlap : float
        A mask is dropped if its IoU with a better one that is kept exceeds this.

    Returns
    -------
    ndarray of int
        Which are kept, best first.
    """
    areas = np.array([np.count_nonzero(m) for m in masks], dtype=np.int64)
    left = np.argsort(-scores, kind="stable")
    kept = []
    while len(left):
        best, left = int(left[0]), left[1:]
        kept.append(best)
        low = np.maximum(boxes[left, :2], boxes[best, :2])
        high = np.minimum(boxes[left, 2:], boxes[best, 2:])
        # The most that two can share is the smaller one, or what their boxes share.
        most = np.minimum((high - low).clip(min=0).prod(axis=1), areas[left])
        near = np.minimum(most, areas[best]) > max_overlap * np.maximum(areas[left], areas[best])
        same = np.zeros(len(left), dtype=bool)
        for k in np.flatnonzero(near):
            other = int(left[k])
            parts = []
            for i in (best, other):
                (y0, x0), (y1, x1) = low[k] - boxes[i, :2], high[k] - boxes[i, :2]
                parts.append(masks[i][y0:y1, x0:x1])
            shared = np.count_nonzero(parts[0] & parts[1])
            same[k] = shared > max_overlap * (areas[best] + areas[other] - shared)
        left = left[~same]
    return np.array(kept, dtype=np.intp)


def uncovered(
    masks: Sequence[Bools], boxes: NDArray[np.int64], index: NDArray[np.intp], share: float
) -> NDArray[np.intp]:
    """Leave out masks that better ones hide.

    Parameters
    ----------
    masks, boxes
        As for `keep_best`.
    index : ndarray of int
        Which of them, best first.
    share : float
        A mask stays if at least this share of it is in none of those before it that stay.
    """
    kept: list[int] = []
    for i in index.tolist():
        box, hidden = boxes[i], np.zeros(masks[i].shape, dtype=bool)
        for j in kept:
            low, high = np.maximum(box[:2], boxes[j, :2]), np.minimum(box[2:], boxes[j, 2:])
            if (low < high).all():
                here, there = (
                    tuple(slice(a, b) for a, b in zip(low - at, high - at, strict=True))
                    for at in (box[:2], boxes[j, :2])
                )
                hidden[here] |= masks[j][there]
        seen = np.count_nonzero(masks[i] & ~hidden)
        if seen >= share * np.count_nonzero(masks[i]):
            kept.append(i)
    return np.array(kept, dtype=np.intp)
