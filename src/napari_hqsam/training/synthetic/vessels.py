"""Vessels: trees that taper from a trunk to the thinnest twigs, one object in all."""

from __future__ import annotations

import numpy as np

from napari_hqsam.training.synthetic.fields import clutter, coverage, log_uniform, texture
from napari_hqsam.training.synthetic.specimen import Specimen
from napari_hqsam.training.synthetic.strokes import Curve, curve, grow, joined, painted


def vessels(rng: np.random.Generator, size: int, look: str) -> Specimen:
    """Trees from the border or from one place, as in the retina.

    Parameters
    ----------
    rng : Generator
    size : int
        Side of the plane.
    look : str
        Not used: all looks show the same matter.
    """
    trunk_radius = log_uniform(rng, 1.6, 6.5)
    count = int(rng.integers(1, 5))
    hub = rng.uniform(-0.1, 1.1, 2) * size
    lines: list[Curve] = []
    wiggle = rng.uniform(0.15, 0.6)
    for i in range(count):
        if rng.random() < 0.6:
            start = hub
            heading = rng.uniform(0, 2 * np.pi)
        else:
            side = rng.uniform(0, 2 * np.pi)
            start = size / 2 + 0.62 * size * np.array([np.sin(side), np.cos(side)])
            heading = side + np.pi + rng.normal(0, 0.5)
        if i == 0 or rng.random() < 0.5:  # into the picture
            heading = np.arctan2(*(rng.uniform(0.25, 0.75, 2) * size - start))
        radius = trunk_radius * rng.uniform(0.6, 1.0)
        length = size * rng.uniform(0.7, 1.3)
        trunk = curve(
            rng, start, heading, length, (radius, max(0.25 * radius, 0.5)), bend=wiggle, scale=50
        )
        lines += grow(
            rng,
            trunk,
            spacing=size / rng.uniform(4, 10),
            least=0.5,
            shrink=(0.4, 0.85),
            length=(0.3, 0.8),
            bend=wiggle,
            most=int(70 / count),
        )
    line = joined(lines)
    nearest = painted(line, size, 4.0)
    labels = (nearest < 0).astype(np.uint16)
    inside = coverage(nearest, 1.3)
    round_ = np.clip((0.5 - nearest) / np.float32(trunk_radius), 0, 1) ** 0.5
    reflex = rng.uniform(0, 0.35) * (nearest < -0.55 * trunk_radius)
    stain = inside * (rng.uniform(0.35, 0.8) + 0.6 * round_ - reflex)
    tissue = texture(rng, size, 90, 5)
    stain = stain * np.clip(1 + 0.25 * tissue, 0.3, 2)
    stain += np.float32(rng.uniform(0, 0.25)) * clutter(rng, size, rng.uniform(8, 40))
    body = np.clip(0.4 + 0.2 * tissue, 0, None) * rng.uniform(0.2, 1) + 0.2 * inside
    if rng.random() < 0.4:  # a bright disc, as of the optic nerve, or a dark spot
        y, x = np.ogrid[:size, :size]
        place, radius = rng.uniform(0, size, 2), rng.uniform(0.08, 0.25) * size
        spot = coverage(np.hypot(y - place[0], x - place[1]) - radius, 0.5 * radius)
        body = body + np.float32(rng.uniform(-0.6, 0.6)) * spot
    stain, body = (np.clip(f, 0, None).astype(np.float32) for f in (stain, body))
    return Specimen(labels, stain, body, stain, palettes=("fundus", "fundus", "red", "black"))
