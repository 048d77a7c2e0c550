"""What a propagation finds, drawn slice by slice; what the user is told at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psygnal import Signal

from napari_hqsam.errors import HQSAMError
from napari_hqsam.plugin.propagate.choice import in_words
from napari_hqsam.plugin.propagate.running import told

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from napari_hqsam.labels.objects import PlaneMask
    from napari_hqsam.plugin.propagate.course import LayerCourse
    from napari_hqsam.plugin.propagate.plan import Plan
    from napari_hqsam.plugin.propagate.running import Running, Slice
    from napari_hqsam.session.session import Session


class Growing:
    """Runs plans, and gives the session what they find.

    What the user takes back, while it goes on, stays taken back, and ends it.

    Parameters
    ----------
    running : Running

    Attributes
    ----------
    plan : Plan or None
        Under way.

    Signals
    -------
    progress(str, int, int)
        What is done now, and how far.
    completed(Plan)
        It has come to its end; the masks are what it left.
    ended(Plan, str)
        It is over, however it ended; one line for the user.
    failed(str)
        One line for the user; `ended` follows.
    """

    progress = Signal(str, int, int)
    completed = Signal(object)
    ended = Signal(object, str)
    failed = Signal(str)

    def __init__(self, running: Running) -> None:
        self._running = running
        self.plan: Plan | None = None
        self._said = ""  # at the end, instead of what was found
        self._refused = False  # nothing more is drawn
        self._told: set[tuple[int, int]] = set()  # number and position of the masks
        running.arrived.connect(self._on_arrived)
        running.finished.connect(self._on_finished)
        running.failed.connect(self._on_failed)
        running.ended.connect(self._on_ended)

    def begin(self, plan: Plan) -> bool:
        """Begin; whether that is possible now."""
        if not self._running.run(plan):
            return False
        self.plan, self._said, self._refused, self._told = plan, "", False, set()
        plan.session.stepped.connect(self._on_step)
        return True

    def stop(self, why: str = "") -> None:
        """End it after the slice that is being computed; what is there is kept."""
        if self.plan is not None:
            self._said = self._said or why
            self._running.cancel()

    def refuse(self, why: str) -> None:
        """End it, and draw nothing more."""
        self._refused = True
        self.stop(why)

    def _on_arrived(self, step: Slice) -> None:
        if step.plan is not self.plan or self._refused:
            return
        found = step.plan.drawn(step.found)
        if found and not self._grow(step.plan, found):
            return
        self._told.update((mask.label, mask.position) for mask in step.found)
        self._running.drawn()
        if not self._running.cancelled:
            self.progress.emit(told(step), step.done, step.total)

    def _grow(self, plan: Plan, found: Mapping[int, list[PlaneMask]]) -> bool:
        """Draw masks; whether they could be drawn."""
        try:
            plan.session.grow(found, plan.group, plan.overlap)
        except HQSAMError as error:
            self._refused = True
            self.stop(str(error))
            self.failed.emit(str(error))
            return False
        return True

    def _on_finished(self, plan: Plan) -> None:
        if plan is not self.plan or self._refused:
            return
        try:
            plan.session.grow({}, plan.group, plan.overlap, remove=plan.stale(self._told))
        except HQSAMError as error:
            self._said = str(error)
            self.failed.emit(str(error))
            return
        self.completed.emit(plan)

    def _on_step(self) -> None:
        plan = self.plan
        if plan is not None and plan.session.is_undone(plan.group):
            self.refuse("Taken back; the propagation has stopped.")

    def _on_failed(self, line: str) -> None:
        self._said = line
        self.failed.emit(line)

    def _on_ended(self) -> None:
        plan, self.plan = self.plan, None
        if plan is None:
            return
        plan.session.stepped.disconnect(self._on_step, missing_ok=True)
        said = self._said
        if not said:
            said = outcome(plan.session, plan.course, plan.objects, bool(self._told))
            if self._running.cancelled:
                said = f"Stopped; what is there is kept. {said}"
        self.ended.emit(plan, said)


def worst(
    session: Session, course: LayerCourse, numbers: Iterable[int]
) -> tuple[int, int, PlaneMask] | None:
    """The propagated mask with the lowest score: number of its object, position, mask."""
    found = [
        (number, position, mask)
        for number in numbers
        if number in session.objects
        for position, mask in course.masks(session.objects[number]).items()
        if mask.score is not None
    ]
    return min(found, key=lambda each: (each[2].score, each[1]), default=None)


def outcome(session: Session, course: LayerCourse, numbers: tuple[int, ...], grown: bool) -> str:
    """What objects are like now, in words."""
    axis, there = course.axis, [n for n in numbers if n in session.objects]
    at = [position for n in there for position in course.masks(session.objects[n])]
    if not at:
        return ""
    who = in_words(there).capitalize()
    where = f"{axis} = {min(at)} to {max(at)}"
    if not grown:
        return f"Nothing new: {in_words(there)} at {where} as before."
    said = f"{who} at {where}."
    low = worst(session, course, there)
    if low is not None:
        number, position, mask = low
        of = f" of object {number}" if len(there) > 1 else ""
        said += f" Lowest score: {mask.score:.2f} at {axis} = {position}{of}."
    return said
