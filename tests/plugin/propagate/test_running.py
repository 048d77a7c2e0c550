"""The thread waits for the labels, so that what it found does not pile up."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from napari_hqsam.plugin.propagate.running import Slice, told

from .conftest import FIRST, STACK


def test_it_is_a_few_slices_ahead_at_most(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.open(np.concatenate([STACK] * 4))
    desk.control.extent = {1: (0, 31)}
    desk.commit(FIRST, 3)
    arrived: list[Slice] = []
    monkeypatch.setattr(desk.dock.running, "drawn", lambda: None)  # the window is slow
    desk.dock.running.arrived.connect(arrived.append)
    desk.dock.propagate()
    desk.until(lambda: len(arrived) == 5)
    end = time.monotonic() + 0.3
    desk.until(lambda: time.monotonic() > end)
    assert len(arrived) == 5
    desk.dock.stop()
    desk.wait()
    assert desk.grown() == [4, 5, 6, 7, 8]


def test_progress_in_words(desk: Any) -> None:
    desk.open()
    desk.commit(FIRST, 3)
    steps: list[Slice] = []
    desk.dock.running.arrived.connect(steps.append)
    desk.run()
    first = steps[0]
    assert (first.done, first.total) == (1, 16)
    made = Slice(first.plan, first.found, 3, 10, 600.0)
    assert told(made) == "z = 4 · 3 of 10 steps · 10 min left"
    assert told(Slice(first.plan, [], 10, 10, 0.0)) == "10 of 10 steps"


def test_the_model_and_what_it_has_encoded_serve_again(desk: Any) -> None:
    desk.open()
    desk.commit(FIRST, 3)
    desk.run()
    features = desk.control.last["features"]
    desk.annotate.undo()
    desk.run()
    assert desk.control.last["features"] is features
