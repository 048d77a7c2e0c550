"""A long job: a plan of independent items, each computed and committed by itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from typing import Self

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Progress:
    """How far a job is.

    Attributes
    ----------
    done, total : int
        Items, those included that were there before.
    skipped : int
        Items that were there before.
    seconds_left : float
        At the present pace; NaN before the first item.
    bytes : int
        Written to disk by the job so far, as far as it counts them.
    """

    done: int
    total: int
    skipped: int
    seconds_left: float
    bytes: int = 0


class Job(Generic[Item, Result]):
    """Iterate it for progress, or ask for its result; what is committed stays.

    Parameters
    ----------
    plan : sequence of Item
    run_item : callable
        Computes one item and commits it.
    done : callable
        Whether an item was committed before.
    result : callable
        What the job gives in the end.
    """

    def __init__(
        self,
        plan: Sequence[Item],
        run_item: Callable[[Item], object],
        done: Callable[[Item], bool],
        result: Callable[[], Result],
    ) -> None:
        self.plan = plan
        self._run_item, self._is_done, self._result = run_item, done, result
        self._steps = self._progress()

    def __iter__(self) -> Iterator[Progress]:
        return self._steps

    def result(self) -> Result:
        """Run what is left; the job's result."""
        for _ in self._steps:
            pass
        return self._result()

    def close(self) -> None:
        """Begin no further item."""
        self._steps.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _progress(self) -> Generator[Progress, None, None]:
        total, skipped, spent = len(self.plan), 0, 0.0
        for i, item in enumerate(self.plan):
            if self._is_done(item):
                skipped += 1
            else:
                began = time.monotonic()
                self._run_item(item)
                spent += time.monotonic() - began
            computed = i + 1 - skipped
            pace = spent / computed if computed else float("nan")
            yield Progress(i + 1, total, skipped, pace * (total - i - 1))
