"""The report of `refine`: how far the boundaries have moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from napari_hqsam import __version__
from napari_hqsam.cli.console import counting_bar
from napari_hqsam.cli.label_image import check_folder
from napari_hqsam.cli.label_job import command_words
from napari_hqsam.errors import HQSAMError

if TYPE_CHECKING:
    import pandas as pd

    from napari_hqsam.labels.frame import LabelFrame
    from napari_hqsam.labels.given import GivenLabels
    from napari_hqsam.labels.pyramid import Box
    from napari_hqsam.labels.store import LabelStore
    from napari_hqsam.segmentation import Segmenter


@dataclass(frozen=True)
class Moved:
    """Labels before and after, and where they were refined.

    Attributes
    ----------
    before, after
        Labels of `frame`.
    planes : sequence of tuple of int or None
        Of the image; None for all.
    region : (y0, x0, y1, x1) or None
        Only objects whose middle lies in it count.
    """

    before: GivenLabels
    after: LabelStore
    frame: LabelFrame
    planes: Sequence[Sequence[int]] | None = None
    region: Box | None = None

    def table(self) -> pd.DataFrame:
        """What `movement` says of these labels."""
        from napari_hqsam.evaluation.movement import movement

        with counting_bar() as progress:
            return movement(
                self.before,
                self.after,
                self.frame,
                planes=self.planes,
                region=self.region,
                progress=progress,
            )


def report_folder(report: Path | None, *, overwrite: bool) -> Path | None:
    """Find out before any work whether the report can be written."""
    from napari_hqsam.evaluation.movement_report import PAGE

    if report is None:
        return None
    folder = report.expanduser()
    if folder.exists() and not folder.is_dir():
        raise HQSAMError(f"--report {folder}: is a file; give the name of a folder")
    if (folder / PAGE).exists() and not overwrite:
        raise HQSAMError(
            f"--report {folder}: has a report already; add --overwrite, or give another folder"
        )
    there = next(p for p in (folder, *folder.absolute().parents) if p.is_dir())
    check_folder(there, folder)
    return folder


def write_report(folder: Path, moved: Moved, segmenter: Segmenter, ctx: typer.Context) -> None:
    """Measure, write the report, and print its summary."""
    from napari_hqsam.evaluation.movement_report import summary, write_movement_report
    from napari_hqsam.labels.sidecar import command_line

    table = moved.table()
    about = {
        "image": segmenter.source.name,
        "labels": str(ctx.params["labels"]),
        "model": str(ctx.params["model"]),
        "command": command_line(command_words(ctx)),
        "version": f"napari-hqsam {__version__}",
    }
    page = write_movement_report(
        folder,
        table,
        moved.before,
        moved.after,
        moved.frame,
        segmenter.source,
        segmenter.mapping,
        level=segmenter.level,
        about=about,
    )
    typer.echo(summary(table))
    typer.echo(f"{page}: look at it in a browser")
