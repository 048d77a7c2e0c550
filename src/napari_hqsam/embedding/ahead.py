"""Have the next things ready when they are asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def read_ahead(
    items: Iterable[Item],
    read: Callable[[Item], Result],
    nbytes: Callable[[Item], int],
    *,
    ahead: int,
    max_bytes: int,
    threads: int = 1,
) -> Generator[Result, None, None]:
    """What `read` gives for each of `items`, in order; the next ones are read in the background.

    An error is raised when its item is asked for, and ends the iteration. Its threads end with the
    iteration, too: exhaust it, or close it.

    Parameters
    ----------
    items : iterable of Item
        Taken one by one, by the thread that iterates.
    read : callable
        Called once for each item, in another thread.
    nbytes : callable
        How much memory reading an item takes, about.
    ahead : int
        So many items at most are read before they are asked for,
    max_bytes : int
        and so many bytes of them, unless one takes more alone.
    threads : int
    """
    waiting: deque[tuple[Future[Result], int]] = deque()
    held = 0
    coming = iter(items)
    following = next(coming, None)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="embed-read")
    try:
        while following is not None or waiting:
            while following is not None and len(waiting) <= ahead:
                more = nbytes(following)
                if waiting and held + more > max_bytes:
                    break
                waiting.append((pool.submit(read, following), more))
                held += more
                following = next(coming, None)
            future, less = waiting.popleft()
            held -= less
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)
