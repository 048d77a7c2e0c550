"""Overlaps, candidates, options and clearing, from the prompt to the labels."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

FIRST = (36, 36, 84, 84)


@pytest.mark.parametrize("overlap", ["keep", "overwrite", "background"])
def test_overlaps(overlap: str, desk: Any) -> None:
    desk.open()
    data = np.zeros((200, 220), dtype=np.uint8)
    data[40:80, 40:60] = 7
    labels = desk.add_labels(data)
    desk.dock.controls.labels.overlap.value = overlap
    desk.dock.tabs.setCurrentIndex(1)
    desk.listed()
    desk.commit(*FIRST)
    kept = (labels.data[45:75, 45:55] == 7).all()
    assert kept == (overlap != "overwrite")
    assert labels.data[60, 70] == 8
    new = desk.session.objects[8].masks[0]
    assert (new.area > 1000) == (overlap != "background")
    assert ("overlaps another object" in desk.status) == (overlap == "keep")
    assert bool(desk.session.overlapping) == (overlap == "keep")
    assert (7 in desk.session.objects) == (overlap != "overwrite" or bool((data == 7).any()))
    desk.dock.undo()
    expected = np.zeros_like(data)
    expected[40:80, 40:60] = 7
    np.testing.assert_array_equal(labels.data, expected)


def test_candidates_are_flipped_through(desk: Any) -> None:
    desk.open()
    desk.draw(*FIRST)
    masks = desk.dock.controls.masks
    desk.until(lambda: masks.next_candidate.enabled)
    several = masks.candidate.value
    assert several.startswith("mask 1 of 4")
    masks.next_candidate.changed.emit(True)
    desk.until(lambda: masks.candidate.value.startswith("mask 2 of 4"))
    masks.previous_candidate.changed.emit(True)
    masks.previous_candidate.changed.emit(True)
    desk.until(lambda: masks.candidate.value.startswith("mask 4 of 4"))
    desk.draw(116, 116, 154, 154)  # of two objects there is one mask each
    desk.until(lambda: not masks.next_candidate.enabled)
    assert masks.candidate.value == "—"


def test_the_threshold_and_cleaning_act_on_the_preview(desk: Any) -> None:
    desk.open()
    desk.draw(*FIRST)
    desk.wait()
    area = desk.annotator.masks[0].area
    controls = desk.dock.controls.masks
    controls.min_size.value = 10_000
    desk.until(lambda: desk.annotator.masks[0].area == 0)
    assert "No object found" in desk.status
    desk.until(lambda: not desk.dock.engine.busy)
    desk.annotator.commit()
    assert "nothing to commit" in desk.told[-1]
    assert desk.boxes == 1
    controls.min_size.value = 0
    desk.until(lambda: desk.annotator.masks[0].area == area)


def test_clear_removes_the_prompts_of_this_plane_only(desk: Any) -> None:
    desk.open(np.stack([np.zeros((200, 220), np.uint16)] * 3))
    desk.viewer.dims.set_current_step(0, 0)
    desk.draw(*FIRST, 0)
    desk.viewer.dims.set_current_step(0, 2)
    desk.draw(*FIRST, 2)
    desk.click(2, 60, 60)
    desk.annotator.clear()
    assert desk.boxes == 1
    assert not len(desk.annotator.prompts.points.data)
    assert [item.plane.index for item in desk.session.prompts] == [(0,)]
    assert not desk.dock.preview.shown
    desk.dock.undo()
    assert desk.boxes == 2


def test_commit_waits_for_the_preview(desk: Any, model: Any) -> None:
    desk.open()
    model.seconds = 0.3
    desk.draw(*FIRST)
    desk.annotator.commit()
    assert "Wait for the preview" in desk.status
    assert desk.dock.controls.labels.labels.value is None
    desk.commit()
    assert desk.labels.data[60, 60] == 1


def test_an_answer_that_is_on_its_way_is_waited_for(desk: Any) -> None:
    desk.open()
    desk.draw(*FIRST)
    desk.wait()
    desk.draw(116, 116, 154, 154)
    while desk.dock.engine.busy:  # computed, but this thread has not heard of it
        time.sleep(0.01)
    desk.annotator.commit()
    assert "does not show these prompts yet" in desk.status
    assert desk.dock.controls.labels.labels.value is None
    desk.commit()
    assert (desk.labels.data[60, 60], desk.labels.data[130, 130]) == (1, 2)


def test_the_class_goes_with_the_object(desk: Any) -> None:
    desk.open()
    desk.dock.controls.labels.class_name.value = " nucleus "
    desk.commit(*FIRST)
    record = desk.session.objects[1]
    assert (record.class_name, record.model) == ("nucleus", "micro")
    assert 0 <= record.uncertainty <= 1
