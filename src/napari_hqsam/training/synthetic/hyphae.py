"""Hyphae: long threads of even width with cross walls, a mycelium being one object."""

from __future__ import annotations

import numpy as np

from napari_hqsam.training.synthetic.blobs import BentGrid, scatter
from napari_hqsam.training.synthetic.fields import coverage, log_uniform, texture
from napari_hqsam.training.synthetic.specimen import Specimen
from napari_hqsam.training.synthetic.strokes import STEP, curve, grow, joined, painted


def hyphae(rng: np.random.Generator, size: int, look: str) -> Specimen:
    """One to three mycelia among spores.

    Parameters
    ----------
    rng : Generator
    size : int
        Side of the plane.
    look : str
        Not used: all looks show the same matter.
    """
    radius = log_uniform(rng, 1.2, 6.0)
    nearest = np.full((size, size), 5.0, np.float32)
    labels = np.zeros((size, size), np.uint16)
    septa = np.full((size, size), 5.0, np.float32)
    for number in range(1, int(rng.choice([2, 3, 4], p=[0.6, 0.3, 0.1]))):
        start = rng.uniform(0.25, 0.75, 2) * size
        first = rng.uniform(0, 2 * np.pi)
        lines = []
        for i in range(rng.integers(2, 5)):
            own = radius * rng.uniform(0.8, 1.2)
            heading = first + i * rng.uniform(1, 2.5)
            length = size * rng.uniform(0.4, 1.0)
            trunk = curve(rng, start, heading, length, (own, own), bend=0.35, scale=60)
            lines += grow(
                rng,
                trunk,
                spacing=size / rng.uniform(2, 6),
                shrink=(0.8, 1.0),
                taper=1.0,
                spread=(0.6, 1.3),
                bend=0.4,
                scale=60,
                most=12,
            )
        distance = painted(joined(lines), size, 5.0)
        closer = distance < nearest
        nearest[closer] = distance[closer]
        labels[closer & (distance < 0)] = number
        every = max(int(radius * rng.uniform(8, 20) / STEP), 4)
        walls = joined(
            [c._replace(points=c.points[::every], radius=c.radius[::every]) for c in lines]
        )
        septa = np.minimum(septa, painted(walls._replace(radius=0 * walls.radius), size, 5.0))
    inside = coverage(nearest)
    wall = np.exp(-(((nearest + 0.8) / 0.9) ** 2))
    septum = np.exp(-((septa / 1.3) ** 2)) * inside
    plasm = texture(rng, size, radius * 5, max(radius / 2, 1.5))
    filling = inside * np.clip(rng.uniform(0.2, 0.8) + 0.3 * plasm, 0, None)
    body = filling + rng.uniform(0.3, 0.9) * wall + 0.5 * septum
    stain = filling * rng.uniform(0.3, 1.0) + rng.uniform(0.2, 1.0) * wall + 0.6 * septum
    radii = radius * rng.uniform(0.5, 1.3, rng.integers(0, 25))
    centres, kept = scatter(rng, size, radii, apart=1.0)
    grid = BentGrid(rng, size, 0.1 * radius, 3 * radius)
    for centre, own in zip(centres, radii[kept], strict=True):
        window, distance = grid.ellipse((centre[0], centre[1]), (own * 1.2, own), 0.0)
        spore = (coverage(distance) * 0.8 + 0.4 * np.exp(-((distance + 1) ** 2))).astype(np.float32)
        free = labels[window] == 0
        body[window] += spore * free
        stain[window] += 0.6 * spore * free
    stain, body = (np.clip(f, 0, None).astype(np.float32) for f in (stain, body))
    return Specimen(labels, stain, body, body, palettes=("blue", "violet", "brown"))
