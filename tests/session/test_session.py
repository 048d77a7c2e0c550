from __future__ import annotations

import errno
import subprocess
import sys
from io import FileIO
from pathlib import Path

import numpy as np
import pytest

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.label_array import MemoryLabels
from napari_hqsam.labels.objects import LabelObject
from napari_hqsam.session.journal import read_records
from napari_hqsam.session.prompt import PromptItem
from napari_hqsam.session.record import NewObject, ObjectRecord
from napari_hqsam.session.replay import replay
from napari_hqsam.session.session import Session

from .scene import (
    SHAPE,
    Refusing,
    array,
    box_prompt,
    contents,
    full,
    mask,
    memory,
    new,
    paint,
    plane,
    session,
)


class Heard:
    """What a session told."""

    def __init__(self, of: Session) -> None:
        self.said: list[object] = []
        of.changed.connect(lambda ids: self.said.append(sorted(ids)))
        of.prompts_changed.connect(lambda: self.said.append("prompts"))
        of.stepped.connect(lambda: self.said.append("stepped"))
        of.failed.connect(lambda line: self.said.append(line))

    def take(self) -> list[object]:
        said, self.said = self.said, []
        return said


def test_a_commit_writes_pixels_keeps_all_about_the_object_and_takes_its_prompts() -> None:
    s = Session(memory())
    prompts = (box_prompt((2, 3, 5, 7)),)
    s.set_prompts(prompts)
    about = {"score": 0.9, "uncertainty": 0.2, "model": "micro", "mode": "hq", "threshold": 0.5}
    made = s.commit([new((2, 3, 6, 8), prompts=prompts, class_name="cell", **about)])
    assert made == [1]
    assert s.prompts == ()
    record = s.objects[1]
    assert {name: getattr(record, name) for name in about} == about
    assert (record.class_name, record.status, record.prompts) == ("cell", "new", prompts)
    expected = np.zeros_like(array(s.labels))
    expected[0, 2:6, 3:8] = 1
    np.testing.assert_array_equal(array(s.labels), expected)
    assert s.can_undo == "commit of object 1"


def test_prompts_that_no_object_was_made_from_stay() -> None:
    s = Session(memory())
    here, there = box_prompt((1, 1, 3, 3)), box_prompt((1, 1, 3, 3), z=1)
    s.set_prompts([here, there])
    s.commit([new((1, 1, 4, 4), prompts=(here,))])
    assert s.prompts == (there,)
    s.undo()
    assert s.prompts == (here, there)


def test_undo_and_redo_go_through_all_steps_and_give_back_prompts() -> None:
    s = Session(memory())
    states = [contents(s)]
    steps = [
        lambda: s.set_prompts([box_prompt((1, 1, 3, 3))]),
        lambda: s.commit([new((1, 1, 4, 4)), new((6, 6, 9, 9))]),
        lambda: s.painted(paint(s.labels, (2, 2, 7, 7), 2)),
        lambda: s.set_status([2], "accepted"),
        lambda: s.set_class([1, 2], "nucleus"),
        lambda: s.reopen(1),
        lambda: s.merge([2, 1]),
        lambda: s.split(2, plane(), [(0, 5), (11, 5)]),
        lambda: s.delete(list(s.objects)),
    ]
    for step in steps:
        step()
        assert contents(s) != states[-1]
        states.append(contents(s))
    said = [s.can_undo]
    for state in reversed(states[:-1]):
        s.undo()
        assert contents(s) == state
        said.append(s.can_undo)
    assert said == [
        "deletion of 2 objects",
        "splitting of object 2",
        "merging of 2 objects",
        "reopening of object 1",
        "class 'nucleus' of 2 objects",
        "status 'accepted' of object 2",
        "painting of 2 objects",
        "commit of 2 objects",
        "prompts",
        None,
    ]
    with pytest.raises(HQSAMError, match="nothing to undo"):
        s.undo()
    for state in states[1:]:
        s.redo()
        assert contents(s) == state
    with pytest.raises(HQSAMError, match="nothing to redo"):
        s.redo()


def test_a_new_step_ends_what_could_be_done_again() -> None:
    s = Session(memory())
    s.commit([new((1, 1, 4, 4))])
    s.undo()
    assert s.can_redo == "commit of object 1"
    s.set_prompts([box_prompt((1, 1, 2, 2))])
    assert s.can_redo is None


