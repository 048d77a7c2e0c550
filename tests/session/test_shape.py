from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.objects import PlaneMask
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.session.shape import changed, cut, smoothed, spread, trimmed

P = ArrayPlane((0, 1), ())
SIDE = 40


def of(data: np.ndarray, origin: tuple[int, int] = (0, 0)) -> PlaneMask:
    found = trimmed(P, origin, data)
    assert found is not None
    return found


def whole(mask: PlaneMask) -> np.ndarray:
    return spread(mask, (0, 0, SIDE, SIDE))


def square(y0: int, x0: int, y1: int, x1: int) -> np.ndarray:
    out = np.zeros((SIDE, SIDE), bool)
    out[y0:y1, x0:x1] = True
    return out


def test_a_mask_is_cut_to_its_box() -> None:
    mask = of(square(3, 4, 6, 9), (10, 20))
    assert mask.bbox == (13, 24, 16, 29)
    assert mask.data.all()
    assert trimmed(P, (0, 0), np.zeros((3, 3), bool)) is None


def test_a_mask_loses_and_wins_pixels_beyond_its_box() -> None:
    mask = of(square(5, 5, 10, 10))
    box = (0, 8, 20, 12)
    lost, won = np.zeros((20, 4), bool), np.zeros((20, 4), bool)
    lost[6, 1], won[19, 3] = True, True
    new = changed(mask, P, box, lost=lost, won=won)
    expected = square(5, 5, 10, 10)
    expected[6, 9], expected[19, 11] = False, True
    assert new is not None
    np.testing.assert_array_equal(whole(new), expected)
    everything = np.ones((20, 20), bool)
    assert changed(mask, P, (0, 0, 20, 20), lost=everything, won=~everything) is None


@pytest.mark.parametrize("line", [[(0, 20), (39, 20)], [(20, -5), (20, 60)], [(0, 0), (39, 39)]])
def test_a_line_cuts_an_object_in_two(line: list[tuple[int, int]]) -> None:
    mask = of(square(10, 8, 30, 30))
    parts = cut(mask, line)
    assert len(parts) == 2
    assert (sum(whole(p).astype(int) for p in parts) == whole(mask)).all()
    assert parts[0].area >= parts[1].area > 150


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("slope", [1, -1])
def test_nothing_leaks_across_a_diagonal_line(flip: bool, slope: int) -> None:
    """On both sides of the line pixels touch by their corners."""
    mask = of(square(0, 0, SIDE, SIDE))
    line = [(0, 0), (39, 39)] if slope == 1 else [(0, 39), (39, 0)]
    parts = cut(mask, line[::-1] if flip else line)
    assert len(parts) == 2
    yy, xx = np.mgrid[:SIDE, :SIDE]
    off = yy - xx if slope == 1 else yy + xx - SIDE + 1
    owners = [[bool(whole(part)[side].all()) for part in parts] for side in (off < -1, off > 1)]
    assert sorted(owners) == [[False, True], [True, False]]
    touched = [[bool(whole(part)[side].any()) for part in parts] for side in (off < -1, off > 1)]
    assert touched == owners


def test_a_line_that_is_drawn_by_hand_may_cut_into_more_than_two() -> None:
    """A snake across two arms of a U."""
    u = square(5, 5, 30, 35)
    u[5:20, 12:28] = False
    parts = cut(of(u), [(12, 0), (13, 20), (12, 39)])
    assert len(parts) == 3
    assert (sum(whole(p).astype(int) for p in parts) == u).all()


def test_a_line_that_does_not_go_right_across_cuts_nothing() -> None:
    mask = of(square(10, 10, 30, 30))
    for line in ([(0, 20), (25, 20)], [(2, 2), (5, 39)], [(15, 15), (15, 16)]):
        assert cut(mask, line) == [mask]


def test_a_line_along_the_boundary_splits_off_no_splinters() -> None:
    ragged = square(10, 10, 30, 30)
    ragged[9, 10:30:3] = True
    mask = of(ragged)
    assert cut(mask, [(9, 0), (9, 39)]) == [mask]
    assert cut(mask, [(10, 0), (10, 39)]) == [mask]


def test_a_very_small_object_can_be_cut() -> None:
    parts = cut(of(square(10, 10, 13, 13)), [(5, 11), (15, 11)])
    assert [part.area for part in parts] == [6, 3]


def test_a_line_between_parts_that_do_not_touch_separates_them() -> None:
    two = square(10, 5, 30, 15) | square(10, 25, 28, 35)
    parts = cut(of(two), [(0, 20), (39, 20)])
    assert [p.bbox for p in parts] == [(10, 5, 30, 15), (10, 25, 28, 35)]


def test_a_part_that_the_line_does_not_reach_stays_with_the_nearest() -> None:
    data = square(5, 5, 15, 35) | square(25, 30, 30, 35)
    parts = cut(of(data), [(0, 16), (20, 16)])
    assert len(parts) == 2
    assert whole(parts[0])[27, 32]
    assert (sum(whole(p).astype(int) for p in parts) == data).all()


def test_a_line_far_longer_than_the_plane_is_cut_to_it() -> None:
    parts = cut(of(square(10, 10, 30, 30)), [(-1e9, 20), (1e9, 20)])
    assert len(parts) == 2


@pytest.mark.parametrize("line", [[], [(1, 2)], [(1, 2, 3), (4, 5, 6)], [(0, 0), (np.nan, 1)], "x"])
def test_what_is_no_line_is_told(line: object) -> None:
    with pytest.raises(HQSAMError, match=r"^line: "):
        cut(of(square(1, 1, 5, 5)), line)  # type: ignore[arg-type]


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 999),
    st.lists(st.tuples(st.floats(-10, 50), st.floats(-10, 50)), min_size=2, max_size=5),
)
def test_however_it_is_cut_no_pixel_is_lost_or_doubled(
    seed: int, line: list[tuple[float, float]]
) -> None:
    noise = np.random.default_rng(seed).random((SIDE, SIDE))
    data = ndimage.gaussian_filter(noise, 2) > 0.5
    data[20, 20] = True
    parts = cut(of(data), line)
    np.testing.assert_array_equal(sum(whole(p).astype(int) for p in parts), data.astype(int))
    areas = [p.area for p in parts]
    assert areas == sorted(areas, reverse=True)


def test_smoothing_takes_hairs_off_and_fills_dents() -> None:
    data = square(10, 10, 30, 30)
    data[20, 2:10] = True
    data[10:14, 20] = False
    box, smooth = smoothed(of(data), 2, (SIDE, SIDE))
    out = spread(of(smooth, box[:2]), (0, 0, SIDE, SIDE))
    assert not out[20, :9].any()
    assert out[11:14, 20].all()
    assert out[13:27, 13:27].all()


def test_smoothing_does_not_round_off_what_the_edge_of_the_plane_cuts() -> None:
    box, smooth = smoothed(of(square(0, 0, 10, SIDE)), 2, (SIDE, SIDE))
    assert box == (0, 0, 16, SIDE)
    np.testing.assert_array_equal(smooth, square(0, 0, 10, SIDE)[:16])
