"""The job itself, in a thread: windows done, time left, an end."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from napari_hqsam.plugin.segment_all.measuring import measured
from napari_hqsam.plugin.segment_all.part import Part
from napari_hqsam.plugin.task import Task

if TYPE_CHECKING:
    from pathlib import Path

    from napari_hqsam.embedding.job import Progress
    from napari_hqsam.plugin.segment_all.assignment import Assignment
    from napari_hqsam.plugin.segment_all.bench import Bench
    from napari_hqsam.plugin.task import Reporter


class Running(QObject):
    """Runs assignments, and measures what they gave; one thing at a time.

    Parameters
    ----------
    bench : Bench

    Attributes
    ----------
    cancelled : bool
        Whether what is, or was last, under way was cancelled.
    closed : bool
        Whether `close` was called: the dock is gone.

    Signals
    -------
    progress(str, int, int)
        What is done now, and how far; total 0 if that is not known.
    found(object)
        All labels of an assignment, an ndarray or a LabelStore, and the Part that was written.
    measured(DataFrame)
        The table of them.
    failed(str)
        One line for the user.
    ended()
        After each of these, and after a cancel.
    """

    progress = Signal(str, object, object)
    found = Signal(object)
    measured = Signal(object)
    failed = Signal(str)
    ended = Signal()
    _told = Signal(object)  # from the thread

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self._bench = bench
        self.cancelled = self.closed = False
        self._then: Callable[[Any], None] = self.found.emit
        self._task = Task()
        self._told.connect(self._tell)
        self._task.progress.connect(self._tell_measured)
        self._task.done.connect(lambda result: self._then(result))
        self._task.failed.connect(self.failed)
        self._task.ended.connect(self.ended)

    @property
    def busy(self) -> bool:
        """Whether something is under way."""
        return self._task.busy

    def run(self, assignment: Assignment, out: Path | None) -> bool:
        """Find or refine objects, from where it was left; whether that can begin now."""
        bench, told = self._bench, self._told

        def work(job: Reporter) -> Any:
            with bench.segmenter(assignment.subject, job) as segmenter:
                job.check()
                with assignment.job(segmenter, out) as steps:
                    for step in steps:
                        told.emit(step)
                        job.check()
                    return steps.result(), _written(steps)

        return self._begin(work, self.found.emit)

    def measure(self, assignment: Assignment, labels: Any, part: Part) -> bool:
        """Measure what an assignment gave; whether that can begin now."""
        return self._begin(lambda job: measured(assignment, labels, part, job), self.measured.emit)

    def cancel(self) -> None:
        """End what is under way, at the next window."""
        self.cancelled = self._task.busy
        self._task.cancel()

    def close(self) -> None:
        """End it, and tell nothing more."""
        self.closed = True
        self._task.close()

    def _begin(self, work: Callable[[Reporter], Any], then: Callable[[Any], None]) -> bool:
        if not self._task.start(work):
            return False
        self.cancelled, self._then = False, then
        return True

    def _tell(self, step: Progress) -> None:
        if self._task.busy and not (self.cancelled or self.closed):
            self.progress.emit(progress_line(step), step.done, step.total)

    def _tell_measured(self, done: int, total: int) -> None:
        if not self.cancelled:
            self.progress.emit("Measuring the objects…", done, total)


def _written(job: Any) -> Part:
    """What a job has written of its labels."""
    from napari_hqsam.segmentation.blocks import Block

    blocks = [(item.plane, item.box) for item in job.plan if isinstance(item, Block)]
    return Part.around(job.frame, blocks)


def progress_line(step: Progress) -> str:
    """How far a job is, in words."""
    said = [f"{step.done:,} of {step.total:,} steps"]
    if math.isfinite(step.seconds_left) and step.done < step.total:
        said.append(f"{_duration(step.seconds_left)} left")
    if step.bytes:
        size = step.bytes
        said.append(
            f"{size / 1e9:.2f} GB written" if size >= 1e8 else f"{size / 1e6:.1f} MB written"
        )
    return " · ".join(said)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
