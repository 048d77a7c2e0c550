"""Going through the objects one by one, the most doubtful first. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_hqsam.plugin.objects.order import Key, Order

if TYPE_CHECKING:
    from napari_hqsam.session.record import ObjectRecord


class Proofreading:
    """A queue whose places depend on the objects alone, not on what was reviewed.

    First those with an uncertainty, the highest first; then those with a score only, the lowest
    first; then the others. Reviewed is what is no longer ``"new"``.

    Parameters
    ----------
    objects : mapping of int to ObjectRecord
        A live view.

    Attributes
    ----------
    current : int or None
        The object that is looked at.
    came_back : psygnal.Signal
        Emitted with the id of an object that `leave` left and that is to be reviewed again: its
        review or deletion was undone. It is the current one.
    """

    came_back = Signal(int)

    def __init__(self, objects: Mapping[int, ObjectRecord]) -> None:
        self.current: int | None = None
        self._objects = objects
        self._order = Order(self._key)
        self._reviewed: set[int] = set()
        self._left: dict[int, bool] = {}  # whether it is still reviewed, or gone
        self._includes: Callable[[ObjectRecord], bool] = lambda _record: True
        self.include(self._includes)

    def include(self, includes: Callable[[ObjectRecord], bool]) -> None:
        """Go only through objects of which that is true."""
        self._includes = includes
        self._order.fill(i for i, record in self._objects.items() if includes(record))
        self._reviewed = {i for i in self._order.ids if self._is_reviewed(i)}

    @property
    def progress(self) -> tuple[int, int]:
        """How many are reviewed, of how many."""
        return len(self._reviewed), len(self._order.ids)

    def next(self) -> int | None:
        """Go to the next new object, round the end; to the next one to fix if there is none."""
        at = None if self.current is None else self._order.position(self.current)
        return self._go_on(0 if at is None else at + 1)

    def previous(self) -> int | None:
        """Go to the object before this one, reviewed or not."""
        at = None if self.current is None else self._order.position(self.current)
        if at is not None and at > 0:
            self.current = self._order.ids[at - 1]
        return self.current

    def leave(self, labels: Iterable[int], step: Callable[[], object]) -> int | None:
        """Review or delete objects, the current one among them, and go to the next.

        Parameters
        ----------
        labels : iterable of int
        step : callable
            What reviews or deletes them. If it raises an error the queue stays where it is.
        """
        at = None if self.current is None else self._order.position(self.current)
        key = None if at is None else self._order.ids[at:]
        step()
        self._left |= {i: self._is_away(i) for i in labels}
        # what stood behind the current one, and is still there, is next
        behind = next((i for i in key or () if i != self.current and i in self._objects), None)
        start = None if behind is None else self._order.position(behind)
        return self._go_on(start or 0)

    def refresh(self, labels: Iterable[int]) -> None:
        """These objects came, changed, or went."""
        back = None
        for label in labels:
            record = self._objects.get(label)
            if self._order.position(label) is not None:
                self._order.remove(label)
            self._reviewed.discard(label)
            if record is not None and self._includes(record):
                self._order.insert(label)
                if self._is_reviewed(label):
                    self._reviewed.add(label)
            if label in self._left:
                away = self._is_away(label)
                if self._left[label] and not away:
                    back = label if back is None else min(back, label, key=self._key)
                self._left[label] = away
        if back is not None:
            self.current = back
            self.came_back.emit(back)
        elif self.current is not None and self.current not in self._objects:
            self.current = None

    def _go_on(self, start: int) -> int | None:
        ids = self._order.ids
        ahead = ids[start:] + ids[:start]
        for status in ("new", "to fix"):
            found = (i for i in ahead if i != self.current and self._objects[i].status == status)
            label = next(found, None)
            if label is not None:
                self.current = label
                break
        else:
            if self.current not in self._objects:
                self.current = None
        return self.current

    def _is_reviewed(self, label: int) -> bool:
        return self._objects[label].status != "new"

    def _is_away(self, label: int) -> bool:
        return label not in self._objects or self._is_reviewed(label)

    def _key(self, label: int) -> Key:
        record = self._objects[label]
        if record.uncertainty is not None and record.uncertainty == record.uncertainty:
            return (0, -record.uncertainty, label)
        if record.score is not None and record.score == record.score:
            return (1, record.score, label)
        return (2, 0, label)