def test_undo_leaves_pixels_alone_that_others_have_changed_since() -> None:
    s = Session(memory())
    s.commit([new((1, 1, 4, 4))])
    s.labels.array[0, 1, 1] = 77
    s.undo()
    assert s.labels.array[0, 1, 1] == 77
    assert np.count_nonzero(s.labels.array) == 1


def test_every_step_is_told() -> None:
    s = Session(memory())
    heard = Heard(s)
    s.set_prompts([box_prompt((1, 1, 3, 3))])
    assert heard.take() == ["stepped"]
    s.set_prompts([box_prompt((1, 1, 3, 3))])
    assert heard.take() == []
    s.commit([new((1, 1, 4, 4), prompts=s.prompts)])
    assert heard.take() == [[1], "prompts", "stepped"]
    s.commit([new((6, 6, 9, 9))])
    assert heard.take() == [[2], "stepped"]
    s.undo()
    s.undo()
    assert heard.take() == [[2], "stepped", [1], "prompts", "stepped"]
    s.redo()
    assert heard.take() == [[1], "prompts", "stepped"]
    s.painted(paint(s.labels, (1, 1, 3, 8), 5))
    assert heard.take() == [[1, 5], "stepped"]
    s.adopt([LabelObject(9, (mask((10, 10, 12, 12)),))])
    assert heard.take() == [[9]]
    s.set_status([1], "new")
    assert heard.take() == []
    s.mark_saved("labels.tif")
    assert heard.take() == ["stepped"]


def test_where_objects_overlap_the_user_has_the_choice() -> None:
    def labels_and_areas(overlap: str) -> tuple[int, int, list[int], list[tuple[int, int]]]:
        s = Session(memory())
        s.commit([new((0, 0, 4, 4))])
        s.commit([new((2, 2, 6, 6))], overlap=overlap)
        counts = np.bincount(array(s.labels).ravel(), minlength=3)
        areas = [record.area for record in s.objects.values()]
        return int(counts[1]), int(counts[2]), areas, s.overlapping

    assert labels_and_areas("keep") == (16, 12, [16, 16], [(1, 2)])
    assert labels_and_areas("overwrite") == (12, 16, [12, 16], [])
    assert labels_and_areas("background") == (16, 12, [16, 12], [])


def test_an_object_that_is_covered_completely_goes_and_undo_brings_it_back() -> None:
    s = Session(memory())
    s.commit([new((2, 2, 4, 4))])
    s.commit([new((0, 0, 6, 6))], overlap="overwrite")
    assert list(s.objects) == [2]
    s.undo()
    assert (array(s.labels) == 1).sum() == s.objects[1].area == 4


def test_nothing_is_committed_where_there_is_no_place() -> None:
    s = Session(memory())
    s.commit([new((0, 0, 4, 4))])
    s.set_prompts([box_prompt((1, 1, 2, 2))])
    with pytest.raises(HQSAMError, match="nothing to commit"):
        s.commit([new((1, 1, 3, 3)), NewObject(())], overlap="background")
    assert len(s.prompts) == 1
    assert s.commit([new((1, 1, 3, 3)), new((3, 3, 6, 6))], overlap="background") == [2]


def test_objects_of_one_commit_do_not_take_each_others_pixels() -> None:
    s = Session(memory())
    assert s.commit([new((0, 0, 4, 4)), new((2, 2, 6, 6)), new((5, 5, 8, 8))]) == [1, 2, 3]
    assert np.bincount(array(s.labels).ravel())[1:].tolist() == [16, 12, 8]


