"""Objects grow slice by slice, and what the user does meanwhile counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_hqsam.labels.label_array import MemoryLabels
from napari_hqsam.session.recovery import restore

from .conftest import FIRST, SECOND, STACK


def test_an_object_grows_from_its_slice_and_one_undo_takes_all_back(desk: Any) -> None:
    desk.open()
    number = desk.commit(FIRST, 3)
    before = np.array(desk.labels.data)
    desk.run()
    assert not desk.told
    assert desk.grown(number) == [1, 2, 4, 5, 6]
    here = np.zeros(STACK.shape, bool)
    here[1:7, 10:30, 10:30] = True
    np.testing.assert_array_equal(desk.labels.data == number, here)
    assert desk.masks(number)[(5,)].score == pytest.approx(0.65)
    assert desk.said == "Object 1 at z = 1 to 6. Lowest score: 0.60 at z = 6."
    after = np.array(desk.labels.data)
    desk.annotate.undo()
    np.testing.assert_array_equal(desk.labels.data, before)
    desk.annotate.redo()
    np.testing.assert_array_equal(desk.labels.data, after)
    desk.annotate.undo()
    desk.annotate.undo()
    assert not desk.labels.data.any()


def test_labels_fill_slice_by_slice_with_progress_and_time_left(desk: Any) -> None:
    desk.open()
    desk.commit(FIRST, 3)
    desk.control.go.clear()
    desk.dock.propagate()
    desk.until(lambda: desk.grown() == [4])
    assert desk.labels.data[4, 20, 20] == 1
    assert not desk.labels.data[5].any()
    assert desk.said.startswith("z = 4 · 1 of 16 steps · ")
    assert desk.said.endswith(" left")
    assert desk.c.progress.value == round(1000 / 16)
    assert not desk.c.stop.native.isHidden()
    assert not desk.c.propagate.enabled
    assert not desk.c.again.enabled
    desk.go_to(1)  # the user looks around
    desk.control.go.set()
    desk.wait()
    assert desk.grown() == [1, 2, 4, 5, 6]
    assert desk.c.stop.native.isHidden()
    assert desk.c.progress.native.isHidden()
    assert desk.c.propagate.enabled


def test_stop_keeps_what_is_there_and_the_next_one_goes_on(desk: Any) -> None:
    desk.open()
    desk.commit(FIRST, 3)
    desk.control.go.clear()
    desk.dock.propagate()
    desk.until(lambda: desk.grown() == [4])
    desk.c.stop.native.click()
    assert desk.said == "Stopping…"
    desk.control.go.set()
    desk.wait()
    kept = desk.grown()
    assert 4 in kept
    assert len(kept) < 5
    assert desk.said.startswith("Stopped; what is there is kept. Object 1 at z = 3 to ")
    assert desk.control.closed.is_set()
    assert not desk.told
    desk.run()
    assert desk.control.last["known"] == {}  # it was not complete
    assert desk.grown() == [1, 2, 4, 5, 6]


def test_what_is_taken_back_while_it_grows_stays_taken_back(desk: Any) -> None:
    desk.open()
    desk.commit(FIRST, 3)
    desk.control.go.clear()
    desk.dock.propagate()
    desk.until(lambda: desk.grown() == [4])
    desk.annotate.undo()
    assert desk.grown() == []
    desk.control.go.set()
    desk.wait()
    assert desk.grown() == []
    assert desk.said == "Taken back; the propagation has stopped."
    assert desk.session.can_redo == "propagation of object 1"


def test_what_is_painted_meanwhile_is_kept(desk: Any) -> None:
    """On a slice that is still to come, and on one beyond the object's end."""
    desk.open()
    desk.commit(FIRST, 3)
    desk.control.go.clear()
    desk.dock.propagate()
    desk.until(lambda: desk.grown() == [4])
    desk.paint((10, 10, 14, 14), 1, 6)
    desk.paint((10, 10, 14, 14), 1, 7)
    desk.control.go.set()
    desk.wait()
    assert desk.grown() == [1, 2, 4, 5]
    for z in (6, 7):
        assert np.count_nonzero(desk.labels.data[z]) == 16
        assert desk.masks(1)[(z,)].score is None


