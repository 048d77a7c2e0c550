from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_hqsam.labels.objects import PlaneMask
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.labels.rows import Rows, row_runs

from .pictures import MASKS

PLANE = ArrayPlane((1, 2), (4,))


def dense(rows: Rows, mask: np.ndarray) -> np.ndarray:
    return rows.dense((0, 0, *mask.shape))


@settings(deadline=None)
@given(MASKS)
def test_a_mask_survives_every_form(mask: np.ndarray) -> None:
    rows = Rows(*row_runs(mask))
    np.testing.assert_array_equal(dense(rows, mask), mask)
    assert rows.area == mask.sum()
    made = rows.mask(PLANE)
    back = Rows.of_mask(made)
    for name in ("y", "x0", "x1"):
        np.testing.assert_array_equal(getattr(back, name), getattr(rows, name))
    y0, x0, y1, x1 = made.bbox
    np.testing.assert_array_equal(made.data, mask[y0:y1, x0:x1])
    assert made.area == mask.sum()
    again = PlaneMask.from_json(made.to_json())
    np.testing.assert_array_equal(again.data, made.data)


@settings(deadline=None)
@given(MASKS)
def test_the_box_is_the_smallest(mask: np.ndarray) -> None:
    y, x = np.nonzero(mask)
    box = (y.min(), x.min(), y.max() + 1, x.max() + 1) if len(y) else (0, 0, 0, 0)
    assert Rows(*row_runs(mask)).bbox == box


@settings(deadline=None)
@given(MASKS)
def test_columns_are_the_rows_of_the_turned_mask(mask: np.ndarray) -> None:
    turned = Rows(*row_runs(mask)).transposed()
    expected = Rows(*row_runs(mask.T))
    for name in ("y", "x0", "x1"):
        np.testing.assert_array_equal(getattr(turned, name), getattr(expected, name))


@settings(deadline=None)
@given(st.lists(st.tuples(*[st.integers(-3, 6)] * 3), max_size=12))
def test_runs_in_any_order_are_united(runs: list[tuple[int, int, int]]) -> None:
    expected = np.zeros((10, 10), bool)
    for y, x0, x1 in runs:
        expected[y + 3, x0 + 3 : max(x1, x0) + 3] = True
    rows = Rows.of(*np.array(runs, int).reshape(-1, 3).T)
    np.testing.assert_array_equal(rows.dense((-3, -3, 7, 7)), expected)
    assert rows.area == expected.sum()
    touching = (rows.y[1:] == rows.y[:-1]) & (rows.x0[1:] <= rows.x1[:-1])
    assert not touching.any()


@settings(deadline=None)
@given(MASKS, st.tuples(*[st.integers(0, 9)] * 4))
def test_clipped_is_what_lies_in_the_box(mask: np.ndarray, box: tuple[int, ...]) -> None:
    y0, x0, y1, x1 = box
    expected = np.zeros_like(mask)
    expected[y0:y1, x0:x1] = mask[y0:y1, x0:x1]
    np.testing.assert_array_equal(
        dense(Rows(*row_runs(mask)).clipped((y0, x0, y1, x1)), mask), expected
    )
