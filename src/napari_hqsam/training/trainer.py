"""The training loop: SAM first (stage "sam"), then, all else frozen, the HQ tensors ("hq").

Read it from top to bottom: `train` is the whole of it.
"""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from napari_hqsam.errors import HQSAMError
from napari_hqsam.modeling import HQSam
from napari_hqsam.modeling.variants import hq_parameter_names
from napari_hqsam.training.batch import TrainingSet, draw_batch
from napari_hqsam.training.recipe import Phase
from napari_hqsam.training.stages import hq_losses, sam_losses

SAVE_EVERY = 200
_EMA = 0.999


@dataclass(frozen=True)
class Progress:
    """What `train` reports at each step; times in seconds."""

    step: int
    total: int
    phase: Phase
    losses: dict[str, float]
    seconds_left: float


def train(
    model: HQSam,
    sets: Sequence[TrainingSet],
    phases: Sequence[Phase],
    folder: Path,
    *,
    seed: int = 0,
    learning_rate: float = 8e-4,
    autocast: bool = True,
    on_save: Callable[[HQSam], None] | None = None,
) -> Iterator[Progress]:
    """Train `model` in place through `phases`, and resume a run that was cut off.

    Parameters
    ----------
    model : HQSam
        `micro`, or another variant whose `input_size` can be set.
    sets : sequence of TrainingSet
    phases : sequence of Phase
        Stage "sam" before stage "hq".
    folder : Path
        Where `state.pt` and `log.csv` are kept. If they are there, training goes on from them.
    seed : int
        Of the samples, prompts and points.
    learning_rate : float
        Peak of stage 1 (AdamW; the backbone gets 0.3 of it). Stage 2 is Adam at 1e-3, as in the
        paper.
    autocast : bool
        bf16 in the decoder of stage 1.
    on_save : callable, optional
        Called with the averaged model whenever the state is saved.

    Yields
    ------
    Progress

    Raises
    ------
    HQSAMError
        If a data set has no planes to draw from, or none of them shows an object.
    """
    for data_set in sets:
        if not data_set.samplers:
            raise HQSAMError(f"{data_set.name}: no labelled plane to train on")
    folder.mkdir(parents=True, exist_ok=True)
    total = sum(p.steps for p in phases)
    # depthwise convolutions: twice as fast on a CPU
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    averaged = {k: v.clone() for k, v in model.state_dict().items()}
    run = _Run(model, averaged, folder / "state.pt")
    start = run.load()
    began, done = time.monotonic(), 0
    earlier = _rows_before(folder / "log.csv", start)

    with (
        ThreadPoolExecutor(1, "samples") as pool,
        open(folder / "log.csv", "w", newline="") as log,
    ):
        writer = csv.writer(log)
        writer.writerows(earlier)
        schedule = [p for p in phases for _ in range(p.steps)]
        ahead = [
            pool.submit(draw_batch, sets, schedule[s], seed, s)
            for s in range(start, start + 2)
            if s < total
        ]
        for step in range(start, total):
            phase = schedule[step]
            if step == start or phase.stage != schedule[step - 1].stage:
                stage_start = next(i for i, p in enumerate(schedule) if p.stage == phase.stage)
                stage_steps = sum(p.stage == phase.stage for p in schedule)
                optimizer = run.enter(phase.stage, learning_rate, fresh=step == stage_start)
            set_trainable(model, phase)
            batch = ahead.pop(0).result().to(model.device)
            if step + 2 < total:
                ahead.append(pool.submit(draw_batch, sets, schedule[step + 2], seed, step + 2))

            set_input_size(model, phase.size)
            factor = _rate(step - stage_start, stage_steps)
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * factor
            generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
            rounds = sam_losses if phase.stage == "sam" else hq_losses
            model.zero_grad(set_to_none=True)
            losses = rounds(model, batch, generator, autocast)
            losses["loss"].backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            run.average()

            done += 1
            seconds = (time.monotonic() - began) / done
            left = sum(seconds * _cost(p, phase) for p in schedule[step + 1 :])
            values = {k: float(v.detach()) for k, v in losses.items()}
            kind = (phase.stage, phase.size, batch.prompt, batch.rounds)
            writer.writerow([step, *kind, *(f"{k}={v:.5f}" for k, v in values.items())])
            if (
                (step + 1) % SAVE_EVERY == 0
                or step + 1 == total
                or phase.stage != schedule[step + 1].stage
            ):
                log.flush()
                run.save(step + 1, optimizer)
                if on_save is not None:
                    with run.averaged_weights():
                        on_save(model)
            yield Progress(step + 1, total, phase, values, left)
    model.load_state_dict(averaged)
    model.eval()


