"""Taking times."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def seconds(function: Callable[[], object]) -> float:
    """How long a call takes."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


class Clock:
    """Times of steps, by their names.

    Attributes
    ----------
    times : dict of str to list of float
        In seconds.
    """

    def __init__(self) -> None:
        self.times: defaultdict[str, list[float]] = defaultdict(list)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Take the time of a `with` block."""
        began = time.perf_counter()
        yield
        self.times[name].append(time.perf_counter() - began)
