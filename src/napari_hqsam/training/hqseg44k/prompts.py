"""The prompts of the published training: one kind for each picture."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_hqsam.evaluation.coarse import coarse_mask
from napari_hqsam.modeling import PromptBatch

KINDS = ("box", "points", "mask")
POINTS = 10
# The published training hands the coarse mask over as it is stored, as 0 and 255.
_MASK_VALUE = 255.0


def draw_kind(generator: torch.Generator) -> str:
    """One of `KINDS`, each as often as the others."""
    return KINDS[int(torch.randint(len(KINDS), (), generator=generator))]


def draw_prompt(mask: Tensor, kind: str, generator: torch.Generator) -> PromptBatch:
    """Prompt one object.

    Parameters
    ----------
    mask : Tensor
        (1, S, S), 0 to 1, with at least ten pixels above 0.5.
    kind : {"box", "points", "mask"}
        The exact box, ten positive points, or a coarse mask.
    generator : torch.Generator
    """
    if kind == "mask":
        side = mask.shape[-1] // 4
        low = F.interpolate(mask[None], (side, side), mode="bilinear")
        return PromptBatch(masks=coarse_mask(low, generator) * _MASK_VALUE)
    pixels = torch.nonzero(mask[0] > 0.5).flip(1)  # (x, y)
    if kind == "box":
        box = torch.cat([pixels.amin(0), pixels.amax(0)])
        return PromptBatch(boxes=box[None].float())
    chosen = torch.randperm(len(pixels), generator=generator)[:POINTS].to(pixels.device)
    points = pixels[chosen][None].float()
    return PromptBatch(points, torch.ones(points.shape[:2], device=points.device))