def test_painted_outside_the_range_and_committed_after_it_is_kept(desk: Any) -> None:
    desk.open()
    desk.commit(FIRST, 3)
    desk.c.range.value = "range"
    desk.c.first.value, desk.c.last.value = 2, 4
    desk.paint((40, 40, 44, 44), 9, 7)
    desk.dock.choice.choose([1])
    desk.run()
    assert desk.grown() == [2, 4]
    desk.commit(SECOND, 7)
    assert np.count_nonzero(desk.labels.data[7] == 9) == 16
    assert np.count_nonzero(desk.labels.data[7] == 10) == 15 * 20 - 16
    assert desk.labels.data[4, 20, 20] == 1


def test_other_objects_keep_their_pixels_or_lose_them(desk: Any) -> None:
    desk.open()
    other = desk.commit((10, 25, 30, 40), 5)
    number = desk.commit(FIRST, 3)
    desk.run()
    assert desk.labels.data[5, 20, 24:31].tolist() == [number, *[other] * 6]
    assert desk.masks(number)[(5,)].area == 20 * 15
    desk.annotate.undo()
    desk.c.overlap.value = "overwrite"
    desk.run()
    assert desk.labels.data[5, 20, 24:31].tolist() == [*[number] * 6, other]
    assert desk.masks(other)[(5,)].area == 20 * 10
    assert desk.masks(other)[(5,)].score is None


def test_all_objects_of_the_slice_at_once(desk: Any) -> None:
    desk.open()
    desk.commit(FIRST, 3)
    desk.commit(SECOND, 3)
    elsewhere = desk.commit((0, 0, 4, 4), 5)
    desk.control.extent = {1: (2, 4), 2: (3, 6)}
    desk.go_to(3)
    desk.c.objects.value = "slice"
    assert desk.looked() == "Objects 1 and 2: 2 slices of yours, 0 propagated"
    desk.run()
    assert (desk.grown(1), desk.grown(2), desk.grown(elsewhere)) == ([2, 4], [4, 5, 6], [])
    assert set(desk.control.last["seeds"]) == {1, 2}
    assert desk.said == ("Objects 1 and 2 at z = 2 to 6. Lowest score: 0.60 at z = 6 of object 2.")
    desk.annotate.undo()
    assert (desk.grown(1), desk.grown(2)) == ([], [])


def test_what_is_chosen_is_asked_for(desk: Any) -> None:
    desk.open(scale=(2, 0.5, 0.5), units="um")
    desk.commit(FIRST, 3)
    c = desk.c
    c.direction.value = "forward"
    c.range.value = "range"
    c.first.value, c.last.value = 5, 2  # in whichever order
    c.min_score.value = 0.3
    c.smooth.value = True
    c.sigma.value = 1.5
    desk.annotate.controls.masks.mode.value = "sam"
    desk.annotate.controls.masks.threshold.value = 0.5
    desk.run()
    settings = desk.control.last["settings"]
    assert (settings.start, settings.stop) == (2, 6)
    assert settings.direction == "forward"
    assert settings.min_score == pytest.approx(0.3)
    assert settings.smooth == pytest.approx(1.5)
    assert settings.spacing == pytest.approx(4)
    assert (settings.mode, settings.threshold) == ("sam", pytest.approx(0.5))
    assert desk.control.last["level"] == 0
    assert desk.grown() == [4, 5]


def test_by_default_nothing_is_bounded_or_smoothed(desk: Any) -> None:
    desk.open()
    desk.commit(FIRST, 3)
    desk.run()
    settings = desk.control.last["settings"]
    assert (settings.start, settings.stop, settings.direction) == (None, None, "both")
    assert (settings.min_score, settings.smooth, settings.mode) == (0.5, 0.0, "hq+sam")


