"""Batches: which windows and objects a step learns from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_hqsam.errors import HQSAMError
from napari_hqsam.training import recipe
from napari_hqsam.training.augment import Sample
from napari_hqsam.training.recipe import Phase

_T = TypeVar("_T")
# Draws without an object, for one batch, after which the labels must be at fault.
_MOST_EMPTY = 1000


class Sampler(Protocol):
    """What samples are drawn from: a `WindowSampler`, or what makes its planes itself."""

    @property
    def ids(self) -> NDArray[np.int64]:
        """The objects; none if nothing can be drawn."""

    def draw(
        self, rng: np.random.Generator, size: int, objects: int, *, part: bool = False
    ) -> Sample | None:
        """As `WindowSampler.draw`."""


@dataclass(frozen=True)
class TrainingSet:
    """Samplers of the planes of one data set, and how often it is drawn from."""

    name: str
    samplers: Sequence[Sampler]
    weight: float = 1.0


@dataclass(frozen=True)
class Batch:
    """What one step learns from.

    Attributes
    ----------
    images : Tensor
        Windows (B, 3, S, S) in 0-255.
    masks : Tensor
        Objects (N, S, S), 0 or 1.
    image_index : Tensor
        The window (N,) that each object belongs to.
    prompt : str
        The kind of prompt to begin with, one of `recipe.PROMPTS`.
    rounds : int
        How often the objects are predicted, each time with one more correction.
    """

    images: Tensor
    masks: Tensor
    image_index: Tensor
    prompt: str = "box"
    rounds: int = 1

    def to(self, device: torch.device) -> Batch:
        """The same batch on `device`."""
        tensors = (self.images, self.masks, self.image_index)
        images, masks, image_index = (t.to(device) for t in tensors)
        return replace(self, images=images, masks=masks, image_index=image_index)


def draw_batch(sets: Sequence[TrainingSet], phase: Phase, seed: int, step: int) -> Batch:
    """The batch of one step; it depends on `seed` and `step` alone, so a run can be resumed."""
    rng = np.random.default_rng((seed, step))
    weights = np.array([s.weight for s in sets])
    prompt, rounds = _choice(rng, recipe.PROMPTS), _choice(rng, recipe.ROUNDS)
    samples: list[Sample] = []
    empty = 0
    while len(samples) < phase.images:
        chosen = sets[rng.choice(len(sets), p=weights / weights.sum())].samplers
        part = prompt == "mask" and rng.random() < recipe.PART_WINDOWS
        sampler = chosen[int(rng.integers(len(chosen)))]
        sample = sampler.draw(rng, phase.size, phase.objects, part=part)
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
        prompt,
        rounds,
    )


def _choice(rng: np.random.Generator, shares: Mapping[_T, float]) -> _T:
    return list(shares)[rng.choice(len(shares), p=list(shares.values()))]
