"""Random fields: smooth ones from few nodes, textures of several scales, blurs."""

from __future__ import annotations

from functools import lru_cache
from math import ceil

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Field = NDArray[np.float32]
# Standard deviation that interpolation by cubic B-splines leaves of independent unit nodes.
_SPREAD = 0.479


@lru_cache(maxsize=128)
def _basis(size: int, nodes: int) -> Field:
    """Cubic B-splines (size, nodes) that span `size` pixels."""
    position = (np.arange(size) + 0.5) / size * (nodes - 3) + 1
    t = np.abs(position[:, None] - np.arange(nodes))
    inner = 2 / 3 - t**2 + t**3 / 2
    outer = np.clip(2 - t, 0, None) ** 3 / 6
    return np.where(t < 1, inner, outer).astype(np.float32)


def smooth(rng: np.random.Generator, size: int, scale: float | tuple[float, float]) -> Field:
    """A normally distributed field that varies over `scale` pixels.

    Parameters
    ----------
    rng : Generator
    size : int
        Side of the plane.
    scale : float or (float, float)
        In pixels; a pair is (y, x).

    Returns
    -------
    ndarray
        (size, size) float32, mean 0 and standard deviation about 1.
    """
    sy, sx = scale if isinstance(scale, tuple) else (scale, scale)
    ny, nx = (ceil(size / max(s, 1.0)) + 3 for s in (sy, sx))
    nodes = rng.standard_normal((ny, nx), dtype=np.float32) / _SPREAD
    return _basis(size, ny) @ nodes @ _basis(size, nx).T


def texture(rng: np.random.Generator, size: int, coarse: float, fine: float) -> Field:
    """A field with detail from `coarse` to `fine` pixels, standard deviation about 1."""
    total = np.zeros((size, size), np.float32)
    weight, squares, scale = 1.0, 0.0, coarse
    while True:
        total += np.float32(weight) * smooth(rng, size, scale)
        squares += weight**2
        if scale <= fine:
            return total / np.float32(squares**0.5)
        scale, weight = max(scale / 2.2, fine), weight * 0.75


def clutter(rng: np.random.Generator, size: int, scale: float) -> Field:
    """What else lies about, 0-1: clouds, grains or fibrils, about `scale` pixels apart."""
    kind = rng.integers(3)
    if kind == 0:
        return np.clip(0.3 + 0.3 * texture(rng, size, 2 * scale, max(scale / 8, 2)), 0, 1)
    level = smooth(rng, size, scale)
    if kind == 1:
        return np.clip(2 * (level - np.float32(rng.uniform(0.8, 1.8))), 0, 1)
    # The level lines of a smooth field wind as fibrils do.
    level = level + np.float32(0.3) * smooth(rng, size, max(scale / 4, 2))
    lines = np.exp(-((level / np.float32(rng.uniform(0.05, 0.2))) ** 2))
    return lines * np.clip(0.5 + 0.5 * smooth(rng, size, 3 * scale), 0, 1)


def blur(field: np.ndarray, sigma: float) -> Field:
    """`field` (H, W) or (H, W, C) after a Gaussian; wide ones are made at a lower resolution."""
    if sigma <= 0.05:
        return field.astype(np.float32, copy=False)
    if field.ndim == 3:
        return np.stack([blur(field[..., c], sigma) for c in range(field.shape[2])], axis=-1)
    step = int(sigma // 3)
    if step < 2:
        return ndimage.gaussian_filter(field, sigma, output=np.float32, truncate=3)
    size = field.shape[0]
    few = ceil(size / step)
    padded = np.pad(field, (0, few * step - size), mode="edge")
    small = padded.reshape(few, step, few, step).mean((1, 3), dtype=np.float32)
    small = ndimage.gaussian_filter(small, sigma / step, output=np.float32, truncate=3)
    matrix = _linear(size, few, step)
    return matrix @ small @ matrix.T


@lru_cache(maxsize=64)
def _linear(size: int, few: int, step: int) -> Field:
    """Linear interpolation (size, few) from blocks of `step` pixels."""
    position = np.clip((np.arange(size) + 0.5) / step - 0.5, 0, few - 1)
    weights = 1 - np.abs(position[:, None] - np.arange(few))
    return np.clip(weights, 0, None).astype(np.float32)


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A number between `low` and `high`, all magnitudes alike."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def extent(rng: np.random.Generator, size: int, low: float, high: float) -> float:
    """An extent in pixels from `low` to `high`, the latter for a plane of 384 pixels."""
    return log_uniform(rng, low, max(high * size / 384, 1.2 * low))


def coverage(distance: np.ndarray, softness: float = 1.0) -> Field:
    """How much of a pixel lies inside, from the signed distance (negative inside) in pixels."""
    return np.clip(0.5 - distance / softness, 0, 1).astype(np.float32, copy=False)