def test_an_empty_stack_beyond_the_object_gives_nothing_new(desk: Any) -> None:
    desk.open()
    desk.commit(FIRST, 3)
    desk.control.extent = {1: (3, 3)}
    desk.run()
    assert desk.said == "Nothing new: object 1 at z = 3 to 3 as before."
    assert desk.session.can_undo == "commit of object 1"


@pytest.mark.parametrize("axes", [("t", "z", "y", "x"), ("z", "t", "y", "x")])
def test_other_axes_stay_where_the_sliders_stand(desk: Any, axes: tuple[str, ...]) -> None:
    desk.open(np.stack([STACK] * 3, axis=axes.index("t")), axis_labels=axes)
    here = (2, 3) if axes[0] == "t" else (3, 2)
    desk.go_to(*here)
    desk.commit(FIRST, *here)
    desk.run()
    course = desk.control.last["course"]
    assert (course.axis, course.length) == ("z", 8)
    assert {at[axes.index("t")] for at in desk.grown()} == {2}
    assert sorted(at[axes.index("z")] for at in desk.grown()) == [1, 2, 4, 5, 6]
    assert course.plane(3) == here


def test_labels_of_one_time_point(desk: Any) -> None:
    desk.open(np.stack([STACK] * 3), axis_labels=("t", "z", "y", "x"))
    desk.annotate.controls.labels.time.value = "this"
    desk.go_to(2, 3)
    desk.commit(FIRST, 0, 3)
    assert desk.labels.data.shape[0] == 1
    desk.run()
    assert desk.control.last["course"].plane(0) == (2, 0)
    assert desk.grown() == [(0, z) for z in (1, 2, 4, 5, 6)]
    desk.c.axis.value = "t"
    desk.run()
    assert desk.told == [
        "HQ-SAM: cells objects has a single plane along t: choose labels of the whole image in "
        "Annotate"
    ]


def test_labels_on_disk_fill_and_are_taken_back(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_hqsam.plugin.label_folder.LARGEST_PLANE", 1000)
    desk.open()
    number = desk.commit(FIRST, 3)
    large = desk.annotate.layers.large(desk.labels)
    assert large is not None

    def stored() -> list[int]:
        return [int(large.store.read((z,), 20, 20, 21, 21)[0, 0]) for z in range(8)]

    desk.run()
    assert not desk.told
    assert stored() == [0, *[number] * 6, 0]
    assert np.asarray(desk.labels.data[0] if desk.labels.multiscale else desk.labels.data)[
        :, 20, 20
    ].tolist() == [0, *[number] * 6, 0]
    desk.annotate.undo()
    assert stored() == [0, 0, 0, number, 0, 0, 0, 0]


def test_what_is_painted_on_disk_just_before_counts(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_hqsam.plugin.label_folder.LARGEST_PLANE", 1000)
    desk.open()
    desk.go_to(3)
    desk.commit(FIRST, 3)
    desk.annotate.on_view()
    large = desk.annotate.layers.large(desk.labels)
    assert large.window.layer is not None
    y, x = (n.ravel() for n in np.mgrid[10:30, 30:34])
    at = tuple(np.zeros_like(y) for _ in range(1))
    large.window.layer.data_setitem((*at, y, x), 1)
    desk.run()
    (seed,) = desk.control.last["seeds"][1]
    assert seed.area == 20 * 24


def test_a_recovered_session_knows_what_was_propagated(desk: Any) -> None:
    desk.open()
    desk.commit(FIRST, 3)
    desk.run()
    path = desk.session.journal.path
    desk.annotate.shut_down()
    again = restore(path, MemoryLabels(np.zeros(STACK.shape, np.uint32)))
    scores = {m.plane.index[0]: m.score for m in again.objects[1].masks}
    assert scores[3] is None
    assert scores[6] == pytest.approx(0.6)
    assert again.can_undo == "propagation of object 1"
    again.close()
