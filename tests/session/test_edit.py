"""What an edit may change beyond the object that it is about: nothing."""

from __future__ import annotations

import numpy as np
import pytest

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.label_array import MemoryLabels
from napari_hqsam.labels.objects import PlaneMask
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.session.draft import Draft
from napari_hqsam.session.record import NewObject
from napari_hqsam.session.session import Session

from .scene import array, box_prompt, full, mask, memory, new, paint, plane


def three() -> Session:
    """Two objects that overlap, the second partly hidden, and one on both planes."""
    s = Session(memory())
    s.commit([new((1, 1, 6, 6), prompts=(box_prompt((1, 1, 5, 5)),), score=0.9, model="micro")])
    s.commit([new((4, 4, 9, 9))])
    s.commit([NewObject((mask((2, 10, 8, 14)), mask((2, 10, 8, 14), 1)), class_name="c")])
    return s


def test_a_draft_shows_what_it_would_write_and_writes_nothing() -> None:
    s = three()
    before = array(s.labels)
    draft = Draft(s.labels, s.objects, 4)
    for value, box in ((5, (0, 0, 4, 4)), (6, (2, 2, 7, 12)), (0, (3, 3, 5, 5))):
        here = draft.read(plane(), box)
        draft.write(plane(), box, here, np.full_like(here, value))
    expected = before[0].copy()
    expected[:4, :4] = 5
    expected[2:7, 2:12] = 6
    expected[3:5, 3:5] = 0
    np.testing.assert_array_equal(draft.read(plane(), (1, 1, 12, 15)), expected[1:, 1:])
    np.testing.assert_array_equal(draft.read(plane(1), (0, 0, 12, 15)), before[1])
    np.testing.assert_array_equal(array(s.labels), before)


def test_an_edit_is_seen_by_the_next_in_the_same_step_on_a_large_plane() -> None:
    """They are found again by squares, also across their borders."""
    flat = ArrayPlane((0, 1), ())
    draft = Draft(MemoryLabels(np.zeros((1100, 1100), np.uint8)), {}, 1)
    expected = np.zeros((1100, 1100), np.uint8)
    rng = np.random.default_rng(0)
    for value in range(1, 40):
        y, x = (int(v) for v in rng.integers(0, 1000, 2))
        h, w = (int(v) for v in rng.integers(1, 600, 2))
        box = y, x, min(y + h, 1100), min(x + w, 1100)
        here = draft.read(flat, box)
        np.testing.assert_array_equal(here, expected[box[0] : box[2], box[1] : box[3]])
        draft.write(flat, box, here, np.full_like(here, value))
        expected[box[0] : box[2], box[1] : box[3]] = value


def test_very_many_objects_are_written_in_few_edits_and_are_the_same() -> None:
    flat = ArrayPlane((0, 1), ())
    rng = np.random.default_rng(0)
    many = []
    for y, x in rng.integers(0, 2150, (150, 2)).tolist():
        data = rng.random((40, 40)) < 0.7
        many.append(NewObject((PlaneMask.of(flat, (y, x, y + 40, x + 40), data),)))
    one, by_one = (Session(MemoryLabels(np.zeros((2200, 2200), np.uint16))) for _ in range(2))
    one.commit(many, "overwrite")
    for new_object in many:
        by_one.commit([new_object], "overwrite")
    assert len(one._history.turns.done[-1].edits) <= 4
    np.testing.assert_array_equal(one.labels.array, by_one.labels.array)
    assert {n: o.to_json() for n, o in one.objects.items()} == {
        n: o.to_json() for n, o in by_one.objects.items()
    }
    one.delete(list(one.objects))
    assert not one.labels.array.any()
    one.undo()
    np.testing.assert_array_equal(one.labels.array, by_one.labels.array)
    one.undo()
    assert not one.labels.array.any()


def test_deleting_takes_the_pixels_of_the_object_and_no_others() -> None:
    s = three()
    before = array(s.labels)
    s.delete([1, 3])
    np.testing.assert_array_equal(array(s.labels), np.where(before == 2, 2, 0))
    assert list(s.objects) == [2]
    assert s.objects[2].area == 25


def test_merging_unites_masks_plane_by_plane() -> None:
    s = three()
    before = array(s.labels)
    assert s.merge([2, 3, 1]) == 2
    np.testing.assert_array_equal(array(s.labels), np.where(before > 0, 2, 0))
    (first, second) = s.objects[2].masks
    np.testing.assert_array_equal(full(first), before[0] > 0)
    np.testing.assert_array_equal(full(second), before[1] > 0)
    assert s.objects[2].prompts == ()
    assert s.objects[2].class_name == ""


