"""Label images cut into windows, as a network that makes no mistakes would find their objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_hqsam.images.windows import grid
from napari_hqsam.segmentation.stitch import Instances, draw, link

Tile = tuple[tuple[int, ...], tuple[int, int, int, int]]


def raster_order(labels: NDArray[Any]) -> NDArray[np.uint64]:
    """The labels renumbered from 1 in the order in which they first occur."""
    values, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    order = np.argsort(np.where(values == 0, -1, first))
    number = np.empty(len(values), np.uint64)
    number[order] = np.arange(len(values)) + (0 if 0 in values else 1)
    return number[inverse].reshape(labels.shape)


def connected(values: NDArray[Any]) -> NDArray[np.uint64]:
    """Each 8-connected part of equal values other than 0 as an object of its own."""
    labels = np.zeros(values.shape, np.uint64)
    for value in np.unique(values[values != 0]):
        parts, count = ndimage.label(values == value, np.ones((3,) * values.ndim))
        labels += np.where(parts > 0, parts + int(labels.max()), 0).astype(np.uint64)
        assert count
    return raster_order(labels)


def tiles_of(shape: tuple[int, ...], side: int, overlap: float) -> list[Tile]:
    """The windows that `images.windows.grid` lays over each plane."""
    tiles = []
    for plane in np.ndindex(*shape[:-2]):
        for window in grid(shape[-2:], side, overlap=overlap, plane=plane):
            (y, x), (h, w) = window.origin, window.shape
            tiles.append((plane, (y, x, y + h, x + w)))
    return tiles


def crop(
    labels: NDArray[Any],
    tile: Tile,
    rng: np.random.Generator,
    *,
    split: bool = False,
    scores: bool = True,
) -> Instances:
    """What is found in a window: in any order, with any scores, perhaps in parts."""
    plane, (y0, x0, y1, x1) = tile
    part = labels[plane][y0:y1, x0:x1]
    if split:
        part = connected(part)
    found = Instances.of_labels(plane, tile[1], part)
    found = found.take(rng.permutation(len(found)))
    if scores:
        found.scores[...] = rng.random(len(found))
    return found


@dataclass
class Reader:
    """Gives the instances of each tile, and counts how often."""

    found: Sequence[Instances]
    reads: dict[int, int] = field(default_factory=dict)

    def __call__(self, i: int) -> Instances:
        self.reads[i] = self.reads.get(i, 0) + 1
        return self.found[i]


def stitched(
    shape: tuple[int, ...], tiles: Sequence[Tile], found: Sequence[Instances], **options: Any
) -> NDArray[np.uint64]:
    """Link and draw everything."""
    links = link(tiles, Reader(found), **options)
    assert [len(ids) for ids in links.ids] == [len(f) for f in found]
    out = np.zeros(shape, np.uint64)
    for plane in np.ndindex(*shape[:-2]):
        box = (0, 0, *shape[-2:])
        parts = [
            (f, ids) for (at, _), f, ids in zip(tiles, found, links.ids, strict=True) if at == plane
        ]
        out[plane] = draw(plane, box, parts)
    return out
