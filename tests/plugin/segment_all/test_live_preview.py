"""Outlines of what would be found, only where somebody looks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from .conftest import PICTURE


@pytest.fixture
def looking(desk: Any) -> Any:
    """All of an image is in view, with its preview."""
    desk.open(scale=(0.5, 0.5), translate=(7, 0))
    desk.viewer.scene.camera.center, desk.viewer.scene.camera.zoom = (0, 57, 55), 3.5
    desk.c.preview.value = True
    desk.preview()
    return desk


def previewed(desk: Any) -> int:
    """How many there were, once there is nothing more to do."""
    desk.preview()
    return len(desk.control.previews)


def test_it_outlines_what_would_be_found(looking: Any) -> None:
    layer = looking.preview()
    assert looking.control.previews == [((), (0, 0, 200, 220))]
    np.testing.assert_array_equal(layer.data > 0, PICTURE > 500)
    assert layer.contour in (1, 2)
    np.testing.assert_array_equal(layer.data_to_world((0, 0)), (7, 0))
    assert looking.c.preview_status.value == "Preview: 2 objects in view."
    assert not layer.editable
    assert not layer.data.flags.writeable


def test_it_lies_above_the_labels_and_leaves_the_selection(looking: Any) -> None:
    assert looking.names[-1] == "Segment all preview"
    assert looking.viewer.layers.selection.active.name == "cells"


def test_each_parameter_renews_it(looking: Any) -> None:
    c = looking.c
    for control, value in (
        (c.method.find_by, "threshold"),
        (c.method.diameter, 30),
        (c.method.min_size, 5),
        (c.method.max_size, 500),
        (c.method.exclude_edges, True),
        (c.method.skip_background, False),
        (c.extent.mode, "hq"),
        (c.extent.fill_holes, True),
    ):
        before = previewed(looking)
        control.value = value
        assert previewed(looking) == before + 1, control
    assert looking.control.last[2]["fill_holes"]


def test_a_move_of_the_view_renews_it_only_where_something_new_is_seen(looking: Any) -> None:
    camera = looking.viewer.scene.camera
    camera.zoom = 10
    looking.dock.viewport._tell()
    assert previewed(looking) == 1  # it is a part of what is shown
    looking.c.method.diameter.value = 20
    assert previewed(looking) == 2
    camera.center = (0, 90, 90)
    looking.dock.viewport._tell()
    assert previewed(looking) == 3
    layer = looking.preview()
    (y0, x0, y1, x1) = looking.control.previews[-1][1]
    assert layer.data.shape == (y1 - y0, x1 - x0)
    np.testing.assert_allclose(layer.data_to_world((0, 0)), (7 + y0 / 2, x0 / 2))


def test_only_what_is_in_view_and_around_it_is_searched(looking: Any) -> None:
    looking.viewer.scene.camera.center, looking.viewer.scene.camera.zoom = (0, 57, 55), 20
    looking.c.method.diameter.value = 20
    previewed(looking)
    y0, x0, y1, x1 = looking.control.previews[-1][1]
    options = looking.control.last[2]
    assert options["planes"] == [()]
    np.testing.assert_allclose(options["region"], (60, 66, 140, 154), atol=3)
    np.testing.assert_allclose((y0, x0, y1, x1), (80, 88, 120, 132), atol=2)


def test_while_the_view_moves_labels_are_looked_through_once(desk: Any) -> None:
    desk.open()
    labels = desk.viewer.add_labels(PICTURE // 1000)
    camera = desk.viewer.scene.camera
    camera.center, camera.zoom = (0, 100, 100), 8
    desk.c.preview.value = True
    assert previewed(desk) == 1
    camera.center = (0, 120, 120)
    desk.dock.viewport._tell()
    assert previewed(desk) == 2
    assert len(desk.control.calls) == 1
    desk.c.method.band.value = 3
    previewed(desk)
    assert [call[2]["band"] for call in desk.control.calls] == [8, 3]
    labels.data_setitem((np.array([5]), np.array([5])), 3)
    previewed(desk)
    assert len(desk.control.calls) == 3


def test_what_is_out_of_date_is_not_shown(looking: Any) -> None:
    control, shown = looking.control, []
    control.go.clear()
    looking.c.method.diameter.value = 10
    looking.until(lambda: len(control.previews) == 2)
    looking.c.method.diameter.value = 20
    looking.dock.preview._timer.setInterval(0)
    looking.until(lambda: looking.dock.preview._outdated)
    looking.dock.preview.contours.show = lambda *given: shown.append(given)  # type: ignore
    control.go.set()
    looking.until(lambda: len(control.previews) == 3 and not looking.dock.preview.busy)
    assert len(shown) == 1
    assert control.last[2]["diameter"] == 20


def test_too_much_in_view_asks_to_zoom_in(looking: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_hqsam.plugin.segment_all.inputs.LARGEST", 100**2)
    looking.c.method.diameter.value = 20
    looking.preview()
    assert looking.c.preview_status.value == "Zoom in to preview: up to 100 × 100 pixels."
    assert "Segment all preview" not in looking.names
    looking.viewer.scene.camera.zoom = 20
    looking.dock.viewport._tell()
    assert previewed(looking) == 2
    assert "Segment all preview" in looking.names


def test_what_is_painted_renews_it(desk: Any) -> None:
    desk.open()
    labels = desk.viewer.add_labels(np.zeros((200, 220), np.uint8))
    desk.viewer.scene.camera.center, desk.viewer.scene.camera.zoom = (0, 100, 100), 1.5
    desk.c.preview.value = True
    assert previewed(desk) == 1
    labels.data_setitem((np.array([5, 5, 6]), np.array([5, 6, 5])), 3)
    assert previewed(desk) == 2
    assert desk.preview().data.max() == 3


def test_it_goes_when_it_is_turned_off(looking: Any) -> None:
    looking.c.preview.value = False
    assert looking.names == ["cells"]
    assert looking.c.preview_status.value == ""
    looking.c.method.diameter.value = 40
    assert previewed(looking) == 1


def test_it_goes_with_the_dock(looking: Any) -> None:
    looking.dock.shut_down()
    assert looking.names == ["cells"]


def test_deleting_its_layer_turns_it_off(looking: Any) -> None:
    looking.viewer.layers.remove("Segment all preview")
    assert not looking.c.preview.value
    assert looking.names == ["cells"]


def test_a_run_ends_it(looking: Any) -> None:
    looking.run()
    assert looking.names == ["cells", "cells objects"]
    assert not looking.c.preview.value


def test_during_a_run_it_waits(looking: Any) -> None:
    looking.control.go.clear()
    looking.dock.run()
    looking.until(lambda: len(looking.control.calls) == 2)
    looking.c.preview.value = True
    looking.until(lambda: "waits" in looking.c.preview_status.value)
    looking.control.go.set()
    looking.until(lambda: not looking.dock.running.busy)
    assert previewed(looking) == 2


def test_what_is_wrong_is_said_beside_it_and_not_as_a_warning(desk: Any) -> None:
    desk.open()
    desk.choose("drawn")
    desk.viewer.scene.camera.center, desk.viewer.scene.camera.zoom = (0, 100, 100), 1.5
    desk.c.preview.value = True
    desk.preview()
    assert desk.c.preview_status.value.startswith("choose a Points")
    assert not desk.told


def test_a_slice_without_points_previews_nothing(desk: Any) -> None:
    desk.open(np.stack([PICTURE, PICTURE]))
    points = desk.viewer.add_points([[0, 60, 60]])
    desk.choose("drawn")
    desk.c.method.points.value = points
    desk.viewer.scene.camera.center, desk.viewer.scene.camera.zoom = (0, 100, 100), 1.5
    desk.viewer.dims.current_step = (0, 0, 0)
    desk.c.preview.value = True
    assert previewed(desk) == 1
    desk.viewer.dims.current_step = (1, 0, 0)
    desk.dock.viewport._tell()
    desk.until(lambda: "0 objects" in desk.c.preview_status.value)
    assert previewed(desk) == 1


def test_it_does_not_download_a_model(looking: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    place = "napari_hqsam.plugin.loader.Loader.needs_download"
    monkeypatch.setattr(place, lambda *_: True)
    looking.c.method.diameter.value = 40
    looking.preview()
    assert looking.c.preview_status.value == "micro is not here yet: Run downloads it."
