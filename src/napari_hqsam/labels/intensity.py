"""Intensities of objects, read from the image box by box."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.grid import Grid, label_axes
from napari_hqsam.labels.objects import PlaneMask
from napari_hqsam.labels.progress import Progress, counted
from napari_hqsam.labels.pyramid import Box, tiles
from napari_hqsam.labels.rows import Rows

if TYPE_CHECKING:
    from napari_hqsam.images import ImageSource

_CELL = 1024  # masks that begin in one square of this side are read together
_SIDE = 2048  # of what is read at once
_AT_ONCE = 3  # channels that `ImageSource` reads


@dataclass
class Intensities:
    """Of the pixels of one object; each (channels,). NaN and infinities do not count.

    Attributes
    ----------
    n, mean, squares : ndarray
        Number and mean of the pixels, and sum of the squared differences from it.
    low, high : ndarray
        Smallest and largest.
    """

    n: NDArray[Any]
    mean: NDArray[Any]
    squares: NDArray[Any]
    low: NDArray[Any]
    high: NDArray[Any]

    @classmethod
    def none(cls, channels: int) -> Intensities:
        """Of no pixels."""
        zero = np.zeros(channels)
        return cls(zero, zero, zero, zero + np.inf, zero - np.inf)

    def add(self, pixels: NDArray[Any]) -> None:
        """Take up pixels (n, channels)."""
        counts = np.isfinite(pixels)
        n = counts.sum(axis=0)
        some = np.maximum(n, 1)
        mean = np.where(counts, pixels, 0.0).sum(axis=0) / some
        squares = (np.where(counts, pixels - mean, 0.0) ** 2).sum(axis=0)
        total = self.n + n
        # Chan, Golub and LeVeque: parts put together without losing digits
        share = n / np.maximum(total, 1)
        apart = mean - self.mean
        self.squares = self.squares + squares + apart**2 * self.n * share
        self.mean = self.mean + apart * share
        self.n = total
        self.low = np.minimum(self.low, np.where(counts, pixels, np.inf).min(axis=0))
        self.high = np.maximum(self.high, np.where(counts, pixels, -np.inf).max(axis=0))

    def columns(self) -> dict[str, NDArray[Any]]:
        """What is told of it; NaN without pixels."""
        none = self.n == 0
        values = {
            "mean": self.mean,
            "min": self.low,
            "max": self.high,
            "std": np.sqrt(self.squares / np.maximum(self.n, 1)),
            "integrated": self.mean * self.n,
        }
        return {name: np.where(none, np.nan, value) for name, value in values.items()}


@dataclass(frozen=True, eq=False)
class Region:
    """A mask of an object, and where it counts.

    Attributes
    ----------
    key : int
        Which row of the table it belongs to.
    mask : PlaneMask
    t, z : int
    """

    key: int
    mask: PlaneMask
    t: int
    z: int
    cell: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        y0, x0 = self.mask.bbox[:2]
        object.__setattr__(self, "cell", (self.t, self.z, y0 // _CELL, x0 // _CELL))


def measured_channels(image: ImageSource) -> list[int]:
    """Those that are measured: all, but for the opacity of a photograph."""
    return list(range(3 if image.rgb else image.n_channels))


def check_image(grid: Grid, image: ImageSource) -> None:
    """Refuse an image that is not that of the labels.

    Raises
    ------
    HQSAMError
        It names both sizes.
    """
    theirs = dict(zip(label_axes(image), image.plane_shape, strict=True))
    theirs |= dict(zip("yx", image.yx_shape(), strict=True))
    sizes = [{a: length.get(a, 1) for a in "tzyx"} for length in (theirs, grid.lengths)]
    if sizes[0] != sizes[1]:
        are, should = (", ".join(f"{a} {n}" for a, n in size.items() if n > 1) for size in sizes)
        raise HQSAMError(
            f"{image.name}: has {are}, but the labels {should}; choose the image that they are of"
        )


def intensities(
    regions: Sequence[Region],
    grid: Grid,
    image: ImageSource,
    progress: Progress | None = None,
) -> dict[int, Intensities]:
    """The intensities of each key, over all its masks.

    Masks near each other are read together; no more of the image than the boxes of the masks is
    read, and no more than 2048² pixels at once.

    Raises
    ------
    HQSAMError
        If the image is not that of the labels, or cannot be read.
    """
    check_image(grid, image)
    channels = measured_channels(image)
    axes = label_axes(image)
    readers = []
    for i in range(0, len(channels), _AT_ONCE):
        readers.append(copy(image))
        readers[-1].channels = tuple(channels[i : i + _AT_ONCE])
    results: defaultdict[int, Intensities] = defaultdict(lambda: Intensities.none(len(channels)))
    ordered = sorted(regions, key=lambda region: region.cell)
    groups = [list(group) for _, group in groupby(ordered, key=lambda region: region.cell)]
    for group in counted(groups, progress, "measuring intensities"):
        at = {"t": group[0].t, "z": group[0].z}
        plane = tuple(at[a] for a in axes)
        members = [(region.key, Rows.of_mask(region.mask)) for region in group]
        for box in tiles(_around([region.mask.bbox for region in group]), (_SIDE, _SIDE)):
            parts = [(key, part) for key, rows in members if len((part := rows.clipped(box)).y)]
            if not parts:
                continue
            box = _around([part.bbox for _, part in parts])
            pixels = np.concatenate([reader.read(plane, *box) for reader in readers], axis=2)
            for key, part in parts:
                y0, x0, y1, x1 = inner = part.bbox
                values = pixels[y0 - box[0] : y1 - box[0], x0 - box[1] : x1 - box[1]]
                results[key].add(values[part.dense(inner)].astype(np.float64))
    return results


def _around(boxes: Sequence[Box]) -> Box:
    y0, x0, y1, x1 = zip(*boxes, strict=True)
    return min(y0), min(x0), max(y1), max(x1)
