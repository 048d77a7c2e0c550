"""Weights, images and prompts that every computer makes alike, bit for bit.

The tests and `make_expected.py`, which runs the official packages, take theirs from here. All of it
is integers and uniform draws of numpy's frozen `RandomState`: no function of a maths library that
could round otherwise elsewhere. Nothing here imports the package under test.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

TOLERANCE = 1e-5
"""What two right implementations may differ by, as a fraction of the largest value."""

# Tensors that are added to others, so that their size matters by itself, and not by their fan-in.
_ADDED = re.compile(
    r"token\.weight|tokens\.weight|point_embeddings|_embed\.weight|gaussian|attention_biases|pos_embed"
)


def _uniform(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """Draws of mean 0 and standard deviation 1, seeded by `key`."""
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "little")
    draws = np.random.RandomState(seed).random_sample(math.prod(shape)).astype(np.float32)
    return ((draws - 0.5) * math.sqrt(12)).reshape(shape)


def weight(key: str, shape: tuple[int, ...]) -> Tensor:
    """The tensor of one state-dict key; of such a size that signals neither die nor grow."""
    if key.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.long)
    draws = torch.from_numpy(_uniform(key, tuple(shape)))
    if _ADDED.search(key):
        return draws
    if key.endswith("running_var"):
        return 1 + 0.2 * draws
    if len(shape) == 1:
        return 0.2 * draws + (1.0 if key.endswith("weight") else 0.0)
    return draws / math.sqrt(math.prod(shape[1:]))


def weights(like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict with the keys and shapes of `like`, which may lie on the meta device."""
    return {key: weight(key, tuple(tensor.shape)) for key, tensor in like.items()}


def layout(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Keys and shapes in short."""
    lines = sorted(f"{key} {tuple(tensor.shape)}" for key, tensor in state.items())
    return {
        "keys": len(lines),
        "sha256": hashlib.sha256("\n".join(lines).encode()).hexdigest(),
    }


def _triangle(values: np.ndarray) -> np.ndarray:
    """A wave of period 510 between 0 and 255."""
    return np.abs(values % 510 - 255)


def image(height: int, width: int) -> np.ndarray:
    """RGB, (height, width, 3) uint8: slow waves with a bright disk and a dark bar on them."""
    y, x = np.mgrid[:height, :width].astype(np.int64)
    waves = [
        _triangle(3 * x + y),
        _triangle(2 * y - x + 100),
        _triangle(x * y // 64 + 2 * x),
    ]
    pixels = np.stack(waves, axis=-1) * 2 // 3 + 40
    radius = min(height, width) // 5
    disk = (y - height * 2 // 5) ** 2 + (x - width // 2) ** 2 < radius**2
    bar = (abs(y - height * 3 // 4) < height // 40) & (abs(x - width // 2) < width // 3)
    pixels[disk] += (40, 30, 0)
    pixels[bar] = (20, 25, 40)
    return pixels.clip(0, 255).astype(np.uint8)


def mask_logits(side: int) -> np.ndarray:
    """A mask prompt, (side, side) float32: positive in a diamond."""
    y, x = np.mgrid[:side, :side]
    distance = abs(y - side * 2 // 5) + abs(x - side // 2)
    return ((side // 4 - distance) / 8).clip(-6, 6).astype(np.float32)


def prompts(size: int) -> dict[str, dict[str, list]]:
    """One prompt of each kind for a model of `size` pixels, in model pixels (x, y)."""
    s = size / 1024
    point = {"points": [[512 * s, 380 * s]], "labels": [1]}
    points = {
        "points": [[480 * s, 420 * s], [150 * s, 800 * s], [600.5 * s, 333.25 * s]],
        "labels": [1, 0, 1],
    }
    box = {"box": [210 * s, 190 * s, 760 * s, 655 * s]}
    return {
        "point": point,
        "points": points,
        "box": box,
        "points+box": points | box,
        "point+mask": point | {"mask": ["diamond"]},
    }


def summary(tensor: Tensor, samples: int = 24) -> dict[str, Any]:
    """A tensor in a few numbers: its moments, and values at scattered places of the flat tensor."""
    flat = tensor.detach().double().flatten()
    places = torch.arange(samples) * 1_000_003 % len(flat)
    return {
        "shape": list(tensor.shape),
        "mean": flat.mean().item(),
        "std": flat.std().item(),
        "max": flat.abs().max().item(),
        "samples": flat[places].tolist(),
    }


def difference(tensor: Tensor, expected: Mapping[str, Any]) -> float:
    """The largest deviation from a `summary`, as a fraction of its largest value."""
    assert list(tensor.shape) == expected["shape"]
    ours = summary(tensor, len(expected["samples"]))
    pairs: Iterable[tuple[float, float]] = zip(ours["samples"], expected["samples"], strict=True)
    deviations = [abs(a - b) for a, b in pairs]
    deviations += [abs(ours[key] - expected[key]) for key in ("mean", "std", "max")]
    return max(deviations) / expected["max"]
