"""SAM and HQ + SAM of the given weights, as they are, under prompts that get better or worse."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from experiments.experiment import Scores, score
from experiments.windows import GROUPS, Windows
from napari_hqsam.modeling import HQSam, Mode, PromptBatch, TileFeatures
from napari_hqsam.training.prompts import exact_boxes, random_points

NOISE = (0.0, 0.2, 0.4)
CLICKS = (1, 3, 5, 10)
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
METHODS: dict[str, Mode] = {"SAM": "sam", "HQ + SAM": "hq+sam"}
_TRIALS = 3
_AT_ONCE = 16

Prompting = Callable[[Tensor, torch.Generator], PromptBatch]


def measure(model: HQSam, windows: Mapping[str, Windows]) -> Iterator[dict[str, Any]]:
    """For each kind and amount of prompts, method and group: figures of each window."""
    settings: list[tuple[str, float, int, Prompting]] = [
        ("box noise", noise, _TRIALS if noise else 1, noisy_box(noise)) for noise in NOISE
    ]
    # One click is the centre; of several the paper draws all, three times.
    settings += [("clicks", n, _TRIALS if n > 1 else 1, clicks(n)) for n in CLICKS]
    for kind, amount, trials, prompting in settings:
        for method, mode in METHODS.items():
            for group in GROUPS:
                found = [_trial(model, windows[group], prompting, mode, t) for t in range(trials)]
                figures = {k: np.mean([f[k] for f in found], axis=0).tolist() for k in found[0]}
                yield {
                    "kind": kind,
                    "amount": amount,
                    "method": method,
                    "group": group,
                    **figures,
                }


def noisy_box(scale: float) -> Prompting:
    """Boxes whose centre and size are off at random, by at most `scale` of what they are."""

    def prompt(masks: Tensor, generator: torch.Generator) -> PromptBatch:
        boxes = exact_boxes(masks)
        centre, size = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
        u = 2 * torch.rand((2, *centre.shape), generator=generator) - 1
        centre, half = centre + scale * u[0] * size / 2, size * (1 + scale * u[1]) / 2
        moved = torch.cat([centre - half, centre + half], dim=1)
        return PromptBatch(boxes=moved.clamp(0, masks.shape[-1] - 1) if scale else boxes)

    return prompt


def clicks(count: int) -> Prompting:
    """One click farthest from the edge, or several at random on the object."""

    def prompt(masks: Tensor, generator: torch.Generator) -> PromptBatch:
        if count == 1:
            points = _centres(masks)
        else:
            drawn = [random_points(masks, generator) for _ in range(count)]
            points = torch.cat(drawn, dim=1)
        return PromptBatch(points, torch.ones(points.shape[:2]))

    return prompt


def _trial(model: HQSam, windows: Windows, prompting: Prompting, mode: Mode, trial: int) -> Scores:
    generator = torch.Generator().manual_seed(trial)
    masks = windows.masks[:, 0].float()
    size = masks.shape[-1]
    out = []
    with torch.no_grad():
        for at in torch.arange(len(windows)).split(_AT_ONCE):
            embedding, early = windows.embedding[at], windows.early[at]
            hq = model.mask_decoder.hq_features(embedding, early) if mode != "sam" else None
            decoded = model.decode(
                TileFeatures(embedding, hq),
                torch.arange(len(at)),
                prompting(masks[at], generator),
                hq=hq is not None,
            )
            logits, _ = decoded.select(mode)
            out.append(F.interpolate(logits, (size, size), mode="bilinear")[:, 0] > 0)
    return score(torch.cat(out), windows)


def _centres(masks: Tensor) -> Tensor:
    from scipy.ndimage import distance_transform_edt

    out = []
    for mask in masks.numpy() > 0.5:
        depth = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
        y, x = np.unravel_index(int(depth.argmax()), depth.shape)
        out.append((x, y))
    return torch.tensor(out, dtype=torch.float32)[:, None]
