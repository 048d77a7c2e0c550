"""Batches: which windows and objects a step learns from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from napari_hqsam.errors import HQSAMError
from napari_hqsam.training.augment import Sample, WindowSampler
from napari_hqsam.training.recipe import Phase

# Draws without an object, for one batch, after which the labels must be at fault.
_MOST_EMPTY = 1000


@dataclass(frozen=True)
class TrainingSet:
    """Samplers of the planes of one data set, and how often it is drawn from."""

    name: str
    samplers: list[WindowSampler]
    weight: float = 1.0


@dataclass(frozen=True)
class Batch:
    """Windows (B, 3, S, S) in 0-255, objects (N, S, S) and the window (N,) each belongs to."""

    images: Tensor
    masks: Tensor
    image_index: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same batch on `device`."""
        return Batch(self.images.to(device), self.masks.to(device), self.image_index.to(device))


def draw_batch(sets: Sequence[TrainingSet], phase: Phase, seed: int, step: int) -> Batch:
    """The batch of one step; it depends on `seed` and `step` alone, so a run can be resumed."""
    rng = np.random.default_rng((seed, step))
    weights = np.array([s.weight for s in sets])
    samples: list[Sample] = []
    empty = 0
    while len(samples) < phase.images:
        chosen = sets[rng.choice(len(sets), p=weights / weights.sum())].samplers
        sample = chosen[rng.integers(len(chosen))].draw(rng, phase.size, phase.objects)
        if sample is not None:
            samples.append(sample)
            continue
        empty += 1
        if empty > _MOST_EMPTY:
            names = ", ".join(s.name for s in sets)
            raise HQSAMError(f"{names}: no window shows an object large enough to train on")
    return Batch(
        torch.stack([s.image for s in samples]),
        torch.cat([s.masks for s in samples]),
        torch.arange(phase.images).repeat_interleave(phase.objects),
    )
