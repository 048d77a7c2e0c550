"""Mitochondria: in sections by electrons, as bright threads in fluorescence."""

from __future__ import annotations

import numpy as np

from napari_hqsam.training.synthetic.fields import coverage, extent, log_uniform, texture
from napari_hqsam.training.synthetic.specimen import Specimen
from napari_hqsam.training.synthetic.strokes import curve, paint
from napari_hqsam.training.synthetic.ultrastructure import Tissue


def mitochondria(rng: np.random.Generator, size: int, look: str) -> Specimen:
    """Each mitochondrion is an object.

    Parameters
    ----------
    rng : Generator
    size : int
        Side of the plane.
    look : str
        In EM they lie in cells among other organelles.
    """
    if look != "em":
        return _threads(rng, size)
    radius = extent(rng, size, 6, 36)
    width = float(np.clip(radius * rng.uniform(0.06, 0.2), 1.3, 5))
    tissue = Tissue(rng, size, radius * rng.uniform(2.5, 9), width)
    room = (size / radius) ** 2
    labels = tissue.add_mitochondria(int(np.clip(room * rng.uniform(0.02, 0.15), 4, 60)), radius)
    tissue.clutter()
    tissue.add_membranes()
    return Specimen(labels, tissue.dense, tissue.dense, tissue.dense)


def _threads(rng: np.random.Generator, size: int) -> Specimen:
    width = log_uniform(rng, 2, 9)
    count = int(np.clip(rng.uniform(0.06, 0.3) * size**2 / (8 * width**2), 5, 90))
    centre, spread = rng.uniform(0.3, 0.7, 2) * size, rng.uniform(0.15, 0.5) * size
    labels = np.zeros((size, size), np.uint16)
    stain = np.zeros((size, size), np.float32)
    grains = texture(rng, size, width * 2, 2)
    for number in range(1, count + 1):
        start = centre + rng.normal(0, spread, 2)
        radius = width / 2 * np.exp(rng.normal(0, 0.15))
        line = curve(
            rng,
            start,
            rng.uniform(0, 2 * np.pi),
            width * log_uniform(rng, 0.3, 14),
            (radius, radius),
            bend=0.7,
            scale=width * 3,
        )
        window, distance = paint(line, size, 3.0)
        if distance.size == 0 or (rng.random() < 0.8 and labels[window][distance < 2].any()):
            continue
        labels[window][distance < 0] = number
        bright = np.float32(np.exp(rng.normal(0, 0.25)))
        stain[window] += bright * coverage(distance, 1.5) * (1 + 0.2 * grains[window])
    y, x = np.ogrid[:size, :size]
    away = np.hypot(y - centre[0], x - centre[1]) / spread
    cell = np.exp(-(away**2) / 3) * np.clip(1 + 0.3 * texture(rng, size, 40, 3), 0, None)
    body = (rng.uniform(0.1, 0.5) * cell + 0.3 * stain).astype(np.float32)
    stain = np.clip(stain + rng.uniform(0, 0.25) * cell, 0, None).astype(np.float32)
    return Specimen(labels, stain, body, stain)
