"""Labels that cannot be edited where they are, and labels that are not there any more."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest

FIRST, SECOND = (36, 36, 84, 84), (116, 116, 154, 154)
SHAPE = (200, 220)


def held(dtype: Any = np.uint16) -> np.ndarray:
    data = np.zeros(SHAPE, dtype=dtype)
    data[2:9, 2:9] = 4
    return data


def read_only() -> np.ndarray:
    data = held()
    data.flags.writeable = False
    return data


LOCKED = {
    "is read-only": read_only,
    "is read from elsewhere (Array)": lambda: da.from_array(held(), chunks=50),
    "is a pyramid": lambda: [held(), held()[::2, ::2]],
}


@pytest.mark.parametrize("why", LOCKED)
def test_a_copy_is_offered_and_worked_on(why: str, desk: Any) -> None:
    desk.open(scale=(0.5, 0.5))
    locked = desk.add_labels(LOCKED[why](), name="mine", scale=(0.5, 0.5), translate=(0, 0))
    controls = desk.dock.controls.labels
    assert not controls.copy_button.native.isHidden()
    assert f"mine {why}" in controls.kept.value
    desk.draw(*FIRST)
    desk.wait()
    desk.annotator.commit()
    assert "make a copy that can be edited" in desk.told[-1]
    assert desk.boxes == 1
    assert desk.annotator.masks

    controls.copy_button.changed.emit(True)
    copy = desk.labels
    assert copy is not locked
    assert controls.copy_button.native.isHidden()
    np.testing.assert_array_equal(copy.scale, [0.5, 0.5])
    assert copy.data[5, 5] == 4
    assert desk.boxes == 1  # what was drawn meanwhile is not lost
    desk.commit()
    assert copy.data[60, 60] == 5
    assert desk.boxes == 0
    level = locked.data[0] if locked.multiscale else locked.data
    assert np.asarray(level).max() == 4


def test_a_number_too_large_for_the_type_keeps_prompts_and_offers_a_copy(desk: Any) -> None:
    desk.open()
    data = held(np.uint8)
    data[2, 2] = 255
    full = desk.add_labels(data, name="full")
    desk.draw(*FIRST)
    desk.wait()
    desk.annotator.commit()
    assert "uint8" in desk.told[-1]
    assert desk.boxes == 1
    np.testing.assert_array_equal(full.data, data)
    button = desk.dock.controls.labels.copy_button
    assert not button.native.isHidden()
    button.changed.emit(True)
    desk.commit()
    assert desk.labels.data[60, 60] == 256
    assert desk.labels.data[2, 2] == 255


def test_labels_of_another_shape_lose_nothing(desk: Any) -> None:
    desk.open()
    small = desk.add_labels(np.zeros((10, 10), np.uint8), name="small")
    desk.draw(*FIRST)
    desk.wait()
    desk.annotator.commit()
    assert "small has shape (10, 10)" in desk.told[-1]
    assert desk.boxes == 1
    assert not small.data.any()


def test_a_layer_deleted_is_told_of_and_can_be_brought_back(desk: Any, until: Any) -> None:
    desk.open(name="cells")
    desk.commit(*FIRST)
    desk.draw(*SECOND)
    desk.wait()
    desk.viewer.layers.remove(desk.labels)
    assert "cells objects" in desk.status
    bar = desk.dock._recovery_bar
    until(lambda: not bar.isHidden())
    assert "1 object and prompts" in bar.text.text()
    bar.restore_button.click()
    until(lambda: desk.dock.controls.labels.labels.value is not None)
    assert desk.labels.data[60, 60] == 1
    assert desk.boxes == 1
    desk.commit()
    assert desk.labels.data[130, 130] == 2


def test_layers_renamed_and_reordered_meanwhile(desk: Any, model: Any) -> None:
    image = desk.open(name="cells")
    desk.commit(*FIRST)
    labels = desk.labels
    model.seconds = 0.2
    desk.draw(*SECOND)
    image.name, labels.name = "renamed", "renamed objects"
    desk.annotator.prompts.shapes.name = "my boxes"
    desk.viewer.layers.move(desk.viewer.layers.index(labels), 0)
    desk.viewer.layers.move(desk.viewer.layers.index(image), len(desk.viewer.layers))
    desk.commit()
    assert "renamed objects" in desk.status
    assert (labels.data[60, 60], labels.data[130, 130]) == (1, 2)
    for _ in range(4):
        desk.dock.undo()
    assert not labels.data.any()


@pytest.mark.parametrize("what", ["image", "prompts", "preview"])
def test_layers_deleted_meanwhile_lose_no_commit(what: str, desk: Any, model: Any) -> None:
    image = desk.open(name="cells")
    desk.commit(*FIRST)
    labels = desk.labels
    model.seconds = 0.2
    desk.draw(*SECOND)
    layer = {
        "image": image,
        "prompts": desk.annotator.prompts.shapes,
        "preview": desk.dock.preview.layer,
    }[what]
    desk.viewer.layers.remove(layer)
    desk.until(lambda: not desk.dock.engine.busy)
    assert labels in desk.viewer.layers
    assert labels.data[60, 60] == 1
    if what == "prompts":
        desk.dock.undo()  # what was drawn in them comes back
        assert desk.boxes == 1
    if what == "image":
        desk.open(name="again")
        desk.dock.controls.labels.labels.value = labels
    if desk.boxes == 0:
        desk.draw(*SECOND)
    desk.annotator.predict()
    desk.commit()
    assert labels.data[130, 130] == 2


def test_what_is_drawn_before_the_layer_is_chosen_goes_into_it(desk: Any, folder: Any) -> None:
    desk.open()
    desk.draw(*FIRST)
    desk.wait()
    mine = desk.add_labels(held(), name="mine")
    assert desk.boxes == 1
    desk.commit()
    assert mine.data[60, 60] == 5
    desk.dock.controls.labels.labels.value = None
    assert desk.boxes == 0
    assert len(list(folder.rglob("*.journal"))) == 1
