from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from napari_hqsam.benchmark.degrade import AS_THEY_ARE, DEGRADATIONS
from napari_hqsam.benchmark.refinement import compare, measure_refinement
from napari_hqsam.evaluation.data import LabelledPlane
from napari_hqsam.modeling import HQSam
from napari_hqsam.segmentation import Segmenter


def squares() -> np.ndarray:
    labels = np.zeros((96, 96), np.uint16)
    labels[10:40, 10:40] = 3
    labels[50:80, 50:90] = 9
    return labels


def image_of(labels: np.ndarray) -> np.ndarray:
    return ((labels > 0) * 150 + 50).astype(np.uint8)


def test_labels_are_compared_with_the_right_ones_object_by_object() -> None:
    truth, before = squares(), squares()
    before[10:40, 38:40] = 0
    found = compare(truth, before, truth)
    assert found.ious.shape == (2, 4)
    was, is_, was_iou, is_iou = found.ious[0]
    assert was_iou == pytest.approx(28 / 30)
    assert was < was_iou  # a boundary tells more
    assert (is_, is_iou) == (1, 1)
    assert (found.ious[1] == 1).all()
    assert (found.lost, found.swapped, found.new) == (0, 0, 0)


def test_a_number_that_is_gone_is_lost_and_counts() -> None:
    truth, after = squares(), squares()
    after[after == 9] = 0
    found = compare(truth, truth, after)
    assert (found.lost, found.swapped, found.new) == (1, 0, 0)
    assert found.ious[1, 1] == 0


def test_numbers_that_change_places_are_swapped() -> None:
    truth = squares()
    after = np.where(truth == 3, 9, np.where(truth == 9, 3, 0))
    assert compare(truth, truth, after).swapped == 2
    assert compare(truth, after, after).swapped == 0  # they were before


def test_a_number_that_was_not_there_is_new() -> None:
    truth, after = squares(), squares().astype(np.uint64)
    after[0, 0], after[90:, 0] = 12, 2**40
    assert compare(truth, truth, after).new == 2


def test_specks_and_spared_objects_do_not_count() -> None:
    truth = squares()
    truth[0:5, 0:5] = 4
    assert len(compare(truth, truth, truth).ious) == 2
    assert len(compare(truth, truth, truth, frozenset({9})).ious) == 1


def bays() -> np.ndarray:
    """Discs with a bay: worse in every way."""
    y, x = np.ogrid[:96, :96]
    labels = np.zeros((96, 96), np.uint16)
    for number, (cy, cx) in {3: (24, 24), 9: (65, 65)}.items():
        labels[(y - cy) ** 2 + (x - cx) ** 2 <= 20**2] = number
        labels[cy - 5 : cy + 5, cx + 8 : cx + 21] = 0
    return labels


@pytest.fixture
def refined(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """In place of `refine`, what a list of functions makes of the labels."""
    made: list[Any] = []

    def refine(self: Segmenter, labels: Any, *, band: float) -> Any:
        assert band == 8
        return SimpleNamespace(result=lambda: made[0](labels))

    monkeypatch.setattr(Segmenter, "refine", refine, raising=False)
    return made


def test_a_gain_is_one_of_every_kind_of_labels(small: HQSam, refined: list[Any]) -> None:
    truth = bays()
    plane = LabelledPlane("one", image_of(truth), truth)
    refined.append(lambda labels: truth)
    figures, table = measure_refinement(small, {"set": [plane]})
    by_name = {f.name: f for f in figures}
    assert by_name["set: least gain of mBIoU"].met is True
    assert by_name["set: right labels move"].value == 0
    assert all(by_name[f"refined labels: numbers {w}"].met for w in ("lost", "swapped", "new"))
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert [row["labels"] for row in rows] == [AS_THEY_ARE, *DEGRADATIONS]
    assert all(row["mBIoU after"] == 1 for row in rows)
    assert all(row["mBIoU before"] < 1 for row in rows if row["labels"] in ("eroded", "dilated"))


def test_labels_left_as_they_are_gain_nothing(small: HQSam, refined: list[Any]) -> None:
    truth = bays()
    plane = LabelledPlane("one", image_of(truth), truth)
    refined.append(lambda labels: labels)
    figures, _ = measure_refinement(small, {"set": [plane]})
    assert {f.name: f.met for f in figures}["set: least gain of mBIoU"] is False


def test_harm_to_right_labels_misses_its_targets(small: HQSam, refined: list[Any]) -> None:
    truth = bays()
    plane = LabelledPlane("one", image_of(truth), truth)

    def spoil(labels: np.ndarray) -> np.ndarray:
        out = np.roll(labels, 4, axis=0)
        out[out == 9] = 0
        return out

    refined.append(spoil)
    by_name = {f.name: f for f in measure_refinement(small, {"set": [plane]})[0]}
    moved = by_name["set: right labels move"]
    assert 1 < moved.value <= 4
    assert moved.met is False
    assert by_name["refined labels: numbers lost"].value == 1 + len(DEGRADATIONS)
