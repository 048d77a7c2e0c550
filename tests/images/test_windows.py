"""Windows: where they lie, and how they map coordinates."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images.windows import (
    CONTEXT,
    MAX_MAGNIFICATION,
    Window,
    grid,
    whole_plane,
    window_around,
)

SIZES = st.sampled_from([64, 128, 512, 1024])
LENGTHS = st.integers(1, 9000)


@st.composite
def objects(draw: st.DrawFn) -> tuple[tuple[int, int], np.ndarray, np.ndarray]:
    """A plane, and the lower and upper corner of an object in it."""
    shape = draw(LENGTHS), draw(LENGTHS)
    extents = st.one_of(st.floats(0, 60), st.floats(0, 9000))
    lower = np.array([draw(st.floats(0, n - 1)) for n in shape])
    upper = np.minimum(lower + [draw(extents) for _ in shape], np.subtract(shape, 1))
    return shape, lower, upper


@st.composite
def windows(draw: st.DrawFn) -> Window:
    shape, lower, upper = draw(objects())
    size = draw(SIZES)
    if draw(st.booleans()):
        return whole_plane(shape, size)
    return window_around(lower, upper, shape, size, smallest=draw(st.sampled_from([0, size])))


@settings(deadline=None)
@given(objects(), SIZES, st.sampled_from([0, 1]))
def test_window_around_shows_its_object_inside_the_plane(
    spec: tuple, size: int, smallest: int
) -> None:
    shape, lower, upper = spec
    window = window_around(lower, upper, shape, size, (3,), 2, smallest=smallest * size)
    assert (window.plane, window.level, window.input_size) == ((3,), 2, size)
    assert window.contains(np.stack([lower, upper]))
    assert all(o >= 0 and n >= 1 for o, n in zip(window.origin, window.shape, strict=True))
    assert all(
        o + n <= length for o, n, length in zip(window.origin, window.shape, shape, strict=True)
    )
    assert max(window.shape) <= window.side
    assert window.scale <= MAX_MAGNIFICATION
    assert window.side >= min(max(shape), smallest * size)
    if window.shape != shape:  # the object has context, unless all of the plane is shown
        assert window.side >= CONTEXT * ((upper - lower).max() + 1)
        assert math.log2(window.side / size).is_integer()


@settings(deadline=None)
@given(objects(), SIZES)
def test_an_object_is_near_the_centre_of_its_window(spec: tuple, size: int) -> None:
    """Within half a step of the grid of origins, unless the plane ends there."""
    shape, lower, upper = spec
    window = window_around(lower, upper, shape, size)
    centre = (lower + upper + 1) / 2  # in pixel edges
    for c, o, n, length in zip(centre, window.origin, window.shape, shape, strict=True):
        off = c - (o + n / 2)
        if off < 0:
            assert o == 0 or -off <= window.side / 8
        else:
            assert o + n == length or off <= window.side / 8


@settings(deadline=None)
@given(objects(), SIZES)
def test_an_object_is_at_least_a_fifth_of_its_window(spec: tuple, size: int) -> None:
    """Unless magnification has reached its limit."""
    shape, lower, upper = spec
    window = window_around(lower, upper, shape, size)
    extent = (upper - lower).max() + 1
    assert window.side <= max(2 * CONTEXT * extent, math.ceil(size / MAX_MAGNIFICATION))


@settings(deadline=None)
@given(LENGTHS, LENGTHS, SIZES)
def test_whole_plane_shows_all_of_it(height: int, width: int, size: int) -> None:
    window = whole_plane((height, width), size)
    assert window.origin == (0, 0)
    assert window.shape == (height, width)
    assert window.scale <= MAX_MAGNIFICATION
    assert window.contains([(-0.5, -0.5), (height - 0.5, width - 0.5)])
    assert not window.contains([(height, 0)])
    assert not window.contains([(0, -1)])
    # SAM's own rounding: the long side is S, unless it is magnified as far as it may be
    long = max(window.model_shape)
    assert long == min(size, int(max(height, width) * window.scale + 0.5))


@settings(deadline=None)
@given(windows(), st.floats(0, 1), st.floats(0, 1))
def test_to_model_is_linear_in_pixel_edges(window: Window, v: float, u: float) -> None:
    """Edges of the window are edges of the model's image; (y, x) becomes (x, y)."""
    origin, shape = np.array(window.origin), np.array(window.shape)
    point = origin - 0.5 + shape * (v, u)
    model = window.to_model([point])
    assert model.shape == (1, 2)
    assert model.dtype == np.float32
    expected = np.array(window.model_shape) * (v, u) - 0.5
    np.testing.assert_allclose(model[0, ::-1], expected, atol=1e-3)
    # and back
    scale = np.divide(window.model_shape, shape)
    np.testing.assert_allclose((model[0, ::-1] + 0.5) / scale - 0.5 + origin, point, atol=0.02)


@settings(deadline=None)
@given(windows())
def test_model_shape_is_within_half_a_model_pixel(window: Window) -> None:
    for n, m in zip(window.shape, window.model_shape, strict=True):
        assert 1 <= m <= window.input_size
        assert abs(m - n * window.scale) <= 0.5 or m == 1


