"""Masks as shapes: cut to their box, changed in places, cut in two, smoothed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.objects import PlaneMask
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.labels.pyramid import Box, common, slices

# Parts of a cut object that have fewer pixels than this, and less than a tenth of the object's, are
# splinters: a line along a ragged boundary makes many.
_SPLINTER = 10
_TOUCHING = np.ones((3, 3), dtype=bool)


def around(*boxes: Box) -> Box:
    """The smallest box that holds all of `boxes`."""
    y0, x0, y1, x1 = zip(*boxes, strict=True)
    return min(y0), min(x0), max(y1), max(x1)


def trimmed(plane: ArrayPlane, origin: Sequence[int], data: NDArray[np.bool_]) -> PlaneMask | None:
    """A mask (h, w) whose first pixel is at `origin`, cut to its box; None if it is empty."""
    rows, columns = (np.flatnonzero(data.any(axis=axis)) for axis in (1, 0))
    if len(rows) == 0:
        return None
    y0, y1, x0, x1 = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    oy, ox = origin[0], origin[1]
    return PlaneMask.of(plane, (oy + y0, ox + x0, oy + y1, ox + x1), data[y0:y1, x0:x1])


def spread(mask: PlaneMask | None, box: Box) -> NDArray[np.bool_]:
    """The mask (h, w) of a box, which need not hold all of it; of nothing for None."""
    out = np.zeros((box[2] - box[0], box[3] - box[1]), dtype=bool)
    shared = None if mask is None else common(mask.bbox, box)
    if mask is not None and shared is not None:
        out[slices(shared, box)] = mask.data[slices(shared, mask.bbox)]
    return out


def changed(
    mask: PlaneMask | None,
    plane: ArrayPlane,
    box: Box,
    *,
    lost: NDArray[np.bool_],
    won: NDArray[np.bool_],
) -> PlaneMask | None:
    """A mask without the pixels `lost`, and with the pixels `won`, both (h, w) of a box."""
    whole = box if mask is None else around(mask.bbox, box)
    data = spread(mask, whole)
    here = slices(box, whole)
    data[here] = data[here] & ~lost | won
    return trimmed(plane, whole, data)


def united(a: PlaneMask, b: PlaneMask) -> PlaneMask:
    """The pixels of both masks, which lie on the same plane."""
    box = around(a.bbox, b.bbox)
    return PlaneMask.of(a.plane, box, spread(a, box) | spread(b, box))


def cut(mask: PlaneMask, line: ArrayLike) -> list[PlaneMask]:
    """The parts of a mask on the different sides of a line, the largest first.

    The line's own pixels, and what it splits off in splinters, go to the nearest part. A part of
    the mask that the line does not reach stays with the nearest one, too; but if the line runs
    between parts that do not touch each other, it separates these.

    Parameters
    ----------
    mask : PlaneMask
    line : array-like
        (V, 2), (y, x) of its vertices in the plane.

    Returns
    -------
    list of PlaneMask
        One if the line does not cut it in two.
    """
    from scipy import ndimage

    y0, x0, y1, x1 = mask.bbox
    box = y0 - 1, x0 - 1, y1 + 1, x1 + 1  # with a way around outside
    data, barrier = spread(mask, box), _drawn(line, box)
    parts, count = ndimage.label(data & ~barrier, _TOUCHING)
    severed = _worth(parts, np.unique(parts[ndimage.binary_dilation(barrier, _TOUCHING)]))
    if len(severed) < 2:  # nothing is cut, but the line may run between parts
        sides, count = ndimage.label(~barrier, _TOUCHING)
        parts = np.where(data & ~barrier, sides, 0)
        severed = _worth(parts, np.unique(parts))
    if len(severed) < 2:
        return [mask]
    place = np.zeros(count + 1, dtype=np.intp)
    place[severed] = np.arange(1, len(severed) + 1)
    owner = place[parts]
    _give_rest(owner, parts, data)
    found = (trimmed(mask.plane, box, owner == i + 1) for i in range(len(severed)))
    return sorted((part for part in found if part is not None), key=lambda m: -m.area)


def smoothed(
    mask: PlaneMask, radius: float, shape: tuple[int, int]
) -> tuple[Box, NDArray[np.bool_]]:
    """A mask without what is finer than a radius, by a Gaussian of that radius in pixels.

    Parameters
    ----------
    mask : PlaneMask
    radius : float
    shape : (int, int)
        Of the plane; beyond its edge the mask goes on as it is there.

    Returns
    -------
    (y0, x0, y1, x1), ndarray of bool (h, w)
    """
    from scipy import ndimage

    height, width = shape
    margin = int(np.ceil(3 * radius))
    y0, x0, y1, x1 = mask.bbox
    box = (
        max(y0 - margin, 0),
        max(x0 - margin, 0),
        min(y1 + margin, height),
        min(x1 + margin, width),
    )
    share = spread(mask, box).astype(np.float32)
    return box, ndimage.gaussian_filter(share, radius, mode="nearest", truncate=3) > 0.5


def _drawn(line: ArrayLike, box: Box) -> NDArray[np.bool_]:
    """The pixels of a line in a box; each step goes along y or x, so that no pixels slip through.

    Raises
    ------
    HQSAMError
        If it is no line.
    """
    try:
        vertices = np.asarray(line, dtype=np.float64)
    except (TypeError, ValueError):
        vertices = np.empty(0)
    if vertices.ndim != 2 or vertices.shape[1] != 2 or len(vertices) < 2:
        raise HQSAMError("line: draw one with at least two points, (y, x) each")
    if not np.isfinite(vertices).all():
        raise HQSAMError("line: its points must be numbers, (y, x) each")
    # far outside nothing is cut; what is between is
    limit = 2.0 * (box[2] - box[0] + box[3] - box[1])
    middle = np.array([box[0] + box[2], box[1] + box[3]]) / 2
    found = [np.empty((0, 2))]
    for a, b in pairwise(vertices):
        found.append(_steps(*_clipped(a, b, middle - limit, middle + limit)))
    pixels = np.concatenate(found).astype(np.intp)
    out = np.zeros((box[2] - box[0], box[3] - box[1]), dtype=bool)
    pixels -= (box[0], box[1])
    inside = ((pixels >= 0) & (pixels < out.shape)).all(axis=1)
    out[tuple(pixels[inside].T)] = True
    return out


def _steps(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 2) pixels from a to b, each beside the one before."""
    count = int(np.ceil(4 * np.abs(b - a).max())) + 1
    course = np.floor(np.linspace(a, b, count + 1) + 0.5)
    corners = np.stack([course[1:, 0], course[:-1, 1]], axis=1)  # of diagonal steps
    return np.concatenate([course, corners])


