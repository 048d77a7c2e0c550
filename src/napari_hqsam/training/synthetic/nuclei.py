"""Nuclei: alone, in clusters, touching and one upon another."""

from __future__ import annotations

import numpy as np

from napari_hqsam.training.synthetic.blobs import BentGrid, scatter
from napari_hqsam.training.synthetic.fields import (
    clutter,
    coverage,
    extent,
    smooth,
    texture,
)
from napari_hqsam.training.synthetic.specimen import Specimen
from napari_hqsam.training.synthetic.ultrastructure import Tissue


def nuclei(rng: np.random.Generator, size: int, look: str) -> Specimen:
    """Nuclei, each one an object; where two overlap, the upper one has the pixels.

    Parameters
    ----------
    rng : Generator
    size : int
        Side of the plane.
    look : str
        In a stained look there is tissue between them; in EM, chromatin within an envelope.
    """
    if look == "em":
        return _sectioned(rng, size)
    mean = extent(rng, size, 5, 40)
    share = rng.uniform(0.05, 0.5)
    count = int(np.clip(share * size**2 / (np.pi * mean**2), 2, 110))
    radii = mean * np.exp(rng.normal(0, rng.uniform(0.08, 0.35), count))
    clusters = int(rng.integers(1, 9)) if rng.random() < 0.6 else 0
    centres, kept = scatter(rng, size, radii, apart=rng.uniform(0.6, 0.95), clusters=clusters)
    grid = BentGrid(rng, size, mean * rng.uniform(0.04, 0.16), mean * rng.uniform(0.8, 1.6))
    elongation = rng.uniform(1.0, 1.9) if rng.random() < 0.75 else rng.uniform(2, 4)
    common, aligned = rng.uniform(0, np.pi), rng.random() < 0.3
    dome = rng.uniform(0.1, 0.9)  # 0 flat as in a section, 1 round as a whole nucleus
    spread = rng.uniform(0.1, 0.6 if look == "fluorescence" else 0.35)

    labels = np.zeros((size, size), np.uint16)
    stain = np.zeros((size, size), np.float32)
    body = np.zeros((size, size), np.float32)
    chromatin = texture(rng, size, max(mean / 2, 3), max(mean / 8, 1.5))
    contrast = np.float32(rng.uniform(0.02, 0.35) + 0.15 * (look == "stained"))
    spots = smooth(rng, size, max(mean / 3.5, 2)) > rng.uniform(1.3, 2.2)
    # Nucleoli are dark in fluorescence, chromocentres bright.
    mottle = (1 + contrast * chromatin) * np.where(spots, rng.choice([0.6, 1.35]), 1)
    mottle = np.clip(mottle, 0.1, None).astype(np.float32)
    rim = rng.uniform(0, 0.5) if look in ("stained", "bright field") else 0.0
    through = 0.35 if look == "fluorescence" else 0.15  # what lies below shines through
    for number, (centre, radius) in enumerate(zip(centres, radii[kept], strict=True), start=1):
        stretch = np.sqrt(1 + (elongation - 1) * rng.random())
        angle = common + rng.normal(0, 0.3) if aligned else rng.uniform(0, np.pi)
        brightness = np.exp(rng.normal(0, spread))
        if rng.random() < 0.04:  # dividing or dying: small, dense and bright
            radius, brightness = 0.6 * radius, 1.8 * brightness
        window, distance = grid.ellipse(
            (centre[0], centre[1]), (radius * stretch, radius / stretch), angle
        )
        inside = coverage(distance)
        depth = np.clip(distance * np.float32(-1 / max(radius, 1)), 0, 1)
        amount = 1 - dome + dome * np.sqrt(depth)
        if rim:
            amount += rim * np.exp(-((depth / np.float32(0.12)) ** 2))
        amount *= inside * mottle[window] * np.float32(brightness)
        labels[window][distance < 0] = number
        stain[window] = amount + stain[window] * (1 - np.float32(1 - through) * inside)
        halo = np.clip(1 - np.maximum(distance, 0) * np.float32(1 / (0.8 * radius + 2)), 0, 1)
        body[window] = np.maximum(body[window], halo * np.float32(rng.uniform(0.5, 1)))
    tissue = np.clip(0.5 + 0.35 * texture(rng, size, mean * 3, max(mean / 3, 2)), 0, 1.5)
    body = rng.uniform(0.0, 1.0) * body + rng.uniform(0, 0.45) * tissue
    body = body + np.float32(rng.uniform(0, 0.6)) * clutter(rng, size, mean * rng.uniform(1, 3))
    if look == "bright field":
        body = body * 0.15 + 0.5 * stain
    return Specimen(labels, stain, body.astype(np.float32), stain)


def _sectioned(rng: np.random.Generator, size: int) -> Specimen:
    mean = extent(rng, size, 20, 90)
    tissue = Tissue(rng, size, mean * rng.uniform(2, 3.5), float(rng.uniform(1.4, 4)))
    tissue.add_mitochondria(int(rng.integers(2, 25)), mean * rng.uniform(0.12, 0.25))
    tissue.clutter()
    tissue.add_membranes()
    radii = mean * np.exp(rng.normal(0, 0.2, int(np.clip(0.12 * (size / mean) ** 2, 3, 40))))
    centres, kept = scatter(rng, size, radii, apart=1.1)
    grid = BentGrid(rng, size, mean * rng.uniform(0.05, 0.16), mean * rng.uniform(0.5, 1.2))
    labels = np.zeros((size, size), np.uint16)
    dense = tissue.dense
    ground = np.float32(rng.uniform(0.08, 0.4))
    chromatin = texture(rng, size, mean / 3, max(mean / 15, 2))
    clumps = np.clip(chromatin - np.float32(rng.uniform(0, 1.2)), 0, 1)
    grain = np.float32(0.05) * chromatin + np.float32(0.03) * smooth(rng, size, 2)
    dark, thick = rng.uniform(0.05, 0.4), rng.uniform(1.0, 2.5)
    for number, (centre, radius) in enumerate(zip(centres, radii[kept], strict=True), start=1):
        stretch = np.sqrt(rng.uniform(1, 2))
        axes = (radius * stretch, radius / stretch)
        window, distance = grid.ellipse((centre[0], centre[1]), axes, rng.uniform(0, np.pi))
        inside = coverage(distance)
        # Heterochromatin lies in clumps and along the envelope, which is a double membrane.
        edge = np.exp(-((np.clip(-distance, 0, None) / np.float32(0.1 * radius)) ** 2))
        content = ground + grain[window] + dark * np.clip(clumps[window] + 0.7 * edge, 0, 1)
        envelope = np.exp(-(((distance + thick) / np.float32(0.6 * thick)) ** 2))
        envelope += 0.7 * np.exp(-(((distance - thick) / np.float32(0.5 * thick)) ** 2))
        dense[window] = dense[window] * (1 - inside) + inside * content + 0.3 * envelope
        labels[window][distance < 0] = number
    return Specimen(labels, dense, dense, dense)
