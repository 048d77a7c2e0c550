"""Which objects are meant: those that the user has pointed at, or worked on, last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_hqsam.errors import HQSAMError

if TYPE_CHECKING:
    from napari_hqsam.plugin.propagate.annotating import Annotating
    from napari_hqsam.plugin.propagate.course import LayerCourse
    from napari_hqsam.session.session import Session


class Choice:
    """The current objects.

    Parameters
    ----------
    annotating : Annotating

    Signals
    -------
    changed()
        There are other ones.
    """

    changed = Signal()

    def __init__(self, annotating: Annotating) -> None:
        self._annotating = annotating
        self._chosen: list[int] = []
        annotating.pointed.connect(self.choose)
        annotating.stepped.connect(self._on_step)
        annotating.changed.connect(lambda: self.choose([]))

    @property
    def current(self) -> list[int]:
        """Their numbers; none if it is not clear which ones are meant."""
        session, labels = self._annotating.session, self._annotating.labels
        if session is None:
            return []
        found = [number for number in self._chosen if number in session.objects]
        if found:
            return found
        if labels is not None and int(labels.selected_label) in session.objects:
            return [int(labels.selected_label)]
        return list(session.objects) if len(session.objects) == 1 else []

    def required(self) -> list[int]:
        """The current objects.

        Raises
        ------
        HQSAMError
            If it is not clear which ones are meant.
        """
        if not self.current:
            raise HQSAMError(
                "no object is chosen: choose one in the table of Annotate, or pick its label"
            )
        return self.current

    def choose(self, numbers: Sequence[int]) -> None:
        """Make these the current ones."""
        self._chosen = list(numbers)
        self.changed.emit()

    def _on_step(self) -> None:
        """What was committed, painted or corrected just now is meant."""
        session = self._annotating.session
        if session is None or session.can_redo is not None:  # who takes back means the same still
            self.changed.emit()
            return
        step = session.last_step
        if step is None or step.group or not step.objects:
            return
        gained, touched = [], []
        for number, (before, after) in step.objects.items():
            if after is not None:
                touched.append(number)
                if before is None or after.area > before.area:
                    gained.append(number)
        self.choose(gained or touched)  # others may have lost pixels to those that gained some


def on_slice(session: Session, course: LayerCourse, position: int) -> list[int]:
    """The objects that have a mask at a position.

    Raises
    ------
    HQSAMError
        If there is none.
    """
    plane = course.plane(position)
    found = [n for n, o in session.objects.items() if any(m.plane == plane for m in o.masks)]
    if not found:
        raise HQSAMError(
            f"there is no object at {course.axis} = {position}: prompt one and commit it (Enter), "
            "or go to a slice that has some"
        )
    return found


def in_words(numbers: Sequence[int]) -> str:
    """Object 3; objects 3, 5 and 7; 12 objects."""
    if len(numbers) == 1:
        return f"object {numbers[0]}"
    if 1 < len(numbers) <= 4:
        *first, last = numbers
        return f"objects {', '.join(map(str, first))} and {last}"
    return f"{len(numbers):,} objects"
