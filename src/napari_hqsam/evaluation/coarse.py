"""A coarse mask made of a fine one: the prompt of someone who has an approximate mask."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# What the coarse grid cannot show is disturbed: 8 × 8 pixels, a residual of 0.01, noise of σ = 1.
_FACTOR, _RESIDUAL, _SIGMA = 8, 0.01, 1.0


def coarse_mask(masks: Tensor, generator: torch.Generator) -> Tensor:
    """Disturb masks where they are fine, as in HQ-SAM's training (section 4.1).

    Pixels that change when the mask is shrunk eightfold and enlarged again, that is, those near
    the boundary and in thin parts, get Gaussian noise; the sum is thresholded at 0.5.

    Parameters
    ----------
    masks : Tensor
        (N, 1, 256, 256), 0 to 1. Other sizes do too, from 8 pixels on.
    generator : torch.Generator
        On the CPU, so that the masks are the same on every device.

    Returns
    -------
    Tensor
        (N, 1, 256, 256), 0 or 1.
    """
    size = masks.shape[-2:]
    small = F.interpolate(masks, [n // _FACTOR for n in size], mode="bilinear")
    residual = (masks - F.interpolate(small, size, mode="bilinear")).abs()
    noise = torch.randn(masks.shape, generator=generator).to(masks) * _SIGMA
    return (masks + noise * (residual >= _RESIDUAL) > 0.5).to(masks.dtype)
