"""Propagated masks in a session: what they replace, what they leave alone, one undo for all."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.label_array import LabelArray, MemoryLabels
from napari_hqsam.labels.objects import LabelObject, PlaneMask
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.session import history as history_module
from napari_hqsam.session.history import write_edits
from napari_hqsam.session.journal import Journal, read_records
from napari_hqsam.session.line import write_line
from napari_hqsam.session.prompt import PromptItem
from napari_hqsam.session.recovery import restore, unfinished
from napari_hqsam.session.replay import replay
from napari_hqsam.session.session import Session

from .scene import (
    IMAGE,
    Refusing,
    array,
    contents,
    header,
    mask,
    memory,
    new,
    paint,
    plane,
    session,
)

DEEP = (12, 12, 15)
BOX = (2, 2, 6, 6)


def grown(box: Sequence[int], z: int, score: float = 0.75) -> PlaneMask:
    return replace(mask(box, z), score=score)


def deep() -> MemoryLabels:
    return MemoryLabels(np.zeros(DEEP, np.uint16))


def state(of: Session) -> Any:
    """Everything that a step can change, of labels of any depth."""
    objects = {number: record.to_json() for number, record in of.objects.items()}
    whole = (0, 0, *of.labels.shape[1:])
    labels = [of.labels.read(plane(z), whole).tolist() for z in range(of.labels.shape[0])]
    return labels, objects, of.prompts, of.editing


def scores(of: Session, number: int) -> dict[int, float | None]:
    return {m.plane.index[0]: m.score for m in of.objects[number].masks}


@pytest.fixture
def one() -> Session:
    """A session with object 1 on plane 0."""
    s = Session(deep())
    s.commit([new(BOX)])
    return s


def test_masks_are_drawn_with_their_scores_and_one_undo_takes_all_back(one: Session) -> None:
    before = state(one)
    told: list[Any] = []
    one.changed.connect(told.append)
    for z in range(1, 5):
        one.grow({1: [grown(BOX, z, z / 8)]}, "first")
    after = state(one)
    assert scores(one, 1) == {0: None, 1: 0.125, 2: 0.25, 3: 0.375, 4: 0.5}
    assert (array_of(one)[:5, 2:6, 2:6] == 1).all()
    assert one.can_undo == one.undo() == "propagation of object 1"
    assert state(one) == before
    assert one.can_redo == one.redo() == "propagation of object 1"
    assert state(one) == after
    assert told == [frozenset({1})] * 6  # four steps, one undo, one redo


def test_groups_are_steps_of_their_own_and_so_is_what_comes_between(one: Session) -> None:
    states = [state(one)]
    for group in "ab":
        for z in (1, 2):
            one.grow({1: [grown((2, 2, 6, 7 if group == "b" else 6), z)]}, group)
        states.append(state(one))
    one.painted(paint(one.labels, (9, 9, 11, 11), 5))
    states.append(state(one))
    one.grow({1: [grown(BOX, 3)]}, "b")  # it goes on after the stroke
    for before in reversed(states):
        one.undo()
        assert state(one) == before
    for after in states[1:]:
        one.redo()
        assert state(one) == after
    assert one.is_undone("b")
    assert not one.is_undone("a")


def test_the_whole_group_is_told_of(one: Session) -> None:
    one.commit([new((8, 8, 10, 10))])
    one.grow({1: [grown(BOX, 1)]}, "g")
    one.grow({2: [grown((8, 8, 10, 10), 1)]}, "g")
    assert one.can_undo == "propagation of 2 objects"
    assert one.last_step is not None
    assert (one.last_step.group, set(one.last_step.objects)) == ("g", {2})
    one.undo()
    assert one.can_redo == "propagation of 2 objects"
    assert one.can_undo == "commit of object 2"


def test_what_somebody_vouches_for_stays(one: Session) -> None:
    one.grow({1: [grown(BOX, 1), grown(BOX, 2)]}, "g")
    one.painted(paint(one.labels, (2, 6, 6, 8), 1, z=2))  # a correction
    assert scores(one, 1) == {0: None, 1: 0.75, 2: None}
    before = state(one)
    one.grow({1: [grown((3, 3, 5, 5), 0), grown((3, 3, 5, 5), 2)]}, "h")
    assert state(one) == before
    assert one.can_undo == "painting of object 1"
    one.grow({}, "h", remove={1: [plane(0), plane(2), plane(9)]})
    assert state(one) == before
    one.grow({1: [grown((3, 3, 5, 5), 1, 0.25)]}, "h")
    assert scores(one, 1) == {0: None, 1: 0.25, 2: None}
    assert np.count_nonzero(array_of(one)[1]) == 4


def test_what_was_painted_beside_a_propagation_is_kept(one: Session) -> None:
    """Painted on slices that it has not come to, before it and while it goes on."""
    one.painted(paint(one.labels, (2, 2, 4, 4), 1, z=5))
    one.grow({1: [grown(BOX, 1)]}, "g")
    one.painted(paint(one.labels, (2, 2, 4, 4), 1, z=7))
    one.grow({1: [grown(BOX, 2), grown(BOX, 5), grown(BOX, 7)]}, "g")
    assert scores(one, 1) == {0: None, 5: None, 1: 0.75, 7: None, 2: 0.75}
    for z in (5, 7):
        assert np.count_nonzero(array_of(one)[z]) == 4


def test_masks_that_went_stale_are_removed(one: Session) -> None:
    one.grow({1: [grown(BOX, 1), grown(BOX, 2)]}, "g")
    one.grow({1: [grown(BOX, 1)]}, "h", remove={1: [plane(2)]})
    assert scores(one, 1) == {0: None, 1: 0.75}
    assert not array_of(one)[2].any()


def test_an_object_of_which_nothing_is_left_goes(one: Session) -> None:
    one.grow({1: [grown(BOX, 1)]}, "g")
    one.painted(paint(one.labels, BOX, 0))
    one.grow({}, "h", remove={1: [plane(1)]})
    assert not one.objects
    one.undo()
    assert scores(one, 1) == {1: 0.75}


@pytest.mark.parametrize("overlap", ["keep", "overwrite", "background"])
def test_other_objects_keep_or_lose_pixels_as_was_asked(one: Session, overlap: Any) -> None:
    one.commit([new((2, 4, 6, 9), z=1)])
    one.grow({1: [grown(BOX, 1)]}, "g", overlap)
    first = array_of(one)[1, 2, 2:10].tolist()
    area = {m.plane.index[0]: m.area for m in one.objects[1].masks}[1]
    if overlap == "overwrite":
        assert first == [1, 1, 1, 1, 2, 2, 2, 0]
        assert (area, one.objects[2].area) == (16, 12)
    else:
        assert first == [1, 1, 2, 2, 2, 2, 2, 0]
        assert (area, one.objects[2].area) == (8 if overlap == "background" else 16, 20)


def test_a_propagated_neighbour_that_loses_pixels_is_still_propagated(one: Session) -> None:
    one.commit([new((8, 8, 10, 10))])
    one.grow({2: [grown((2, 4, 6, 9), 1)]}, "g")
    one.grow({1: [grown(BOX, 1)]}, "g", "overwrite")
    assert scores(one, 2) == {0: None, 1: 0.75}
    assert {m.plane.index[0]: m.area for m in one.objects[2].masks}[1] == 12


def test_former_masks_of_neighbours_are_in_nobodys_way(one: Session) -> None:
    one.commit([new((2, 6, 6, 10))])
    one.grow({1: [grown((2, 2, 6, 6), 1)], 2: [grown((2, 6, 6, 10), 1)]}, "g", "background")
    one.grow({1: [grown((2, 2, 6, 8), 1)], 2: [grown((2, 8, 6, 10), 1)]}, "h", "background")
    assert array_of(one)[1, 2, 2:10].tolist() == [1] * 6 + [2] * 2
    one.grow({1: [grown((2, 2, 6, 4), 1)], 2: [grown((2, 4, 6, 10), 1)]}, "i", "background")
    assert array_of(one)[1, 2, 2:10].tolist() == [1] * 2 + [2] * 6


def test_a_slice_of_many_objects_is_written_as_one_and_taken_back(tmp_path: Path) -> None:
    s = session(memory(), tmp_path / "a.journal")
    boxes = [(2 * i, 2 * i, 2 * i + 2, 2 * i + 3) for i in range(6)]
    s.commit([new(box) for box in boxes])
    before = state(s)
    s.grow({i + 1: [grown(box, 1)] for i, box in enumerate(boxes)}, "g", "background")
    assert s.last_step is not None
    assert len(s.last_step.edits) == 1
    assert np.unique(array(s.labels)[1]).tolist() == list(range(7))
    s.undo()
    assert state(s) == before
    s.redo()
    s.close()
    r = restore(s.journal.path, memory())
    assert contents(r) == contents(s)
    r.close()


def test_objects_that_are_gone_meanwhile_are_left_out(one: Session) -> None:
    before = state(one)
    one.grow({7: [grown(BOX, 1)]}, "g", remove={7: [plane(1)]})
    assert state(one) == before
    assert one.can_undo == "commit of object 1"


def test_saved_in_the_middle_of_a_group_is_dirty_after_its_undo(one: Session) -> None:
    one.grow({1: [grown(BOX, 1)]}, "g")
    one.mark_saved("labels.tif")
    assert not one.dirty
    one.grow({1: [grown(BOX, 2)]}, "g")
    assert one.dirty
    one.undo()
    assert one.dirty


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("refused", [0, 3])
def test_undo_of_a_group_that_the_labels_refuse_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, many: bool, refused: int
) -> None:
    if many:  # each part of the labels is written once
        monkeypatch.setattr(history_module, "_MANY", 2)
    labels = deep()
    s = Session(labels, Journal.create(tmp_path / "a.journal", header(labels), labels))
    s.commit([new(BOX)])
    before = state(s)
    for z in range(1, 6):
        s.grow({1: [grown(BOX, z)]}, "g")
    after = state(s)
    s.move_to(Refusing(labels, refused))
    with pytest.raises(HQSAMError, match="make room"):
        s.undo()
    assert state(s) == after
    s.move_to(labels)
    s.undo()
    assert state(s) == before
    s.move_to(Refusing(labels, refused))
    with pytest.raises(HQSAMError, match="make room"):
        s.redo()
    assert state(s) == before
    s.move_to(labels)
    s.close()
    r = restore(s.journal.path, deep())
    assert state(r) == before
    r.redo()
    assert state(r) == after
    r.close()


def test_a_large_group_is_written_once_for_each_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "_MANY", 2)
    edits = []
    labels = MemoryLabels(np.zeros(DEEP, np.uint16))
    for x in range(10):
        for z in (3, 4):
            edits += paint(labels, (x, x, x + 2, x + 2), x + 1, z)
    after = labels.array.copy()
    written = []

    class Counting(MemoryLabels):
        def write(self, plane: ArrayPlane, *what: Any) -> None:
            written.append(plane)
            super().write(plane, *what)

    write_edits(Counting(labels.array), edits, back=True)
    assert not labels.array.any()
    assert sorted(p.index for p in written) == [(3,), (4,)]
    write_edits(labels, edits, back=False)
    np.testing.assert_array_equal(labels.array, after)


def test_a_journal_with_groups_is_replayed_to_the_same_after_every_step(tmp_path: Path) -> None:
    """Also where it was cut short in the middle of a group, as by a kill."""
    path = tmp_path / "a.journal"
    s = session(memory(), path)
    s.adopt([])
    states = [contents(s)]
    s.stepped.connect(lambda: states.append(contents(s)))
    s.commit([new(BOX), new((8, 8, 10, 10))])
    s.grow({1: [grown(BOX, 1)]}, "g")
    s.grow({2: [grown((8, 8, 10, 10), 1)]}, "g")
    s.undo()
    s.redo()
    s.painted(paint(s.labels, (3, 3, 5, 5), 2, z=1))
    s.undo()
    s.undo()
    s.grow({1: [grown((2, 2, 6, 7), 1)]}, "h", remove={2: [plane(1)]})
    s.delete([1])
    s.undo()
    s.undo()
    for until, expected in enumerate(states):
        history = replay(path, memory(), until=until)
        assert contents(history) == expected
    left = tmp_path / "left.journal"
    shutil.copy(path, left)  # nobody has closed it
    r = restore(left, memory())
    assert contents(r) == contents(s)
    while s.can_undo:
        assert (r.undo(), contents(r)) == (s.undo(), contents(s))
    while s.can_redo:
        assert (r.redo(), contents(r)) == (s.redo(), contents(s))
    r.close()
    s.close()


def test_objects_that_the_labels_held_before_grow_and_come_back(tmp_path: Path) -> None:
    """They are in no step before the first one that touches them."""

    def held() -> LabelArray:
        labels = memory()
        paint(labels, BOX, 4)
        return labels

    there = [LabelObject(4, (mask(BOX),), "cell")]
    s = session(held(), tmp_path / "a.journal")
    s.adopt(there)
    s.grow({4: [grown(BOX, 1)]}, "g")
    s.grow({4: [grown((2, 2, 6, 7), 1)]}, "g")
    s.grow({4: [grown(BOX, 1, 0.5)]}, "h")
    s.close()
    r = restore(s.journal.path, memory())
    r.adopt(there)
    assert contents(r) == contents(s)
    r.undo()
    assert scores(r, 4)[1] == 0.75
    r.undo()
    assert scores(r, 4) == {0: None}
    r.close()


def test_what_a_step_writes_does_not_grow_with_the_object(tmp_path: Path) -> None:
    labels = MemoryLabels(np.zeros((200, 60, 60), np.uint16))
    ragged = np.random.default_rng(0).random((50, 50)) < 0.8
    s = Session(labels, Journal.create(tmp_path / "a.journal", header(labels), labels))

    def made(z: int) -> PlaneMask:
        found = PlaneMask.of(plane(z), (5, 5, 55, 55), ragged)
        return replace(found, score=0.9) if z else found

    s.commit([replace(new(BOX), masks=(made(0),))])
    ends = []
    for z in range(1, 200):
        s.grow({1: [made(z)]}, "g")
        ends.append(s.journal.path.stat().st_size)
    steps = np.diff(ends)
    assert steps[-1] < 1.2 * steps[0]
    s.close()


def test_journals_of_before_are_read(tmp_path: Path) -> None:
    """Written in full, without groups and scores."""
    path = tmp_path / "old.journal"
    item = PromptItem("box", plane(), ((2.0, 2.0), (5.0, 5.0)))
    s = Session(memory())
    actions: list[Any] = []
    s.stepped.connect(lambda: actions.append(s.last_step))
    s.commit([new(BOX, prompts=(item,))])
    s.painted(paint(s.labels, (6, 2, 8, 6), 1))
    s.painted(paint(s.labels, (0, 0, 2, 2), 3, z=1))
    records = [{"kind": "begin", **header(memory()).to_json(), "format": 1}]
    records += [{"kind": "do", **action.to_json()} for action in actions]
    records += [{"kind": "undo"}]
    assert not any("group" in record or "score" in str(record.get("edits")) for record in records)
    crc = 0
    with path.open("wb") as file:
        for record in records:
            line, crc = write_line(record, crc)
            file.write(line)
    s.undo()
    (found,) = unfinished(IMAGE, tmp_path)
    assert found.objects == 1
    r = restore(path, memory())
    assert contents(r) == contents(s)
    r.undo()  # one stroke, not both
    s.undo()
    assert contents(r) == contents(s)
    r.grow({1: [grown(BOX, 1)]}, "g")  # and it goes on
    r.close()
    again = restore(path, memory())
    assert contents(again) == contents(r)
    again.close()


def test_saved_work_is_saved_again_after_a_group_was_taken_back(tmp_path: Path) -> None:
    s = session(memory(), tmp_path / "a.journal")
    s.commit([new(BOX)])
    s.mark_saved("labels.tif")
    s.grow({1: [grown(BOX, 1)]}, "g")
    s.grow({1: [grown((2, 2, 6, 7), 1)]}, "g")
    shutil.copy(s.journal.path, tmp_path / "grown.journal")
    s.undo()
    s.close()
    assert [found.path.name for found in unfinished(IMAGE, tmp_path)] == ["grown.journal"]


def test_a_known_object_that_is_not_known_is_told(tmp_path: Path) -> None:
    s = session(memory(), tmp_path / "a.journal")
    s.commit([new(BOX)])
    s.grow({1: [grown(BOX, 1)]}, "g")
    s.close()
    _, second = read_records(s.journal.path)
    path = tmp_path / "b.journal"
    journal = Journal.create(path, header(memory()), memory())
    journal.append(second)
    journal.close()
    with pytest.raises(HQSAMError, match="makes no sense"):
        replay(path, memory())


def test_scores_are_kept_and_left_out_where_there_is_none() -> None:
    saved = grown(BOX, 1, 0.375).to_json()
    assert PlaneMask.from_json(saved).score == 0.375
    assert "score" not in mask(BOX).to_json()
    assert PlaneMask.from_json(mask(BOX).to_json()).score is None


def array_of(of: Session) -> np.ndarray:
    if isinstance(of.labels, MemoryLabels):
        return of.labels.array
    return array(of.labels)
