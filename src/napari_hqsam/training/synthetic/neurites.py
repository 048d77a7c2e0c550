"""Neurons: a soma and its branching dendrites, one object each."""

from __future__ import annotations

import numpy as np

from napari_hqsam.training.synthetic.blobs import BentGrid
from napari_hqsam.training.synthetic.fields import Field, clutter, coverage, extent, texture
from napari_hqsam.training.synthetic.specimen import Specimen
from napari_hqsam.training.synthetic.strokes import STEP, Curve, curve, grow, joined, painted


def neurites(rng: np.random.Generator, size: int, look: str) -> Specimen:
    """One to four neurons on a background with fibres and grains that belong to none.

    Parameters
    ----------
    rng : Generator
    size : int
        Side of the plane.
    look : str
        Without a stain some are clear but for their edge and grains.
    """
    near = rng.random() < 0.45  # one cell fills the picture
    soma = extent(rng, size, 22, 70) if near else extent(rng, size, 6, 26)
    width = float(np.clip(soma * rng.uniform(0.08, 0.4), 0.8, 9))
    count = 1 if near else int(rng.choice([1, 2, 3, 4], p=[0.5, 0.27, 0.13, 0.1]))
    branches = rng.uniform(0, 2.5) if near else rng.uniform(0.5, 7)
    nearest = np.full((size, size), 6.0, np.float32)
    labels = np.zeros((size, size), np.uint16)
    grid = BentGrid(rng, size, soma * rng.uniform(0.08, 0.2), soma)
    for number in range(1, count + 1):
        margin = 0.1 if count > 1 else 0.25
        centre = rng.uniform(margin, 1 - margin, 2) * size
        own = soma * rng.uniform(0.8, 1.2)
        distance = _neuron(rng, grid, centre, own, width, branches)
        closer = distance < nearest
        nearest[closer] = distance[closer]
        labels[closer & (distance < 0)] = number

    inside = coverage(nearest)
    thickness = np.clip((0.5 - nearest) / np.float32(max(soma / 2, 2)), 0, 1) ** 0.5
    grains = texture(rng, size, max(soma / 4, 3), 1.5)
    rim = np.exp(-(((nearest + 1) / np.float32(rng.uniform(0.8, 1.8))) ** 2))
    rough = 1 + rng.uniform(0.1, 0.6) * grains
    clear = rng.uniform(0.05, 1) if look in ("phase contrast", "bright field") else 1.0
    body = inside * (0.4 + 0.7 * thickness) * rough * clear + rng.uniform(0, 0.9) * rim
    stain = inside * (rng.uniform(0.4, 0.9) + 0.6 * thickness) * (1 + 0.15 * grains)
    if clear < 0.5:
        stain = stain * rng.uniform(0.05, 0.4)
    other = _other_fibres(rng, size) * (labels == 0)
    other += np.float32(rng.uniform(0, 0.25)) * clutter(rng, size, rng.uniform(5, 40))
    body = np.clip(body + other, 0, None).astype(np.float32)
    stain = np.clip(stain + other, 0, None).astype(np.float32)
    return Specimen(labels, stain, body, body, palettes=("brown", "black", "violet"))


def _neuron(
    rng: np.random.Generator,
    grid: BentGrid,
    centre: np.ndarray,
    soma: float,
    width: float,
    branches: float,
) -> Field:
    """Signed distance (size, size) to one neuron."""
    size = grid.size
    lines: list[Curve] = []
    stems = int(rng.integers(1, 7))
    first = rng.uniform(0, 2 * np.pi)
    tangled = rng.uniform(0.2, 0.7)
    flare = rng.uniform(0.2, 0.7)  # a stem leaves the soma as a cone
    for i in range(stems):
        heading = first + 2 * np.pi * i / stems + rng.normal(0, 0.3)
        stem = width * rng.uniform(0.5, 1.3)
        trunk = curve(
            rng,
            centre + 0.5 * soma * np.array([np.sin(heading), np.cos(heading)]),
            heading,
            0.5 * soma + size * rng.uniform(0.15, 0.8),
            (stem, max(rng.uniform(0.25, 0.9) * stem, 0.6)),
            bend=tangled,
            scale=50,
        )
        along = np.arange(len(trunk.points)) * STEP
        cone = np.clip(1 - along / (rng.uniform(1, 2.2) * soma), 0, 1) ** 2
        swellings = 1 + rng.uniform(0, 0.3) * np.sin(along / rng.uniform(3, 12))
        trunk = trunk._replace(radius=trunk.radius * swellings + flare * soma * cone)
        spacing = size / (branches + 0.01)
        lines += grow(rng, trunk, spacing=spacing, least=0.55, bend=tangled, most=14)
    distance = painted(joined(lines), size, 6.0)
    stretch = np.sqrt(rng.uniform(1, 2))
    window, body = grid.ellipse(
        (centre[0], centre[1]), (soma * stretch, soma / stretch), first, 6.0
    )
    distance[window] = np.minimum(distance[window], body)
    return distance


def _other_fibres(rng: np.random.Generator, size: int) -> Field:
    """Fainter fibres of cells that are not labelled."""
    fibres = np.zeros((size, size), np.float32)
    for _ in range(rng.integers(0, 6)):
        line = curve(
            rng,
            rng.uniform(0, size, 2),
            rng.uniform(0, 2 * np.pi),
            rng.uniform(0.1, 0.8) * size,
            (rng.uniform(0.4, 1.2),) * 2,
        )
        faint = np.float32(rng.uniform(0.05, 0.25))
        fibres = np.maximum(fibres, faint * coverage(painted(line, size), 1.5))
    return fibres
