"""Where a boundary comes to lie, between where it was drawn and where the network sees it.

Labels may be wrong as a whole, too wide, too narrow or displaced: then their own shape, moved, is
better than the shape that the network sees. They may be wrong in places: then only these change.
Or they may be wrong all over, and what the network sees is better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

_TOUCHING = np.ones((3, 3), dtype=bool)
# Of an object of which the network sees less than this share, it sees something else.
_LEAST_SEEN = 0.25
# Logits that are not sure. By how many pixels the network errs, in half-widths of the zone of these
# and at least; chosen so that labels that were right stay, on training images.
_NEAR = 2.0
_GRAIN, _LEAST_GRAIN = 1.5, 1.0
# Rounds in which what is moved least like the rest loses weight.
_ROUNDS = 4


def depth(mask: Bools) -> Floats:
    """Distance from the boundary in pixels (h, w): above 0 inside, below 0 outside."""
    from scipy.ndimage import distance_transform_edt

    padded = np.pad(mask, 1, mode="edge")  # the edge of the plane is no boundary
    inside = distance_transform_edt(padded)[1:-1, 1:-1]
    outside = distance_transform_edt(~padded)[1:-1, 1:-1]
    return np.where(mask, inside - 0.5, 0.5 - outside)


def settled(
    old: Bools,
    logits: NDArray[Any],
    band: float,
    thin: float = 0.0,
    answers: Sequence[NDArray[Any]] = (),
    pixel: float = 1.0,
) -> Bools:
    """The new mask of an object.

    It differs from the old one within `band` of the old boundary only, and by no less than the
    network is likely to err.

    Parameters
    ----------
    old : ndarray of bool
        (h, w) with a margin of `band` or `thin` around the object, save at the edges of the plane.
    logits : ndarray
        (h, w), above 0 where the network sees the object.
    band : float
        Pixels.
    thin : float
        How far, in pixels, parts that are thinner than `band` may grow beyond it.
    answers : sequence of ndarray
        (h, w) logits that the network gave to different prompts: if it contradicts itself on
        whether the object is wider or narrower, the mask stays.
    pixel : float
        Of the low-res logits, in pixels: what is thinner than two of them the network may well not
        see, and it stays.

    Returns
    -------
    ndarray of bool
        (h, w); it has pixels of `old`.
    """
    deep = depth(old)
    seen = logits > 0
    new = (seen & (deep > -band)) | (deep > band)
    if thin > band:
        new |= _strands(seen & (deep > -thin), band)
    unseen = _strands(old, 2 * pixel)
    new = attached(new | unseen, old)
    if np.count_nonzero(new & old) < _LEAST_SEEN * np.count_nonzero(old):
        return old
    grain = max(_LEAST_GRAIN, _GRAIN * undecided(logits))
    shift = Shift.between(deep, depth(new))
    if shift.size > grain and _contradictory(old, deep, answers, band):
        return old
    moved = old
    if shift.size > grain:
        moved = (deep > np.clip(shift.field(deep), -band, band)) | unseen
        moved = moved if (moved & old).any() else old
    at = depth(moved)
    edge = np.abs(at) < 1
    if np.abs(depth(new) - at)[edge].mean() > grain:
        return new
    return moved ^ _thick(moved ^ new, grain)


def _contradictory(old: Bools, deep: Floats, answers: Sequence[NDArray[Any]], band: float) -> bool:
    """Whether answers (h, w) move a boundary as a whole against each other."""
    edge = np.abs(deep) < 1
    fields = []
    for logits in answers:
        seen = attached(((logits > 0) & (deep > -band)) | (deep > band), old)
        if not seen.any():
            return True
        fields.append(Shift.between(deep, depth(seen)).field(deep)[edge])
    return any(float((a * b).mean()) < 0 for a, b in pairwise(fields))


def undecided(logits: NDArray[Any]) -> float:
    """Half the width, in pixels, of the zone in which logits (h, w) are near 0.

    The network's boundary errors follow it: of six data sets the mean of both is much the same,
    and within a set the correlation is 0.4 to 0.8, however the labels it was given are wrong.
    """
    from scipy.ndimage import binary_erosion

    seen = logits > 0
    length = int(np.count_nonzero(seen & ~binary_erosion(seen)))
    return int(np.count_nonzero(np.abs(logits) < _NEAR)) / max(length, 1) / 2


@dataclass(frozen=True)
class Shift:
    """By how much a boundary as a whole lies inside another: wider, narrower, displaced.

    Attributes
    ----------
    parts : ndarray
        (3,) pixels: all around, and along y and x.
    size : float
        Root mean square along the boundary, in pixels.
    """

    parts: Floats
    size: float

    @classmethod
    def between(cls, old: Floats, new: Floats) -> Shift:
        """The shift from one boundary to another, of which the depths (h, w) are given.

        Least squares over the pixels at the old boundary; parts that moved by something else of
        their own count little.
        """
        edge = np.abs(old) < 1
        moved = (old - new)[edge]
        known = np.stack([np.ones(len(moved)), *(n[edge] for n in _normals(old))], axis=1)
        weights: Floats = np.ones(len(moved))
        parts: Floats = np.zeros(3)
        for _ in range(_ROUNDS):
            fit = np.linalg.lstsq(known * weights[:, None], moved * weights, rcond=None)
            parts = np.asarray(fit[0], np.float64)
            off = np.abs(moved - known @ parts)
            usual = max(1.5 * float(np.median(off)), 0.5)
            weights = np.asarray(np.sqrt(np.minimum(1, usual / np.maximum(off, 1e-6))))
        return cls(parts, float(np.sqrt(np.mean((known @ parts) ** 2))))

    def field(self, old: Floats) -> Floats:
        """How deep in the old mask, of which the depth (h, w) is given, the new boundary lies."""
        y, x = _normals(old)
        return np.asarray(self.parts[0] + self.parts[1] * y + self.parts[2] * x)


def _normals(deep: Floats) -> tuple[Floats, Floats]:
    """(y, x) of the direction into the object, at each pixel."""
    y, x = np.gradient(deep)
    length = np.hypot(y, x)
    length[length == 0] = 1
    return y / length, x / length


def _strands(seen: Bools, band: float) -> Bools:
    """What of a mask is thinner than `band`."""
    from scipy.ndimage import distance_transform_edt

    core = distance_transform_edt(seen) > band / 2
    if not core.any():
        return seen
    return seen & (distance_transform_edt(~core) > band / 2 + 1)


def attached(new: Bools, old: Bools) -> Bools:
    """The parts of `new` that have pixels of `old`."""
    from scipy.ndimage import label

    parts, count = label(new, _TOUCHING)
    kept = np.zeros(count + 1, dtype=bool)
    kept[parts[old & new]] = True
    kept[0] = False
    return kept[parts]


def _thick(change: Bools, grain: float) -> Bools:
    """The parts of a change that are thicker than twice `grain`, to their ends."""
    from scipy.ndimage import binary_dilation, binary_opening

    side = round(2 * grain) + 1
    core = binary_opening(change, np.ones((side, side), dtype=bool))
    return change & binary_dilation(core, _TOUCHING)
