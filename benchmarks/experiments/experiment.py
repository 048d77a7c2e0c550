"""Train one variant, measure it."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from experiments.variants import Inputs, Sam, boundary_band, coarsened
from experiments.windows import GROUPS, Windows
from napari_hqsam.evaluation.metrics import boundary_iou, boundary_width, mask_iou
from napari_hqsam.modeling import HQSam, PromptBatch
from napari_hqsam.training.losses import dice_loss, point_values, sample_uncertain_points
from napari_hqsam.training.prompts import exact_boxes, first_prompts, random_points

# Kinds of prompts, taking turns: the paper's. A batch has one kind.
_KINDS = ("box", "points", "mask")
_CLICKS = 10
_EVALUATED_AT_ONCE = 16
# The trials for the learning rate start from a seed that no run has.
_TRIAL_SEED = 1_000


@dataclass(frozen=True)
class Budget:
    """What every variant gets.

    Attributes
    ----------
    steps : int
    batch : int
        Objects a step, each with a window of its own.
    points : int
        Points of an object at which the loss is taken.
    rates : tuple of float
        Adam's learning rates to choose from, by trials of a third of the steps.
    """

    steps: int = 150
    batch: int = 8
    points: int = 4096
    rates: tuple[float, ...] = (1e-4, 1e-3, 1e-2)


Scores = dict[str, list[float]]  # "iou" and "boundary_iou" of each window


def choose_rate(
    variant: type[Sam], model: HQSam, windows: Mapping[str, Windows], budget: Budget
) -> float:
    """The rate that does best on windows kept aside, by mean IoU + mean boundary IoU."""
    if not variant.learns or len(budget.rates) == 1:
        return budget.rates[0]

    def quality(rate: float) -> float:
        steps = max(1, budget.steps // 3)
        decoder = train(variant, model, windows["train"], budget, _TRIAL_SEED, rate, steps)
        scores = evaluate(decoder, model, windows["tune"])
        return float(np.mean(scores["iou"]) + np.mean(scores["boundary_iou"]))

    return max(budget.rates, key=quality)


def run(
    variant: type[Sam],
    model: HQSam,
    windows: Mapping[str, Windows],
    budget: Budget,
    seed: int,
    rate: float,
) -> dict[str, Any]:
    """Train with one seed and measure in all groups."""
    began = time.monotonic()
    decoder = train(variant, model, windows["train"], budget, seed, rate, budget.steps)
    seconds = time.monotonic() - began
    return {
        "title": variant.title,
        "parameters": sum(p.numel() for p in learning(decoder)),
        "rate": rate if variant.learns else None,
        "seconds": seconds if variant.learns else None,
        "scores": {group: evaluate(decoder, model, windows[group]) for group in GROUPS},
    }


def learning(decoder: Sam) -> list[Tensor]:
    """The tensors that the variant trains."""
    named = decoder.named_parameters()
    return [p for name, p in named if name.startswith(decoder.learns or ("-",))]


def train(
    variant: type[Sam],
    model: HQSam,
    windows: Windows,
    budget: Budget,
    seed: int,
    rate: float,
    steps: int,
) -> Sam:
    """Train a fresh decoder. Variants with the same seed see the same windows and prompts."""
    decoder = variant(model.mask_decoder, seed).eval().requires_grad_(False)
    parameters = learning(decoder)
    if not parameters:
        return decoder
    for parameter in parameters:
        parameter.requires_grad_(True)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(parameters, lr=rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: _share_of_rate(i, steps))
    for step in range(steps):
        at = torch.randint(len(windows), (budget.batch,), generator=generator)
        which = torch.randint(windows.masks.shape[1], (budget.batch,), generator=generator)
        masks = windows.masks[at, which].float()
        if variant.coarse_masks:
            masks = coarsened(masks)
        prompts = _prompts(masks, _KINDS[step % len(_KINDS)], generator)
        learnt, _ = decoder(inputs(model, windows, at, prompts))
        loss = _loss(learnt, masks[:, None], generator, budget.points, variant.boundary_loss)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
    return decoder


def inputs(model: HQSam, windows: Windows, at: Tensor, prompts: PromptBatch) -> Inputs:
    """What a decoder is given for prompts in the windows `at`, (N,)."""
    points = None
    if prompts.points is not None and prompts.labels is not None:
        points = prompts.points, prompts.labels
    with torch.no_grad():
        encoder = model.prompt_encoder
        sparse, dense = encoder(points=points, boxes=prompts.boxes, masks=prompts.masks)
        return Inputs(
            windows.embedding[at], windows.early[at], encoder.get_dense_pe(), sparse, dense
        )


def answers(decoder: Sam, model: HQSam, windows: Windows) -> Tensor:
    """Logits (W, S, S) of the first object of each window, prompted by its exact box."""
    out = []
    size = windows.masks.shape[-1]
    with torch.no_grad():
        for at in torch.arange(len(windows)).split(_EVALUATED_AT_ONCE):
            boxes = exact_boxes(windows.masks[at, 0].float())
            _, logits = decoder(inputs(model, windows, at, PromptBatch(boxes=boxes)))
            out.append(F.interpolate(logits, (size, size), mode="bilinear")[:, 0])
    return torch.cat(out)


def evaluate(decoder: Sam, model: HQSam, windows: Windows) -> Scores:
    """Figures of each window."""
    return score(answers(decoder, model, windows) > 0, windows)


def score(masks: Tensor, windows: Windows) -> Scores:
    """Compare masks (W, S, S) with the first object of each window."""
    pairs = list(zip(windows.masks[:, 0].numpy(), masks.numpy(), strict=True))
    return {
        "iou": [mask_iou(a, b) for a, b in pairs],
        "boundary_iou": [
            boundary_iou(a, b, band)
            for (a, b), band in zip(pairs, windows.bands.tolist(), strict=True)
        ],
    }


def _prompts(masks: Tensor, kind: str, generator: torch.Generator) -> PromptBatch:
    if kind == "box":
        return PromptBatch(boxes=exact_boxes(masks))
    if kind == "points":
        clicks = torch.cat([random_points(masks, generator) for _ in range(_CLICKS)], dim=1)
        return PromptBatch(clicks, torch.ones(clicks.shape[:2]))
    return first_prompts(masks, "mask", generator)


def _loss(
    logits: Tensor, masks: Tensor, generator: torch.Generator, points: int, boundary: bool
) -> Tensor:
    """The paper's BCE + dice at sampled points; with `boundary`, at those near an edge only."""
    with torch.no_grad():
        at = sample_uncertain_points(logits.detach(), generator, points)
        target = point_values(masks, at)
        weight = torch.ones_like(target)
        if boundary:
            band = boundary_band(masks, boundary_width(tuple(masks.shape[-2:])))
            weight = (point_values(band, at) > 0.5).float()
    values = point_values(logits, at)
    bce = F.binary_cross_entropy_with_logits(values, target, reduction="none")
    bce = (weight * bce).sum(1) / weight.sum(1).clamp(min=1)
    # A point that does not count is background, and known to be.
    counted = torch.where(weight > 0, values, -30.0)
    return (bce + dice_loss(counted, weight * target)).mean()


def _share_of_rate(step: int, steps: int) -> float:
    """Linear warm-up over a tenth of the steps, then a cosine."""
    warm = max(1, steps // 10)
    if step < warm:
        return (step + 1) / warm
    return (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm))) / 2
