"""`napari-hqsam models`, and loading one with a progress bar for its download."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from napari_hqsam.cli.console import progress_bar, warn

if TYPE_CHECKING:
    from napari_hqsam.modeling import HQSam


def models() -> None:
    """List the models, and which are on this computer."""
    from rich.console import Console
    from rich.table import Table

    from napari_hqsam.weights import cache_dir, list_models

    table = Table(box=None, pad_edge=False, padding=(0, 2, 1, 0))
    table.add_column("model", no_wrap=True)
    table.add_column("installed", no_wrap=True)
    table.add_column("licence", no_wrap=True)
    table.add_column("trained on", ratio=3)
    table.add_column("description", ratio=2)
    for info in list_models():
        if info.installed:
            installed = "yes"
        elif info.bytes is None:
            installed = "missing"
        elif info.added is not None:
            installed = "moved"
        else:
            installed = f"no ({info.bytes / 1e6:,.0f} MB)"
        table.add_row(info.name, installed, info.licence, info.trained_on, info.description)
    Console().print(table)
    typer.echo(f"A model is downloaded when it is first used, to {cache_dir() / 'models'}")


def load(
    name: str,
    checkpoint: Path | None = None,
    device: str = "auto",
    precision: str = "auto",
    compile: bool = False,
) -> HQSam:
    """`napari_hqsam.load_model`, with a progress bar if the weights must be downloaded."""
    from rich.progress import DownloadColumn, TimeRemainingColumn

    from napari_hqsam.weights import load_model

    with progress_bar(DownloadColumn(), TimeRemainingColumn()) as bar:
        task = bar.add_task(f"downloading {name}", total=None, visible=False)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, visible=True)

        model = load_model(
            name,
            checkpoint=checkpoint,
            device=device,
            precision=precision,
            compile=compile,
            progress=show,
        )
    if compile:
        for part in (model.compiled, model.graphed):
            if part is not None:
                part.tell = warn
    return model
