"""Which objects are meant."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_hqsam.plugin.objects.table import Column
from napari_hqsam.plugin.propagate.choice import in_words

from .conftest import FIRST, SECOND


def test_what_was_committed_last(desk: Any) -> None:
    desk.open()
    desk.commit(FIRST, 3)
    assert desk.looked() == "Object 1: 1 slice of yours, 0 propagated"
    desk.commit(SECOND, 3)
    assert desk.dock.choice.current == [2]
    desk.annotate.undo()
    assert desk.dock.choice.current == [1]


def test_what_is_selected_in_the_table_or_picked_in_the_layer(desk: Any) -> None:
    desk.open()
    desk.commit(FIRST, 3)
    desk.commit(SECOND, 3)
    desk.commit((0, 0, 4, 4), 3)
    table = desk.annotate.objects.widget.view
    table.select([1, 2])
    assert desk.dock.choice.current == [1, 2]
    desk.labels.selected_label = 3
    assert desk.dock.choice.current == [3]
    desk.run()
    assert desk.grown(3) == [1, 2, 4, 5, 6]
    assert desk.dock.choice.current == [3]  # the table has told nothing new
    table.select([2])
    assert desk.dock.choice.current == [2]
    desk.session.delete([2])
    assert desk.dock.choice.current == [3]


def test_rows_that_move_are_no_choice(desk: Any) -> None:
    desk.open()
    desk.commit(FIRST, 3)
    desk.commit(SECOND, 3)
    table = desk.annotate.objects.widget.view
    table.select([1])
    desk.labels.selected_label = 2
    table.sortByColumn(int(Column.SIZE), Qt.SortOrder.AscendingOrder)
    assert table.selected == [1]
    assert desk.dock.choice.current == [2]


def test_those_that_were_propagated_stay_chosen(desk: Any) -> None:
    desk.open()
    desk.commit(FIRST, 3)
    desk.commit(SECOND, 3)
    desk.annotate.objects.widget.view.select([1, 2])
    desk.control.extent = {1: (3, 4), 2: (1, 6)}
    desk.run()
    assert desk.dock.choice.current == [1, 2]
    desk.annotate.undo()
    assert desk.dock.choice.current == [1, 2]
    desk.annotate.redo()
    assert desk.dock.choice.current == [1, 2]


def test_who_wins_pixels_by_the_brush(desk: Any) -> None:
    desk.open()
    desk.commit(FIRST, 3)
    desk.commit(SECOND, 3)
    desk.paint((25, 25, 45, 45), 1, 3)  # takes some of object 2
    assert desk.dock.choice.current == [1]
    desk.paint((46, 40, 48, 60), 0, 3)
    assert desk.dock.choice.current == [2]


def test_the_only_object_needs_no_choice(desk: Any) -> None:
    desk.open()
    desk.commit(FIRST, 3)
    desk.labels.selected_label = 7
    assert desk.dock.choice.current == [1]
    desk.commit(SECOND, 3)
    desk.labels.selected_label = 8
    assert desk.dock.choice.current == []
    desk.run()
    assert desk.told == [
        "HQ-SAM: no object is chosen: choose one in the table of Annotate, or pick its label"
    ]


def test_other_labels_are_other_objects(desk: Any) -> None:
    desk.open()
    desk.commit(FIRST, 3)
    desk.run()
    desk.commit(SECOND, 2)
    first = desk.labels
    desk.annotate.controls.labels.labels.value = None
    assert desk.looked().startswith("There is no object yet")
    desk.commit(SECOND, 2)
    assert desk.labels is not first
    assert desk.looked() == "Object 1: 1 slice of yours, 0 propagated"
    assert str(desk.c.about.value) == "cells objects [1] in cells"
    desk.run()
    assert desk.control.last["known"] == {}


def test_prompts_on_display_are_committed_first(desk: Any) -> None:
    desk.open()
    desk.go_to(3)
    a = desk.annotate.annotator
    a.use("box")
    box = [[3, 9, 9], [3, 9, 31], [3, 31, 31], [3, 31, 9]]
    a.prompts.shapes.add_rectangles([[float(n) for n in corner] for corner in box])
    desk.until(lambda: bool(a.masks) and a._shown is a._request and not desk.annotate.engine.busy)
    desk.run()
    assert not desk.told
    assert desk.grown(1) == [1, 2, 4, 5, 6]
    desk.annotate.undo()
    assert list(desk.masks(1)) == [(3,)]


def test_prompts_without_a_preview_are_told(desk: Any, model: Any) -> None:
    desk.open()
    desk.commit(FIRST, 3)
    desk.go_to(4)
    model.seconds = 0.5
    a = desk.annotate.annotator
    a.use("positive")
    a.prompts.points.add([(4, 40, 50)])
    desk.dock.propagate()
    assert desk.told == [
        "HQ-SAM: there are prompts that are not committed: wait for their preview and press "
        "Enter, or clear them (Shift-C)"
    ]
    a.clear()
    desk.until(lambda: not desk.annotate.engine.busy)
    desk.run()
    assert desk.grown(1) == [1, 2, 4, 5, 6]


def test_prompts_on_another_slice_are_left_alone(desk: Any) -> None:
    desk.open()
    desk.commit(FIRST, 3)
    desk.go_to(6)
    a = desk.annotate.annotator
    a.use("positive")
    a.prompts.points.add([(6, 40, 50)])
    desk.go_to(3)
    desk.until(lambda: not desk.annotate.engine.busy)
    desk.run()
    assert not desk.told
    assert len(desk.session.prompts) == 1


def test_a_layer_that_was_opened_is_chosen_and_looked_through(desk: Any) -> None:
    desk.open()
    data = np.zeros((8, 60, 80), np.uint16)
    data[3, 10:30, 10:30] = 5
    layer = desk.viewer.add_labels(data, name="mine")
    assert desk.annotate.controls.labels.labels.value is None
    desk.run()
    assert not desk.told
    assert desk.labels is layer
    assert desk.grown(5) == [1, 2, 4, 5, 6]
    desk.annotate.undo()
    assert np.count_nonzero(layer.data) == 400


def test_of_several_layers_one_must_be_chosen(desk: Any) -> None:
    desk.open()
    layers = [desk.viewer.add_labels(np.zeros((8, 60, 80), np.uint8)) for _ in range(2)]
    desk.viewer.layers.selection.active = desk.viewer.layers["cells"]
    desk.run()
    assert desk.told == ["HQ-SAM: choose the Labels layer that has the objects, in Annotate"]
    layers[1].data[3, 10:30, 10:30] = 2
    desk.viewer.layers.selection.active = layers[1]
    desk.run()
    assert desk.labels is layers[1]
    assert desk.grown(2) == [1, 2, 4, 5, 6]


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ([3], "object 3"),
        ([3, 5], "objects 3 and 5"),
        ([3, 5, 7], "objects 3, 5 and 7"),
        (range(2000), "2,000 objects"),
    ],
)
def test_objects_in_words(numbers: Any, words: str) -> None:
    assert in_words(numbers) == words
