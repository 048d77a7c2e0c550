"""Whole cells: spread on glass, round, or rods."""

from __future__ import annotations

import numpy as np

from napari_hqsam.training.synthetic.blobs import BentGrid, scatter
from napari_hqsam.training.synthetic.fields import clutter, coverage, extent, smooth, texture
from napari_hqsam.training.synthetic.specimen import Specimen
from napari_hqsam.training.synthetic.strokes import Window, curve, paint


def cells(rng: np.random.Generator, size: int, look: str) -> Specimen:
    """Cells with membrane, textured cytoplasm and nucleus; each one an object.

    Parameters
    ----------
    rng : Generator
    size : int
        Side of the plane.
    look : str
        Nuclei take the stain in a stained look and exclude it in fluorescence.
    """
    kind = rng.choice(["spread", "round", "rods"], p=[0.5, 0.3, 0.2])
    low, high = {"spread": (22, 80), "round": (7, 40), "rods": (2.5, 8)}[kind]
    mean = extent(rng, size, low, high)
    length = 3.0 if kind == "rods" else 1.0
    count = rng.uniform(0.15, 0.85) * size**2 / (np.pi * mean**2 * length)
    radii = mean * np.exp(rng.normal(0, 0.2, int(np.clip(count, 2, 90))))
    clusters = int(rng.integers(1, 6)) if rng.random() < 0.4 else 0
    nearer = {"spread": (0.55, 1.05), "round": (0.85, 1.05), "rods": (1.2, 1.6)}
    apart = rng.uniform(*nearer[kind])
    centres, kept = scatter(rng, size, radii, apart=apart, clusters=clusters, tries=8)
    bend = rng.uniform(0.12, 0.3) if kind == "spread" else rng.uniform(0.0, 0.06)
    grid = BentGrid(rng, size, mean * bend, mean * rng.uniform(0.6, 1.3))
    elongation = rng.uniform(1.0, 4.0) if kind == "spread" else rng.uniform(1.0, 1.2)

    # The pixel goes to the cell that it lies deepest in, so cells that meet share a wall.
    nearest = np.full((size, size), 3.0, np.float32)
    labels = np.zeros((size, size), np.uint16)
    for number, (centre, radius) in enumerate(zip(centres, radii[kept], strict=True), start=1):
        window, distance = _outline(rng, grid, kind, centre, float(radius), elongation)
        closer = distance < nearest[window]
        nearest[window][closer] = distance[closer]
        labels[window][closer & (distance < 0)] = number

    count = len(centres)
    inside = coverage(nearest)
    depth = np.clip(-nearest / np.float32(mean), 0, 1)
    level = np.concatenate([[0], np.exp(rng.normal(0, rng.uniform(0.05, 0.4), count))])
    per_cell = level.astype(np.float32)[labels]
    granules = texture(rng, size, max(mean / 3, 3), max(mean / 12, 1.5))
    dots = smooth(rng, size, max(mean / 12, 2)) > rng.uniform(1.4, 2.4)
    rough = rng.uniform(0.05, 0.4)
    cytoplasm = inside * per_cell * (1 + rough * granules + rng.uniform(-0.4, 0.8) * dots)
    cytoplasm *= 1 - rng.uniform(0, 0.85) * (1 - np.sqrt(depth))  # thin towards the edge
    thick = rng.uniform(0.8, 2.2)
    membrane = np.exp(-(((nearest + thick) / thick) ** 2)) * (labels > 0)
    nucleus = np.zeros((size, size), np.float32)
    if kind == "spread" or (kind == "round" and rng.random() < 0.5):
        even = BentGrid(rng, size, mean * 0.03, mean)
        part = rng.uniform(0.3, 0.5)
        for number, (centre, radius) in enumerate(zip(centres, radii[kept], strict=True), start=1):
            axes = (part * radius, rng.uniform(0.65, 1) * part * radius)
            window, distance = even.ellipse(centre, axes, rng.uniform(0, np.pi))
            nucleus[window] = np.maximum(
                nucleus[window], coverage(distance, 1.5) * (labels[window] == number)
            )
    nuclear = nucleus * (1 + 0.25 * granules)
    body = cytoplasm + rng.uniform(0, 0.8) * membrane + rng.uniform(-0.3, 0.5) * nuclear
    if look == "stained":
        stain = nuclear + 0.15 * membrane
    else:
        stain = cytoplasm + rng.uniform(0, 0.9) * membrane + rng.uniform(-0.6, 0.3) * nuclear
    other = np.float32(rng.uniform(0, 0.2)) * clutter(rng, size, rng.uniform(5, 40))
    stain, body = stain + other, body + other
    stain, body = (np.clip(f, 0, None).astype(np.float32) for f in (stain, body))
    dense = np.clip(0.2 + 0.3 * body + 0.4 * membrane, 0, 1).astype(np.float32)
    palettes = ("haematoxylin and eosin", "violet", "blue", "brown")
    return Specimen(labels, stain, body, dense, palettes=palettes)


def _outline(
    rng: np.random.Generator,
    grid: BentGrid,
    kind: str,
    centre: np.ndarray,
    radius: float,
    elongation: float,
) -> tuple[Window, np.ndarray]:
    angle = rng.uniform(0, 2 * np.pi)
    if kind == "rods":
        length = radius * rng.uniform(1.5, 6)
        back = np.array([np.sin(angle), np.cos(angle)]) * length / 2
        line = curve(rng, centre - back, angle, length, (radius, radius), bend=0.15)
        return paint(line, grid.size, 3.0)
    stretch = np.sqrt(1 + (elongation - 1) * rng.random())
    return grid.ellipse((centre[0], centre[1]), (radius * stretch, radius / stretch), angle)
