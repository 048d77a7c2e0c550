"""Instances are kept as runs; what is drawn of them is their pixels."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_hqsam.segmentation.stitch import Instances, draw

MASKS = st.lists(hnp.arrays(bool, (6, 7)), max_size=5)
WHERE = (10, 20, 16, 27)


@given(MASKS)
def test_masks_come_back_from_runs_and_from_arrays(masks) -> None:
    scores = np.linspace(0, 1, len(masks))
    ids = np.arange(len(masks)) + 2**60
    found = Instances.of((3,), WHERE, [(m, WHERE) for m in masks], scores, ids)
    filled = [i for i, m in enumerate(masks) if m.any()]
    again = Instances.from_arrays(found.arrays())
    assert (again.plane, again.box) == (found.plane, found.box) == ((3,), WHERE)
    for each in (found, again):
        assert len(each) == len(filled)
        assert each.ids.tolist() == [2**60 + i for i in filled]
        np.testing.assert_array_equal(each.scores, scores[filled].astype(np.float32))
        for i, k in enumerate(filled):
            np.testing.assert_array_equal(each.rows(i).dense(WHERE), masks[k])
            assert each.areas[i] == masks[k].sum()
            assert tuple(each.boxes[i]) == each.rows(i).bbox


@given(
    MASKS, st.lists(st.floats(0, 1, width=32), min_size=5, max_size=5), st.permutations(range(5))
)
def test_the_best_score_is_on_top_in_any_order(masks, scores, order) -> None:
    numbers = np.arange(1, 6, dtype=np.uint64) + np.uint64(2**40)
    expected = np.zeros((6, 7), np.uint64)
    for i in sorted(range(len(masks)), key=lambda i: (scores[i], -i)):
        expected[masks[i]] = numbers[i]
    parts = [
        (Instances.of((), WHERE, [(masks[i], WHERE)], scores[i : i + 1]), numbers[i : i + 1])
        for i in order
        if i < len(masks) and masks[i].any()
    ]
    np.testing.assert_array_equal(draw((), WHERE, parts), expected)
    np.testing.assert_array_equal(draw((), (12, 18, 15, 24), parts)[:, 2:], expected[2:5, :4])


def test_what_has_no_label_is_not_drawn() -> None:
    found = Instances.of_labels((), (0, 0, 1, 3), np.array([[4, 0, 9]]), keep_ids=True)
    assert found.ids.tolist() == [4, 9]
    assert draw((), (0, 0, 1, 3), [(found, np.array([0, 5], np.uint64))]).tolist() == [[0, 0, 5]]
    assert not draw((), (0, 0, 2, 2), []).any()


def test_what_lies_outside_the_window_is_cut_off() -> None:
    mask = np.ones((5, 5), bool)
    found = Instances.of((), (2, 1, 4, 3), [(mask, (0, 0, 5, 5)), (mask, (9, 9, 14, 14))], [1, 2])
    assert found.boxes.tolist() == [[2, 1, 4, 3]]
    assert found.scores.tolist() == [1]


def test_some_of_them() -> None:
    labels = np.array([[1, 2, 2, 3], [1, 0, 2, 3]])
    found = Instances.of_labels((), (0, 0, 2, 4), labels, keep_ids=True)
    some = found.take([2, 0])
    assert some.ids.tolist() == [3, 1]
    np.testing.assert_array_equal(some.rows(0).dense(found.box), labels == 3)
    np.testing.assert_array_equal(some.rows(1).dense(found.box), labels == 1)
    assert found.take(found.areas > 2).ids.tolist() == [2]
