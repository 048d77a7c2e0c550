"""Right labels made worse, in the ways in which labels are wrong.

What people have was drawn a little wide or tight, outlined by a few clicks, registered with an
offset, computed on a smaller image, or comes from a tool that knows convex shapes only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.labels.polygons import fill, outlines
from napari_hqsam.labels.rows import Rows, row_runs

Mask = NDArray[np.bool_]

AS_THEY_ARE = "as they are"
# How far a boundary is moved at most, in pixels; thin objects less, by a third of their half width.
_PIXELS = 3
# Side of the pixels of a smaller image: that of objects at least as wide, and of thinner ones.
_COARSE, _LESS_COARSE = 4, 2
# An object that fills less of what it would become, such as a tree of its convex hull, is spared,
# and one of which less would be left, such as a line of its middle.
_SOLID, _LEFT = 0.5, 0.25
# Round each object so much room: a multiple of the coarse pixels.
_MARGIN = 4


@dataclass(frozen=True, eq=False)
class Piece:
    """One object, in the middle of some room.

    Attributes
    ----------
    label : int
    mask : ndarray of bool
        (h, w)
    origin : tuple of int
        (y, x) of its first pixel, of the whole.
    half_width : float
        In pixels, typical of the object: the median along its midline.
    """

    label: int
    mask: Mask
    origin: tuple[int, int]
    half_width: float

    @property
    def distance(self) -> int:
        """By how many pixels it is made worse."""
        return max(1, min(_PIXELS, round(self.half_width / 3)))


@dataclass(frozen=True, eq=False)
class Degraded:
    """Labels that are no longer right.

    Attributes
    ----------
    labels : ndarray of int
        (H, W), of the type that they had.
    spared : frozenset of int
        The objects that are as they were: such as a convex one is its own hull, and such as would
        have become something else altogether, as a vessel tree its hull.
    """

    labels: NDArray[Any]
    spared: frozenset[int]


def degrade(labels: NDArray[Any], how: str, seed: int = 0) -> Degraded:
    """Labels that are wrong as `how` says.

    No object is lost, none gets another number, and none overlaps another: a pixel that two of them
    claim is given to the one that it belongs to, or else to the lower number.

    Parameters
    ----------
    labels : ndarray of int
        (H, W), 0 background; right ones. Objects that the image's edge cuts go on beyond it.
    how : str
        Of `DEGRADATIONS`, or "as they are".
    seed : int
        Of the direction in which "shifted" labels lie.

    Returns
    -------
    Degraded
    """
    if how == AS_THEY_ARE:
        return Degraded(labels.copy(), frozenset())
    change, angle = DEGRADATIONS[how], 2 * math.pi * np.random.default_rng(seed).random()
    claims = []
    for piece in _pieces(labels):
        claimed = change(piece, angle)
        size = np.count_nonzero(claimed) / np.count_nonzero(piece.mask)
        claims.append((piece, claimed if _LEFT <= size <= 1 / _SOLID else piece.mask))
    worse = _compose(labels, claims)
    differ = worse != labels
    changed = np.append(labels[differ], worse[differ])
    return Degraded(worse, frozenset(np.setdiff1d(labels, np.append(changed, 0)).tolist()))


def _pieces(labels: NDArray[Any]) -> list[Piece]:
    """The objects of a label image (H, W), by ascending label."""
    from scipy.ndimage import distance_transform_edt, find_objects
    from skimage.morphology import skeletonize

    values, numbered = np.unique(labels, return_inverse=True)
    numbered = numbered.reshape(labels.shape) + int(values[0] != 0)
    values = values[values != 0]
    # a cut object goes on, so that the cut is not taken for a part of its boundary
    beyond = np.pad(np.pad(numbered, _MARGIN, mode="edge"), _MARGIN)
    found = []
    for number, (label, where) in enumerate(
        zip(values.tolist(), find_objects(beyond), strict=True), start=1
    ):
        y, x = (slice(s.start - _MARGIN, s.stop + _MARGIN) for s in where)
        mask = beyond[y, x] == number
        half_width = float(np.median(distance_transform_edt(mask)[skeletonize(mask)]))
        found.append(Piece(label, mask, (y.start - 2 * _MARGIN, x.start - 2 * _MARGIN), half_width))
    return found


def _dilated(piece: Piece, angle: float) -> Mask:
    from scipy.ndimage import distance_transform_edt

    return np.asarray(distance_transform_edt(~piece.mask) <= piece.distance)


def _eroded(piece: Piece, angle: float) -> Mask:
    from scipy.ndimage import distance_transform_edt

    depth = distance_transform_edt(piece.mask)
    return np.asarray(depth > min(piece.distance, depth.max() - 1e-6))


def _polygon(piece: Piece, angle: float) -> Mask:
    """The polygon of fewest corners that is nowhere farther off."""
    import shapely

    out = np.zeros_like(piece.mask)
    for rings in outlines(_rows(piece.mask)):
        coarse = shapely.Polygon(rings[0], rings[1:]).simplify(piece.distance)
        parts = [ring.coords for ring in (coarse.exterior, *coarse.interiors)]
        out |= _filled([np.array(part) for part in parts], out.shape)
    return out


def _shifted(piece: Piece, angle: float) -> Mask:
    offset = piece.distance * math.sin(angle), piece.distance * math.cos(angle)
    return np.roll(piece.mask, [round(v) for v in offset], axis=(0, 1))


def _hull(piece: Piece, angle: float) -> Mask:
    import shapely

    corners = [ring for rings in outlines(_rows(piece.mask)) for ring in rings]
    hull = shapely.MultiPoint(np.concatenate(corners)).convex_hull
    return _filled([np.array(hull.exterior.coords)], piece.mask.shape)


def _pixelised(piece: Piece, angle: float) -> Mask:
    """What an image a quarter the size would show: the pixel in the middle for all around it."""
    side = _COARSE if piece.half_width >= _COARSE else _LESS_COARSE
    sampled = [
        np.clip((np.arange(o, o + n) // side) * side + side // 2 - o, 0, n - 1)
        for o, n in zip(piece.origin, piece.mask.shape, strict=True)
    ]
    return piece.mask[np.ix_(*sampled)]


DEGRADATIONS: dict[str, Callable[[Piece, float], Mask]] = {
    "dilated": _dilated,
    "eroded": _eroded,
    "polygons": _polygon,
    "shifted": _shifted,
    "convex hull": _hull,
    "pixelised": _pixelised,
}
"""By name what makes a mask worse; the angle is the direction of a shift, one for all objects."""


def _compose(labels: NDArray[Any], claims: list[tuple[Piece, Mask]]) -> NDArray[Any]:
    """Draw masks so that none overlaps and none is lost."""
    out = np.zeros_like(labels)
    for own in (False, True):
        for piece, claimed in claims:
            part, cut = _inside(piece, labels.shape)
            right = labels[part] == piece.label if own else out[part] == 0
            out[part][claimed[cut] & right] = piece.label
    while lost := np.setdiff1d(labels, np.append(out, 0)).tolist():
        for label in lost:
            out[labels == label] = label
    return out


def _inside(
    piece: Piece, shape: tuple[int, ...]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """The part of the image (H, W) where a piece lies, and the part of the piece there."""
    part, cut = [], []
    for o, n, length in zip(piece.origin, piece.mask.shape, shape, strict=True):
        first, stop = max(o, 0), min(o + n, length)
        part.append(slice(first, stop))
        cut.append(slice(first - o, stop - o))
    return (part[0], part[1]), (cut[0], cut[1])


def _rows(mask: Mask) -> Rows:
    return Rows(*row_runs(mask))


def _filled(rings: list[NDArray[Any]], shape: tuple[int, ...]) -> Mask:
    h, w = shape
    return fill(rings, (h, w)).dense((0, 0, h, w))
