"""Which windows are looked at for objects of a size."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_hqsam.segmentation.automatic.layout import (
    octave_for,
    octaves_of,
    window_of,
    windows_of,
)

SIZE = 64


@pytest.mark.parametrize("diameter", [2, 3, 4.5, 10, 16, 16.1, 31, 100])
def test_an_object_spans_an_eighth_to_a_quarter_of_the_side(diameter: float) -> None:
    side = SIZE * 2.0 ** octave_for(diameter, SIZE)
    assert side / 8 <= diameter <= side / 4


def test_windows_are_magnified_eight_times_at_most() -> None:
    assert octave_for(0.1, SIZE) == -3


def test_without_a_diameter_the_image_is_looked_at_1_to_1() -> None:
    assert octaves_of(None, 0, SIZE) == [0]


def test_each_crop_is_magnified_twice_as_much_up_to_the_limit() -> None:
    assert octaves_of(16, 2, SIZE) == [0, -1, -2]
    assert octaves_of(4, 3, SIZE) == [-2, -3]


def test_a_window_that_shows_all_is_not_listed_twice() -> None:
    windows = windows_of((50, 40), SIZE, 0, [2, 1, 0], [(0,), (1,)], None)
    assert [w.plane for w in windows] == [(0,), (1,)]


@given(
    st.tuples(st.integers(70, 300), st.integers(70, 300)),
    st.tuples(st.floats(0, 1), st.floats(0, 1)),
    st.integers(1, 16),
    st.integers(1, 16),
)
def test_a_box_of_a_quarter_of_the_side_is_whole_in_a_window_of_the_grid(
    shape: tuple[int, int], place: tuple[float, float], height: int, width: int
) -> None:
    y0, x0 = (int(p * (n - m)) for p, n, m in zip(place, shape, (height, width), strict=True))
    box = (y0, x0, y0 + height, x0 + width)
    windows = windows_of(shape, SIZE, 0, [0], [()], None)
    around = [
        w
        for w in windows
        if w.origin[0] <= y0
        and w.origin[1] <= x0
        and w.origin[0] + w.shape[0] >= box[2]
        and w.origin[1] + w.shape[1] >= box[3]
    ]
    assert around
    chosen = window_of(box, shape, SIZE, octave=0)
    assert chosen in around

    def off(window: object) -> float:
        middle = (y0 + height / 2, x0 + width / 2)
        return sum(
            (m - o - s / 2) ** 2
            for m, o, s in zip(middle, window.origin, window.shape, strict=True)  # type: ignore[attr-defined]
        )

    assert off(chosen) == min(map(off, around))


def test_a_large_box_goes_to_a_larger_window() -> None:
    shape = (1000, 1000)
    assert window_of((500, 500, 516, 510), shape, SIZE).side == 64
    assert window_of((500, 500, 517, 510), shape, SIZE).side == 128
    assert window_of((0, 0, 900, 900), shape, SIZE).shape == shape
