"""Vesicles, granules and droplets: small, round, many."""

from __future__ import annotations

import numpy as np

from napari_hqsam.training.synthetic.blobs import BentGrid, scatter
from napari_hqsam.training.synthetic.fields import coverage, extent, texture
from napari_hqsam.training.synthetic.specimen import Specimen
from napari_hqsam.training.synthetic.ultrastructure import Tissue


def vesicles(rng: np.random.Generator, size: int, look: str) -> Specimen:
    """Each vesicle, with its membrane, is an object.

    Parameters
    ----------
    rng : Generator
    size : int
        Side of the plane.
    look : str
        In EM they lie in cells and some have dense cores.
    """
    mean = extent(rng, size, 4, 28)
    count = int(np.clip(rng.uniform(0.03, 0.4) * size**2 / (np.pi * mean**2), 4, 110))
    radii = np.clip(mean * np.exp(rng.normal(0, rng.uniform(0.1, 0.4), count)), 2, None)
    clusters = int(rng.integers(1, 8)) if rng.random() < 0.6 else 0
    centres, kept = scatter(rng, size, radii, apart=rng.uniform(0.9, 1.15), clusters=clusters)
    grid = BentGrid(rng, size, mean * rng.uniform(0, 0.12), mean * 2)
    tissue = None
    if look == "em":
        tissue = Tissue(rng, size, mean * rng.uniform(6, 16), float(rng.uniform(1.4, 4)))
        tissue.clutter(vesicles=False)
        tissue.add_membranes()
        radii = radii * np.where(rng.random(count) < 0.15, 0.6, 1)
    labels = np.zeros((size, size), np.uint16)
    stain = np.zeros((size, size), np.float32)
    rings = np.zeros((size, size), np.float32)
    cores = np.zeros((size, size), np.float32)
    shell = float(np.clip(mean * rng.uniform(0.08, 0.25), 0.7, 3))
    hollow = rng.uniform(0, 1) if rng.random() < 0.5 else 0.0
    dense = rng.uniform(0, 1)  # share of dense cores
    for number, (centre, radius) in enumerate(zip(centres, radii[kept], strict=True), start=1):
        stretch = rng.uniform(1, 1.15)
        window, distance = grid.ellipse(
            (centre[0], centre[1]), (radius * stretch, radius / stretch), rng.uniform(0, 3.2)
        )
        if tissue is not None:
            whole = np.count_nonzero(distance < 0)
            row, column = np.clip(centre.astype(int), 0, size - 1)
            gap = tissue.membrane / 2 + 0.5
            distance = np.maximum(distance, np.float32(gap) - tissue.wall[window])
            distance[tissue.cells[window] != tissue.cells[row, column]] = gap
            if np.count_nonzero(distance < 0) < 0.75 * whole:  # it would lie across a wall
                continue
        over = distance < 0
        labels[window][over] = number
        bright = np.float32(np.exp(rng.normal(0, 0.3)))
        inside = coverage(distance)
        ring = np.exp(-(((distance + shell) / shell) ** 2)) * inside
        stain[window] = np.where(over, 0, stain[window])
        stain[window] += bright * ((1 - hollow) * inside + 0.8 * ring)
        rings[window] = np.where(over, ring, np.maximum(rings[window], ring))
        core = coverage(distance + shell * 2, 2.0) * rng.uniform(0.2, 0.7) * (rng.random() < dense)
        cores[window] = np.where(over, core + 1e-3, cores[window])
    ground = texture(rng, size, 30, 2)
    body = 0.8 * stain + rng.uniform(0, 0.2) * ground
    stain = stain + rng.uniform(0, 0.2) * ground
    if tissue is None:
        metal = np.clip(0.3 + 0.5 * rings + cores, 0, 1)
    else:
        clear = np.where(labels > 0, 0.05 + 0.3 * (tissue.dense - 0.1), tissue.dense)
        metal = clear + rng.uniform(0.3, 0.6) * rings + cores
    stain, body, metal = (np.clip(f, 0, None).astype(np.float32) for f in (stain, body, metal))
    return Specimen(labels, stain, body, metal, palettes=("red", "brown", "violet"))
