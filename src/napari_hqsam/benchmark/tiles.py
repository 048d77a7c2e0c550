"""Squares of real images, all of one size, of which mosaics are made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice, product
from pathlib import Path

import numpy as np

from napari_hqsam.benchmark.held_out import median_diameter, of_instances
from napari_hqsam.evaluation.data import LabelledPlane, labelled_files, spread
from napari_hqsam.images.windows import OVERLAP
from napari_hqsam.segmentation.automatic.layout import octave_for
from napari_hqsam.training.data import find_data_sets

SIDE = 3
"""Of a mosaic, in tiles."""

# Steps of the grid of windows along a tile: each tile has seams of its own, too.
_STEPS = 3
# A set gives at most so many tiles from one plane.
_FROM_A_PLANE = 4
_SAMPLE_DIAMETER = 16.0


@dataclass(frozen=True)
class Pictures:
    """What a mosaic is made of.

    Attributes
    ----------
    tiles : list of LabelledPlane
        Nine of one size; their labels are not used.
    diameter : float
        Of a typical object, in pixels.
    """

    tiles: list[LabelledPlane]
    diameter: float


def labelled_pictures(folder: Path, input_size: int) -> dict[str, Pictures]:
    """Tiles of each data set whose planes show several objects, and are large enough.

    Parameters
    ----------
    folder : pathlib.Path
        A data set, or a folder of them. Its labels say what a typical object is.
    input_size : int
        Of the model.
    """
    planes = {p.name: [f.planes(1) for f in labelled_files(p)] for p in find_data_sets(folder)}
    found = {}
    for name, own in of_instances({n: list(chain(*p)) for n, p in planes.items()}).items():
        diameter = median_diameter(own)
        side = tile_side(diameter, input_size)
        tiles = chain.from_iterable(_with_objects(plane, side) for plane in own)
        if len(chosen := list(islice(tiles, SIDE**2))) == SIDE**2:
            found[name] = Pictures(chosen, diameter)
    return found


def sample_pictures(input_size: int) -> dict[str, Pictures]:
    """Tiles of the pictures that scikit-image brings along."""
    from skimage import data

    side = tile_side(_SAMPLE_DIAMETER, input_size)
    tiles: list[LabelledPlane] = []
    for name in ("coins", "cell", "immunohistochemistry"):
        image = getattr(data, name)()
        plane = LabelledPlane(name, image, np.ones(image.shape[:2], np.uint8))
        tiles += spread(list(_squares(plane, side)), SIDE)
    return {"scikit-image's pictures": Pictures(tiles, _SAMPLE_DIAMETER)}


def tile_side(diameter: float, input_size: int) -> int:
    """Three steps of the grid of windows for objects of a diameter."""
    window = input_size * 2.0 ** octave_for(diameter, input_size)
    return _STEPS * round(window * (1 - OVERLAP))


def _with_objects(plane: LabelledPlane, side: int) -> list[LabelledPlane]:
    """A few of the squares of a plane with several objects."""
    several = [t for t in _squares(plane, side) if len(np.unique(t.labels)) > 2]
    return spread(several, _FROM_A_PLANE)


def _squares(plane: LabelledPlane, side: int) -> Iterator[LabelledPlane]:
    corners = (range(0, n - side + 1, side) for n in plane.labels.shape)
    for y, x in product(*corners):
        box = (slice(y, y + side), slice(x, x + side))
        yield replace(plane, image=plane.image[box], labels=plane.labels[box])