def test_a_reopened_object_keeps_its_number_its_class_and_its_other_planes() -> None:
    s = Session(memory())
    prompts = (box_prompt((2, 2, 4, 4)), box_prompt((2, 2, 4, 4), z=1))
    both = NewObject((mask((2, 2, 5, 5)), mask((2, 2, 5, 5), 1)), prompts=prompts, class_name="a")
    s.commit([both])
    s.set_status([1], "to fix")
    s.set_prompts([box_prompt((8, 8, 9, 9))])
    s.reopen(1)
    assert (s.prompts, s.editing) == (prompts, 1)
    s.undo()
    assert (s.prompts, s.editing) == ((box_prompt((8, 8, 9, 9)),), None)
    s.redo()
    improved = [new((3, 3, 7, 7), z=1, prompts=prompts), new((8, 8, 9, 9))]
    assert s.commit(improved) == [1, 2]
    assert (s.prompts, s.editing) == ((), None)
    assert s.can_undo == "correction of 2 objects"
    assert (s.objects[1].class_name, s.objects[1].status) == ("a", "new")
    assert [m.bbox for m in s.objects[1].masks] == [(2, 2, 5, 5), (3, 3, 7, 7)]
    expected = np.zeros_like(array(s.labels))
    expected[0, 2:5, 2:5] = expected[1, 3:7, 3:7] = 1
    expected[0, 8, 8] = 2
    np.testing.assert_array_equal(array(s.labels), expected)


def test_an_object_without_prompts_is_its_own_prompt() -> None:
    s = Session(memory())
    s.painted(paint(s.labels, (1, 1, 4, 4), 3))
    s.reopen(3)
    assert s.prompts == (PromptItem("label", plane(), label=3),)


def test_an_object_that_is_being_edited_and_deleted_is_edited_no_more() -> None:
    s = Session(memory())
    s.commit([new((1, 1, 4, 4), prompts=(box_prompt((1, 1, 3, 3)),))])
    s.reopen(1)
    s.delete([1])
    assert s.editing is None
    assert len(s.prompts) == 1
    assert s.commit([new((1, 1, 4, 4))]) == [2]
    s.undo()
    s.undo()
    assert s.editing == 1


def test_masks_follow_what_is_painted() -> None:
    s = Session(memory())
    s.commit([new((1, 1, 5, 5))])
    s.painted(paint(s.labels, (3, 3, 7, 7), 2))  # a new number, partly over the object
    assert np.array_equal(full(s.objects[1].masks[0]), array(s.labels)[0] == 1)
    assert np.array_equal(full(s.objects[2].masks[0]), array(s.labels)[0] == 2)
    assert s.objects[2].model == ""
    assert s.next_id == 3
    s.painted(paint(s.labels, (0, 0, 6, 6), 0))  # erased, the first as a whole
    assert list(s.objects) == [2]
    assert np.array_equal(full(s.objects[2].masks[0]), array(s.labels)[0] == 2)
    s.painted(paint(s.labels, (2, 2, 3, 3), 2, z=1))
    assert [m.plane for m in s.objects[2].masks] == [plane(0), plane(1)]
    s.undo()
    s.undo()
    assert np.array_equal(full(s.objects[1].masks[0]), array(s.labels)[0] == 1)


def test_painting_leaves_hidden_parts_of_a_mask_alone() -> None:
    s = Session(memory())
    s.commit([new((0, 0, 4, 4))])
    s.commit([new((2, 2, 6, 6))])  # partly below the first
    s.painted(paint(s.labels, (0, 0, 3, 3), 3))
    assert s.objects[2].area == 16
    assert s.objects[1].area == 7


def test_numbers_go_on_after_the_highest_one_that_ever_was() -> None:
    labels = memory()
    labels.array[1, 0, 0] = 6
    s = Session(labels)
    assert s.next_id == 7
    assert s.commit([new((1, 1, 3, 3))]) == [7]
    s.undo()
    assert s.next_id == 8
    s.adopt([LabelObject(20, (mask((5, 5, 6, 6)),))])
    assert s.next_id == 21


def test_the_next_number_can_be_chosen_and_taken_ones_are_passed_over() -> None:
    s = Session(memory())
    s.set_next_id(5)
    assert s.commit([new((0, 0, 2, 2))]) == [5]
    s.set_next_id(4)
    assert s.commit([new((4, 4, 6, 6)), new((8, 8, 9, 9))]) == [4, 6]
    with pytest.raises(HQSAMError, match="there is such an object"):
        s.set_next_id(4)
    with pytest.raises(HQSAMError, match="numbered from 1"):
        s.set_next_id(0)


