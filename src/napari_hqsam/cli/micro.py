"""The recipe micro of `napari-hqsam train`: the embedded model, from labelled images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from napari_hqsam.cli.console import error_console
from napari_hqsam.cli.run import begun, check_settings, progress, stopped, write_settings
from napari_hqsam.errors import HQSAMError

if TYPE_CHECKING:
    from napari_hqsam.modeling import HQSam


def train_micro(
    data: Sequence[Path],
    run: Path,
    *,
    stage: str,
    base: Path | None,
    also: Sequence[str],
    skip: Sequence[str],
    data_weight: Sequence[str],
    synthetic: float,
    steps_factor: float,
    device: str,
    seed: int,
) -> None:
    """Train, or go on with a run; see `train` for the options."""
    from napari_hqsam.modeling import build, choose_device
    from napari_hqsam.training import setup, trainer
    from napari_hqsam.weights import model_info, save_model

    target = choose_device(device)
    if base is not None and str(base) == "micro" and not base.exists():
        base = model_info("micro").path
    phases = setup.phases(stage, steps_factor, again=base is not None)
    if stage == "hq" and base is None:
        raise HQSAMError("--stage hq: give the SAM that stays as it is with --base PATH")
    if not 0 <= synthetic < float("inf"):
        raise HQSAMError(f"--synthetic {synthetic:g}: give a weight, not negative")
    with error_console().status("reading") as status:
        sets = setup.read_training_sets(
            data,
            also=also,
            skip=skip,
            weights=_weights(data_weight),
            on_read=lambda name: status.update(f"reading {name}"),
        )
    planes = sum(len(s.samplers) for s in sets)
    if synthetic > 0:
        sets = [*sets, setup.synthetic_set(synthetic)]
    settings = {
        "recipe": "micro",
        "stage": stage,
        "base": None if base is None else str(base.resolve()),
        "steps_factor": steps_factor,
        "seed": seed,
        "sets": {s.name: {"planes": len(s.samplers), "weight": s.weight} for s in sets},
    }
    resumed = begun(run)
    if resumed:
        check_settings(run, settings)
        model = build("micro")  # the state brings its weights
    else:
        model = setup.starting_model(base, seed=seed)
        write_settings(run, settings)
    model.to(target)
    weights = run / "micro.safetensors"
    about = {"trained_on": ", ".join(s.name for s in sets)}

    def save(model: HQSam) -> None:
        save_model(model, weights, dtype="float16", metadata=about)

    typer.echo(f"{'Going on' if resumed else 'Training'} with {len(sets)} sets, {planes} planes")
    with progress() as show:
        try:
            for report in trainer.train(model, sets, phases, run, seed=seed, on_save=save):
                phase, loss = report.phase, report.losses["loss"]
                about_step = f"{phase.stage} {phase.size}  loss {loss:.3f}"
                show(report.step, report.total, report.seconds_left, about_step)
        except KeyboardInterrupt:
            raise stopped(run) from None
    save(model)
    typer.echo(f"{weights}: ready for --checkpoint {weights}")


def _weights(texts: Iterable[str]) -> dict[str, float]:
    weights = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        try:
            weights[name] = float(number)
        except ValueError:
            weights[name] = -1.0
        if not name or not 0 <= weights[name] < float("inf"):
            raise HQSAMError(
                f"--data-weight {text}: give NAME=W such as nuclei=2.5, W not negative"
            )
    return weights
