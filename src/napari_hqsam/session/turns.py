"""The order of steps: done, undone, done again."""

from __future__ import annotations

from datetime import datetime
from typing import Generic, TypeVar

Step = TypeVar("Step")


class Turns(Generic[Step]):
    """Steps in the order in which they were done, and those that can be done again.

    Attributes
    ----------
    done, undone : list
        The last ones last.
    saved : datetime or None
        When what is there was saved last.
    """

    def __init__(self) -> None:
        self.done: list[Step] = []
        self.undone: list[Step] = []
        self.saved: datetime | None = None
        self._saved_at: Step | None = None
        self._last: tuple[str, list[Step]] | None = None

    @property
    def dirty(self) -> bool:
        """Whether something is different from when it was saved, or from the beginning."""
        return (self.done[-1] if self.done else None) is not self._saved_at

    def mark_saved(self, when: datetime) -> None:
        """Note that what is there now is saved."""
        self.saved = when
        self._saved_at = self.done[-1] if self.done else None

    def do(self, step: Step) -> None:
        """Add a step; what was undone before cannot be done again."""
        self._last = "do", self.undone
        self.done.append(step)
        self.undone = []

    def undo(self) -> None:
        """Take the last one back."""
        self.undone.append(self.done.pop())
        self._last = "undo", self.undone

    def redo(self) -> None:
        """Do again what was undone last."""
        self.done.append(self.undone.pop())
        self._last = "redo", self.undone

    @property
    def last(self) -> tuple[Step, bool]:
        """What the last turn was about, and whether it was taken back.

        Raises
        ------
        ValueError
            If there is none.
        """
        if self._last is None:
            raise ValueError("nothing was done")
        back = self._last[0] == "undo"
        return (self.undone if back else self.done)[-1], back

    def revoke(self) -> None:
        """Go back to before the last turn, as if it had never been."""
        step, back = self.last
        assert self._last is not None
        turn, self.undone = self._last
        if back:
            self.done.append(self.undone.pop())
        else:
            self.done.pop()
            if turn == "redo":
                self.undone.append(step)
        self._last = None
