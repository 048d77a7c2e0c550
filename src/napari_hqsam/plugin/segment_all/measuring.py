"""The table of what was found, as the features of a Labels layer. No Qt here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from napari_hqsam.labels.progress import Progress
    from napari_hqsam.plugin.segment_all.assignment import Assignment
    from napari_hqsam.plugin.segment_all.part import Part
    from napari_hqsam.plugin.task import Reporter


def measured(assignment: Assignment, labels: Any, part: Part, job: Reporter) -> pd.DataFrame:
    """Measure all objects.

    Parameters
    ----------
    assignment : Assignment
        That has made them.
    labels : ndarray or LabelStore
        As its job gave them.
    part : Part
        That it has written.
    job : Reporter
        Is told how far it is, and may end it.

    Returns
    -------
    pandas.DataFrame
        What `napari_hqsam.labels.measurements.measure` tells of each object, without skeletons;
        the label is in ``index``, as napari wants it. Of refined labels also how far their
        boundaries have moved, see `moved`.
    """
    from napari_hqsam.labels.measurements import measure

    def progress(done: int, total: int, _what: str = "") -> None:
        job.check()
        job.progress(done, total)

    grid = assignment.placement.frame.grid
    objects = list(part.objects(labels, progress))
    table = measure(objects, grid, assignment.subject.source, skeleton=False, progress=progress)
    table = table.rename(columns={"label": "index"})
    table = table.drop(
        columns=[c for c in ("class", "status", "score", "uncertainty") if c in table]
    )
    if assignment.method == "refine":
        far = moved(assignment, labels, part, progress)
        table = table.merge(far, on=[c for c in ("index", "t") if c in table], how="left")
    return table


def moved(
    assignment: Assignment, labels: Any, part: Part, progress: Progress | None = None
) -> pd.DataFrame:
    """How far the boundary of each refined object is from where it was.

    Parameters
    ----------
    assignment, labels, part
        As for `measured`.
    progress : callable, optional
        `napari_hqsam.labels.progress.Progress`.

    Returns
    -------
    pandas.DataFrame
        ``index`` (and ``t``); ``moved_mean_um``, the mean over its slices, and ``moved_max_um``;
        these end in ``_px`` if the size of the pixels is not known.
    """
    from napari_hqsam.evaluation.movement import movement

    whole = assignment.placement.frame
    before, after = part.of(assignment.given), part.of(labels)
    table = movement(before, after, part.frame(whole), progress=progress)
    table = table.rename(columns={"label": "index"})
    if whole.grid.length("t") > 1:  # which has a row for each time point
        table["t"] = table.get("t", 0) + part.start[whole.axes.index("t")]
    unit, ending = ("um", "_um") if "moved_mean_um" in table else ("px", "")
    objects = table.groupby([c for c in ("index", "t") if c in table], as_index=False)
    wanted = {f"moved_{what}_{unit}": (f"moved_{what}{ending}", what) for what in ("mean", "max")}
    return objects.agg(**wanted)
