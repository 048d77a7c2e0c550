"""What `propagate` knows of the masks that it made: its table, tracks, and where to look first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from napari_hqsam.cli.console import warnings_told
from napari_hqsam.cli.job_folder import JobFolder, job_folder

if TYPE_CHECKING:
    import pandas as pd

    from napari_hqsam.labels.frame import LabelFrame
    from napari_hqsam.labels.store import LabelStore
    from napari_hqsam.segmentation.volume import Course, PropagateJob


def follow(
    job: JobFolder, begin: Callable[[Path], PropagateJob]
) -> tuple[LabelStore, pd.DataFrame]:
    """The labels that a job makes, and its table, which is kept as long as the job is.

    Parameters
    ----------
    job : JobFolder
    begin : callable
        As for `JobFolder.run`.
    """
    import pandas as pd

    from napari_hqsam.labels import place
    from napari_hqsam.storage.work import begun

    kept, labels = job.file("table.csv"), job.file("labels.zarr")
    if not kept.exists() and not begun(job_folder(labels)):
        place.remove(labels)  # the process ended just before the table was there
    running: list[PropagateJob] = []

    def watched(path: Path) -> Any:
        running.append(begin(path))
        return running[0]

    with warnings_told():
        made = job.run(watched)
    for each in running:
        write_table(kept, each.table)
    return made, pd.read_csv(kept)


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV, complete or not at all."""
    from napari_hqsam.labels.measurements import write_csv

    write_csv(path, table)


def tracks_of(table: pd.DataFrame, course: Course, frame: LabelFrame) -> pd.DataFrame:
    """The middles of the masks as napari has tracks: id, t, z if there is one, y, x."""
    along = dict(zip(frame.axes, frame.index(course.others), strict=False))
    found = table.rename(columns={"label": "id", "position": "t"}).assign(z=along.get("z", 0))
    return cast("pd.DataFrame", found[["id", "t", *(["z"] if "z" in along else []), "y", "x"]])


def least_sure(table: pd.DataFrame, course: Course) -> str:
    """Where to look first, in words; "" where nothing was propagated."""
    grown = table.dropna(subset="score")
    if not len(grown):
        return ""
    row = grown.loc[grown["score"].idxmin()]
    at = f"label {row['label']:.0f} on {course.axis} = {row['position']:.0f}"
    return f"{len(grown):,} masks; the least sure is {at}, score {row['score']:.2f}"