def _clipped(
    a: NDArray[np.float64], b: NDArray[np.float64], low: Any, high: Any
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The piece of a segment within a large box; a point if there is none."""
    step = b - a
    with np.errstate(divide="ignore", invalid="ignore"):
        times = np.stack([(low - a) / step, (high - a) / step])
    still = step == 0
    if (still & ((a < low) | (a > high))).any():
        return a, a
    first, last = times.min(axis=0), times.max(axis=0)
    t0 = float(np.max(np.where(still, 0.0, first), initial=0.0))
    t1 = float(np.min(np.where(still, 1.0, last), initial=1.0))
    return (a + t0 * step, a + t1 * step) if t0 <= t1 else (a, a)


def _worth(parts: NDArray[Any], chosen: NDArray[Any]) -> NDArray[Any]:
    """Those of the parts that are parts, and no splinters."""
    areas = np.bincount(parts.ravel())
    enough = min(_SPLINTER, areas[1:].sum() / 10)
    return chosen[(chosen > 0) & (areas[chosen] >= enough)]


def _give_rest(owner: NDArray[np.intp], parts: NDArray[Any], data: NDArray[np.bool_]) -> None:
    """Give each pixel of the mask without an owner to the nearest one; whole parts together."""
    from scipy import ndimage

    far, nearest = ndimage.distance_transform_edt(owner == 0, return_indices=True)
    near = owner[tuple(nearest)]
    rest = data & (owner == 0)
    for part in np.unique(parts[rest]):
        if part:
            pixels = np.flatnonzero((parts == part) & rest)
            near.flat[pixels] = near.flat[pixels[np.argmin(far.flat[pixels])]]
    owner[rest] = near[rest]
