"""Several labelled images side by side: one large image whose objects are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.evaluation.data import LabelledImage
from napari_hqsam.evaluation.detection import Cutout, cutouts
from napari_hqsam.images import IntensityMapping, open_image


@dataclass(frozen=True)
class Mosaic:
    """A picture and what is in it.

    Attributes
    ----------
    image : ndarray of uint8
        (H, W, 3), each tile with its own contrast.
    objects : list of Cutout
        Those that their tile does not cut.
    """

    image: NDArray[np.uint8]
    objects: list[Cutout]


def lay_out(tiles: Sequence[LabelledImage], columns: int) -> Mosaic:
    """Put tiles side by side, row by row; small ones are continued by their mirror image.

    Parameters
    ----------
    tiles : sequence of LabelledImage
        Of any sizes and types.
    columns : int
        Tiles in a row.
    """
    height, width = np.max([tile.labels.shape for tile in tiles], axis=0).tolist()
    rows = -(-len(tiles) // columns)
    image = np.zeros((rows * height, min(columns, len(tiles)) * width, 3), np.uint8)
    objects = []
    for i, tile in enumerate(tiles):
        y, x = i // columns * height, i % columns * width
        shape = tile.labels.shape
        margin = ((0, height - shape[0]), (0, width - shape[1]), (0, 0))
        picture = np.pad(_picture(tile.image), margin, mode="symmetric")
        image[y : y + height, x : x + width] = picture
        objects += [_moved(o, y, x) for o in cutouts(tile.labels) if _is_whole(o, shape)]
    return Mosaic(image, objects)


def _picture(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Pixels (h, w) or (h, w, channels) with the contrast of their percentiles, (h, w, 3)."""
    with open_image(pixels, axes="yxc"[: pixels.ndim]) as source:
        mapping = IntensityMapping.from_percentiles(source)
        shown = mapping.apply(source.read((), 0, 0, *source.yx_shape()))
    return np.rint(shown).astype(np.uint8)


def _is_whole(found: Cutout, shape: tuple[int, ...]) -> bool:
    y0, x0, y1, x1 = found.bbox
    return y0 > 0 and x0 > 0 and y1 < shape[0] and x1 < shape[1]


def _moved(found: Cutout, y: int, x: int) -> Cutout:
    y0, x0, y1, x1 = found.bbox
    return Cutout(found.data, (y0 + y, x0 + x, y1 + y, x1 + x))
