"""`napari-hqsam train`: the embedded model, or its HQ part, from labelled images."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_hqsam.cli.console import error_console, progress_bar
from napari_hqsam.errors import HQSAMError

if TYPE_CHECKING:
    from napari_hqsam.modeling import HQSam
    from napari_hqsam.training.trainer import Progress

# Steps between two lines where there is no terminal for a bar.
_LINE_EVERY = 50


def train(
    data: Annotated[
        list[Path],
        typer.Argument(
            metavar="DATA...", help="Data sets, or folders of them: NAME/images and NAME/masks."
        ),
    ],
    run: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER", help="Folder of this run; given again, the run is taken up again."
        ),
    ],
    stage: Annotated[
        str,
        typer.Option(
            metavar="STAGE", help="all (SAM, then HQ), sam, or hq (the HQ part of --base alone)."
        ),
    ] = "all",
    base: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Weights to start from; by default those of ImageNet."),
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option(metavar="FOLDER", help="Use these labels too where a set has them."),
    ] = None,
    skip: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Leave this data set out.")
    ] = None,
    data_weight: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=W", help="How often this set is drawn from; others 1."),
    ] = None,
    steps_factor: Annotated[
        float, typer.Option(metavar="X", help="Multiplies the number of steps.")
    ] = 1.0,
    device: Annotated[
        str, typer.Option(metavar="DEVICE", help="auto, cpu, cuda, cuda:N or mps.")
    ] = "auto",
    seed: Annotated[
        int, typer.Option(metavar="N", help="Of samples, prompts and random weights.")
    ] = 0,
) -> None:
    """Train the model micro on labelled images.

    A data set is a folder with images/ and masks/: files of the same name, PNG or TIFF; a mask is a
    label image, 0 for background and a number for each object. A fifth of each set is left out, for
    validation.

    The run folder gets micro.safetensors, for --checkpoint, each time the state is saved. After an
    interruption the same command goes on from there.
    """
    from napari_hqsam.modeling import build, choose_device
    from napari_hqsam.training import setup, trainer
    from napari_hqsam.weights import save_model

    target = choose_device(device)
    phases = setup.phases(stage, steps_factor)
    if stage == "hq" and base is None:
        raise HQSAMError("--stage hq: give the SAM that stays as it is with --base PATH")
    with error_console().status("reading") as status:
        sets = setup.read_training_sets(
            data,
            also=also or (),
            skip=skip or (),
            weights=_weights(data_weight or ()),
            on_read=lambda name: status.update(f"reading {name}"),
        )
    settings = {
        "stage": stage,
        "base": None if base is None else str(base.resolve()),
        "steps_factor": steps_factor,
        "seed": seed,
        "sets": {s.name: {"planes": len(s.samplers), "weight": s.weight} for s in sets},
    }
    resumed = (run / "state.pt").exists()
    if resumed:
        _check_settings(run, settings)
        model = build("micro")  # the state brings its weights
    else:
        model = setup.starting_model(base, seed=seed)
        _write_settings(run, settings)
    model.to(target)
    weights = run / "micro.safetensors"
    about = {"trained_on": ", ".join(s.name for s in sets)}

    def save(model: HQSam) -> None:
        save_model(model, weights, dtype="float16", metadata=about)

    planes = sum(len(s.samplers) for s in sets)
    typer.echo(f"{'Going on' if resumed else 'Training'} with {len(sets)} sets, {planes} planes")
    with _shown() as show:
        try:
            for report in trainer.train(model, sets, phases, run, seed=seed, on_save=save):
                show(report)
        except KeyboardInterrupt:
            raise typer.Abort(
                f"stopped; the same command goes on from the last save in {run}"
            ) from None
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


def _write_settings(run: Path, settings: dict[str, Any]) -> None:
    try:
        run.mkdir(parents=True, exist_ok=True)
        (run / "settings.json").write_text(json.dumps(settings, indent=2) + "\n", "utf-8")
    except OSError as error:
        raise HQSAMError(f"--run {run}: cannot be written ({error.strerror})") from None


def _check_settings(run: Path, settings: dict[str, Any]) -> None:
    """Refuse to take up a run with other settings, which would be neither run."""
    path = run / "settings.json"
    try:
        before = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise HQSAMError(f"{path}: cannot be read ({error}); choose another --run folder") from None
    for name, value in settings.items():
        if before.get(name) != value:
            values = "" if name == "sets" else f" ({before.get(name)}, not {value})"
            raise HQSAMError(
                f"--run {run}: it was begun with other {name.replace('_', ' ')}{values}; "
                "repeat its command, or choose another folder"
            )


@contextmanager
def _shown() -> Iterator[Callable[[Progress], None]]:
    """A bar on a terminal, a line now and then elsewhere; it is handed a function to report to."""
    with progress_bar("{task.completed} of {task.total}", "{task.fields[about]}") as bar:
        task = bar.add_task("training", total=None, about="")

        def show(report: Progress) -> None:
            phase, loss = report.phase, report.losses["loss"]
            about = f"{phase.stage} {phase.size}  loss {loss:.3f}  {_duration(report.seconds_left)}"
            bar.update(task, completed=report.step, total=report.total, about=about)
            if bar.disable and report.step % _LINE_EVERY == 0:
                typer.echo(f"step {report.step} of {report.total}  {about}")

        yield show


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s left"
    return f"{minutes // 60} h {minutes % 60:02} min left"
