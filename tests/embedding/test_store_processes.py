"""Several processes fill one store, and are killed at any moment."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .tiny import WINDOWS, contents, fill, open_store

Child = subprocess.Popen
PROGRAM = """
import runpy, sys
sys.path.insert(0, sys.argv[1])
runpy.run_module("embedding.tiny", run_name="__main__")
"""


@pytest.fixture(scope="module")
def children() -> Iterator[list[Child[bytes]]]:
    """Processes that fill a store when they are told to."""
    command = [sys.executable, "-c", PROGRAM, str(Path(__file__).parents[1])]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    found = [subprocess.Popen(command, **pipes) for _ in range(4)]
    yield list(found)
    for child in found:
        child.kill()
        child.communicate()


def go(child: Child[bytes], path: Path, turn: int) -> None:
    """Have `child` fill the store at `path`, beginning with window number `turn`."""
    assert child.stdin is not None
    child.stdin.write(f"{turn} {path}\n".encode())
    child.stdin.flush()


def clean(path: Path) -> dict[str, bytes | object]:
    store = open_store(path)
    fill(store)
    return contents(store)


def test_a_store_resumed_after_kills_is_that_of_one_run(
    tmp_path: Path, children: list[Child[bytes]]
) -> None:
    rng = random.Random(0)
    path = tmp_path / "store"
    for child, turn in ((children.pop(), 0), (children.pop(), 5)):
        go(child, path, turn)
        assert child.stdout is not None
        for _ in range(rng.randint(1, 4)):
            assert child.stdout.readline()
        time.sleep(rng.random() * 0.01)
        child.kill()
        child.wait()
    store = open_store(path)
    before = set(store.windows())
    assert 2 <= len(before) < len(WINDOWS)  # both died at work
    assert all(store.read(window) is not None for window in before)
    fill(store)
    assert contents(store) == clean(tmp_path / "clean")


def test_processes_that_fill_a_store_together_give_what_one_gives(
    tmp_path: Path, children: list[Child[bytes]]
) -> None:
    path = tmp_path / "store"
    both = children.pop(), children.pop()
    for child in both:  # the same windows in the same order: they meet
        go(child, path, 0)
    names = {name for child in both for name in child.communicate(timeout=120)[0].split()}
    assert [child.returncode for child in both] == [0, 0]
    assert len(names) == len(WINDOWS)
    assert contents(open_store(path)) == clean(tmp_path / "clean")
    assert os.listdir(path / "tmp") == []
