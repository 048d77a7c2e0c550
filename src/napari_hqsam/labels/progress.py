"""How far a long piece of work is, told to whoever wants to show it or to stop it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")

Progress = Callable[[int, int, str], None]
"""Takes how many are done, of how many, and in words what is being done.

What it raises ends the work and reaches the caller; nothing half done is left.
"""

_SECONDS = 0.05  # between two reports


def counted(items: Sequence[Item], progress: Progress | None, doing: str) -> Iterator[Item]:
    """The items, each reported when it is done, though not more often than can be shown."""
    total, told = len(items), time.monotonic()
    if progress is not None:
        progress(0, total, doing)
    for i, item in enumerate(items, start=1):
        yield item
        if progress is not None and (i == total or time.monotonic() - told > _SECONDS):
            progress(i, total, doing)
            told = time.monotonic()
