"""What is encoded and prompted: pictures of the size of a window, boxes and clicks in them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_hqsam.modeling import HQSam, PromptBatch

# Objects along a side of a picture; each has a cell of its own.
_OBJECTS = 8
# Radii of an object, as shares of its cell, and grey values.
_RADII, _DARK, _BRIGHT, _NOISE = (0.2, 0.45), 60, (110, 220), 10


def picture(side: int, seed: int = 0) -> NDArray[np.uint8]:
    """A noisy 8-bit picture (side, side, 3) of 8 × 8 ellipses, the same for a seed."""
    return _field(side, seed)[0]


def boxes(side: int, count: int, seed: int = 0) -> NDArray[np.float32]:
    """The exact boxes (count, 4) of some ellipses of `picture`, of 64 at most: x0, y0, x1, y1."""
    _, found = _field(side, seed)
    return found[np.random.default_rng(seed).permutation(len(found))[:count]]


def objects(model: HQSam, count: int, seed: int = 0) -> PromptBatch:
    """These boxes as prompts."""
    found = boxes(model.input_size, count, seed)
    return PromptBatch(boxes=torch.from_numpy(found).to(model.device))


def windows(model: HQSam, count: int) -> Tensor:
    """Pictures of the seeds from 0 as the model takes them, (count, 3, S, S), on its device."""
    pictures = np.stack([picture(model.input_size, seed) for seed in range(count)])
    pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).float()
    return model.preprocess(pixels.to(model.device))


def clicks(model: HQSam, per_side: int) -> PromptBatch:
    """One click each, on a grid of per_side × per_side points."""
    along = (np.arange(per_side) + 0.5) * model.input_size / per_side - 0.5
    y, x = np.meshgrid(along, along, indexing="ij")
    points = torch.from_numpy(np.stack([x, y], axis=-1).reshape(-1, 1, 2).astype(np.float32))
    points = points.to(model.device)
    return PromptBatch(points=points, labels=torch.ones(points.shape[:2], device=model.device))


def batches(prompts: PromptBatch, size: int = 1) -> list[PromptBatch]:
    """The prompts of a batch in smaller ones."""
    parts = {name: value.split(size) for name, value in vars(prompts).items() if value is not None}
    rows = zip(*parts.values(), strict=True)
    return [PromptBatch(**dict(zip(parts, row, strict=True))) for row in rows]


def of_image(prompts: PromptBatch, image: int = 0) -> Tensor:
    """The `image_index` of prompts that are all of one image."""
    given = next(value for value in vars(prompts).values() if value is not None)
    return torch.full((len(given),), image, dtype=torch.long, device=given.device)


def _field(side: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A picture, and the boxes (64, 4) of its ellipses: x0, y0, x1, y1, their outermost pixels."""
    rng = np.random.default_rng(seed)
    grey = np.full((side, side), float(_DARK))
    y, x = np.ogrid[:side, :side]
    cell, found = side / _OBJECTS, []
    for row, column in np.ndindex(_OBJECTS, _OBJECTS):
        (ry, rx), brightness = cell * rng.uniform(*_RADII, 2), rng.uniform(*_BRIGHT)
        cy, cx = (row + 0.5) * cell - 0.5, (column + 0.5) * cell - 0.5
        grey[((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 <= 1] = brightness
        found.append((np.ceil(cx - rx), np.ceil(cy - ry), np.floor(cx + rx), np.floor(cy + ry)))
    noisy = grey + _NOISE * rng.standard_normal(grey.shape)
    pixels = np.clip(noisy, 0, 255).astype(np.uint8)
    return np.repeat(pixels[..., None], 3, axis=2), np.array(found, np.float32)
