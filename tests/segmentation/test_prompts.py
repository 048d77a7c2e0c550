"""Prompts: what is taken, what is refused, and how it reaches the model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images.windows import Window, whole_plane
from napari_hqsam.segmentation import Prompts
from napari_hqsam.segmentation.prompts import to_batch

CPU = torch.device("cpu")
ONE_TO_ONE = Window((), 0, (10, 20), 64, (64, 64), 64)


def batch(*prompts: Prompts, window: Window = ONE_TO_ONE) -> Any:
    return to_batch(prompts, window, [None] * len(prompts), CPU)


def rectangle(y0: int, x0: int, y1: int, x1: int, shape: tuple = (100, 120)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[y0 : y1 + 1, x0 : x1 + 1] = True
    return mask


# What is refused


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "give a point"),
        ({"points": []}, "points: give"),
        ({"points": [3, 4]}, "points: give"),
        ({"points": [(1, 2, 3)]}, "points: give"),
        ({"points": [(1, float("nan"))]}, "points: give"),
        ({"points": "here"}, "points: give"),
        ({"points": [(1, 2), (3,)]}, "points: give"),
        ({"points": [(1, 2)], "labels": [1, 0]}, "labels: give one 0 or 1"),
        ({"points": [(1, 2)], "labels": [2]}, "labels: give one 0 or 1"),
        ({"points": [(1, 2)], "labels": [0.5]}, "labels: give one 0 or 1"),
        ({"points": [(1, 2)], "labels": ["yes"]}, "labels: give one 0 or 1"),
        ({"points": [(1, 2)], "labels": 1}, "labels: give one 0 or 1"),
        ({"labels": [1]}, "labels: give one 0 or 1"),
        ({"box": (1, 2, 3)}, "box"),
        ({"box": (5, 2, 3, 9)}, "y0 <= y1"),
        ({"box": (1, 9, 3, 2)}, "x0 <= x1"),
        ({"box": (1, 2, 3, float("inf"))}, "box"),
        ({"box": ("a", 2, 3, 4)}, "box"),
        ({"box": 7}, "box"),
        ({"polygon": [(1, 2), (3, 4)]}, "polygon: give at least three"),
        ({"scribble": [1, 2]}, "scribble: give"),
        ({"mask": np.zeros((5, 5))}, "mask: give"),
        ({"mask": np.ones((2, 5, 5))}, "mask: give"),
        ({"mask": np.ones((5, 5)), "polygon": [(0, 0), (0, 3), (3, 3)]}, "one of them"),
    ],
)
def test_bad_prompts_are_refused_in_one_line(given: dict, message: str) -> None:
    with pytest.raises(HQSAMError, match=message) as caught:
        Prompts(**given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "inside",
    [
        {"points": [(-0.5, -0.5), (99.5, 119.5)]},
        {"box": (-50, -50, 0, 0)},
        {"box": (99, 119, 500, 500)},
        {"box": (-50, -50, 500, 500)},
        {"polygon": [(-9, -9), (-9, 50), (50, 50)]},
        {"polygon": [(-90, -90), (-90, 900), (900, 900), (900, -90)]},
        {"scribble": [(0, 0), (99, 119)]},
        {"mask": np.ones((100, 120))},
    ],
)
def test_check_inside_lets_pass(inside: dict) -> None:
    Prompts(**inside).check_inside((100, 120))


@pytest.mark.parametrize(
    ("outside", "message"),
    [
        ({"points": [(5, 5), (100, 5)]}, "point 100,5 is outside"),
        ({"points": [(5, -0.6)]}, "point 5,-0.6 is outside"),
        ({"points": [(110, 50)]}, "outside"),  # x and y confused
        ({"box": (0, 120, 10, 130)}, "box 0,120,10,130 is outside"),
        ({"box": (-9, 0, -1, 10)}, "box -9,0,-1,10 is outside"),
        ({"polygon": [(0, 130), (0, 140), (9, 140)]}, "polygon: all of it is outside"),
        ({"mask": np.ones((120, 100))}, r"mask of shape \(120, 100\): the plane has 100 x 120"),
    ],
)
def test_check_inside_names_what_lies_outside(outside: dict, message: str) -> None:
    with pytest.raises(HQSAMError, match=message) as caught:
        Prompts(**outside).check_inside((100, 120))
    assert "\n" not in str(caught.value)


# What it says of the object


def test_bounds_take_in_all_prompts() -> None:
    lower, upper, spans = Prompts(points=[(50, 60), (3, 90)], labels=[1, 0]).bounds()
    assert (lower.tolist(), upper.tolist(), spans) == ([3, 60], [50, 90], False)
    lower, upper, spans = Prompts(points=[(50, 60)], labels=[0], box=(10, 20, 30, 40)).bounds()
    assert (lower.tolist(), upper.tolist(), spans) == ([10, 20], [50, 60], True)
    lower, upper, spans = Prompts(mask=rectangle(7, 9, 30, 31)).bounds()
    assert (lower.tolist(), upper.tolist(), spans) == ([7, 9], [30, 31], True)
    lower, upper, spans = Prompts(polygon=[(7, 9), (7, 31), (30, 20)]).bounds()
    assert (lower.tolist(), upper.tolist(), spans) == ([7, 9], [30, 31], True)
    assert not Prompts(scribble=[(1, 2), (5, 9)]).bounds()[2]


def test_prompts_and_their_order_in_y_and_x() -> None:
    given = batch(Prompts(points=[(11, 25), (70, 22)], labels=[1, 0], box=(12, 21, 40, 60)))
    assert given.points.tolist() == [[[5, 1], [2, 60]]]  # x before y
    assert given.labels.tolist() == [[1, 0]]
    assert given.boxes.tolist() == [[1, 2, 40, 30]]
    assert given.masks is None
    assert (given.points.dtype, given.labels.dtype, given.boxes.dtype) == (torch.float32,) * 3


def test_points_are_positive_by_default() -> None:
    assert batch(Prompts(points=[(11, 25), (70, 22)])).labels.tolist() == [[1, 1]]


def test_a_scribble_is_twelve_clicks_at_equal_distances() -> None:
    given = batch(Prompts(scribble=[(20, 30), (20, 41), (42, 41)]))
    points = given.points[0].numpy()[:, ::-1] + ONE_TO_ONE.origin
    assert given.labels.tolist() == [[1] * 12]
    np.testing.assert_allclose(points[[0, -1]], [(20, 30), (42, 41)], atol=1e-5)
    on_first = np.isclose(points[:, 0], 20)
    assert np.isclose(points[~on_first, 1], 41).all()
    np.testing.assert_allclose(points[on_first, 1], 30 + 3 * np.arange(4), atol=1e-5)
    along = np.where(on_first, points[:, 1] - 30, 11 + points[:, 0] - 20)
    np.testing.assert_allclose(np.diff(along), 3, atol=1e-5)


@pytest.mark.parametrize("kind", [list, tuple])
def test_several_scribbles_have_twelve_clicks_each(kind: type) -> None:
    first, second = [(20, 30), (20, 41)], np.array([(40, 50), (70, 50), (70, 90)])
    together = batch(Prompts(scribble=kind([first, second])))
    alone = [batch(Prompts(scribble=s)).points for s in (first, second)]
    assert together.points.shape == (1, 24, 2)
    assert torch.equal(together.points, torch.cat(alone, dim=1))
    assert (together.labels == 1).all()


@pytest.mark.parametrize("scribble", [[], [[]], [[(1, 2)], [(1, 2, 3)]], [[(1, 2)], 5], "ab"])
def test_a_scribble_that_is_none(scribble: object) -> None:
    with pytest.raises(HQSAMError, match="scribble: give"):
        Prompts(scribble=scribble)


def test_what_only_cuts() -> None:
    box = (10, 10, 50, 60)
    before = Prompts(points=[(20, 30)], box=box)
    cut = Prompts(points=[(20, 30), (40, 50)], labels=[1, 0], box=box)
    assert cut.only_cuts(before)
    assert not cut.only_cuts(None)
    assert not cut.only_cuts(cut)  # nothing new
    assert Prompts(points=[(40, 50)], labels=[0]).only_cuts(None)
    others = [
        Prompts(points=[(20, 30), (40, 50)], labels=[1, 1], box=box),
        Prompts(points=[(20, 30), (40, 50)], labels=[1, 0], box=(10, 10, 50, 61)),
        Prompts(points=[(20, 30), (40, 50)], labels=[1, 0]),
        Prompts(points=[(20, 31), (40, 50)], labels=[1, 0], box=box),
        Prompts(points=[(20, 30), (40, 50), (1, 1)], labels=[1, 0, 1], box=box),
        before,
    ]
    assert not any(p.only_cuts(before) for p in others)


def test_a_scribble_is_added_to_the_points() -> None:
    given = batch(Prompts(points=[(60, 60)], labels=[0], scribble=[(20, 30)]))
    assert given.labels.tolist() == [[0] + [1] * 12]
    assert given.points[0, 1:].unique(dim=0).tolist() == [[10, 10]]  # a stroke of one vertex


def test_a_box_over_the_edge_is_cut_to_the_outermost_pixels() -> None:
    window = whole_plane((100, 50), 100)
    given = batch(Prompts(box=(-20, 10.5, 130, 49.6)), window=window)
    assert given.boxes.tolist() == [[10.5, 0, 49, 99]]


def test_prompts_of_one_form_share_a_batch() -> None:
    some = [Prompts(box=(11, 21, 30, 40 + i)) for i in range(3)]
    assert len({p.form() for p in some}) == 1
    given = batch(*some)
    assert given.boxes[:, 2].tolist() == [20, 21, 22]
    forms = [
        Prompts(points=[(1, 2)]),
        Prompts(points=[(1, 2), (3, 4)]),
        Prompts(box=(1, 2, 3, 4)),
        Prompts(box=(1, 2, 3, 4), points=[(1, 2)]),
        Prompts(mask=np.ones((5, 5))),
    ]
    assert len({p.form() for p in forms}) == len(forms)


# Outlines


@pytest.mark.parametrize("scale", [0.25, 0.5, 1, 2, 8])
def test_a_mask_becomes_logits_in_its_place(scale: float) -> None:
    side = round(64 / scale)
    window = Window((), 0, (10, 20), side, (side, side), 64)
    # the second quarter of the window down, the third across
    y0, x0 = 10 + side // 4, 20 + side // 2
    mask = rectangle(y0, x0, y0 + side // 4 - 1, x0 + side // 4 - 1, (300, 300))
    given = batch(Prompts(mask=mask), window=window)
    expected = np.full((16, 16), -8.0)
    expected[4:8, 8:12] = 8
    logits = given.masks[0, 0].numpy()
    assert given.masks.shape == (1, 1, 16, 16)
    inner, outer = np.s_[5:7, 9:11], np.ones((16, 16), bool)
    outer[3:9, 7:13] = False
    assert (logits[inner] > 4).all()
    np.testing.assert_allclose(logits[outer], -8, atol=0.2)
    np.testing.assert_array_equal(logits > 0, expected > 0)
    # symmetrical: not moved by part of a pixel
    np.testing.assert_allclose(logits[3:9, 7:13], logits[3:9, 7:13][::-1, ::-1], atol=0.01)
    if scale >= 1:
        assert given.boxes.tolist() == [[32, 16, 47, 31]]
    else:
        box = window.to_model([(y0, x0), (y0 + side // 4 - 1, x0 + side // 4 - 1)])
        np.testing.assert_allclose(given.boxes[0], box.reshape(-1))


@pytest.mark.parametrize("scale", [1, 2, 4, 8])
def test_the_outermost_pixels_of_a_box_become_the_outermost_model_pixels(scale: int) -> None:
    window = Window((), 0, (10, 20), 64 // scale, (64 // scale,) * 2, 64)
    given = batch(Prompts(box=(12, 21, 14, 25)), window=window)
    # rows 2 to 4 and columns 1 to 5 of the window, in edges of the model's pixels
    left, top, right, bottom = 1 * scale, 2 * scale, 6 * scale, 5 * scale
    assert given.boxes.tolist() == [[left, top, right - 1, bottom - 1]]
    everything = batch(Prompts(box=(-9, -9, 99, 99)), window=window)
    assert everything.boxes.tolist() == [[0, 0, 63, 63]]
    points = batch(Prompts(points=[(12, 21)]), window=window)
    assert points.points.tolist() == [[[1.5 * scale - 0.5, 2.5 * scale - 0.5]]]


def test_a_polygon_is_the_mask_of_the_pixels_in_it() -> None:
    corners = [(29.5, 39.5), (29.5, 60.5), (50.5, 60.5), (50.5, 39.5)]
    by_polygon = batch(Prompts(polygon=corners))
    by_mask = batch(Prompts(mask=rectangle(30, 40, 50, 60)))
    torch.testing.assert_close(by_polygon.masks, by_mask.masks)
    torch.testing.assert_close(
        by_polygon.boxes, by_mask.boxes + torch.tensor([-0.5, -0.5, 0.5, 0.5])
    )


@pytest.mark.parametrize(
    "polygon",
    [
        [(30.2, 40.2), (30.2, 40.4), (30.4, 40.3)],  # between the centres of pixels
        [(10, 20)] * 3,
        [(73.4, 83.4), (73.45, 83.4), (73.4, 83.45)],  # in the window's last pixel
    ],
)
def test_a_polygon_finer_than_a_pixel_is_heard(polygon: list) -> None:
    given = batch(Prompts(polygon=polygon), window=Window((), 0, (10, 20), 64, (64, 64), 512))
    logits = given.masks[0, 0]
    assert logits.max() > 0
    assert 0 < (logits > 0).sum() <= 9
    assert torch.isfinite(given.boxes).all()


def test_an_earlier_prediction_takes_precedence_over_an_outline() -> None:
    earlier = np.full((16, 16), 3, np.float32)
    given = to_batch([Prompts(mask=rectangle(30, 40, 50, 60))], ONE_TO_ONE, [earlier], CPU)
    assert (given.masks == 3).all()


def test_what_lies_beyond_the_plane_is_outside_a_mask() -> None:
    window = Window((), 0, (0, 0), 64, (40, 20), 64)
    given = batch(Prompts(mask=np.ones((40, 20))), window=window)
    logits = given.masks[0, 0]
    assert (logits[:9, :4] > 7).all()
    assert (logits[11:] < -7).all()
    assert (logits[:, 6:] < -7).all()


@st.composite
def anywhere(draw: st.DrawFn) -> tuple[Window, Prompts]:
    """A window that shows a whole plane, and a box or polygon that may reach over its edge."""
    shape = draw(st.integers(1, 300)), draw(st.integers(1, 300))
    window = whole_plane(shape, 64)
    along = [st.floats(-n, 2 * n) for n in shape]
    corners = np.array([draw(st.tuples(*along)) for _ in range(draw(st.sampled_from([2, 4])))])
    if len(corners) > 2:
        prompts = Prompts(polygon=corners)
    else:
        prompts = Prompts(box=(*corners.min(axis=0), *corners.max(axis=0)))
    return window, prompts


@settings(deadline=None)
@given(anywhere())
def test_boxes_stay_in_the_image_and_in_order(drawn: tuple[Window, Prompts]) -> None:
    window, prompts = drawn
    try:
        prompts.check_inside(window.shape)
    except HQSAMError:
        return
    given = batch(prompts, window=window)
    x0, y0, x1, y1 = given.boxes[0].tolist()
    height, width = window.model_shape
    assert -0.5 <= x0 <= x1 <= width - 0.5
    assert -0.5 <= y0 <= y1 <= height - 0.5
    if prompts.polygon is not None:
        assert given.masks.shape == (1, 1, 16, 16)
        assert torch.isfinite(given.masks).all()


def test_prompts_cannot_be_changed_and_are_compared_by_identity() -> None:
    one, two = Prompts(points=[(1, 2)]), Prompts(points=[(1, 2)])
    assert one != two
    assert one in [two, one]
    assert len({one, two}) == 2
    with pytest.raises(AttributeError):
        one.box = (1, 2, 3, 4)  # type: ignore[misc]


# Strokes along what is not the object, and masks of a part of the plane


def test_a_negative_scribble_is_twelve_negative_clicks() -> None:
    stroke = [(20, 30), (20, 41)]
    given = batch(Prompts(scribble=stroke, negative_scribble=[stroke, [(50, 50), (60, 60)]]))
    assert given.labels.tolist() == [[1] * 12 + [0] * 24]
    assert torch.equal(given.points[:, :12], given.points[:, 12:24])
    alone = Prompts(negative_scribble=stroke)
    assert alone.only_cuts(None)
    with pytest.raises(HQSAMError, match="negative_scribble: give"):
        Prompts(negative_scribble=[3, 4])


PART = rectangle(0, 0, 20, 20, (21, 25))
PART[:5, :5] = False
WHOLE = np.zeros((100, 120), bool)
WHOLE[30:51, 40:65] = PART


@pytest.mark.parametrize("origin", [(10, 20), (25, 50), (35, 20), (0, 0)])
@pytest.mark.parametrize("side", [20, 64])
def test_a_mask_from_its_origin_on_is_that_mask_of_the_plane(origin: tuple, side: int) -> None:
    window = Window((), 0, origin, side, (side, side), 64)
    part, whole = Prompts(mask=PART, mask_origin=(30, 40)), Prompts(mask=WHOLE)
    assert part.mask is not None
    assert part.mask.size < 1000
    torch.testing.assert_close(batch(part, window=window).masks, batch(whole, window=window).masks)
    assert torch.equal(batch(part, window=window).boxes, batch(whole, window=window).boxes)
    np.testing.assert_array_equal(part.bounds()[0], whole.bounds()[0])
    np.testing.assert_array_equal(part.bounds()[1], whole.bounds()[1])


def test_a_mask_of_a_part_must_lie_in_the_plane() -> None:
    part = Prompts(mask=PART, mask_origin=(30, 40))
    part.check_inside((51, 65))
    with pytest.raises(HQSAMError, match=r"mask of shape \(21, 25\) at \(30, 40\): the plane"):
        part.check_inside((51, 64))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"mask_origin": (1, 2), "box": (1, 2, 3, 4)}, "mask_origin: give the mask"),
        ({"mask": PART, "mask_origin": (1.5, 2)}, "two whole numbers"),
        ({"mask": PART, "mask_origin": (-1, 2)}, "two whole numbers"),
        ({"mask": PART, "mask_origin": 3}, "two whole numbers"),
    ],
)
def test_bad_origins_are_refused(given: dict, message: str) -> None:
    with pytest.raises(HQSAMError, match=message):
        Prompts(**given)


# What has changed


def test_prompts_that_say_the_same_have_one_signature() -> None:
    one = Prompts(points=[(1, 2), (3, 4)], labels=[1, 0], box=(0, 0, 9, 9))
    same = Prompts(points=[(3, 4), (1, 2)], labels=[0, 1], box=(0, 0, 9, 9))
    outline = [(1, 2), (5, 9), (9, 3)]
    all_of_them = [
        one,
        Prompts(points=[(1, 2), (3, 4)], labels=[0, 1], box=(0, 0, 9, 9)),
        Prompts(points=[(1, 2)], box=(0, 0, 9, 9)),
        Prompts(points=[(1, 2), (3, 4)], labels=[1, 0], box=(0, 0, 9, 8)),
        Prompts(points=[(1, 2), (3, 4)], labels=[1, 0]),
        Prompts(points=[(1, 2), (3, 4), (3, 4)], labels=[1, 0, 0], box=(0, 0, 9, 9)),
        Prompts(mask=PART, mask_origin=(1, 2)),
        Prompts(mask=PART, mask_origin=(2, 1)),
        Prompts(mask=PART[1:]),
        Prompts(polygon=outline),
        Prompts(polygon=outline[::-1]),
    ]
    assert one.signature() == same.signature()
    assert len({p.signature() for p in all_of_them}) == len(all_of_them)
    assert Prompts(mask=PART.copy()).signature() == Prompts(mask=PART).signature()


def test_which_clicks_are_new() -> None:
    before = Prompts(points=[(1, 2)], scribble=[(5, 5), (9, 9)])
    after = Prompts(points=[(1, 2), (3, 4)], labels=[1, 0], scribble=[(5, 5), (9, 9)])
    assert after.more_than(before) == [0]  # though it comes before the stroke
    assert after.only_cuts(before)
    assert before.more_than(after) == []
    assert before.more_than(before) == []
    boxed = Prompts(points=[(1, 2), (3, 4)], box=(0, 0, 9, 9))
    assert boxed.more_than(Prompts(points=[(1, 2)])) == []