def test_the_parts_of_a_split_object_are_objects_of_its_class() -> None:
    s = three()
    before = array(s.labels)
    assert s.split(3, plane(), [(4, 0), (4, 14)]) == [3, 4]
    assert s.objects[4].class_name == "c"
    assert [m.plane for m in s.objects[3].masks] == [plane(0), plane(1)]
    assert [m.plane for m in s.objects[4].masks] == [plane(0)]
    now = array(s.labels)
    np.testing.assert_array_equal(now > 0, before > 0)
    np.testing.assert_array_equal(now[before != 3], before[before != 3])
    np.testing.assert_array_equal(full(s.objects[4].masks[0]), now[0] == 4)
    np.testing.assert_array_equal(full(s.objects[3].masks[0]), now[0] == 3)
    assert s.objects[3].area > 2 * s.objects[4].area


def test_a_split_object_is_no_longer_what_its_prompts_gave() -> None:
    s = three()
    s.split(1, plane(), [(3, 0), (3, 14)])
    assert (s.objects[1].prompts, s.objects[1].score, s.objects[1].model) == ((), None, "")


def test_hidden_pixels_of_a_split_object_stay_hidden() -> None:
    s = three()
    s.split(2, plane(), [(6, 0), (6, 14)])
    assert (array(s.labels)[0] == 1).sum() == 25
    assert s.objects[2].area + s.objects[4].area == 25


def test_a_line_that_cuts_nothing_is_told_with_the_remedy() -> None:
    s = three()
    with pytest.raises(HQSAMError, match="does not cut object 3: draw it right across"):
        s.split(3, plane(), [(4, 0), (4, 11)])
    with pytest.raises(HQSAMError, match="object 1 is not on this plane"):
        s.split(1, plane(1), [(4, 0), (4, 14)])
    assert s.can_undo == "commit of object 3"


def test_smoothing_touches_no_other_object_and_hidden_pixels_stay() -> None:
    s = Session(memory())
    wedge = np.zeros((12, 8), bool)
    wedge[:, :3] = wedge[5] = True  # with a spike into the second object
    s.commit([NewObject((PlaneMask.of(plane(), (0, 0, 12, 8), wedge),))])
    s.commit([new((0, 4, 12, 14))])  # over the spike, where it is hidden
    s.commit([new((0, 14, 12, 15))])
    s.painted(paint(s.labels, (6, 4, 7, 8), 0))  # a dent beside it
    before, hidden = array(s.labels), full(s.objects[1].masks[0])
    s.smooth(2, radius=1.5)
    now, smooth = array(s.labels), full(s.objects[2].masks[0])
    for other in (1, 3):
        np.testing.assert_array_equal(now == other, before == other)
    assert smooth[5, 4:8].all()  # was in the mask, below the spike
    assert smooth[6, 5:8].all()  # the dent
    assert not smooth[:, 14].any()
    np.testing.assert_array_equal(now[0] == 2, smooth & ~hidden)


def test_smoothing_does_not_fill_a_dent_in_which_another_object_lies() -> None:
    s = Session(memory())
    s.commit([new((5, 0, 6, 8)), new((0, 0, 12, 14))], overlap="background")
    assert not full(s.objects[2].masks[0])[5, :8].any()
    s.smooth(2, radius=2)
    assert not full(s.objects[2].masks[0])[5, :8].any()
    assert (array(s.labels)[0, 5, :8] == 1).all()


def test_an_object_too_thin_to_be_smoothed_does_not_vanish() -> None:
    s = Session(memory())
    s.commit([new((5, 1, 6, 14))])
    before = array(s.labels)
    with pytest.raises(HQSAMError, match="too thin to be smoothed with a radius of 3 pixels"):
        s.smooth(1, radius=3)
    np.testing.assert_array_equal(array(s.labels), before)
    s.commit([NewObject((mask((0, 1, 4, 14), 1), mask((8, 1, 9, 14))))])
    s.smooth(2, radius=1)  # the thin plane stays as it is
    assert (array(s.labels)[0] == 2).sum() == 13
    key = np.zeros((4, 14), bool)
    key[1] = key[:3, :2] = True  # of which only the bow would be left
    s.commit([NewObject((PlaneMask.of(plane(1), (8, 0, 12, 14), key),))])
    with pytest.raises(HQSAMError, match="too thin"):
        s.smooth(3, radius=1)
    for radius in (0, -1, 1000, float("nan")):
        with pytest.raises(HQSAMError, match="radius"):
            s.smooth(1, radius=radius)


def test_what_is_smooth_already_is_no_step() -> None:
    s = Session(memory())
    s.commit([new((0, 0, 12, 15))])
    s.smooth(1)
    assert s.can_undo == "commit of object 1"


def test_planes_of_any_two_axes_are_edited() -> None:
    s = Session(memory())
    xz = ArrayPlane((0, 2), (4,))
    s.commit([NewObject((PlaneMask.of(xz, (0, 3, 2, 9), np.ones((2, 6), bool)),))])
    expected = np.zeros_like(array(s.labels))
    expected[:, 4, 3:9] = 1
    np.testing.assert_array_equal(array(s.labels), expected)
    s.split(1, xz, [(-1, 5), (2, 5)])
    assert sorted(np.unique(array(s.labels))) == [0, 1, 2]
    s.undo()
    s.undo()
    assert not array(s.labels).any()
