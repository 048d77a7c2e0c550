"""A stack of fluorescent nuclei: round ones that touch, blurred along z as in a microscope."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SHAPE = (32, 256, 256)
SCALE = (1.0, 0.25, 0.25)
"""µm between planes, rows and columns."""

_COUNT = 110
_RADIUS = (3.0, 5.0)  # µm
_BLUR = (1.2, 0.3, 0.3)  # µm, standard deviation of the point-spread function
_PEAK, _OFFSET, _NOISE = 2200.0, 110.0, 6.0  # grey levels


def stack() -> NDArray[np.uint16]:
    """Make the stack, (z, y, x); the same at every call."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(11)
    light = np.zeros(SHAPE, np.float32)
    grain = gaussian_filter(rng.standard_normal(SHAPE).astype(np.float32), (0.8, 2.5, 2.5))
    grain /= grain.std()
    placed: list[tuple[NDArray[Any], float]] = []
    size = np.array(SHAPE) * SCALE
    while len(placed) < _COUNT:
        centre, radius = rng.uniform(0, 1, 3) * size, rng.uniform(*_RADIUS)
        # they may touch, and push each other flat, but not lie in one another
        if all(np.linalg.norm(centre - c) > 0.9 * (radius + r) for c, r in placed):
            placed.append((centre, radius))
            _add(light, grain, centre, radius, rng)
    light = gaussian_filter(light, [b / s for b, s in zip(_BLUR, SCALE, strict=True)])
    counts = rng.poisson(light * 60).astype(np.float32) * np.float32(_PEAK / 60)
    pixels = counts + _OFFSET + rng.normal(0, _NOISE, SHAPE).astype(np.float32)
    return np.clip(pixels, 0, 2**16 - 1).astype(np.uint16)


def _add(
    light: NDArray[np.float32],
    grain: NDArray[np.float32],
    centre: NDArray[Any],
    radius: float,
    rng: np.random.Generator,
) -> None:
    """Add an ellipsoid with mottled chromatin."""
    radii = radius * rng.uniform(0.8, 1.15, 3)
    turn = rng.uniform(0, np.pi)
    low = np.maximum(np.floor((centre - 1.2 * radius) / SCALE), 0).astype(int)
    high = np.minimum(np.ceil((centre + 1.2 * radius) / SCALE) + 1, SHAPE).astype(int)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    z, y, x = np.ogrid[box]
    dz, dy, dx = (i * s - c for i, s, c in zip((z, y, x), SCALE, centre, strict=True))
    along, across = dy * np.cos(turn) + dx * np.sin(turn), dx * np.cos(turn) - dy * np.sin(turn)
    inside = (dz / radii[0]) ** 2 + (along / radii[1]) ** 2 + (across / radii[2]) ** 2 < 1
    brightness = rng.uniform(0.5, 1.1)
    mottle = brightness * np.clip(1 + 0.22 * grain[box], 0.3, 1.8)
    light[box] = np.where(inside, np.maximum(light[box], mottle), light[box])
