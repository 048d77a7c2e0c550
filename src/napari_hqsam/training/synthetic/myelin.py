"""Nerve in cross section: axons in rings of myelin."""

from __future__ import annotations

import numpy as np

from napari_hqsam.training.synthetic.blobs import BentGrid, scatter
from napari_hqsam.training.synthetic.fields import coverage, extent, smooth, texture
from napari_hqsam.training.synthetic.specimen import Specimen
from napari_hqsam.training.synthetic.ultrastructure import Tissue


def myelin(rng: np.random.Generator, size: int, look: str) -> Specimen:
    """The axons are the objects, or the fibres: axons with their myelin.

    Parameters
    ----------
    rng : Generator
    size : int
        Side of the plane.
    look : str
        Not used: all looks show the same matter.
    """
    largest = extent(rng, size, 16, 80)
    count = int(np.clip(2.5 * (size / largest) ** 2, 25, 170))
    radii = np.sort(largest * rng.beta(rng.uniform(0.9, 2), rng.uniform(2, 4), count))[::-1]
    radii = np.clip(radii, max(5.0, 0.15 * largest), None)
    centres, kept = scatter(rng, size, radii, apart=rng.uniform(0.92, 1.05), tries=14)
    bend = rng.uniform(0.03, 0.16)
    grid = BentGrid(rng, size, largest * 0.5 * bend, largest * rng.uniform(0.3, 0.6))
    crumpled = BentGrid(rng, size, largest * 0.5 * bend, largest * rng.uniform(0.2, 0.5))
    ratio, spread = rng.uniform(0.5, 0.8), rng.uniform(0.02, 0.1)
    fibres = rng.random() < 0.4

    dense = _between(rng, size, largest)
    labels = np.zeros((size, size), np.uint16)
    rings = np.zeros((size, size), np.float32)
    level, lamellar, dark = rng.uniform(0.05, 0.3), rng.uniform(0, 0.25), rng.uniform(0.55, 0.9)
    organelles = smooth(rng, size, max(largest / 10, 2.5)) - np.float32(rng.uniform(1.2, 2.5))
    inside = np.clip(0.7 * organelles, 0, 0.35)
    inside += np.float32(rng.uniform(0.01, 0.04)) * texture(rng, size, 12, 2)
    for number, place in enumerate(centres.tolist(), start=1):
        radius = float(radii[kept[number - 1]])
        stretch = rng.uniform(1, 1.6) ** 0.5
        angle = rng.uniform(0, np.pi)
        axes = (radius * stretch, radius / stretch)
        window, outer = grid.ellipse(place, axes, angle)
        g = min(max(rng.normal(ratio, spread), 0.35), 0.9)
        inner = crumpled.ellipse(place, (axes[0] * g, axes[1] * g), angle, window=window)[1]
        inner = np.maximum(inner, outer + min(max(0.12 * radius, 1.2), 0.4 * radius))
        free = (rings[window] < 0.5) & (labels[window] == 0)
        axon = coverage(inner) * free
        ring = coverage(outer) * free - axon
        layers = dark
        if lamellar > 0.1:
            layers = dark + lamellar * np.sin(outer * (2 * np.pi / rng.uniform(2.2, 4)))
        own = inside[window] + (level + rng.normal(0, 0.04))
        dense[window] = dense[window] * (1 - axon - ring) + axon * own + ring * layers
        rings[window] = np.maximum(rings[window], ring)
        labels[window][((outer if fibres else inner) < 0) & free] = number
    dense = np.clip(dense, 0, None)
    axons = (labels > 0) & (rings < 0.5)
    stain = rings + 0.15 * np.minimum(dense, 1)
    body = 0.4 * dense + np.float32(0.15) * axons
    return Specimen(labels, stain, body, dense, 0.5, ("blue", "black"))


def _between(rng: np.random.Generator, size: int, largest: float) -> np.ndarray:
    """Thin fibres and other tissue, more or less faint."""
    spacing = max(largest * rng.uniform(0.3, 0.9), 14.0)
    tissue = Tissue(rng, size, spacing, max(0.06 * spacing, 1.2))
    tissue.clutter()
    tissue.add_membranes()
    level = tissue.dense.mean()
    return level + rng.uniform(0.1, 0.8) * (tissue.dense - level) + rng.uniform(-0.1, 0.3)
