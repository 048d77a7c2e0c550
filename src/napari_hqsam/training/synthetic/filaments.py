"""Filaments of the cytoskeleton, or fibres between cells."""

from __future__ import annotations

import numpy as np

from napari_hqsam.training.synthetic.fields import clutter, coverage, log_uniform, texture
from napari_hqsam.training.synthetic.specimen import Specimen
from napari_hqsam.training.synthetic.strokes import curve, paint


def filaments(rng: np.random.Generator, size: int, look: str) -> Specimen:
    """Crossing filaments, each one an object or all of them one.

    Parameters
    ----------
    rng : Generator
    size : int
        Side of the plane.
    look : str
        Not used: all looks show the same matter.
    """
    whole = rng.random() < 0.5
    width = log_uniform(rng, 0.6, 4.0)
    count = int(rng.integers(4, 45) / max(width / 1.5, 1)) + 1
    stiff = log_uniform(rng, 0.05, 0.7)
    common, spread = rng.uniform(0, np.pi), rng.choice([0.2, 0.6, 3.0])
    hub = rng.uniform(0.2, 0.8, 2) * size if rng.random() < 0.25 else None
    nearest = np.full((size, size), 3.0, np.float32)
    labels = np.zeros((size, size), np.uint16)
    stain = np.zeros((size, size), np.float32)
    for number in range(1, count + 1):
        heading = common + rng.normal(0, spread) + np.pi * (rng.random() < 0.5)
        start = rng.uniform(-0.1, 1.1, 2) * size if hub is None else hub + rng.normal(0, 12, 2)
        radius = max(0.5 * width * np.exp(rng.normal(0, 0.2)), 0.5)
        length = size * rng.uniform(0.2, 1.1)
        line = curve(rng, start, heading, length, (radius, radius), bend=stiff, scale=45)
        window, distance = paint(line, size, 3.0)
        if distance.size == 0:
            continue
        labels[window][distance < 0] = number
        nearest[window] = np.minimum(nearest[window], distance)
        bright = np.exp(rng.normal(0, 0.3))
        stain[window] += np.float32(bright) * coverage(distance, 1.2)
    if whole:
        labels = (nearest < 0).astype(np.uint16)
    grains = texture(rng, size, 40, 2)
    speckle = 1 + rng.uniform(0, 0.35) * texture(rng, size, 6, 2)
    other = rng.uniform(0, 0.4) * clutter(rng, size, rng.uniform(6, 40))
    stain = np.clip(stain * speckle + other + rng.uniform(0, 0.1) * grains, 0, None).astype(
        np.float32
    )
    around = np.exp(-((np.clip(nearest, 0, None) / 1.5) ** 2)) - coverage(nearest)
    dense = 0.3 + 0.1 * grains + 0.6 * np.minimum(stain, 1) + 0.15 * around
    body = np.minimum(stain, 1.5)
    return Specimen(
        labels, stain, body, dense.astype(np.float32), palettes=("blue", "red", "black")
    )
