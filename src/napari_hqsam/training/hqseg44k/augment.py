"""Large-scale jitter: a picture at a tenth to twice the model's size, and a window of it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

_SMALLEST, _LARGEST = 0.1, 2.0
# The published training pads pictures with mid-grey, before normalisation.
_PADDING = 128


class Window(NamedTuple):
    """What the model sees.

    Attributes
    ----------
    image : Tensor
        (3, S, S) uint8.
    mask : Tensor
        (1, S, S) uint8, 0 to 255; grey where the edge passes through a pixel.
    """

    image: Tensor
    mask: Tensor


def jitter(
    image: NDArray[np.uint8], mask: NDArray[np.uint8], size: int, rng: np.random.Generator
) -> Window:
    """Flip half of the pictures, scale, cut a window out, pad below and to the right.

    The longer side becomes 0.1 to 2 times S, uniformly. Bilinear without antialiasing, as
    published.

    Parameters
    ----------
    image : ndarray
        (H, W, 3).
    mask : ndarray
        (H, W).
    size : int
        S, model pixels.
    rng : numpy.random.Generator
    """
    layers = torch.from_numpy(np.dstack([image, mask])).permute(2, 0, 1)
    if rng.random() < 0.5:
        layers = layers.flip(2)
    scale = rng.uniform(_SMALLEST, _LARGEST) * size / max(mask.shape)
    scaled = [max(1, round(n * scale)) for n in mask.shape]
    layers = F.interpolate(layers[None], scaled, mode="bilinear")[0]
    top, left = (int(rng.integers(max(n - size, 0) + 1)) for n in scaled)
    layers = layers[:, top : top + size, left : left + size]
    margin = (0, size - layers.shape[2], 0, size - layers.shape[1])
    return Window(F.pad(layers[:3], margin, value=_PADDING), F.pad(layers[3:], margin))
