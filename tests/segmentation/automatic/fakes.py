"""A model whose masks are what is bright, sure of itself, that says how it was asked."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from napari_hqsam.embedding.features import Features
from napari_hqsam.images import IntensityMapping, open_image
from napari_hqsam.modeling import Decoded, PromptBatch, TileFeatures

from ..fakes import LookingGlass


class Lamp(LookingGlass):
    """A `LookingGlass` with steep logits, so that its masks are stable.

    Attributes
    ----------
    asked : list of (int, bool, bool)
        Of each call of `decode` how many prompts there were, whether they were boxes, and whether
        the HQ branch ran.
    """

    variant = "lamp"

    def __init__(self, input_size: int = 256) -> None:
        super().__init__(input_size)
        self.asked: list[tuple[int, bool, bool]] = []

    def decode(
        self, features: TileFeatures, image_index: Tensor, prompts: PromptBatch, *, hq: bool = True
    ) -> Decoded:
        self.asked.append((len(image_index), prompts.boxes is not None, hq))
        found = super().decode(features, image_index, prompts, hq=hq)
        return Decoded(found.sam * 20, None if found.hq is None else found.hq * 20, found.iou)

    def count(self, *, boxes: bool, hq: bool) -> int:
        """How many prompts were decoded that way."""
        return sum(n for n, b, h in self.asked if (b, h) == (boxes, hq))


def features_of(
    image: NDArray[Any], model: Any, limits: tuple[float, float] = (0, 255), **options: Any
) -> Features:
    """Of an image whose intensities from `limits[0]` to `limits[1]` are black to white."""
    source = open_image(image, **options)
    return Features(model, source, IntensityMapping.choose(source, limits))


def discs(
    shape: tuple[int, int], *at: tuple[float, float, float], low: int = 0, high: int = 255
) -> NDArray[np.uint8]:
    """A plane with discs (y, x, radius)."""
    image = np.full(shape, low, np.uint8)
    for inside in (disc(shape, *one) for one in at):
        image[inside] = high
    return image


def disc(shape: tuple[int, int], y: float, x: float, radius: float) -> NDArray[np.bool_]:
    """The pixels of a disc."""
    ys, xs = np.mgrid[: shape[0], : shape[1]]
    return np.asarray(np.hypot(ys - y, xs - x) <= radius)