def _rows_before(log: Path, step: int) -> list[list[str]]:
    """Rows of the log of a run that goes on at `step`; what was done after it is done again."""
    if step == 0 or not log.exists():
        return []
    with open(log, newline="") as file:
        return [row for row in csv.reader(file) if row and int(row[0]) < step]


def set_input_size(model: HQSam, size: int) -> None:
    """Let a fully convolutional model take windows of `size` model pixels."""
    model.input_size = size
    model.prompt_encoder.input_size = size  # type: ignore[assignment]


def set_trainable(model: HQSam, phase: Phase) -> None:
    """Freeze what `phase` does not train; batch norm of what is frozen keeps its statistics."""
    hq = hq_parameter_names(model)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_((name in hq) == (phase.stage == "hq"))
    model.train(phase.stage == "sam")
    if phase.stage == "sam" and phase.frozen:
        backbone: Any = model.image_encoder.backbone
        for module in (backbone.stem, *backbone.stages[: phase.frozen]):
            module.requires_grad_(False).eval()


class _Run:
    """The weights being trained, their moving average, and the file that holds both."""

    def __init__(self, model: HQSam, averaged: dict[str, Tensor], path: Path) -> None:
        self.model, self.averaged, self.path = model, averaged, path
        self._optimizer_state: dict | None = None
        self._updates = 0

    def load(self) -> int:
        """Take up a saved run; the step to go on with."""
        if not self.path.exists():
            return 0
        state = torch.load(self.path, map_location="cpu", weights_only=True)
        self.model.load_state_dict(state["model"])
        for key, value in state["averaged"].items():
            self.averaged[key].copy_(value)
        self._optimizer_state, self._updates = state["optimizer"], state["updates"]
        return int(state["step"])

    def save(self, step: int, optimizer: torch.optim.Optimizer) -> None:
        state = {
            "step": step,
            "model": self.model.state_dict(),
            "averaged": self.averaged,
            "optimizer": optimizer.state_dict(),
            "updates": self._updates,
        }
        part = self.path.with_suffix(".part")
        torch.save(state, part)
        part.replace(self.path)

    def enter(self, stage: str, learning_rate: float, *, fresh: bool) -> torch.optim.Optimizer:
        """Make the optimizer of a stage."""
        model, hq = self.model, hq_parameter_names(self.model)
        if stage == "hq" and fresh:
            model.load_state_dict(self.averaged)  # the frozen base is the averaged one
        # In the order of the model, not of a set: a resumed run matches its state by place.
        trained = [p for name, p in model.named_parameters() if (name in hq) == (stage == "hq")]
        if stage == "hq":
            optimizer: torch.optim.Optimizer = torch.optim.Adam(
                [{"params": trained, "peak": 1e-3}], lr=1e-3
            )
        else:
            backbone = set(model.image_encoder.backbone.parameters())  # type: ignore[union-attr]
            pretrained = [p for p in trained if p in backbone]
            rest = [p for p in trained if p not in backbone]
            optimizer = torch.optim.AdamW(
                [
                    {"params": pretrained, "peak": 0.3 * learning_rate},
                    {"params": rest, "peak": learning_rate},
                ],
                lr=learning_rate,
                weight_decay=0.01,
            )
        if fresh:
            self._updates = 0
        elif self._optimizer_state is not None:
            optimizer.load_state_dict(self._optimizer_state)
        return optimizer

    def average(self) -> None:
        """Move the average towards the weights, fast at first."""
        self._updates += 1
        decay = min(_EMA, (1 + self._updates) / (10 + self._updates))
        with torch.no_grad():
            for key, value in self.model.state_dict().items():
                if value.is_floating_point():
                    self.averaged[key].lerp_(value, 1 - decay)
                else:
                    self.averaged[key].copy_(value)

    def averaged_weights(self) -> _Swapped:
        return _Swapped(self.model, self.averaged)


class _Swapped:
    """The model with other weights, in eval mode, for the length of a `with` block."""

    def __init__(self, model: HQSam, weights: dict[str, Tensor]) -> None:
        self.model, self.weights = model, weights

    def __enter__(self) -> HQSam:
        self.own = {k: v.clone() for k, v in self.model.state_dict().items()}
        self.modes = {module: module.training for module in self.model.modules()}
        self.model.load_state_dict(self.weights)
        return self.model.eval()

    def __exit__(self, *error: object) -> None:
        self.model.load_state_dict(self.own)
        for module, training in self.modes.items():
            module.training = training


def _rate(step: int, steps: int) -> float:
    """Linear warm-up, then a cosine to a hundredth."""
    warm = min(200, max(1, steps // 10))
    if step < warm:
        return (step + 1) / warm
    return 0.01 + 0.99 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm))) / 2


def _cost(phase: Phase, current: Phase) -> float:
    """Seconds of a step of `phase` as a multiple of one of `current`, by pixels."""
    return (phase.size**2 * phase.images) / (current.size**2 * current.images)