def test_a_number_that_the_labels_cannot_hold_is_told_with_the_remedy() -> None:
    s = Session(memory("uint8"))
    with pytest.raises(HQSAMError, match=r"^label 256 does not fit labels of uint8.*uint32"):
        s.set_next_id(256)
    s.set_next_id(255)
    with pytest.raises(HQSAMError, match="label 256 does not fit"):
        s.commit([new((0, 0, 2, 2)), new((4, 4, 6, 6))])
    assert not array(s.labels).any()
    assert s.commit([new((0, 0, 2, 2))]) == [255]
    with pytest.raises(HQSAMError, match="label 256 does not fit"):
        s.commit([new((4, 4, 6, 6))])


def test_adopted_objects_are_no_step_and_known_ones_stay() -> None:
    labels = memory()
    labels.array[0, :2, :2] = 3
    s = Session(labels)
    s.adopt([ObjectRecord(3, (mask((0, 0, 2, 2)),), "first"), LabelObject(3, ())])
    assert s.objects[3].class_name == "first"
    s.adopt([LabelObject(3, ())])
    assert s.objects[3].class_name == "first"
    assert s.can_undo is None
    s.delete([3])
    s.undo()
    assert s.objects[3].area == (array(labels) == 3).sum() == 4


def test_a_step_is_in_the_journal_before_it_is_in_the_labels(tmp_path: Path) -> None:
    path, seen = tmp_path / "a.journal", []

    class Watching(MemoryLabels):
        def write(self, *what) -> None:
            seen.append(len(list(read_records(path))))
            super().write(*what)

    s = session(Watching(np.zeros(SHAPE, np.uint16)), path)
    s.commit([new((0, 0, 2, 2))])
    s.undo()
    s.redo()
    assert seen == [1, 2, 3]
    s.close()


@pytest.mark.parametrize("left", [0, 1])
def test_a_refused_write_changes_nothing_and_the_prompts_stay(tmp_path: Path, left: int) -> None:
    labels = Refusing(memory(), after=100)
    s = session(labels, tmp_path / "a.journal")
    s.commit([new((0, 0, 2, 2))])
    s.undo()
    s.set_prompts([box_prompt((4, 4, 6, 6))])
    before, heard = contents(s), Heard(s)
    labels.left = left
    with pytest.raises(HQSAMError, match="disk full"):
        s.commit([new((4, 4, 6, 6)), new((8, 8, 9, 9))])
    assert contents(s) == before
    assert heard.take() == []
    labels.left = 100
    assert s.commit([new((4, 4, 6, 6))]) == [2]
    after = contents(s)
    s.close()
    assert contents(replay(tmp_path / "a.journal", memory())) == after


def test_undo_and_redo_that_the_labels_refuse_change_nothing(tmp_path: Path) -> None:
    labels = Refusing(memory(), after=100)
    s = session(labels, tmp_path / "a.journal")
    s.commit([new((0, 0, 2, 2)), new((8, 8, 9, 9))])
    for turn in (s.undo, s.redo):
        before, said = contents(s), (s.can_undo, s.can_redo)
        for left in (0, 1):
            labels.left = left
            labels.error = OSError(errno.ENOSPC, "No space left on device")
            with pytest.raises(HQSAMError, match="No space left on device"):
                turn()
            assert (contents(s), s.can_undo, s.can_redo) == (before, *said)
        labels.left = 100
        turn()
    kinds = [record["kind"] for record in read_records(tmp_path / "a.journal")]
    assert kinds == ["do", *["undo", "revoke"] * 2, "undo", *["redo", "revoke"] * 2, "redo"]
    replayed = replay(tmp_path / "a.journal", memory())
    assert contents(replayed) == contents(s)
    s.close()


