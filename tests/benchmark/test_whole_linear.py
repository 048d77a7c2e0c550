from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_hqsam.benchmark.linear import Discs, measure_linear
from napari_hqsam.images.windows import Window
from napari_hqsam.segmentation.stitch import Instances


def test_planes_have_as_many_windows_as_was_asked_for() -> None:
    for count in (12, 1000, 3000):
        assert len(Discs.of_windows(count, 64).windows([()], None)) == count


def test_neighbouring_windows_find_the_same_discs() -> None:
    discs = Discs((400, 500), 128)
    drawn = np.zeros(discs.shape, bool)
    for window in discs.windows([()], None):
        (y, x), (h, w) = window.origin, window.shape
        found = discs.find(window)
        assert found.box == (y, x, y + h, x + w)
        part = np.zeros((h, w), int)
        for i in range(len(found)):
            part += found.rows(i).dense(found.box)
        assert part.max() <= 1  # none meets another
        drawn[y : y + h, x : x + w] |= part > 0
    # what the windows show together are the discs of the whole plane, seen at once
    one = Discs(discs.shape, 500)
    (whole,) = one.windows([()], None)
    found = one.find(whole)
    assert len(found) == discs.count == one.count > 20
    every = sum(found.rows(i).dense(found.box).astype(int) for i in range(len(found)))
    assert (drawn == (every > 0)).all()


def test_every_run_has_its_figures(tmp_path: Path) -> None:
    figures, table = measure_linear(tmp_path, (4, 12), side=128)
    found = {f.name: f for f in figures}
    assert found["every disc is one object"].met is True
    ratio = found["12 windows, each against one of 4"]
    assert ratio.value > 0
    assert ratio.target == 1.3
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert [row["windows"] for row in rows] == [4, 12]
    assert rows[1]["objects"] == Discs.of_windows(12, 128).count
    for row in rows:
        steps = [row[step] for step in ("finding", "linking", "drawing")]
        assert min(steps) > 0
        assert sum(steps) == pytest.approx(row["ms per window"])
        assert row["s"] == pytest.approx(row["ms per window"] * row["windows"] / 1e3)


def test_an_object_that_is_lost_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = Discs.find

    def blind(self: Discs, window: Window) -> Instances:
        found = find(self, window)
        return found.take(np.zeros(len(found), bool)) if window.origin == (0, 0) else found

    monkeypatch.setattr(Discs, "find", blind)
    figures, _ = measure_linear(tmp_path, (4,), side=128)
    assert {f.name: f.met for f in figures}["every disc is one object"] is False
