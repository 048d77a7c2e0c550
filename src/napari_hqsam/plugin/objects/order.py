"""Ids kept in order while objects come, change and go. No Qt."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from typing import Any

Key = tuple[Any, ...]


class Order:
    """Ids sorted by a key; one that changes costs a search, not a sort.

    Parameters
    ----------
    key : callable
        The key of an id, unequal for different ids. It is asked when an id comes, and remembered.

    Attributes
    ----------
    ids : list of int
        Sorted; read only.
    """

    def __init__(self, key: Callable[[int], Key]) -> None:
        self.ids: list[int] = []
        self._key = key
        self._keys: list[Key] = []
        self._key_of: dict[int, Key] = {}

    def fill(self, ids: Iterable[int]) -> None:
        """Sort these ids, and forget all others."""
        self._key_of = {i: self._key(i) for i in ids}
        self.ids = sorted(self._key_of, key=self._key_of.__getitem__)
        self._keys = [self._key_of[i] for i in self.ids]

    def position(self, label: int) -> int | None:
        """Where an id stands, or None."""
        key = self._key_of.get(label)
        return None if key is None else bisect_left(self._keys, key)

    def place(self, label: int) -> int:
        """Where an id would stand now if it were taken out and put in again."""
        at, now = bisect_left(self._keys, self._key(label)), self.position(label)
        return at - 1 if now is not None and now < at else at

    def insert(self, label: int) -> None:
        """Put in an id that is not there yet."""
        key = self._key_of[label] = self._key(label)
        at = bisect_left(self._keys, key)
        self._keys.insert(at, key)
        self.ids.insert(at, label)

    def remove(self, label: int) -> None:
        """Take out an id that is there."""
        at = bisect_left(self._keys, self._key_of.pop(label))
        del self._keys[at], self.ids[at]
