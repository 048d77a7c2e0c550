"""What a benchmark has measured: printed as a table, and written as JSON."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_hqsam.cli.console import progress_bar
from napari_hqsam.errors import HQSAMError

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_hqsam.benchmark.figures import Cell, Figure, Report, Table

_FILE_WIDTH = 160

Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", metavar="DIR", help="Also write the figures there, as JSON."),
]
Work = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Folder for what is made meanwhile, and deleted: on the disk that is meant.",
    ),
]


@contextmanager
def workplace(work: Path | None) -> Iterator[Path]:
    """An empty folder, deleted afterwards."""
    if work is not None and not work.is_dir():
        raise HQSAMError(f"--work {work}: there is no such folder; make it")
    with tempfile.TemporaryDirectory(prefix="napari-hqsam-", dir=work) as folder:
        yield Path(folder)


@contextmanager
def progress() -> Iterator[Callable[[str], object]]:
    """A line on a terminal that says what is measured now; it is handed what takes it."""
    with progress_bar() as bar:
        task = bar.add_task("loading the model", total=None)
        yield lambda line: bar.update(task, description=line)


def show(report: Report, out: Path | None) -> None:
    """Print a report, and write it as JSON if a folder is given."""
    from rich.console import Console
    from rich.table import Table

    for name, value in report.setting.items():
        typer.echo(f"{name}: {value}")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("figure", "value", "target", "", "about"):
        table.add_column(heading, justify="right" if heading in ("value", "target") else "left")
    for figure in report.figures:
        verdict = {True: "met", False: "[bold]missed[/]", None: ""}[figure.met]
        target = "" if figure.target is None else _text(figure.target, figure)
        table.add_row(figure.name, _text(figure.value, figure), target, verdict, figure.about)
    console = Console()
    if not console.is_terminal:  # a file has room for whole lines
        console = Console(width=_FILE_WIDTH)
    console.print(table)
    for more in report.tables:
        console.print(f"\n[bold]{more.name}[/]", _rows(more), sep="\n", highlight=False)
    if out is not None:
        path = out / f"benchmark-{report.name}.json"
        out.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report.to_json(), indent=1) + "\n", "utf-8")
        typer.echo(str(path))


def _rows(shown: Table) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for i, heading in enumerate(shown.columns):
        words = all(isinstance(row[i], str) for row in shown.rows)
        table.add_column(heading, justify="left" if words else "right")
    for row in shown.rows:
        table.add_row(*map(_cell, row))
    return table


def _cell(value: Cell) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return value if isinstance(value, str) else f"{value:,}"


def _text(value: float | bool, figure: Figure) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    number = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{number} {figure.unit}".rstrip()
