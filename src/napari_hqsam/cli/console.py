"""What goes to the terminal beside results: errors, warnings, progress; all of it on stderr."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn

    from napari_hqsam.labels.progress import Progress as Counted


def complain(message: str) -> None:
    """Print one line, whatever the message holds."""
    line = " ".join(part.strip() for part in message.splitlines() if part.strip())
    typer.echo(f"napari-hqsam: {line}", err=True)


def warn(message: str) -> None:
    """Print one line about something that did not stop the work."""
    complain(f"warning: {message}")


def error_console() -> Console:
    """Rich's console on stderr."""
    from rich.console import Console

    return Console(stderr=True)


def progress_bar(*columns: ProgressColumn | str) -> Progress:
    """A bar with its description, `columns`, and nothing at all where no one is watching."""
    from rich.progress import BarColumn, Progress, TextColumn

    console = error_console()
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        *columns,
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


@contextmanager
def counting_bar() -> Iterator[Counted]:
    """A bar for what is told as done, total, and in words."""
    with progress_bar("{task.percentage:>3.0f}%") as bar:
        task = bar.add_task("", total=None)

        def show(done: int, total: int, doing: str) -> None:
            bar.update(task, completed=done, total=total, description=doing)

        yield show


@contextmanager
def warnings_told() -> Iterator[None]:
    """Print the warnings of what is done within, one line each."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    for warning in caught:
        warn(str(warning.message))
