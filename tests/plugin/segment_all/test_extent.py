"""Which part of an image is meant, and which objects layers show."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from .conftest import PICTURE

STACK = np.stack([PICTURE, PICTURE * 0, PICTURE])


def box(y0: float, x0: float, y1: float, x1: float) -> np.ndarray:
    """A rectangle as napari draws it around pixels y0 to y1 and x0 to x1."""
    y0, x0, y1, x1 = y0 - 0.5, x0 - 0.5, y1 + 0.5, x1 + 0.5
    return np.array([[y0, x0], [y0, x1], [y1, x1], [y1, x0]])


def asked(desk: Any) -> tuple[Any, Any]:
    """The planes and the region of a run."""
    desk.run()
    options = desk.control.last[2]
    return options["planes"], options["region"]


def choices(desk: Any) -> list[str]:
    return list(desk.c.extent.where.choices)


def test_what_is_done_unless_somebody_says_otherwise(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    extent = desk.c.extent
    desk.open()
    assert (extent.region, choices(desk)) == ("all", ["visible", "shape", "all"])
    desk.c.image.image.value = desk.open(STACK)
    assert extent.region == "slice"
    assert choices(desk) == ["visible", "shape", "slice", "all"]
    desk.c.image.image.value = desk.open(STACK[None].repeat(2, 0))
    assert choices(desk) == ["visible", "shape", "slice", "volume", "all"]
    monkeypatch.setattr("napari_hqsam.plugin.segment_all.extent_controls.LARGEST_PLANE", 1000)
    desk.c.image.image.value = desk.open()
    assert extent.region == "visible"


def test_the_visible_area(desk: Any) -> None:
    desk.open(scale=(0.5, 0.5))
    desk.c.extent.where.value = "visible"
    desk.viewer.scene.camera.center, desk.viewer.scene.camera.zoom = (0, 30, 30), 10
    planes, region = asked(desk)  # 400 × 440 screen pixels, 5 of them a pixel
    assert planes == [()]
    np.testing.assert_allclose(region, (20, 16, 100, 104), atol=1)
    desk.viewer.scene.camera.zoom = 0.01
    assert asked(desk)[1] == (0, 0, 200, 220)  # cut to the image
    desk.viewer.scene.camera.center = (0, 5000, 5000)
    desk.viewer.scene.camera.zoom = 10
    desk.dock.run()
    assert "nothing of cells is in view" in desk.told[-1]


def test_the_slice_and_the_volume_on_display(desk: Any) -> None:
    desk.open(STACK[None].repeat(2, 0))
    desk.viewer.dims.current_step = (1, 2, 0, 0)
    assert asked(desk) == ([(1, 2)], None)
    desk.c.extent.where.value = "volume"
    assert asked(desk) == ([(1, 0), (1, 1), (1, 2)], None)
    desk.c.extent.where.value = "all"
    assert asked(desk) == (None, None)


def test_slices_are_linked_where_there_are_several(desk: Any) -> None:
    desk.open(STACK)
    link = desk.c.extent.link_slices.native
    assert link.isHidden()
    desk.c.extent.where.value = "all"
    assert not link.isHidden()
    desk.c.extent.link_slices.value = False
    desk.run()
    assert desk.control.last[2]["link_slices"] is False
    desk.choose("refine")  # numbers stay as they are
    assert link.isHidden()


def test_a_shape(desk: Any) -> None:
    desk.open(scale=(0.5, 0.5))
    shapes = desk.viewer.add_shapes([box(10, 20, 59, 79)], shape_type="rectangle", scale=(0.5, 0.5))
    desk.c.extent.where.value = "shape"
    assert desk.c.extent.shapes.value is shapes
    assert asked(desk) == ([()], (10, 20, 60, 80))
    corners = np.array([[0.0, 0.0], [0.0, 90.0], [90.0, 0.0]])
    shapes.add_polygons(corners)
    shapes.selected_data = {0, 1}
    desk.dock.run()
    assert "select one" in desk.told[-1]
    shapes.selected_data = {1}
    np.testing.assert_allclose(asked(desk)[1], corners)


def test_a_shape_without_axes_of_its_own_lies_on_the_slice_on_display(desk: Any) -> None:
    desk.open(STACK)
    desk.viewer.add_shapes([box(-9, 20, 59, 400)], shape_type="rectangle")
    desk.viewer.dims.current_step = (2, 0, 0)
    desk.c.extent.where.value = "shape"
    assert asked(desk) == ([(2,)], (0, 20, 60, 220))


@pytest.mark.parametrize("drawn", ["nothing", "a line"])
def test_no_shape_is_one_line(desk: Any, drawn: str) -> None:
    desk.open()
    if drawn == "a line":
        desk.viewer.add_shapes([[[0, 0], [5, 5]]], shape_type="line")
    desk.c.extent.where.value = "shape"
    desk.dock.run()
    (line,) = desk.told
    assert "shape" in line or "no area" in line
    assert not desk.control.calls


def test_volumes_on_display_are_only_done_as_a_whole(desk: Any) -> None:
    desk.open(STACK)
    desk.viewer.dims.ndisplay = 3
    desk.dock.run()
    assert "2-D view" in desk.told[-1]
    desk.c.extent.where.value = "all"
    assert asked(desk) == (None, None)
    desk.viewer.dims.ndisplay = 2
    desk.viewer.dims.order = (1, 0, 2)
    desk.c.extent.where.value = "slice"
    desk.dock.run()
    assert "y-x planes" in desk.told[-1]


def test_each_point_and_each_shape_is_an_object(desk: Any) -> None:
    desk.open(scale=(0.5, 0.5))
    points = desk.viewer.add_points([[30, 30], [70, 70]])  # in the world, not in pixels
    shapes = desk.viewer.add_shapes(
        [box(40, 40, 79, 79), np.array([[120, 120], [120, 150], [150, 120]])],
        shape_type=["rectangle", "polygon"],
        scale=(0.5, 0.5),
    )
    desk.choose("drawn")
    desk.c.method.points.value, desk.c.method.shapes.value = points, shapes
    desk.run()
    what, given, options = desk.control.last
    assert what == "segment_all"
    ((plane, prompts),) = given.items()
    assert plane == ()
    assert prompts[0].box == (40, 40, 79, 79)
    assert prompts[1].polygon.shape == (3, 2)
    assert [p.points.tolist() for p in prompts[2:]] == [[[60, 60]], [[140, 140]]]
    assert options["skip_background"] is False
    assert "diameter" not in options


def test_points_lie_on_the_slices_that_they_were_set_on(desk: Any) -> None:
    desk.open(STACK, scale=(3, 1, 1))
    points = desk.viewer.add_points([[0, 60, 60], [2, 130, 130], [2, 60, 60]], scale=(3, 1, 1))
    desk.choose("drawn")
    desk.c.method.points.value = points
    desk.c.extent.where.value = "all"
    desk.run()
    assert {plane: len(p) for plane, p in desk.control.last[1].items()} == {(0,): 1, (2,): 2}
    desk.c.extent.where.value = "slice"
    desk.viewer.dims.current_step = (2, 0, 0)
    desk.run()
    assert list(desk.control.last[1]) == [(2,)]
    desk.viewer.dims.current_step = (1, 0, 0)
    desk.dock.run()
    assert "nothing is drawn on the slice" in desk.told[-1]


def test_points_outside_the_image_are_told_of(desk: Any) -> None:
    desk.open()
    points = desk.viewer.add_points([[60, 60], [60, 900]], name="seeds")
    desk.choose("drawn")
    desk.c.method.points.value = points
    desk.dock.run()
    (line,) = desk.told
    assert "seeds: 1 of 2 lie outside cells" in line


def test_negative_clicks_of_the_annotate_dock_are_no_objects(desk: Any) -> None:
    desk.open()
    points = desk.viewer.add_points(
        [[60, 60], [130, 130]], features={"prompt": ["positive", "negative"]}
    )
    desk.choose("drawn")
    desk.c.method.points.value = points
    desk.run()
    assert [len(p) for p in desk.control.last[1].values()] == [1]
