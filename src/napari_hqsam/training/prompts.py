"""Prompts made from true masks, as a user would give them."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_hqsam.modeling import PromptBatch


def exact_boxes(masks: Tensor) -> Tensor:
    """Tight boxes of (N, S, S) masks: (N, 4) x0, y0, x1, y1, the outermost pixel centres."""
    out = []
    for mask in masks > 0.5:
        ys, xs = torch.where(mask)
        out.append(torch.stack([xs.min(), ys.min(), xs.max(), ys.max()]))
    return torch.stack(out).float()


def noisy_boxes(boxes: Tensor, size: int, amount: float, generator: torch.Generator) -> Tensor:
    """Corners moved by up to `amount` of the box's side (SAM: a tenth, at most 20 px)."""
    side = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    limit = (amount * side).clamp(1, 20)
    shift = (torch.rand(boxes.shape, generator=generator).to(boxes.device) * 2 - 1) * limit
    return (boxes + shift).clamp(0, size - 1)


def random_points(region: Tensor, generator: torch.Generator) -> Tensor:
    """One point (N, 1, 2), (x, y), in each non-empty region of (N, S, S)."""
    out = []
    for mask in region > 0.5:
        pixels = torch.nonzero(mask)
        y, x = pixels[torch.randint(len(pixels), (), generator=generator)]
        out.append(torch.stack([x, y]))
    return torch.stack(out)[:, None].float()


def first_prompts(masks: Tensor, kind: str, generator: torch.Generator) -> PromptBatch:
    """The prompt that starts an object: "box", "point" or "box+point"."""
    points = labels = boxes = None
    if "box" in kind:
        boxes = noisy_boxes(exact_boxes(masks), masks.shape[-1], 0.1, generator)
    if "point" in kind:
        points = random_points(masks, generator)
        labels = torch.ones(points.shape[:2], device=points.device)
    return PromptBatch(points, labels, boxes)


def correction(
    prompts: PromptBatch, logits: Tensor, masks: Tensor, generator: torch.Generator
) -> PromptBatch:
    """Add a click in the error of `logits`, positive where the object is missed, else negative.

    Parameters
    ----------
    prompts : PromptBatch
        What has been given so far.
    logits : Tensor
        (N, 1, S/4, S/4) of the prediction, given back as the mask prompt.
    masks : Tensor
        (N, S, S) truth.
    generator : torch.Generator
    """
    size = masks.shape[-1]
    predicted = torch.nn.functional.interpolate(logits, (size, size), mode="bilinear")[:, 0] > 0
    wrong = predicted != (masks > 0.5)
    perfect = ~wrong.flatten(1).any(1)
    wrong[perfect] = masks[perfect] > 0.5
    new = random_points(wrong, generator)
    xy = new[:, 0].long()
    label = (
        masks[torch.arange(len(masks), device=masks.device), xy[:, 1], xy[:, 0]] > 0.5
    ).float()[:, None]
    if prompts.points is None or prompts.labels is None:
        points, labels = new, label
    else:
        points = torch.cat([prompts.points, new], dim=1)
        labels = torch.cat([prompts.labels, label], dim=1)
    return PromptBatch(points, labels, prompts.boxes, logits.detach())
