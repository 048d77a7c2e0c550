"""The propagation itself, in a thread: a slice after the other, an end."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from napari_hqsam.plugin.segment_all.running import progress_line
from napari_hqsam.plugin.task import Task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_hqsam.plugin.propagate.plan import Plan
    from napari_hqsam.plugin.segment_all.bench import Bench
    from napari_hqsam.plugin.task import Reporter
    from napari_hqsam.segmentation.volume import SliceMask

# So many slices may wait to be drawn before the thread waits, too.
_AHEAD = 4
_SECONDS = 0.05


@dataclass(frozen=True, eq=False)
class Slice:
    """What was found on a slice.

    Attributes
    ----------
    plan : Plan
        Whose.
    found : sequence of SliceMask
    done, total : int
        Steps; there may be fewer in the end.
    seconds_left : float
        At most, at the present pace.
    """

    plan: Plan
    found: Sequence[SliceMask]
    done: int
    total: int
    seconds_left: float


class Running(QObject):
    """Runs a plan; one at a time.

    Parameters
    ----------
    bench : Bench

    Signals
    -------
    arrived(Slice)
        Call `drawn` once it is in the labels.
    finished(Plan)
        All slices have arrived.
    failed(str)
        One line for the user.
    ended()
        After each of these, and after a cancel.
    """

    arrived = Signal(object)
    finished = Signal(object)
    failed = Signal(str)
    ended = Signal()
    _step = Signal(object)  # from the thread

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self._bench = bench
        self.cancelled = self.closed = False
        self._room = threading.Semaphore(_AHEAD)
        self._task = Task()
        self._step.connect(self._tell)
        self._task.done.connect(self.finished)
        self._task.failed.connect(self.failed)
        self._task.ended.connect(self.ended)

    @property
    def busy(self) -> bool:
        """Whether something is under way."""
        return self._task.busy

    def run(self, plan: Plan) -> bool:
        """Propagate; whether that can begin now."""
        bench, tell = self._bench, self._step.emit
        room = threading.Semaphore(_AHEAD)

        def work(job: Reporter) -> Any:
            from napari_hqsam.segmentation.volume import Propagation

            with bench.segmenter(plan.subject, job) as segmenter:
                job.check()
                walk = Propagation(
                    segmenter.features,
                    segmenter.level,
                    plan.course.course,
                    plan.seed_masks(),
                    plan.settings,
                    plan.known_mask,
                )
                began = time.monotonic()
                for found in walk:
                    pace = (time.monotonic() - began) / max(walk.done, 1)
                    left = pace * (walk.total - walk.done)
                    tell(Slice(plan, found, walk.done, walk.total, left))
                    while not room.acquire(timeout=_SECONDS):
                        job.check()
                    job.check()
                return plan

        if self._task.start(work):
            self.cancelled, self._room = False, room
            return True
        return False

    def drawn(self) -> None:
        """A slice that has arrived is in the labels: another one may come."""
        self._room.release()

    def cancel(self) -> None:
        """End what is under way, after the slice that is being computed."""
        self.cancelled = self._task.busy
        self._task.cancel()

    def close(self) -> None:
        """End it, and tell nothing more."""
        self.closed = True
        self._task.close()

    def _tell(self, step: Slice) -> None:
        if self._task.busy and not self.closed:
            self.arrived.emit(step)


def told(step: Slice) -> str:
    """How far it is, in words."""
    from napari_hqsam.embedding.job import Progress

    where = f"{step.plan.course.axis} = {step.found[0].position} · " if step.found else ""
    return where + progress_line(Progress(step.done, step.total, 0, step.seconds_left))
