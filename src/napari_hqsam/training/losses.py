"""Losses: SAM's for stage 1, HQ-SAM's for stage 2."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """1 - dice with +1 smoothing, (N,), of (N, ...) logits and soft targets."""
    p, t = logits.sigmoid().flatten(1), target.flatten(1)
    return 1 - (2 * (p * t).sum(1) + 1) / (p.sum(1) + t.sum(1) + 1)


def focal_loss(logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Weighted focal loss for soft targets (Li et al., NeurIPS 2020, eq. 6 with β = 2), (N,)."""
    bce = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    focal = (target - logits.sigmoid()).abs() ** 2 * bce
    return (weights * focal).flatten(1).sum(1) / weights.flatten(1).sum(1)


def edge_weights(target: Tensor, width: int = 4, weight: float = 4.0) -> Tensor:
    """1, and `weight` more within `width` pixels of an edge: (N, 1, h, w) of soft masks."""
    rows, columns = (2 * width + 1, 1), (1, 2 * width + 1)

    def widest(x: Tensor) -> Tensor:
        x = F.max_pool2d(x, rows, 1, (width, 0))
        return F.max_pool2d(x, columns, 1, (0, width))

    return 1 + weight * (widest(target) + widest(-target))


def sam_mask_loss(logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """SAM's mask loss, focal 20 : dice 1, (N,), with more weight on some pixels in the former."""
    return 20 * focal_loss(logits, target, weights) + dice_loss(logits, target)


def soft_iou(logits: Tensor, target: Tensor) -> Tensor:
    """IoU of the thresholded masks, (N,): what the IoU head learns to predict."""
    p, t = (logits > 0).flatten(1), (target > 0.5).flatten(1)
    return (p & t).sum(1) / (p | t).sum(1).clamp(min=1)


def sample_uncertain_points(
    logits: Tensor,
    generator: torch.Generator,
    points: int = 112 * 112,
    oversample: float = 3,
    uncertain: float = 0.75,
) -> Tensor:
    """Where PointRend looks (Kirillov et al., CVPR 2020): (N, P, 2) in 0-1, (x, y).

    Parameters
    ----------
    logits : Tensor
        (N, 1, h, w).
    generator : torch.Generator
    points : int
        P; HQ-SAM's 112².
    oversample : float
        Candidates drawn, as a multiple of P.
    uncertain : float
        Share of P taken from the candidates with the smallest |logit|; the rest is uniform.
    """
    n = logits.shape[0]
    drawn = torch.rand((n, int(points * oversample), 2), generator=generator)
    candidates = drawn.to(logits.device)
    values = point_values(logits, candidates)
    keep = int(points * uncertain)
    best = values.abs().topk(keep, dim=1, largest=False).indices
    chosen = candidates.gather(1, best[..., None].expand(-1, -1, 2))
    uniform = torch.rand((n, points - keep, 2), generator=generator)
    return torch.cat([chosen, uniform.to(logits.device)], dim=1)


def point_values(planes: Tensor, points: Tensor) -> Tensor:
    """Bilinear values (N, P) of (N, 1, h, w) at (N, P, 2) in 0-1."""
    grid = 2 * points[:, :, None] - 1
    return F.grid_sample(planes, grid, mode="bilinear", align_corners=False)[:, 0, :, 0]


def hq_mask_loss(logits: Tensor, masks: Tensor, generator: torch.Generator) -> Tensor:
    """HQ-SAM's loss: BCE + dice at sampled points, a scalar.

    Parameters
    ----------
    logits : Tensor
        (N, 1, S/4, S/4).
    masks : Tensor
        (N, 1, S, S), 0 to 1.
    generator : torch.Generator
    """
    with torch.no_grad():
        points = sample_uncertain_points(logits.detach(), generator)
        target = point_values(masks, points)
    values = point_values(logits, points)
    bce = F.binary_cross_entropy_with_logits(values, target, reduction="none").mean(1)
    return (bce + dice_loss(values, target)).mean()
