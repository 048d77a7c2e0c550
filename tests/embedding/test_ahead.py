"""Reading ahead: in order, overlapping, bounded, and over when the iteration is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor

import pytest

from napari_hqsam.embedding import ahead
from napari_hqsam.embedding.ahead import read_ahead

WAIT = 30
BEGUN = [threading.Event() for _ in range(10)]


@pytest.fixture(autouse=True)
def _nothing_begun() -> None:
    for event in BEGUN:
        event.clear()


def tens(
    read: Callable[[int], int] = lambda i: 10 * i, *, most: int = 2, max_bytes: int = 100
) -> Generator[int, None, None]:
    def noted(i: int) -> int:
        assert not BEGUN[i].is_set(), "read twice"
        BEGUN[i].set()
        return read(i)

    return read_ahead(range(10), noted, lambda _: 10, ahead=most, max_bytes=max_bytes)


def begun() -> int:
    return sum(event.is_set() for event in BEGUN)


def threads_left() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("embed")]


def test_all_come_in_order_and_are_read_once() -> None:
    assert list(tens()) == [10 * i for i in range(10)]
    assert threads_left() == []
    assert list(read_ahead([], tens, lambda _: 1, ahead=2, max_bytes=1)) == []


def test_the_next_are_read_while_nobody_asks_and_no_more_than_that() -> None:
    items = tens()
    assert next(items) == 0
    assert BEGUN[2].wait(WAIT)
    assert next(items) == 10
    assert BEGUN[3].wait(WAIT)
    assert begun() == 4  # two asked for, two ahead
    items.close()


def test_no_more_bytes_are_held_than_allowed() -> None:
    items = tens(most=8, max_bytes=30)
    assert next(items) == 0
    assert BEGUN[2].wait(WAIT)
    assert begun() == 3
    assert next(items) == 10
    assert BEGUN[3].wait(WAIT)  # there is room again
    items.close()


def test_what_is_larger_than_allowed_is_read_alone() -> None:
    items = tens(max_bytes=5)
    assert next(items) == 0
    assert begun() == 1
    assert list(items) == [10 * i for i in range(1, 10)]


def test_an_error_is_that_of_its_item_and_the_last() -> None:
    def read(i: int) -> int:
        if i == 3:
            raise ValueError("item 3 is damaged")
        return i

    items = tens(read)
    assert [next(items) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="item 3 is damaged"):
        next(items)
    assert list(items) == []
    assert threads_left() == []


def test_closing_waits_for_what_is_read_and_reads_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    class Pool(ThreadPoolExecutor):
        def shutdown(self, wait: bool = True, **options: bool) -> None:
            super().shutdown(wait=False, **options)
            released.set()
            super().shutdown(wait=wait)

    def read(i: int) -> int:
        assert i == 0 or released.wait(WAIT)
        return i

    monkeypatch.setattr(ahead, "ThreadPoolExecutor", Pool)
    items = tens(read)
    next(items)
    assert BEGUN[1].wait(WAIT)
    items.close()
    assert threads_left() == []
    assert begun() == 2
