"""Prompts from true masks, on shapes whose middles, axes and errors are plain to see."""

from __future__ import annotations

import numpy as np
import pytest

from napari_hqsam.errors import HQSAMError
from napari_hqsam.evaluation.detection import Cutout
from napari_hqsam.evaluation.prompting import (
    PROMPT_NAMES,
    correction_click,
    exact_box,
    middle,
    negative_click,
    noisy_box,
    prompt_kind,
    random_clicks,
    rough_mask,
)
from napari_hqsam.evaluation.strokes import is_thin, strokes_along

SHAPE = (100, 120)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def cutout(y0: int, x0: int, y1: int, x1: int, mask: np.ndarray | None = None) -> Cutout:
    data = np.ones((y1 - y0, x1 - x0), dtype=bool) if mask is None else mask
    return Cutout(data, (y0, x0, y1, x1))


def disc(radius: int, y: int = 50, x: int = 60) -> Cutout:
    grid = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    inside = (grid**2).sum(axis=0) <= radius**2
    return cutout(y - radius, x - radius, y + radius + 1, x + radius + 1, inside)


def full(mask: Cutout, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    out = np.zeros(shape, dtype=bool)
    y0, x0, y1, x1 = mask.bbox
    out[y0:y1, x0:x1] = mask.data
    return out


@pytest.mark.parametrize("name", [*PROMPT_NAMES, "box-noise-.4", "clicks-10", "strokes-1"])
def test_every_way_to_prompt_gives_prompts_on_the_plane(name: str, rng) -> None:
    kind = prompt_kind(name)
    assert kind.name == name
    for truth in (disc(12), cutout(0, 0, *SHAPE), cutout(99, 119, 100, 120)):
        given = kind.make(truth, SHAPE, rng)
        given.check_inside(SHAPE)
        at = given.points[given.labels == 1].astype(int)
        if "strokes" not in name:  # whose skeleton may leave a bent object between two vertices
            assert full(truth)[tuple(at.T)].all()


@pytest.mark.parametrize(
    "name",
    ["boxes", "box-noise", "box-noise-x", "box-noise-2", "clicks", "clicks-0", "clicks--1",
     "strokes-0", "strokes-1.5", "", "click-3", "clicks-3-pos"],
)  # fmt: skip
def test_an_unknown_way_to_prompt(name: str) -> None:
    with pytest.raises(HQSAMError, match=r"is unknown: use one like box, "):
        prompt_kind(name)


def test_what_is_drawn_several_times_says_so() -> None:
    assert prompt_kind("clicks-5").trials == 3
    assert prompt_kind("box-noise-0.2").trials == prompt_kind("click").trials == 1


def test_the_exact_box_names_the_outermost_pixels(rng) -> None:
    assert exact_box(cutout(10, 20, 15, 40), SHAPE, rng).box == (10, 20, 14, 39)


def test_a_noisy_box_is_off_by_as_much_as_it_says(rng) -> None:
    truth = cutout(40, 30, 60, 70)  # sides 20 and 40
    boxes = np.array([noisy_box(truth, SHAPE, rng, 0.2).box for _ in range(400)])
    low, high = boxes[:, :2] - 0.5, boxes[:, 2:] + 0.5  # the edges of the pixels
    sides, centres = high - low, (low + high) / 2
    assert np.abs(sides / (20, 40) - 1).max() <= 0.2
    assert np.abs(sides / (20, 40) - 1).max() > 0.18
    off = np.abs(centres - (49.5, 49.5)) / (20, 40)
    assert off.max() <= 0.1
    assert off.max() > 0.09
    same = noisy_box(truth, SHAPE, rng, 0.0).box
    np.testing.assert_allclose(same, exact_box(truth, SHAPE, rng).box)


def test_a_noisy_box_stays_on_the_plane_and_has_a_pixel(rng) -> None:
    for truth in (cutout(0, 0, 1, 1), cutout(0, 0, *SHAPE), cutout(95, 110, 100, 120)):
        for _ in range(50):
            y0, x0, y1, x1 = noisy_box(truth, SHAPE, rng, 1.0).box
            assert 0 <= y0 <= y1 <= 99
            assert 0 <= x0 <= x1 <= 119


def test_the_middle_is_farthest_from_the_edge() -> None:
    pear = full(disc(10, 30, 40)) | full(disc(4, 30, 52))
    assert middle(pear) == (30, 40)
    # The edge of the array bounds a region too.
    assert middle(np.ones((9, 31), dtype=bool))[0] == 4


def test_negative_clicks_lie_beside_the_object_but_near(rng) -> None:
    truth = disc(15)
    given = random_clicks(truth, SHAPE, rng, positive=20, negative=30)
    assert given.labels.tolist() == [1] * 20 + [0] * 30
    distance = np.hypot(*(given.points - (50, 60)).T)
    assert distance[:20].max() <= 15
    assert distance[20:].min() > 16.5
    assert distance[20:].max() < 15 + 0.5 * 15 * np.sqrt(np.pi) + 1.5
    alone = random_clicks(cutout(0, 0, *SHAPE), SHAPE, rng, positive=2, negative=2)
    assert alone.labels.tolist() == [1, 1]  # there is nothing beside it


def test_a_coarse_mask_is_about_the_object(rng) -> None:
    truth = disc(30)
    coarse = rough_mask(truth, SHAPE, rng).mask
    exact = full(truth)
    iou = (coarse & exact).sum() / (coarse | exact).sum()
    assert 0.6 < iou < 1


def test_the_first_correction_is_the_middle_of_the_largest_error() -> None:
    truth = cutout(20, 20, 60, 60)
    none = np.empty((0, 2))
    empty = Cutout(np.zeros((0, 0), dtype=bool), (5, 5, 5, 5))
    (y, x), label = correction_click(truth, empty, none)
    assert label == 1
    assert 38 <= y <= 41
    assert 38 <= x <= 41
    # 10 rows missed at the top, 20 columns too many at the right: the latter first.
    wide = cutout(30, 20, 60, 80)
    (y, x), label = correction_click(truth, wide, none)
    assert label == 0
    assert 38 <= y <= 51
    assert 69 <= x <= 70
    # A row of 10 that is missed, against a strip of 4 that is too much.
    (y, _), label = correction_click(truth, cutout(30, 20, 60, 64), none)
    assert label == 1
    assert 24 <= y <= 25
    assert correction_click(truth, truth, none) is None


def test_no_pixel_is_clicked_on_twice() -> None:
    truth, point = cutout(20, 20, 21, 23), np.array([[20.0, 21.0]])
    empty = Cutout(np.zeros((0, 0), dtype=bool), (0, 0, 0, 0))
    at, label = correction_click(truth, empty, point)
    assert label == 1
    assert at in ((20, 20), (20, 22))


def test_a_negative_click_meets_the_largest_surplus(rng) -> None:
    truth = cutout(40, 40, 60, 60)
    spread_out = full(truth)
    spread_out[45:56, 60:75] = True  # the largest surplus: 11 x 15
    spread_out[10:15, 10:15] = True
    at, too_much = negative_click(truth, cutout(0, 0, *SHAPE, spread_out), SHAPE, rng)
    assert too_much
    assert at[0] == 50
    assert 65 <= at[1] <= 69


def test_without_surplus_a_negative_click_lies_just_outside(rng) -> None:
    truth = cutout(40, 40, 60, 60)
    for _ in range(20):
        at, too_much = negative_click(truth, truth, SHAPE, rng)
        assert not too_much
        beyond = np.maximum(np.maximum(np.subtract((40, 40), at), np.subtract(at, (59, 59))), 0)
        assert 1 < np.hypot(*beyond) <= 4
    everything = cutout(0, 0, *SHAPE)
    assert negative_click(everything, everything, SHAPE, rng) is None


def letter_t() -> np.ndarray:
    """A bar of 61 pixels and a stem of 20, both 5 wide."""
    mask = np.zeros((50, 80), dtype=bool)
    mask[8:13, 10:71] = True
    mask[13:33, 38:43] = True
    return mask


def test_the_first_stroke_is_the_longest_course_and_the_second_the_rest() -> None:
    mask = letter_t()
    bar, stem = strokes_along(mask, 2)
    assert np.ptp(bar[:, 1]) > 50
    assert np.abs(bar[:, 0] - 10).max() <= 2
    assert np.ptp(stem[:, 0]) > 12
    assert np.abs(stem[:, 1] - 40).max() <= 2
    assert len(strokes_along(mask, 1)) == 1
    assert mask[tuple(bar.astype(int).T)].all()


def test_strokes_in_pieces_take_the_longer_piece_first() -> None:
    mask = np.zeros((40, 60), dtype=bool)
    mask[5:8, 5:15] = True
    mask[20:23, 5:55] = True
    first, second = strokes_along(mask, 5)
    assert first[:, 0].min() > 19
    assert second[:, 0].max() < 9


def test_the_stroke_of_a_dot_is_a_point() -> None:
    dot = np.zeros((9, 9), dtype=bool)
    dot[4, 4] = True
    assert [s.tolist() for s in strokes_along(dot, 2)] == [[[4.0, 4.0]]]
    given = prompt_kind("strokes-2").make(cutout(4, 4, 5, 5), (9, 9), np.random.default_rng(0))
    assert (given.points == 4).all()


def test_strokes_become_clicks_along_each() -> None:
    truth = cutout(10, 5, 60, 85, letter_t())
    rng = np.random.default_rng(0)
    one = prompt_kind("strokes-1").make(truth, SHAPE, rng)
    two = prompt_kind("strokes-2").make(truth, SHAPE, rng)
    assert len(two.points) == 2 * len(one.points)
    assert two.points[:, 0].max() > one.points[:, 0].max() + 10


def test_what_is_thin() -> None:
    line = np.zeros((60, 200), dtype=bool)
    line[30:34, 5:195] = True
    assert is_thin(line)
    assert is_thin(letter_t())
    assert not is_thin(disc(30).data)
    ellipse = (np.mgrid[-10:11, -30:31][0] / 10) ** 2 + (np.mgrid[-10:11, -30:31][1] / 30) ** 2 <= 1
    assert not is_thin(ellipse)
