"""Coordinates as users give them: checked, and made arrays of (y, x)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_hqsam.errors import HQSAMError


def pairs(values: ArrayLike, name: str) -> NDArray[np.float64]:
    """(N, 2) pairs, at least one; `name` is what an error calls them."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.empty(0)
    if array.ndim != 2 or array.shape[1] != 2 or not len(array) or not np.isfinite(array).all():
        raise HQSAMError(f"{name}: give (y, x) pairs such as [(120, 80)], not {values!r}")
    return array


def strokes(values: Any, name: str) -> list[NDArray[np.float64]]:
    """One stroke, or several, as a list of vertices (V, 2)."""
    try:
        several = len(values) > 0 and all(np.ndim(stroke) == 2 for stroke in values)
    except (TypeError, ValueError):
        several = False
    return [pairs(stroke, name) for stroke in (values if several else [values])]


def corners(values: Sequence[float]) -> tuple[float, float, float, float]:
    """(y0, x0, y1, x1) of a box, the lower corner first."""
    try:
        y0, x0, y1, x1 = (float(v) for v in values)
        good = bool(np.isfinite([y0, x0, y1, x1]).all()) and y0 <= y1 and x0 <= x1
    except (TypeError, ValueError):
        good = False
    if not good:
        raise HQSAMError(f"box {values!r}: give y0, x0, y1, x1 with y0 <= y1 and x0 <= x1")
    return y0, x0, y1, x1


def whole_pair(values: Sequence[int], name: str) -> tuple[int, int]:
    """(y, x), whole numbers from 0."""
    try:
        y, x = (int(v) for v in values)
        good = (y, x) == tuple(values) and y >= 0 and x >= 0
    except (TypeError, ValueError):
        good = False
    if not good:
        raise HQSAMError(f"{name} {values!r}: give two whole numbers y, x from 0")
    return y, x


def along(vertices: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """`count` points at equal distances along a polyline (V, 2)."""
    lengths = np.hypot(*np.diff(vertices, axis=0).T)
    at = np.concatenate([[0.0], np.cumsum(lengths)])
    wanted = np.linspace(0, at[-1], count)
    return np.stack([np.interp(wanted, at, vertices[:, i]) for i in range(2)], axis=1)


def set_corners(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(2, 2) first and last (y, x) of the pixels set in a mask (h, w)."""
    ys, xs = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return np.array([[ys[0], xs[0]], [ys[-1], xs[-1]]], dtype=np.float64)


def misses(vertices: NDArray[np.float64], limit: NDArray[np.float64]) -> bool:
    """Whether the box of (V, 2) vertices lies outside a plane that ends at `limit`, (y, x)."""
    return bool((vertices.max(axis=0) < -0.5).any() or (vertices.min(axis=0) > limit).any())


def placed(
    mask: NDArray[np.bool_], origin: NDArray[np.int64], shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """A mask (h, w) from `origin` on in an array of `shape`; what lies beyond that is cut off."""
    out = np.zeros(shape, dtype=bool)
    low, high = np.maximum(origin, 0), np.minimum(origin + mask.shape, shape)
    if (low < high).all():
        (y0, x0), (y1, x1) = low, high
        top, left = low - origin
        out[y0:y1, x0:x1] = mask[top : top + y1 - y0, left : left + x1 - x0]
    return out
