"""A long job of a command, in a folder beside its output, so that the same command goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import typer

from napari_hqsam.cli.console import progress_bar
from napari_hqsam.errors import HQSAMError

if TYPE_CHECKING:
    from napari_hqsam.labels.store import LabelStore
    from napari_hqsam.segmentation.whole import LabelJob

# What is computed before the rest is estimated from it.
_FEW, _SECONDS = 3, 20.0
# Between two lines where there is no terminal for a bar.
_EVERY = 60.0


class JobFolder:
    """``<output>.job`` beside an output: the labels in the making, and what made them.

    Use it as a context manager. What fails before anything was computed leaves no folder; later
    the folder stays, and the next one of the same settings goes on with it. `remove` it when the
    output is complete.

    Parameters
    ----------
    target : Path
        The output.
    settings : mapping
        What the job is, in terms of JSON.
    overwrite : bool
        Whether a job of other settings may be thrown away.

    Attributes
    ----------
    folder : Path
    resumed : bool
        Whether a job of these settings was there.

    Raises
    ------
    HQSAMError
        If there is another job, and it may not be thrown away, or the disk refuses.
    """

    def __init__(self, target: Path, settings: Mapping[str, Any], *, overwrite: bool) -> None:
        from napari_hqsam.storage.work import Work, begun

        self.folder = job_folder(target)
        self.resumed = begun(self.folder)
        try:
            self._work = Work.open(self.folder, settings)
        except HQSAMError:
            if not (overwrite and self.resumed):
                raise
            self._remove_labels()
            self._work = Work.open(self.folder, settings, restart=True)
            self.resumed = False
        self._computed = self.resumed

    def file(self, name: str) -> Path:
        """Where something may be kept that the job needs."""
        return self.folder / name

    def run(self, begin: Callable[[Path], LabelJob]) -> LabelStore:
        """The labels that a job makes, with its progress shown; at once if it was finished before.

        Parameters
        ----------
        begin : callable
            Makes the job, or one that goes on with what there is, which writes to a ``.zarr``.
        """
        from napari_hqsam.labels.store import LabelStore
        from napari_hqsam.storage.work import begun

        out = self.file("labels.zarr")
        if out.exists() and not begun(job_folder(out)):
            return LabelStore.open(out)
        with closing(begin(out)) as job:
            self._follow(job)
            return job.result()

    def remove(self) -> None:
        """Delete the folder."""
        self._remove_labels()
        self._work.remove()

    def __enter__(self) -> JobFolder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None and not self._computed:
            self.remove()
        if isinstance(error, KeyboardInterrupt):
            raise typer.Abort("stopped; the same command goes on from there") from None

    def _remove_labels(self) -> None:
        """Before the settings: what is left of a folder without them is not known to be a job."""
        from napari_hqsam.labels import place

        for path in self.folder.glob("*.zarr*"):
            place.remove(path)

    def _follow(self, job: LabelJob) -> None:
        """Run a job; say how much there is to do, and after a while how long that takes."""
        from rich.progress import MofNCompleteColumn

        from napari_hqsam.images.windows import Window

        windows = sum(isinstance(item, Window) for item in job.plan)
        steps = f"{len(job.plan):,} steps"
        typer.echo(f"{windows:,} windows, {steps} in all" if windows else steps)
        began = told = time.monotonic()
        estimated = False
        with progress_bar(MofNCompleteColumn(), "{task.fields[left]}") as bar:
            task = bar.add_task("steps", total=len(job.plan), left="")
            for step in job:
                self._computed = True
                gigabytes = step.bytes / 1e9
                left = f"{duration(step.seconds_left)} left, {gigabytes:.2f} GB so far"
                bar.update(task, completed=step.done, left=left)
                now, computed = time.monotonic(), step.done - step.skipped
                enough = computed >= _FEW or (computed and now - began > _SECONDS)
                if enough and not estimated and step.done < step.total:
                    estimated, told = True, now
                    there = f"{step.skipped:,} there already; " if step.skipped else ""
                    expected = gigabytes / step.done * step.total
                    about = duration(step.seconds_left)
                    typer.echo(f"{there}about {about} and {expected:.2f} GB of disk for the job")
                if bar.disable and now - told > _EVERY:
                    told = now
                    typer.echo(f"{step.done:,} of {step.total:,} steps; {left}")


def job_folder(output: Path) -> Path:
    """Where the job of an output runs."""
    return output.with_name(f"{output.name}.job")


def duration(seconds: float) -> str:
    """A time in words that are precise enough to wait for: ``40 s``, ``12 min``, ``3 h 05 min``."""
    if seconds != seconds:
        return "some time"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02} min"
