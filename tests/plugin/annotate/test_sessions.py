"""Prompts, objects and strokes in the viewer as steps of one session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_hqsam.plugin.annotate.pending_labels import PendingLabels

FIRST, SECOND = (36, 36, 84, 84), (116, 116, 154, 154)


def pixels(labels: Any) -> bytes:
    return np.asarray(labels.data).tobytes()


def test_all_steps_are_undone_in_one_order_and_give_the_bytes_back(desk: Any) -> None:
    desk.open(name="cells")
    desk.commit(*FIRST)
    labels = desk.labels
    one = pixels(labels)
    labels.brush_size = 9
    with labels.block_history():
        labels.paint((60, 100), 5)
    painted = pixels(labels)
    desk.commit(*SECOND)
    both = pixels(labels)
    desk.session.delete([1])
    deleted = pixels(labels)

    undone = []
    for state in (both, painted, painted, one, bytes(len(one)), bytes(len(one))):
        desk.press("Ctrl+Z", labels)
        undone.append(desk.status)
        assert pixels(labels) == state
    assert undone == [
        "Took back: deletion of object 1.",
        "Took back: commit of object 6.",
        "Took back: prompts.",
        "Took back: painting of object 5.",
        "Took back: commit of object 1.",
        "Took back: prompts.",
    ]
    for state in (bytes(len(one)), one, painted, painted, both, deleted):
        desk.press("Ctrl+Shift+Z", labels)
        assert pixels(labels) == state
    desk.press("Ctrl+Shift+Z", labels)
    assert desk.told[-1] == "HQ-SAM: nothing to redo"


def test_undo_of_a_commit_shows_its_prompts_and_mask_again(desk: Any) -> None:
    desk.open()
    desk.commit(*FIRST)
    assert desk.boxes == 0
    desk.dock.undo()
    assert desk.boxes == 1
    desk.wait()
    area = desk.annotator.masks[0].area
    desk.annotator.commit()
    assert np.count_nonzero(desk.labels.data) == area
    assert len(desk.session.objects) == 1


def test_fifty_rapid_clicks_show_the_last_result_only(desk: Any, model: Any) -> None:
    desk.open()
    model.seconds = 0.2
    answers = []
    desk.dock.engine.answered.connect(lambda request, _masks: answers.append(request))
    desk.draw(*FIRST)
    for i in range(50):
        desk.click(41 + 0.5 * i, 60, tool="negative")
    desk.wait()
    assert len(answers) < 10
    assert len(answers[-1].prompts[0].points) == 50
    assert desk.annotator.masks[0].bbox[0] > 60  # above the lowest click nothing is left
    desk.annotator.commit()
    done = pixels(desk.labels)
    desk.dock.undo()
    assert not desk.labels.data.any()
    assert len(desk.annotator.prompts.points.data) == 50
    desk.dock.redo()
    assert pixels(desk.labels) == done


def test_a_model_switched_meanwhile_leaves_prompts_and_labels(desk: Any) -> None:
    desk.open()
    desk.commit(*FIRST)
    before = pixels(desk.labels)
    desk.draw(*SECOND)
    desk.click(130, 130)
    desk.wait()
    model = desk.dock.controls.image.model
    other = next(name for name in model.choices if name != model.value)
    model.value = other
    desk.wait()
    assert desk.boxes == 1
    assert len(desk.annotator.prompts.points.data) == 1
    assert pixels(desk.labels) == before
    desk.annotator.commit()
    assert desk.session.objects[2].model == other


def test_another_labels_layer_has_a_session_of_its_own(desk: Any) -> None:
    image = desk.open()
    desk.commit(*FIRST)
    first, session = desk.labels, desk.session
    second = desk.add_labels(np.zeros(image.data.shape, dtype=np.uint16), name="second")
    desk.commit(*SECOND)
    assert desk.session is not session
    assert set(np.unique(first.data)) == {0, 1}
    assert second.data[130, 130] == 1
    desk.dock.controls.labels.labels.value = first
    assert desk.session is session
    desk.dock.undo()
    assert not first.data.any()
    assert second.data.any()


def test_labels_that_no_session_has_keep_naparis_own_undo(desk: Any) -> None:
    image = desk.open()
    desk.commit(*FIRST)
    mine = desk.labels
    other = desk.viewer.add_labels(np.zeros(image.data.shape, dtype=np.uint16), name="other")
    for choose in (False, True):
        if choose:
            desk.dock.controls.labels.labels.value = other
        with other.block_history():
            other.paint((100, 100), 3)
        assert other.data.any()
        desk.press("Ctrl+Z", other)
        assert not other.data.any()
        assert mine.data.any()
        desk.press("Ctrl+Shift+Z", other)
        assert other.data.any()
        desk.press("Ctrl+Z", other)


def test_prompts_of_an_image_come_back_with_its_session(desk: Any) -> None:
    desk.open(name="one")
    desk.commit(*FIRST)
    first = desk.labels
    desk.draw(*SECOND)
    desk.wait()
    session = desk.session
    pending = session.prompts
    desk.open(np.zeros((50, 60), dtype=np.uint16), name="two")
    desk.dock.controls.labels.labels.value = None
    assert session.prompts == pending
    desk.dock.controls.image.image.value = desk.viewer.layers["one"]
    desk.dock.controls.labels.labels.value = first
    assert desk.session is session
    assert desk.boxes == 1
    desk.commit()
    assert first.data[130, 130] == 2


def test_prompts_that_made_no_object_yet_are_kept_for_the_next_time(desk: Any, until: Any) -> None:
    image = desk.open(name="one")
    desk.draw(*FIRST)
    desk.open(np.zeros((50, 60), dtype=np.uint16), name="two")
    desk.dock.controls.image.image.value = image
    bar = desk.dock._recovery_bar
    until(lambda: not bar.isHidden())
    assert "0 objects and prompts" in bar.text.text()
    bar.restore_button.click()
    until(lambda: desk.boxes == 1)
    desk.commit()
    assert desk.labels.data[60, 60] == 1


@pytest.mark.parametrize("moved", ["time", "choice"])
def test_a_film_with_labels_of_one_time_point(desk: Any, moved: str) -> None:
    film = np.stack([np.zeros((2, 200, 220), np.uint16)] * 3)
    film[:, :, 40:80, 40:80] = 1000
    desk.open(film, name="film", scale=(10, 2, 1, 1))
    desk.dock.controls.labels.time.value = "this" if moved == "time" else "all"
    desk.viewer.dims.set_current_step(0, 1)
    desk.viewer.dims.set_current_step(1, 1)
    desk.draw(*FIRST, 1, 1)
    desk.wait()
    if moved == "time":  # nothing is committed there
        desk.viewer.dims.set_current_step(0, 2)
        desk.draw(*FIRST, 2, 1)
        desk.wait()
    else:
        desk.dock.controls.labels.time.value = "this"
    desk.annotator.commit()
    labels, at = desk.labels, 2 if moved == "time" else 1
    assert labels.data.shape == (1, 2, 200, 220)
    assert labels.data[0, 1, 60, 60] == 1
    assert not labels.data[0, 0].any()
    np.testing.assert_array_equal(labels.translate, [10 * at, 0, 0, 0])
    desk.dock.undo()
    assert not labels.data.any()
    desk.dock.redo()

    desk.viewer.dims.set_current_step(0, 0)
    desk.draw(*FIRST, 0, 1)
    desk.wait()
    desk.annotator.commit()
    assert "another time point" in desk.told[-1]
    desk.dock.controls.labels.labels.value = None
    desk.draw(*FIRST, 0, 1)
    desk.wait()
    desk.annotator.commit()
    np.testing.assert_array_equal(desk.labels.translate, [0, 0, 0, 0])
    assert desk.labels is not labels


def test_the_number_of_the_next_object_is_taken_by_nobody_else(desk: Any) -> None:
    desk.open()
    desk.commit(*FIRST)
    next_label = desk.dock.controls.labels.next_label
    assert next_label.value == 2
    next_label.value = 1
    assert "there is such an object" in desk.told[-1]
    assert next_label.value == 2
    next_label.value = 77
    desk.commit(*SECOND)
    assert desk.labels.data[130, 130] == 77
    assert next_label.value == 78


def test_labels_are_made_by_the_first_write() -> None:
    real = PendingLabels((5, 6), lambda: pytest.fail("made too early"))
    pending = PendingLabels((5, 6), lambda: _memory(real))
    from napari_hqsam.labels.plane import ArrayPlane

    plane = ArrayPlane((0, 1), ())
    assert not pending.read(plane, (1, 1, 3, 3)).any()
    assert pending.real is None
    pending.write(plane, 1, 2, np.full((1, 1), 4), np.ones((1, 1), bool))
    assert pending.read(plane, (1, 2, 2, 3)) == 4


def _memory(like: PendingLabels) -> Any:
    from napari_hqsam.labels.label_array import MemoryLabels

    return MemoryLabels(np.zeros(like.shape, dtype=np.uint32))


def test_work_goes_on_where_no_journal_can_be_kept(
    sit_down: Callable[[], Any], folder: Path
) -> None:
    folder.write_text("a file where the folder should be")
    desk = sit_down()
    desk.open()
    desk.commit(*FIRST)
    assert "no journal is kept, save often" in desk.told[-1]
    assert desk.labels.data[60, 60] == 1
    desk.dock.undo()
    assert not desk.labels.data.any()