def test_coordinates_by_hand() -> None:
    shrunk = Window((), 0, (100, 200), 1024, (1024, 1024), 512)
    np.testing.assert_array_equal(shrunk.to_model([(100.5, 202.5)]), [(1.0, 0.0)])
    magnified = Window((), 0, (10, 20), 64, (64, 64), 512)
    # the centre of the first pixel is the middle of the first eight model pixels
    np.testing.assert_array_equal(magnified.to_model([(10, 21)]), [(11.5, 3.5)])
    plain = Window((), 0, (7, 9), 512, (512, 512), 512)
    np.testing.assert_array_equal(plain.to_model([(7, 9), (8, 29)]), [(0, 0), (20, 1)])


def test_a_thin_plane_has_its_own_scale_along_each_axis() -> None:
    """Its 3 pixels become 5 of 5.12, as the image is resized, not 5.12."""
    window = whole_plane((3, 300), 512)
    assert window.model_shape == (5, 512)
    np.testing.assert_allclose(window.to_model([(2.5, 299.5)]), [(511.5, 4.5)])


def test_neighbours_of_like_size_share_windows() -> None:
    rng = np.random.default_rng(0)
    lower = rng.uniform(1000, 1400, (300, 2))
    found = {window_around(p, p + 30, (4000, 4000), 512) for p in lower}
    # 64-pixel windows with origins every 16 pixels: there are 26² of them for 400² pixels
    assert {w.side for w in found} == {64}
    assert {o % 16 for w in found for o in w.origin} == {0}
    same = {window_around((1000 + d, 1000), (1030 + d, 1030), (4000, 4000), 512) for d in range(8)}
    assert len(same) <= 2


def test_clicks_share_windows_of_the_models_own_size() -> None:
    found = {
        window_around((y, x), (y, x), (4000, 3000), 512, smallest=512)
        for y in range(0, 4000, 40)
        for x in range(0, 3000, 40)
    }
    assert {w.side for w in found} == {512}
    assert len(found) <= 30 * 22


@pytest.mark.parametrize("corner", [(0, 0), (0, 2999), (3999, 0), (3999, 2999)])
def test_at_a_corner_a_window_is_shifted_inside(corner: tuple[int, int]) -> None:
    window = window_around(corner, corner, (4000, 3000), 512, smallest=512)
    assert window.shape == (512, 512)
    assert window.contains([corner])


def test_an_object_larger_than_the_input_is_shrunk() -> None:
    window = window_around((1000, 1000), (1799, 1299), (10_000, 10_000), 512)
    assert window.side == 2048
    assert window.scale == 0.25


@st.composite
def grids(draw: st.DrawFn) -> tuple[tuple[int, int], int, int, float]:
    shape = draw(st.integers(1, 3000)), draw(st.integers(1, 3000))
    overlap = draw(st.sampled_from([0.0, 0.1, 0.25, 0.5]))
    return shape, 128, draw(st.integers(-1, 4)), overlap


@given(grids())
@settings(deadline=None)
def test_a_grid_covers_the_plane_and_stays_in_it(
    given_: tuple[tuple[int, int], int, int, float],
) -> None:
    shape, size, octave, overlap = given_
    windows = grid(shape, size, octave, overlap=overlap)
    covered = np.zeros(shape, bool)
    for w in windows:
        (y, x), (h, width) = w.origin, w.shape
        assert y + h <= shape[0]
        assert x + width <= shape[1]
        covered[y : y + h, x : x + width] = True
    assert covered.all()
    assert len(set(windows)) == len(windows)


@given(grids(), st.tuples(*[st.floats(0, 1)] * 4))
@settings(deadline=None)
def test_a_region_has_the_windows_that_meet_it(
    given_: tuple[tuple[int, int], int, int, float], ends: tuple[float, ...]
) -> None:
    shape, size, octave, overlap = given_
    y0, y1 = sorted(v * shape[0] for v in ends[:2])
    x0, x1 = sorted(v * shape[1] for v in ends[2:])
    y1, x1 = y1 + 1e-6, x1 + 1e-6
    every = grid(shape, size, octave, overlap=overlap)
    if len(every) == 1:
        return
    meeting = [
        w
        for w in every
        if w.origin[0] < y1
        and w.origin[1] < x1
        and w.origin[0] + w.shape[0] > y0
        and w.origin[1] + w.shape[1] > x0
    ]
    found = grid(shape, size, octave, overlap=overlap, region=(y0, x0, y1, x1))
    assert found == meeting


def test_neighbours_of_a_grid_share_a_quarter() -> None:
    windows = grid((1000, 500), 256, 0)
    assert [w.origin[0] for w in windows if w.origin[1] == 0] == [0, 192, 384, 576, 744]
    assert sorted({w.origin[1] for w in windows}) == [0, 192, 244]


def test_a_plane_no_larger_than_a_window_is_one() -> None:
    assert grid((100, 120), 128) == [whole_plane((100, 120), 128)]
    assert grid((300, 300), 128, 3) == [whole_plane((300, 300), 128)]


@pytest.mark.parametrize("overlap", [-0.1, 1.0, 7])
def test_an_overlap_that_is_no_share_is_refused(overlap: float) -> None:
    with pytest.raises(HQSAMError, match=r"^overlap .*: give a share"):
        grid((1000, 1000), 128, overlap=overlap)
