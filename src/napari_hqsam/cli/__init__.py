"""The command line: the same jobs as in napari, from a shell."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from napari_hqsam import __version__
from napari_hqsam.cli.auto import auto
from napari_hqsam.cli.benchmark import benchmark
from napari_hqsam.cli.console import complain
from napari_hqsam.cli.demo import demo
from napari_hqsam.cli.embed import embed
from napari_hqsam.cli.evaluate import evaluate
from napari_hqsam.cli.export import export
from napari_hqsam.cli.models import models
from napari_hqsam.cli.propagate import propagate
from napari_hqsam.cli.refine import refine
from napari_hqsam.cli.replay import replay
from napari_hqsam.cli.segment import segment
from napari_hqsam.cli.train import train
from napari_hqsam.errors import HQSAMError

__all__ = ["main"]

BAD_INPUT, FAULT, INTERRUPTED = 2, 1, 130

# Click's, or typer's own copy of it, as the version of typer has it.
_UsageError: type[Exception] = typer.BadParameter.__bases__[0]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"napari-hqsam {__version__}")
        raise typer.Exit


def _options(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show Python's traceback with an error.")
    ] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Segment objects in microscopy images with HQ-SAM.

    Start with: napari-hqsam demo
    """


_app = typer.Typer(rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False)
_app.callback()(_options)
_WORK = (segment, propagate, refine, auto, embed, export, replay)
for _command in (*_WORK, models, demo, train, evaluate):
    _app.command()(_command)
_app.add_typer(benchmark, name="benchmark")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    An error is one line on stderr. Python's traceback is shown only with ``--debug``, which may
    stand anywhere on the line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the process by default.

    Returns
    -------
    int
        Exit status: 0; 2 for bad input; 1 for a fault of the program; 130 if it was interrupted.
    """
    _print_what_the_terminal_can()
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        command = typer.main.get_command(_app)
        status = command.main(words or ["--help"], prog_name="napari-hqsam", standalone_mode=False)
        if status == INTERRUPTED:
            complain("interrupted")
        return int(status or 0)
    except (typer.Abort, KeyboardInterrupt) as stop:
        complain(str(stop) or "interrupted")
        return INTERRUPTED
    except Exception as error:
        if debug:
            raise
        return _explain(error)


def _explain(error: Exception) -> int:
    """Print the one line of an error; the exit status."""
    if isinstance(error, HQSAMError):
        complain(str(error))
        return BAD_INPUT
    if isinstance(error, _UsageError):
        where = getattr(getattr(error, "ctx", None), "command_path", "napari-hqsam")
        complain(f"{error.format_message().rstrip('.')}; see {where} --help")  # type: ignore[attr-defined]
        return BAD_INPUT
    if isinstance(error, BrokenPipeError):
        # The reader, such as `head`, has seen enough; nor may the flush at exit fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAULT
    if isinstance(error, OSError):
        complain(": ".join(str(part) for part in (error.filename, error.strerror or error) if part))
        return BAD_INPUT
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        complain("out of memory; use a smaller --model, another --device or a coarser --level")
        return BAD_INPUT
    complain(f"unexpected {type(error).__name__}: {error}; --debug shows where, please report it")
    return FAULT


def _print_what_the_terminal_can() -> None:
    """Let a letter that the terminal's encoding lacks become a question mark, not an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
