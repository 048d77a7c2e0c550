"""Stacks of bright discs on black, of which all is known."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.benchmark.instant import Instant
from napari_hqsam.segmentation import Segmenter
from napari_hqsam.segmentation.mask import Mask

SHAPE = (16, 96, 120)


def disc(y: float, x: float, radius: float, shape: tuple[int, int] = SHAPE[1:]) -> NDArray[Any]:
    yy, xx = np.ogrid[: shape[0], : shape[1]]
    return (yy - y) ** 2 + (xx - x) ** 2 <= radius**2


def rod(
    first: int, last: int, y: float, x: float, radius: float, drift: float = 0.0, n: int = SHAPE[0]
) -> NDArray[np.bool_]:
    """A rod from a slice to another, both included, whose middle moves along x."""
    out = np.zeros((n, *SHAPE[1:]), dtype=bool)
    for z in range(first, last + 1):
        out[z] = disc(y, x + drift * (z - first), radius)
    return out


def image_of(*objects: NDArray[np.bool_], brightness: int = 200) -> NDArray[np.uint8]:
    out = np.zeros(objects[0].shape, np.uint8)
    for each in objects:
        out[each] = brightness
    return out


def segmenter(image: NDArray[Any], axes: str = "zyx", **options: Any) -> Segmenter:
    options = {"model": Instant(128), "contrast_limits": (0, 255)} | options
    return Segmenter(image, axes=axes, **options)


def seed(seg: Segmenter, truth: NDArray[np.bool_], plane: tuple[int, ...]) -> Mask:
    """The mask of the true box on a slice."""
    y, x = np.nonzero(truth)
    mask: Mask = seg.predict(box=(y.min(), x.min(), y.max(), x.max()), plane=plane)
    return mask


def iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float(np.count_nonzero(a & b) / max(np.count_nonzero(a | b), 1))
