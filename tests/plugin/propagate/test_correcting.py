"""A slice is corrected, and only what must be is propagated again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from .conftest import FIRST, SECOND, mask

SMALL = (12, 12, 28, 28)


def correct(desk: Any, z: int) -> None:
    """Make object 1 larger on a slice."""
    desk.paint((10, 30, 30, 34), 1, z)


def test_a_corrected_slice_is_a_seed_and_the_others_are_known(desk: Any) -> None:
    desk.open()
    desk.commit(FIRST, 2)
    desk.run()
    assert desk.control.last["known"] == {}
    correct(desk, 5)
    assert desk.grown() == [1, 3, 4, 6]
    desk.go_to(7)
    desk.run()
    seeds = desk.control.last["seeds"][1]
    assert [(m.position, m.score) for m in seeds] == [(2, None), (5, None)]
    assert seeds[1].data.sum() == 20 * 24
    assert sorted(desk.control.last["known"]) == [(1, z) for z in (1, 3, 4, 6)]
    known = desk.control.last["known"][1, 4]
    assert (known.score, known.bbox) == (pytest.approx(0.7), FIRST)
    # from the new seed on nothing is as it was, and from the old one all is
    assert {z: desk.masks(1)[(z,)].area for z in (1, 3, 4, 6)} == {1: 400, 3: 480, 4: 480, 6: 480}
    desk.annotate.undo()  # the second propagation alone
    assert desk.session.can_undo == "painting of object 1"


def test_nothing_is_known_of_another_kind_of_propagation(desk: Any) -> None:
    desk.open()
    desk.commit(FIRST, 2)
    desk.run()
    desk.c.min_score.value = 0.4
    desk.run()
    assert desk.control.last["known"] == {}
    desk.run()
    assert desk.control.last["known"] != {}
    desk.annotate.controls.masks.mode.value = "hq"
    desk.run()
    assert desk.control.last["known"] == {}


def test_nothing_is_known_once_a_slice_was_erased(desk: Any) -> None:
    desk.open()
    desk.commit(FIRST, 2)
    desk.run()
    desk.paint(FIRST, 0, 4)
    assert desk.grown() == [1, 3, 5, 6]
    desk.run()
    assert desk.control.last["known"] == {}
    assert desk.grown() == [1, 3, 4, 5, 6]


def test_nothing_is_known_after_undo(desk: Any) -> None:
    desk.open()
    desk.commit(FIRST, 2)
    desk.run()
    desk.annotate.undo()
    desk.run()
    assert desk.control.last["known"] == {}
    assert desk.grown() == [1, 3, 4, 5, 6]


def test_where_an_object_ends_earlier_now_its_old_masks_go(desk: Any) -> None:
    desk.open()
    desk.commit(FIRST, 2)
    desk.run()
    desk.control.extent = {1: (2, 4)}
    desk.c.min_score.value = 0.6
    desk.run()
    assert desk.grown() == [3, 4]
    assert not desk.labels.data[5:].any()
    assert not desk.labels.data[1].any()
    desk.annotate.undo()
    assert desk.grown() == [1, 3, 4, 5, 6]
    assert desk.labels.data[6, 20, 20] == 1


@pytest.mark.parametrize(
    ("direction", "left"), [("forward", [1, 3, 4]), ("backward", [3, 4, 5, 6]), ("both", [3, 4])]
)
def test_masks_stay_where_nothing_was_looked_for(
    desk: Any, direction: str, left: list[int]
) -> None:
    desk.open()
    desk.commit(FIRST, 2)
    desk.run()
    desk.control.extent = {1: (2, 4)}
    desk.c.min_score.value = 0.6
    desk.c.direction.value = direction
    desk.run()
    assert desk.grown() == left


def test_masks_stay_outside_the_range(desk: Any) -> None:
    desk.open()
    desk.commit(FIRST, 2)
    desk.run()
    desk.control.extent = {1: (2, 2)}
    desk.c.range.value = "range"
    desk.c.first.value, desk.c.last.value = 2, 5
    desk.run()
    assert desk.grown() == [1, 6]


def test_after_a_correction_it_ends_earlier_on_one_side_and_is_as_it_was_on_the_other(
    desk: Any,
) -> None:
    desk.open()
    desk.commit(FIRST, 2)
    desk.run()
    correct(desk, 4)
    desk.control.extent = {1: (1, 5)}
    desk.run()
    assert desk.grown() == [1, 3, 5]
    assert not desk.labels.data[6].any()


def test_a_gap_between_two_slices_of_mine_is_a_gap(desk: Any) -> None:
    desk.open()
    desk.commit(FIRST, 1)
    desk.run()
    correct(desk, 6)
    desk.c.min_score.value = 0.6
    desk.control.extent = {1: (1, 3)}
    desk.run()
    assert desk.grown() == [2, 3]
    assert not desk.labels.data[4:6].any()
    assert desk.masks(1)[(6,)].score is None


def test_nothing_new_is_told(desk: Any) -> None:
    desk.open()
    desk.commit(FIRST, 2)
    desk.run()
    before = desk.session.last_step
    desk.run()
    assert desk.said == "Nothing new: object 1 at z = 1 to 6 as before."
    assert desk.session.last_step is before


def test_masks_of_mine_beyond_the_end_stay(desk: Any) -> None:
    desk.open()
    desk.commit(FIRST, 2)
    desk.run()
    correct(desk, 6)
    desk.control.extent = {1: (2, 3)}
    desk.c.min_score.value = 0.6
    desk.run()
    assert desk.masks(1)[(6,)].score is None
    assert np.count_nonzero(desk.labels.data[6]) == 20 * 24


def test_from_here_is_done_up_to_the_next_slices_of_mine(desk: Any) -> None:
    desk.open()
    desk.commit(FIRST, 1)
    desk.run()
    for z in (3, 6):
        correct(desk, z)
    desk.go_to(3)
    desk.again()
    settings = desk.control.last["settings"]
    assert (settings.start, settings.stop) == (3, 4)  # between seeds it goes on all the same
    assert [m.position for m in desk.control.last["seeds"][1]] == [1, 3, 6]
    assert sorted(at for _, at in desk.control.last["known"]) == [2, 4, 5]
    assert {z: desk.masks(1)[(z,)].area for z in (2, 4, 5)} == {2: 480, 4: 480, 5: 480}
    desk.go_to(6)
    desk.again()
    settings = desk.control.last["settings"]
    assert (settings.start, settings.stop) == (6, None)
    assert [m.position for m in desk.control.last["seeds"][1]] == [3, 6]
    desk.c.range.value = "range"
    desk.c.first.value, desk.c.last.value = 4, 7
    desk.again()
    settings = desk.control.last["settings"]
    assert (settings.start, settings.stop) == (6, 8)


def test_from_here_a_propagated_mask_counts_as_mine(desk: Any) -> None:
    desk.open()
    desk.commit(FIRST, 1)
    desk.run()
    desk.go_to(4)
    desk.again()
    assert not desk.told
    assert [(m.position, m.score is None) for m in desk.control.last["seeds"][1]] == [
        (1, True),
        (4, False),
    ]
    assert desk.control.last["known"] == {}  # what comes after it is wanted anew
    assert (desk.control.last["settings"].start, desk.control.last["settings"].stop) == (4, None)
    assert desk.grown() == [2, 3, 4, 5, 6]


def test_from_here_all_objects_of_the_slice(desk: Any) -> None:
    desk.open()
    desk.commit(FIRST, 1)
    desk.commit(SECOND, 3)
    desk.commit((0, 0, 4, 4), 7)
    desk.c.objects.value = "slice"
    desk.go_to(1)
    desk.run()
    desk.go_to(3)
    desk.again()
    assert set(desk.control.last["seeds"]) == {1, 2}
    assert desk.control.last["settings"].start is None  # object 2 has none before
    assert desk.grown(2) == [1, 2, 4, 5, 6]


def test_from_here_nothing_is_drawn_beyond_the_next_slice_of_mine(desk: Any) -> None:
    desk.open()
    desk.commit(FIRST, 2)
    desk.commit(SECOND, 4)
    desk.paint(FIRST, 1, 4)
    desk.c.objects.value = "slice"
    desk.go_to(4)
    desk.again()  # object 1 has a slice before this one, object 2 has none
    assert desk.grown(1) == [3, 5, 6]
    assert desk.grown(2) == [1, 2, 3, 5, 6]


def test_jump_to_the_worst_slice(desk: Any) -> None:
    desk.open()
    desk.commit(FIRST, 3)
    desk.control.score = lambda _label, position: 0.9 if position != 5 else 0.625
    desk.run()
    desk.go_to(0)
    desk.viewer.scene.camera.zoom = 20
    desk.c.worst.native.click()
    assert desk.viewer.dims.current_step[0] == 5
    np.testing.assert_allclose(desk.viewer.scene.camera.center[-2:], (19.5, 19.5))
    assert desk.said == (
        "z = 5: the lowest score, 0.62, of object 1. Correct it, and Re-propagate from here."
    )
    correct(desk, 5)
    desk.control.score = lambda _label, position: 0.9 if position != 2 else 0.7
    desk.c.min_score.value = 0.3
    desk.run()
    desk.c.worst.native.click()
    assert desk.viewer.dims.current_step[0] == 2
    assert not desk.told


def test_the_worst_of_several_objects(desk: Any) -> None:
    desk.open()
    desk.commit(FIRST, 3)
    desk.commit(SECOND, 3)
    desk.c.objects.value = "slice"
    desk.go_to(3)
    desk.control.score = lambda label, position: 0.9 - label / 10 + position / 100
    desk.run()
    desk.go_to(4)
    desk.dock.jump_to_worst()
    assert desk.viewer.dims.current_step[0] == 1
    assert "object 2" in desk.said
    assert desk.dock.choice.current == [2]


def test_there_is_no_worst_slice_without_propagation(desk: Any) -> None:
    desk.open()
    desk.dock.jump_to_worst()
    desk.commit(FIRST, 3)
    desk.dock.jump_to_worst()
    assert desk.told == [
        "HQ-SAM: there is no object yet: prompt one on a slice, and commit it (Enter)",
        "HQ-SAM: nothing is propagated there yet: Propagate first",
    ]


def test_a_correction_by_prompts_is_a_seed(desk: Any) -> None:
    """As a user does: the object's mask is taken up, a click added, and committed."""
    desk.open()
    desk.commit(FIRST, 2)
    desk.run()
    annotate = desk.annotate
    desk.go_to(5)
    desk.labels.selected_label = 1
    annotate.from_label()
    annotate.annotator.use("negative")
    annotate.annotator.prompts.points.add([(5, 14, 20)])
    a = annotate.annotator
    desk.until(lambda: bool(a.masks) and a._shown is a._request and not annotate.engine.busy)
    a.commit()
    assert desk.grown() == [1, 3, 4, 6]
    desk.run()
    assert [m.position for m in desk.control.last["seeds"][1]] == [2, 5]


def test_a_slice_that_lacks_the_object_is_prompted_for_it(desk: Any) -> None:
    """Its prompts are taken up again, and another one is given elsewhere."""
    desk.open()
    desk.commit(FIRST, 2)
    annotate = desk.annotate
    desk.session.reopen(1)
    desk.go_to(5)
    annotate.annotator.use("box")
    box = [[5, 9, 9], [5, 9, 31], [5, 31, 31], [5, 31, 9]]
    annotate.annotator.prompts.shapes.add_rectangles(np.array(box, dtype=float))
    a = annotate.annotator
    desk.until(lambda: bool(a.masks) and a._shown is a._request and not annotate.engine.busy)
    a.commit()
    assert sorted(desk.masks(1)) == [(2,), (5,)]
    assert list(desk.session.objects) == [1]


def test_masks_on_other_planes_are_no_seeds(desk: Any) -> None:
    desk.open()
    desk.commit(FIRST, 3)
    plane = mask(FIRST, 0).plane
    record = desk.session.objects[1]
    assert record.masks[0].plane != plane
    desk.run()
    assert [m.position for m in desk.control.last["seeds"][1]] == [3]