class FullDisk:
    """A file that takes half of what is written, then nothing."""

    def __init__(self, file: FileIO) -> None:
        self.file = file

    def write(self, data: memoryview) -> int:
        self.file.write(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    def __getattr__(self, name: str) -> object:
        return getattr(self.file, name)


def test_a_journal_that_cannot_be_written_is_told_once_and_caught_up_with(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    s = session(memory(), path)
    s.commit([new((0, 0, 2, 2))])
    first, heard = contents(s), Heard(s)
    for number in (2, 3):
        room, s.journal._file = s.journal._file, FullDisk(s.journal._file)
        assert s.commit([new((3 * number, 4, 3 * number + 2, 6))]) == [number]
        s.undo()
        s.redo()
        told = [line for line in heard.take() if "journal" in str(line)]
        assert len(told) == 1
        assert "No space left on device" in told[0]
        assert contents(replay(path, memory())) == first
        s.journal._file = room
        s.set_prompts([box_prompt((8, 8, 9, 9 + number))])
        first = contents(s)
        assert contents(replay(path, memory())) == first
    s.journal._file = FullDisk(room)
    s.undo()
    s.journal._file = room
    s.close()
    assert contents(replay(path, memory())) == contents(s)


def test_it_is_dirty_from_a_step_until_it_is_saved() -> None:
    s = Session(memory())
    assert (s.dirty, s.saved) == (False, None)
    s.commit([new((0, 0, 2, 2))])
    assert s.dirty
    s.mark_saved(Path("labels.tif"))
    assert not s.dirty
    assert s.saved is not None
    s.undo()
    assert s.dirty
    s.redo()
    assert not s.dirty
    s.undo()
    s.commit([new((0, 0, 2, 2))])
    assert s.dirty


def test_a_closed_session_takes_no_more_steps(tmp_path: Path) -> None:
    s = session(memory(), tmp_path / "a.journal")
    s.commit([new((0, 0, 2, 2))])
    s.close()
    s.close()
    s.set_prompts([box_prompt((1, 1, 2, 2))])
    assert s.prompts == ()
    for step in (
        s.undo,
        lambda: s.delete([1]),
        lambda: s.painted(paint(s.labels, (0, 0, 1, 1), 0)),
    ):
        with pytest.raises(HQSAMError, match="closed"):
            step()


@pytest.mark.parametrize(
    "step",
    [
        lambda s: s.delete([1, 4]),
        lambda s: s.merge([1, 4]),
        lambda s: s.split(4, plane(), [(0, 0), (1, 1)]),
        lambda s: s.smooth(4),
        lambda s: s.reopen(4),
        lambda s: s.set_class([1, 4], "a"),
    ],
)
def test_an_object_that_is_not_there_is_told_and_nothing_is_done(step) -> None:
    s = Session(memory())
    s.commit([new((0, 0, 2, 2))])
    before = contents(s)
    with pytest.raises(HQSAMError, match="there is no object 4"):
        step(s)
    assert contents(s) == before


def test_it_goes_on_in_other_labels_that_hold_the_same() -> None:
    s = Session(memory())
    s.commit([new((0, 0, 2, 2))])
    other = MemoryLabels(s.labels.array.copy())
    before = array(s.labels)
    s.move_to(other)
    s.commit([new((4, 4, 6, 6))])
    s.undo()
    np.testing.assert_array_equal(array(other), before)
    s.undo()
    assert not array(other).any()
    with pytest.raises(ValueError, match="uint8"):
        s.move_to(memory("uint8"))


def test_wrong_words_are_told() -> None:
    s = Session(memory())
    s.commit([new((0, 0, 2, 2))])
    with pytest.raises(HQSAMError, match="status 'good': choose one of new, accepted, to fix"):
        s.set_status([1], "good")
    with pytest.raises(HQSAMError, match="at least two objects"):
        s.merge([1, 1])


def test_many_objects_do_not_make_a_step_slower() -> None:
    """A step touches the objects that it is about, and no others."""

    class Counting(dict):
        seen = 0

        def __iter__(self):
            Counting.seen += len(self)
            return super().__iter__()

        def copy(self):
            Counting.seen += len(self)
            return super().copy()

        def values(self):
            Counting.seen += len(self)
            return super().values()

        def items(self):
            Counting.seen += len(self)
            return super().items()

    s = Session(MemoryLabels(np.zeros((2, 12, 15), np.uint16)))
    s.adopt(LabelObject(n, (mask((0, 0, 1, 1)),)) for n in range(1, 500))
    s._history.objects = Counting(s._history.objects)
    s.objects = s._history.objects
    s.commit([new((5, 5, 8, 8))])
    s.painted(paint(s.labels, (4, 4, 6, 6), 900))
    s.set_status([7], "accepted")
    s.undo()
    s.redo()
    assert Counting.seen == 0


def test_a_session_needs_nothing_heavy() -> None:
    """The dock opens with it."""
    heavy = {"torch", "zarr", "napari", "qtpy", "scipy", "skimage", "tifffile", "dask"}
    code = (
        "import sys, napari_hqsam.session.session, napari_hqsam.session.recovery; "
        f"print(sorted({heavy!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
