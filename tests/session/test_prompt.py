"""Which of the things drawn on a plane show which object."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_hqsam.labels.objects import PlaneMask
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.session.prompt import PromptItem, ellipse_outline, group

PLANE = ArrayPlane((0, 1), ())


def item(kind: Any, *vertices: tuple[float, float], positive: bool = True) -> PromptItem:
    return PromptItem(kind, PLANE, vertices, positive)


def point(y: float, x: float, positive: bool = True) -> PromptItem:
    return item("point", (y, x), positive=positive)


BIG = item("box", (10, 10), (60, 60))
SMALL = item("box", (20, 20), (29, 29))
L_SHAPE = item("polygon", (100, 10), (160, 10), (160, 60), (150, 60), (150, 20), (100, 20))
BESIDE = item("box", (110, 30), (140, 60))  # within the box of the L, but not in the L
RING = item("ellipse", (100, 100), (140, 180))


def members(items: list[PromptItem], **options: Any) -> list[tuple[PromptItem, ...]]:
    return [mine for _, mine in group(items, **options)]


def test_each_shape_is_an_object_with_the_points_that_lie_in_it() -> None:
    inside, outside = point(50, 50), point(25, 25, positive=False)
    near = point(70, 12)
    assert members([BIG, inside, SMALL, outside, near]) == [(BIG, inside, near), (SMALL, outside)]
    (big, _), (small, _) = group([BIG, SMALL, outside])
    assert (big.box, len(big.points)) == ((10, 10, 60, 60), 0)
    assert (small.box, small.points.tolist(), small.labels.tolist()) == (
        (20, 20, 29, 29),
        [[25, 25]],
        [0],
    )


def test_all_of_the_outermost_pixels_are_in_a_box() -> None:
    for y, x in ((19.6, 25), (29.4, 25), (25, 19.6), (25, 29.4)):
        assert members([BIG, SMALL, point(y, x)])[1][1:] == (point(y, x),)


def test_a_polygon_owns_what_is_within_its_outline_not_within_its_box() -> None:
    in_l, in_box = point(130, 15), point(120, 40, positive=False)
    assert members([L_SHAPE, BESIDE, in_l, in_box]) == [(L_SHAPE, in_l), (BESIDE, in_box)]
    between = point(125, 23)  # 3 from the L, 6.5 from the box
    assert members([BESIDE, L_SHAPE, between]) == [(BESIDE,), (L_SHAPE, between)]


def test_an_ellipse_is_its_outline_and_its_box() -> None:
    ((prompts, _),) = group([RING])
    assert prompts.box == (100, 100, 140, 180)
    assert prompts.polygon is not None
    assert prompts.polygon.shape == (32, 2)
    y, x = ((prompts.polygon - (120, 140)) / (20, 40)).T
    np.testing.assert_allclose(y**2 + x**2, 1)
    corner = point(102, 103)  # in the box of the ellipse only
    assert members([RING, item("box", (80, 80), (101, 103)), corner])[1][1:] == (corner,)


def test_a_scribble_goes_where_most_of_it_lies() -> None:
    stroke = item("scribble", (12, 12), (25, 25), (50, 50), (55, 55), positive=False)
    assert members([SMALL, BIG, stroke]) == [(SMALL,), (BIG, stroke)]
    short = item("scribble", (21, 21), (28, 28))
    assert members([SMALL, BIG, short]) == [(SMALL, short), (BIG,)]


def test_scribbles_become_clicks_of_their_sign() -> None:
    good, bad = item("scribble", (20, 20), (20, 42)), item("scribble", (90, 20), (90, 42))
    bad = PromptItem("scribble", PLANE, bad.vertices, positive=False)
    click = point(30, 30)
    ((prompts, mine),) = group([good, bad, click])
    assert mine == (good, bad, click)
    assert prompts.labels.tolist() == [1] + [1] * 12 + [0] * 12
    assert prompts.points[0].tolist() == [30, 30]
    assert (prompts.points[13:, 0] == 90).all()


def test_without_shapes_all_points_are_one_object() -> None:
    clicks = [point(10, 10), point(300, 300), point(20, 20, positive=False)]
    ((prompts, mine),) = group(clicks)
    assert mine == tuple(clicks)
    assert prompts.labels.tolist() == [1, 1, 0]


def test_negative_prompts_alone_show_nothing() -> None:
    assert group([point(10, 10, positive=False)]) == []
    assert group([item("scribble", (1, 1), (5, 5), positive=False)]) == []
    assert group([]) == []


# An object that is there already


MASK = np.zeros((40, 50), dtype=bool)
MASK[:, :10] = MASK[30:] = True  # an L again, from (200, 300) on


def from_label(_item: PromptItem) -> PlaneMask:
    return PlaneMask.of(PLANE, (200, 300, 240, 350), MASK)


def label(number: int = 7) -> PromptItem:
    return PromptItem("label", PLANE, label=number)


def test_a_label_is_a_rough_mask_in_its_place() -> None:
    ((prompts, mine),) = group([label()], from_label)
    assert mine == (label(),)
    np.testing.assert_array_equal(prompts.mask, MASK)
    assert prompts.mask_origin == (200, 300)
    lower, upper, spans = prompts.bounds()
    assert (lower.tolist(), upper.tolist(), spans) == ([200, 300], [239, 349], True)


def test_points_go_to_the_label_whose_pixels_they_are_on_or_near() -> None:
    beside = item("box", (205, 315), (225, 340))
    on, off, near = point(235, 340), point(215, 325), point(215, 310.4)
    found = members([label(), beside, on, off, near], label_mask=from_label)
    assert found == [(label(), on, near), (beside, off)]


def test_a_label_that_is_gone_counts_for_nothing() -> None:
    assert group([label()], lambda _item: None) == []
    assert group([label()]) == []
    click = point(5, 5)
    assert members([label(), click], label_mask=lambda _item: None) == [(click,)]


# Whatever is drawn


def vertices(count: int) -> st.SearchStrategy[tuple[tuple[float, float], ...]]:
    pair = st.tuples(st.floats(0, 300), st.floats(0, 300))
    return st.lists(pair, min_size=count, max_size=count + 4).map(tuple)


def boxes(kind: str) -> st.SearchStrategy[PromptItem]:
    def ordered(v: Any) -> PromptItem:
        low, high = np.sort(np.array(v[:2]), axis=0).tolist()
        return item(kind, tuple(low), tuple(high))

    return vertices(2).map(ordered)


ANYTHING = st.one_of(
    st.tuples(vertices(1), st.booleans()).map(lambda d: item("point", d[0][0], positive=d[1])),
    st.tuples(vertices(1), st.booleans()).map(lambda d: item("scribble", *d[0], positive=d[1])),
    vertices(3).map(lambda v: item("polygon", *v)),
    vertices(3).map(lambda v: item("lasso", *v)),
    boxes("box"),
    boxes("ellipse"),
)


@settings(deadline=None, max_examples=60)
@given(st.lists(ANYTHING, max_size=8))
def test_every_item_is_of_one_object_at_most_and_every_shape_of_one(drawn: list) -> None:
    found = group(drawn)
    used = [id(each) for _, mine in found for each in mine]
    assert len(used) == len(set(used))
    shapes = [each for each in drawn if each.kind not in ("point", "scribble")]
    assert [mine[0] for _, mine in found] == shapes or not shapes
    if shapes:
        assert len(used) == len(drawn)
    else:
        assert len(found) == any(each.positive for each in drawn)


@pytest.mark.parametrize("count", [8, 32])
def test_an_outline_of_an_ellipse_touches_its_box(count: int) -> None:
    outline = ellipse_outline(((3, 10), (5, 40)), count)
    np.testing.assert_allclose(outline.min(axis=0), (3, 10))
    np.testing.assert_allclose(outline.max(axis=0), (5, 40))


@pytest.mark.parametrize("each", [BIG, RING, L_SHAPE, label(), point(1.25, 7, positive=False)])
def test_what_is_written_to_json_is_read_back(each: PromptItem) -> None:
    assert PromptItem.from_json(each.to_json()) == each
