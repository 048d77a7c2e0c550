"""The recipe hqseg44k of `napari-hqsam train`: HQ-SAM's published training."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from napari_hqsam.cli.console import warn
from napari_hqsam.cli.run import Show, begun, check_settings, progress, stopped, write_settings
from napari_hqsam.errors import HQSAMError

if TYPE_CHECKING:
    from napari_hqsam.training.hqseg44k import Pair, Ranks, Recipe


def train_hqseg44k(
    data: Sequence[Path],
    run: Path,
    *,
    base: Path | None,
    variant: str | None,
    epochs: int,
    batch: int,
    images_at_once: int,
    workers: int,
    device: str,
    seed: int,
) -> None:
    """Train, or go on with a run; see `train` for the options."""
    from napari_hqsam.training import hqseg44k

    recipe = hqseg44k.Recipe(
        epochs=epochs, batch=batch, images_at_once=images_at_once, workers=workers
    )
    ranks = hqseg44k.launched_as()
    try:
        if base is None:
            raise HQSAMError("--recipe hqseg44k: give the SAM that stays as it is with --base PATH")
        if len(data) > 1:
            raise HQSAMError(
                f"{data[1]}: --recipe hqseg44k takes one folder, with DIS5K, cascade_psp and "
                "thin_object_detection in it"
            )
        target = hqseg44k.rank_device(device)
        found, missing = hqseg44k.find_pairs(data[0])
        model = hqseg44k.starting_model(base, variant, seed=seed).to(target)
        if ranks.leads:
            _open_run(run, base, model.variant, recipe, seed, found)
    except HQSAMError:
        if ranks.leads:
            raise
        raise typer.Exit(2) from None  # the leader has the same to say
    if ranks.leads and missing:
        names = ", ".join(f"{s.name} ({s.images})" for s in missing)
        warn(f"{data[0]}: without {names}, which are not there")
    pairs = [pair for subset in found.values() for pair in subset]
    if ranks.leads:
        _announce(model.variant, found, ranks)
    with hqseg44k.process_group(target) as ranks, _progress(ranks) as show:
        try:
            for report in hqseg44k.train(model, pairs, run, recipe, seed=seed, ranks=ranks):
                about = f"epoch {report.epoch}  loss {report.loss:.3f}"
                show(report.step, report.total, report.seconds_left, about)
        except KeyboardInterrupt:
            raise stopped(run) from None
    if ranks.leads:
        merged = hqseg44k.merged_file(run, model.variant)
        typer.echo(f"{merged}: ready for --model {model.variant} --checkpoint {merged}")


def _open_run(
    run: Path,
    base: Path,
    variant: str,
    recipe: Recipe,
    seed: int,
    found: dict[str, list[Pair]],
) -> None:
    settings = {
        "recipe": "hqseg44k",
        "base": str(base.resolve()),
        "variant": variant,
        "epochs": recipe.epochs,
        "batch": recipe.batch,
        "seed": seed,
        "sets": {name: len(pairs) for name, pairs in found.items()},
    }
    if begun(run):
        check_settings(run, settings)
        typer.echo(f"Going on with the run in {run}")
    else:
        write_settings(run, settings)


def _announce(variant: str, found: dict[str, list[Pair]], ranks: Ranks) -> None:
    sets = ", ".join(f"{name} {len(pairs)}" for name, pairs in found.items())
    pictures = sum(len(pairs) for pairs in found.values())
    several = f" in {ranks.world} processes" if ranks.world > 1 else ""
    typer.echo(f"Training the HQ part of {variant}{several} on {pictures} pictures: {sets}")


def _progress(ranks: Ranks) -> AbstractContextManager[Show]:
    return progress() if ranks.leads else nullcontext(lambda *_: None)
