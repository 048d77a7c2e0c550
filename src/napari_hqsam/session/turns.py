"""The order of steps: done, undone, done again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Generic, TypeVar

Step = TypeVar("Step")


class Turns(Generic[Step]):
    """Steps in the order in which they were done, and those that can be done again.

    Parameters
    ----------
    group : callable
        The group of a step: steps of one group that follow each other are undone and done again
        together. "" for a step by itself.

    Attributes
    ----------
    done, undone : list
        The last ones last.
    saved : datetime or None
        When what is there was saved last.
    """

    def __init__(self, group: Callable[[Step], str] = lambda _step: "") -> None:
        self.done: list[Step] = []
        self.undone: list[Step] = []
        self.saved: datetime | None = None
        self._group = group
        self._saved_at: Step | None = None
        self._last: tuple[str, int, list[Step]] | None = None

    @property
    def dirty(self) -> bool:
        """Whether something is different from when it was saved, or from the beginning."""
        return (self.done[-1] if self.done else None) is not self._saved_at

    def mark_saved(self, when: datetime) -> None:
        """Note that what is there now is saved."""
        self.saved = when
        self._saved_at = self.done[-1] if self.done else None

    @property
    def to_undo(self) -> list[Step]:
        """What `undo` takes back, in the order in which it was done; [] if there is nothing."""
        return self._together(self.done)[::-1]

    @property
    def to_redo(self) -> list[Step]:
        """What `redo` does again, in that order; [] if there is nothing."""
        return self._together(self.undone)

    def do(self, step: Step) -> None:
        """Add a step; what was undone before cannot be done again."""
        self._last = "do", 1, self.undone
        self.done.append(step)
        self.undone = []

    def undo(self) -> None:
        """Take the last one back, with its group."""
        self._last = "undo", len(self.to_undo), self.undone
        _move(self._last[1], self.done, self.undone)

    def redo(self) -> None:
        """Do again what was undone last."""
        self._last = "redo", len(self.to_redo), self.undone
        _move(self._last[1], self.undone, self.done)

    @property
    def last(self) -> tuple[list[Step], bool]:
        """What the last turn was about, in the order of doing, and whether it was taken back.

        Raises
        ------
        ValueError
            If there is none.
        """
        if self._last is None:
            raise ValueError("nothing was done")
        turn, count, _ = self._last
        back = turn == "undo"
        return (self.undone[-count:][::-1] if back else self.done[-count:]), back

    def revoke(self) -> None:
        """Go back to before the last turn, as if it had never been."""
        if self._last is None:
            raise ValueError("nothing was done")
        turn, count, self.undone = self._last
        if turn == "undo":
            _move(count, self.undone, self.done)
        elif turn == "redo":
            _move(count, self.done, self.undone)
        else:
            self.done.pop()
        self._last = None

    def _together(self, steps: list[Step]) -> list[Step]:
        """The last step and those of its group before it, the last one first."""
        found: list[Step] = []
        for step in reversed(steps):
            if found and (not self._group(step) or self._group(step) != self._group(found[0])):
                break
            found.append(step)
        return found


def _move(count: int, source: list[Step], target: list[Step]) -> None:
    for _ in range(count):
        target.append(source.pop())
