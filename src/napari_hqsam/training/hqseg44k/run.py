"""The training loop: SAM frozen, the HQ part learns.

Read it from top to bottom: `train` is the whole of it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from napari_hqsam.errors import HQSAMError
from napari_hqsam.modeling import HQSam, TileFeatures
from napari_hqsam.modeling.variants import hq_parameter_names
from napari_hqsam.training.hqseg44k.data import Pair
from napari_hqsam.training.hqseg44k.prompts import KINDS, draw_kind, draw_prompt
from napari_hqsam.training.hqseg44k.ranks import Ranks
from napari_hqsam.training.hqseg44k.samples import Sample, Samples
from napari_hqsam.training.hqseg44k.state import Log, State
from napari_hqsam.training.losses import hq_mask_loss
from napari_hqsam.weights import save_model


@dataclass(frozen=True)
class Recipe:
    """How long and how fast; the defaults are the paper's.

    Attributes
    ----------
    epochs : int
    batch : int
        Pictures that one step of the optimizer learns from, over all processes.
    learning_rate : float
        Of Adam.
    drop_epoch : int
        From this epoch on (counted from 0), and again after as many, a tenth of the rate before.
    images_at_once : int
        Pictures that the frozen encoder takes at once: memory against speed, never the result.
    workers : int
        Threads that read pictures ahead, in each process.
    save_every : int
        Steps between two saves within an epoch.
    """

    epochs: int = 12
    batch: int = 32
    learning_rate: float = 1e-3
    drop_epoch: int = 10
    images_at_once: int = 4
    workers: int = 4
    save_every: int = 50

    def rate(self, epoch: int) -> float:
        """The learning rate of an epoch."""
        return self.learning_rate * 0.1 ** (epoch // self.drop_epoch)


@dataclass(frozen=True)
class Progress:
    """What `train` reports after each step: epoch and loss of the step, seconds to the end."""

    epoch: int
    step: int
    total: int
    loss: float
    seconds_left: float


def train(
    model: HQSam,
    pairs: Sequence[Pair],
    folder: Path,
    recipe: Recipe | None = None,
    *,
    seed: int = 0,
    ranks: Ranks | None = None,
) -> Iterator[Progress]:
    """Train the 25 tensors of the HQ part of `model` in place, in float32.

    The folder gets, at the end of each epoch, `epoch_N.pth` (N from 0: the mask decoder, 145
    tensors without a prefix) and, at the end of all, `sam_hq_VARIANT.safetensors`, SAM with its HQ
    part; `log.csv`, a line for each step; and `state.pt`, from which a run that was cut off goes
    on, to the same result.

    Parameters
    ----------
    model : HQSam
        With SAM's weights, on its device; the same in all processes.
    pairs : sequence of Pair
    folder : Path
        Must exist.
    recipe : Recipe, optional
        The paper's by default.
    seed : int
        Of the order, windows, prompts and points.
    ranks : Ranks, optional
        This process among several; their gradients are added up.

    Yields
    ------
    Progress
        On every process.

    Raises
    ------
    HQSAMError
        If there are fewer pictures than a batch takes, a file cannot be read or written, or the
        loss is no longer finite.
    """
    recipe, ranks = recipe or Recipe(), ranks or Ranks()
    steps = _steps_per_epoch(len(pairs), recipe, ranks)
    total = steps * recipe.epochs
    hq = _freeze(model)
    optimizer = torch.optim.Adam(hq.values(), lr=recipe.learning_rate)
    state = State(folder / "state.pt", hq, optimizer)
    start = state.restore(ranks)
    share = recipe.batch // ranks.world
    places = (
        (step // steps, step % steps * recipe.batch + i)
        for step in range(start, total)
        for i in range(ranks.rank, recipe.batch, ranks.world)
    )
    began = time.monotonic()
    samples = Samples(pairs, model.input_size, seed).stream(places, recipe.workers)
    with closing(samples), Log(folder / "log.csv", KINDS, start, writes=ranks.leads) as log:
        for step in range(start, total):
            epoch = step // steps
            for group in optimizer.param_groups:
                group["lr"] = recipe.rate(epoch)
            optimizer.zero_grad(set_to_none=False)
            sums = torch.zeros(2, len(KINDS), device=model.device)
            for size in _portions(share, recipe.images_at_once):
                sums += _learn(model, list(islice(samples, size)), recipe.batch)
            ranks.add_up([sums, *(p.grad for p in hq.values() if p.grad is not None)])
            loss = float(sums[0].sum() / recipe.batch)
            if not math.isfinite(loss):
                raise HQSAMError(
                    f"{folder}: the loss of step {step} is {loss}; --base is unusable, or the "
                    "device at fault (what was saved is from before)"
                )
            optimizer.step()

            done = step + 1
            log.write(step, epoch, recipe.rate(epoch), loss, (sums[0] / sums[1]).tolist())
            if ranks.leads and done % steps == 0:
                decoder = {k: v.cpu() for k, v in model.mask_decoder.state_dict().items()}
                state.write(folder / f"epoch_{epoch}.pth", decoder)
            if ranks.leads and (done % steps == 0 or done % recipe.save_every == 0):
                state.save(done)
            seconds = (time.monotonic() - began) / (done - start)
            yield Progress(epoch, done, total, loss, seconds * (total - done))
    if ranks.leads:
        about = {"recipe": "hqseg44k", "epochs": str(recipe.epochs), "pictures": str(len(pairs))}
        save_model(model, merged_file(folder, model.variant), metadata=about)


def merged_file(folder: Path, variant: str) -> Path:
    """Where a finished run has put SAM with its HQ part."""
    return folder / f"sam_hq_{variant}.safetensors"


def _steps_per_epoch(pictures: int, recipe: Recipe, ranks: Ranks) -> int:
    if recipe.batch % ranks.world:
        raise HQSAMError(
            f"--batch {recipe.batch}: {ranks.world} processes cannot share it evenly; give a "
            f"multiple of {ranks.world}"
        )
    if pictures < recipe.batch:
        raise HQSAMError(f"--batch {recipe.batch}: there are only {pictures} pictures; give fewer")
    return pictures // recipe.batch  # as published, the rest of an epoch is left out


def _freeze(model: HQSam) -> dict[str, Tensor]:
    """Leave only the HQ part to learn; its tensors by name, each with a gradient of zeros."""
    names = hq_parameter_names(model)
    model.eval()  # batch norm of TinyViT keeps its statistics; the HQ part has none
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in names)
        parameter.grad = torch.zeros_like(parameter) if name in names else None
    return {name: p for name, p in model.named_parameters() if name in names}


def _portions(count: int, most: int) -> Iterator[int]:
    """`count` in portions of at most `most`."""
    for first in range(0, count, most):
        yield min(most, count - first)


def _learn(model: HQSam, samples: Sequence[Sample], batch: int) -> Tensor:
    """Add the gradients of a few samples, each with the weight 1 / `batch`.

    The encoder takes them together, without a gradient; decoder and backward go one by one, as
    each has a prompt of its own form: a step needs the memory of one sample, and the result does
    not depend on how samples are grouped.

    Returns
    -------
    Tensor
        (2, K): the sum of the losses, and the number of samples, of each kind of prompt.
    """
    sums = torch.zeros(2, len(KINDS), device=model.device)
    images = torch.stack([s.image for s in samples]).to(model.device)
    with torch.no_grad():
        embedding, early = model.image_encoder(model.preprocess(images.float()))
    first = torch.zeros(1, dtype=torch.int64, device=model.device)
    for i, sample in enumerate(samples):
        generator = torch.Generator().manual_seed(sample.seed)
        mask = sample.mask.to(model.device).float() / 255
        kind = draw_kind(generator)
        one = slice(i, i + 1)
        features = TileFeatures(
            embedding[one], model.mask_decoder.hq_features(embedding[one], early[one])
        )
        decoded = model.decode(features, first, draw_prompt(mask, kind, generator))
        logits, _ = decoded.select("hq")
        loss = hq_mask_loss(logits, mask[None], generator)
        (loss / batch).backward()
        sums[:, KINDS.index(kind)] += torch.stack([loss.detach(), torch.ones_like(loss)])
    return sums
