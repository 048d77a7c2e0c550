"""Cells wall to wall: neuropil, epithelium, plant tissue."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from napari_hqsam.training.synthetic.fields import extent, smooth, texture
from napari_hqsam.training.synthetic.specimen import Specimen
from napari_hqsam.training.synthetic.tessellation import tessellate, wall_distance
from napari_hqsam.training.synthetic.ultrastructure import Tissue


def membranes(rng: np.random.Generator, size: int, look: str) -> Specimen:
    """Each cell within its walls is an object.

    Parameters
    ----------
    rng : Generator
    size : int
        Side of the plane.
    look : str
        In EM there are organelles; else walls are stained and cells mostly clear.
    """
    specimen, wall, width = _tissue(rng, size, look)
    specimen.labels = ndimage.label(wall > width / 2)[0].astype(np.uint16)
    return specimen


def membrane_network(rng: np.random.Generator, size: int, look: str) -> Specimen:
    """The same tissue; all walls together are the object.

    Parameters
    ----------
    rng : Generator
    size : int
        Side of the plane.
    look : str
        As for `membranes`.
    """
    specimen, wall, width = _tissue(rng, size, look)
    specimen.labels = (wall <= width / 2).astype(np.uint16)
    return specimen


def _tissue(rng: np.random.Generator, size: int, look: str) -> tuple[Specimen, np.ndarray, float]:
    """The specimen without labels, the distance to its walls, the walls' width."""
    none = np.zeros((size, size), np.uint16)
    spacing = extent(rng, size, 22, 90)
    if look == "em":
        width = float(np.clip(spacing * rng.uniform(0.02, 0.09), 1.4, 6))
        tissue = Tissue(rng, size, spacing, width)
        if rng.random() < 0.7:
            tissue.add_mitochondria(int(rng.integers(2, 18)), spacing * rng.uniform(0.12, 0.3))
        tissue.clutter()
        tissue.add_membranes()
        return Specimen(none, tissue.dense, tissue.dense, tissue.dense), tissue.wall, width
    cells = tessellate(
        rng,
        size,
        spacing,
        regular=rng.uniform(0.2, 1),
        unequal=rng.uniform(0, 0.4) if rng.random() < 0.4 else 0,
        bent=rng.uniform(0.02, 0.15),
        stretch=rng.uniform(1, 2.2),
    )
    width = float(np.clip(spacing * rng.uniform(0.04, 0.14), 1.4, 8))
    wall = wall_distance(cells, width + 2)
    line = np.clip(width / 2 + 0.5 - wall, 0, 1)
    line = line * np.clip(1 + rng.uniform(0, 0.35) * smooth(rng, size, spacing / 2), 0.2, 2)
    levels = np.exp(rng.normal(0, 0.3, int(cells.max()) + 1)).astype(np.float32)[cells]
    grains = texture(rng, size, spacing / 2, 2)
    cytoplasm = levels * np.clip(1 + rng.uniform(0.1, 0.5) * grains, 0, None) * (1 - line)
    # Nuclei or plastids, which are no cells.
    blobs = np.clip(4 * (smooth(rng, size, spacing / 3) - rng.uniform(1.2, 2.5)), 0, 1)
    blobs = blobs * (wall > width / 2 + 1)
    dim = rng.uniform(0.03, 0.35)
    stain = line + dim * cytoplasm + rng.uniform(0, 0.6) * blobs
    body = rng.uniform(0.1, 0.5) * cytoplasm + 0.6 * line + 0.4 * blobs
    stain, body = (np.clip(f, 0, None).astype(np.float32) for f in (stain, body))
    palettes = ("red", "blue", "haematoxylin and eosin", "violet")
    return Specimen(none, stain, body, stain, palettes=palettes), wall, width
