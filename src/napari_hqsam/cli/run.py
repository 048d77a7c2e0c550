"""A training run as the shell sees it: its folder's settings, and its progress."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from napari_hqsam.cli.console import progress_bar
from napari_hqsam.errors import HQSAMError

# Steps between two lines where there is no terminal for a bar.
_LINE_EVERY = 50


def begun(run: Path) -> bool:
    """Whether the folder has a run to take up."""
    return (run / "state.pt").exists()


def write_settings(run: Path, settings: Mapping[str, Any]) -> None:
    """Make the folder of a new run, with its settings."""
    try:
        run.mkdir(parents=True, exist_ok=True)
        (run / "settings.json").write_text(json.dumps(settings, indent=2) + "\n", "utf-8")
    except OSError as error:
        raise HQSAMError(f"--run {run}: cannot be written ({error.strerror})") from None


def check_settings(run: Path, settings: Mapping[str, Any]) -> None:
    """Refuse to take up a run with other settings, which would be neither run."""
    path = run / "settings.json"
    try:
        before = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise HQSAMError(f"{path}: cannot be read ({error}); choose another --run folder") from None
    before.setdefault("recipe", "micro")
    for name, value in settings.items():
        if before.get(name) != value:
            values = "" if name == "sets" else f" ({before.get(name)}, not {value})"
            raise HQSAMError(
                f"--run {run}: it was begun with other {name.replace('_', ' ')}{values}; "
                "repeat its command, or choose another folder"
            )


Show = Callable[[int, int, float, str], None]
"""Takes steps done, steps in all, seconds left, and what else is to be said."""


@contextmanager
def progress() -> Iterator[Show]:
    """A bar on a terminal, a line now and then elsewhere; it is handed a function to report to."""
    with progress_bar("{task.completed} of {task.total}", "{task.fields[about]}") as bar:
        task = bar.add_task("training", total=None, about="")

        def show(step: int, total: int, seconds_left: float, about: str) -> None:
            about = f"{about}  {_duration(seconds_left)}"
            bar.update(task, completed=step, total=total, about=about)
            if bar.disable and step % _LINE_EVERY == 0:
                typer.echo(f"step {step} of {total}  {about}")

        yield show


def stopped(run: Path) -> typer.Abort:
    """What to raise when the user has stopped a run."""
    return typer.Abort(f"stopped; the same command goes on from the last save in {run}")


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s left"
    return f"{minutes // 60} h {minutes % 60:02} min left"
