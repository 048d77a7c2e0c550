"""The table of objects and the picture beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from qtpy.QtCore import Qt

from napari_hqsam.plugin.annotate.cut_line import NAME as CUT

FIRST, SECOND = (36, 36, 84, 84), (116, 116, 154, 154)


def stack() -> np.ndarray:
    labels = np.zeros((4, 200, 220), dtype=np.uint16)
    labels[1, 10:20, 10:20] = 3
    labels[2, 10:24, 10:20] = 3
    labels[3, 150:170, 180:200] = 8
    return labels


def open_tab(desk: Any) -> Any:
    desk.dock.tabs.setCurrentIndex(1)
    return desk.dock.objects.widget


def click_row(widget: Any, row: int, qtbot: Any) -> None:
    at = widget.view.visualRect(widget.model.index(row, 0)).center()
    qtbot.mouseClick(widget.view.viewport(), Qt.MouseButton.LeftButton, pos=at)


def test_objects_that_were_there_are_listed_with_their_features(desk: Any) -> None:
    placed = {"scale": (2, 0.5, 0.5), "units": ("micrometer",) * 3}
    desk.open(np.zeros((4, 200, 220), np.uint16), **placed)
    features = pd.DataFrame(
        {"index": [3, 8], "class": ["cell", None], "status": ["accepted", None], "mine": [1.5, 2.5]}
    )
    labels = desk.add_labels(stack(), features=features, name="mine", **placed)
    widget = open_tab(desk)
    desk.listed()
    assert set(desk.session.objects) == {3, 8}
    three = desk.session.objects[3]
    assert (three.class_name, three.status) == ("cell", "accepted")
    assert [mask.plane.index for mask in three.masks] == [(1,), (2,)]
    assert desk.session.objects[8].status == "new"
    assert desk.session.can_undo is None
    assert widget.table.size(3) == pytest.approx((100 + 140) * 2 * 0.25)
    desk.session.set_class([8], "debris")
    desk.until(lambda: "debris" in list(labels.features.get("class", [])))
    assert list(labels.features["mine"]) == [1.5, 2.5]  # what others put there stays


def test_objects_that_the_dock_makes_need_no_look_at_the_labels(desk: Any) -> None:
    desk.open()
    desk.commit(*FIRST)
    assert desk.dock.objects.is_listed(desk.session)
    desk.until(lambda: "uncertainty" in desk.labels.features)


def test_a_click_in_the_table_goes_to_the_object(desk: Any, qtbot: Any) -> None:
    desk.open(np.zeros((4, 200, 220), np.uint16))
    desk.add_labels(stack())
    widget = open_tab(desk)
    desk.listed()
    desk.dock.resize(420, 700)
    desk.dock.show()
    desk.viewer.dims.set_current_step(0, 0)
    camera = desk.viewer.scene.camera
    camera.center, camera.zoom = (0, 30, 30), 20
    row = list(widget.model.ids).index(8)
    click_row(widget, row, qtbot)
    assert desk.viewer.dims.current_step[0] == 3
    np.testing.assert_allclose(camera.center[-2:], (159.5, 189.5), atol=1)
    camera.zoom = 3
    camera.center = (0, 160, 190)
    there = tuple(camera.center)
    desk.viewer.dims.set_current_step(0, 2)
    click_row(widget, list(widget.model.ids).index(3), qtbot)
    assert desk.viewer.dims.current_step[0] == 2  # it is on this plane, too
    assert tuple(camera.center) != there


def test_split_by_a_line_that_is_drawn(desk: Any, qtbot: Any) -> None:
    desk.open()
    desk.commit(*FIRST)
    labels = desk.labels
    whole = np.array(labels.data)
    desk.viewer.layers.selection.active = labels
    widget = open_tab(desk)
    widget.select([1])
    widget.split_current()
    line = desk.viewer.layers[CUT]
    assert desk.viewer.layers.selection.active is line
    line.add_paths(np.array([[60.0, 20.0], [60.0, 110.0]]))
    desk.until(lambda: len(desk.session.objects) == 2)
    assert CUT not in desk.viewer.layers
    assert desk.viewer.layers.selection.active is labels
    assert len({labels.data[50, 60], labels.data[70, 60], 0}) == 3
    np.testing.assert_array_equal(labels.data > 0, whole > 0)
    desk.dock.undo()
    np.testing.assert_array_equal(labels.data, whole)


def test_a_line_beside_the_object_changes_nothing(desk: Any) -> None:
    desk.open()
    desk.commit(*FIRST)
    widget = open_tab(desk)
    widget.select([1])
    widget.split_current()
    desk.viewer.layers[CUT].add_paths(np.array([[5.0, 5.0], [5.0, 20.0]]))
    desk.until(lambda: bool(desk.told))
    assert "does not cut object 1" in desk.told[-1]
    assert list(desk.session.objects) == [1]


def test_from_label_improves_an_object_that_was_there(desk: Any, qtbot: Any) -> None:
    desk.open()
    data = np.zeros((200, 220), dtype=np.uint16)
    data[30:90, 30:90] = 6
    labels = desk.add_labels(data.copy())
    labels.selected_label = 6
    desk.dock.controls.prompts.label_button.click()  # its objects are not known yet
    desk.wait()
    assert desk.session.editing == 6
    desk.annotator.commit()
    assert (labels.data[60, 60], labels.data[32, 32]) == (6, 0)
    assert set(np.unique(labels.data)) == {0, 6}
    desk.dock.undo()
    np.testing.assert_array_equal(labels.data, data)


def test_from_label_says_what_is_missing(desk: Any) -> None:
    desk.open()
    desk.dock.from_label()
    assert "choose the Labels layer" in desk.told[-1]
    desk.commit(*FIRST)
    desk.labels.selected_label = 44
    desk.dock.from_label()
    assert "there is no object 44" in desk.told[-1]


def test_an_object_is_taken_up_again_and_corrected(desk: Any) -> None:
    desk.open()
    desk.commit(*FIRST)
    desk.commit(*SECOND)
    area = desk.session.objects[1].masks[0].area
    widget = open_tab(desk)
    widget.select([1])
    widget.fix_current()
    assert desk.dock.tabs.currentIndex() == 0
    assert desk.boxes == 1
    desk.click(50, 60, tool="negative")
    desk.until(lambda: bool(desk.annotator.masks) and desk.annotator.masks[0].area < area)
    desk.wait()
    desk.annotator.commit()
    assert set(desk.session.objects) == {1, 2}
    assert 0 < desk.session.objects[1].masks[0].area < area
    assert "correction of object 1" in desk.session.can_undo


def test_the_table_follows_the_layer_that_is_chosen(desk: Any) -> None:
    desk.open()
    desk.commit(*FIRST)
    first = desk.labels
    widget = open_tab(desk)
    assert list(widget.table.objects) == [1]
    desk.add_labels(np.full((200, 220), 9, dtype=np.uint8))
    open_tab(desk)
    desk.dock.tabs.setCurrentIndex(0)
    desk.dock.tabs.setCurrentIndex(1)
    desk.listed()
    assert list(widget.table.objects) == [9]
    desk.dock.controls.labels.labels.value = first
    assert list(widget.table.objects) == [1]
