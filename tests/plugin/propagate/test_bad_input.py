"""What cannot be propagated is told in one line; what goes wrong meanwhile does no harm."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from .conftest import FIRST, SLICE, STACK

NOTHING = "there is no object yet: prompt one on a slice, and commit it (Enter)"


def only(desk: Any) -> str:
    """The only warning, a single line."""
    (line,) = desk.told
    desk.told.clear()
    assert "\n" not in line
    assert desk.said == line.removeprefix("HQ-SAM: ")
    assert not desk.control.calls
    assert desk.c.propagate.enabled
    return desk.said


def test_without_an_image(desk: Any) -> None:
    desk.run()
    assert only(desk) == "open an image first"


def test_without_an_object(desk: Any) -> None:
    desk.open()
    desk.run()
    assert only(desk) == NOTHING


def test_without_a_window_and_annotate(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.annotate.shut_down()
    place = "napari_hqsam.plugin.propagate.annotating.annotate_dock"
    monkeypatch.setattr(place, lambda _viewer: None)
    desk.run()
    assert only(desk) == "open Annotate first: Plugins > Annotate (HQ-SAM)"


@pytest.mark.parametrize("axis", ["z", "t"])
def test_a_2d_image(desk: Any, axis: str) -> None:
    desk.open(SLICE)
    desk.commit(FIRST)
    desk.c.axis.value = axis
    desk.run()
    assert only(desk).startswith(f"there is no axis {axis} to follow objects along")


def test_a_stack_of_one_slice(desk: Any) -> None:
    desk.open(SLICE[None])
    desk.commit(FIRST, 0)
    desk.run()
    assert "axis z" in only(desk)


def test_an_axis_that_the_image_lacks(desk: Any) -> None:
    desk.open()
    desk.commit(FIRST, 3)
    desk.c.axis.value = "t"
    desk.run()
    assert only(desk).startswith("there is no axis t to follow objects along")
    assert desk.looked().startswith("There is no axis t")


def test_channels_are_no_slices(desk: Any) -> None:
    desk.open(STACK[:3], axis_labels=("c", "y", "x"))
    desk.commit(FIRST, 1)
    desk.run()
    assert only(desk) == (
        "cells: that axis holds channels, not slices: split them (right-click the layer > Split "
        "Stack), and propagate in one of them"
    )


def test_an_object_on_other_planes_alone(desk: Any) -> None:
    desk.open(np.stack([STACK] * 3), axis_labels=("t", "z", "y", "x"))
    desk.commit(FIRST, 0, 3)
    desk.go_to(2, 3)
    desk.run()
    assert only(desk) == (
        "Object 1 has no mask on the slices along z here: prompt it on one of them, and commit it "
        "(Enter)"
    )


def test_an_object_that_nobody_vouches_for(desk: Any) -> None:
    desk.open()
    desk.commit(FIRST, 3)
    desk.run()
    desk.control.calls.clear()
    desk.paint(FIRST, 0, 3)
    desk.run()
    assert only(desk) == (
        "Object 1 has propagated masks only: go to a slice where it is right, and Re-propagate "
        "from here"
    )


def test_an_empty_slice(desk: Any) -> None:
    desk.open()
    desk.commit(FIRST, 3)
    desk.go_to(5)
    desk.again()
    assert only(desk) == "Object 1 has no mask at z = 5: prompt or paint it here"
    desk.c.objects.value = "slice"
    desk.run()
    assert only(desk) == (
        "there is no object at z = 5: prompt one and commit it (Enter), or go to a slice that has "
        "some"
    )


@pytest.mark.parametrize("what", ["array", "pyramid"])
def test_labels_that_cannot_be_edited(desk: Any, what: str) -> None:
    desk.open()
    data = np.zeros(STACK.shape, np.uint8)
    if what == "array":
        data.flags.writeable = False
        desk.viewer.add_labels(data, name="mine")
        words = "mine is read-only"
    else:
        desk.viewer.add_labels([data, data[:, ::2, ::2]], name="mine")
        words = "mine is a pyramid, which cannot be edited"
    desk.run()
    assert only(desk) == f"{words}: make a copy that can be edited, or a new layer"


def test_labels_of_another_shape(desk: Any) -> None:
    desk.open()
    desk.viewer.add_labels(np.ones((8, 20, 20), np.uint8), name="mine")
    desk.run()
    assert "mine has shape (8, 20, 20), the image (8, 60, 80)" in only(desk)


def test_what_needs_a_slice_says_so_in_the_3d_view(desk: Any) -> None:
    desk.open()
    desk.commit(FIRST, 3)
    desk.viewer.dims.ndisplay = 3
    line = "this needs a slice: go back to the 2-D view, to one with the object"
    desk.again()
    assert only(desk) == line
    desk.dock.jump_to_worst()
    assert only(desk) == line
    desk.c.objects.value = "slice"
    desk.run()
    assert only(desk) == line
    desk.c.objects.value = "current"
    desk.run()  # the object alone needs none
    assert not desk.told
    assert desk.grown() == [1, 2, 4, 5, 6]
    assert desk.viewer.dims.ndisplay == 3


def test_other_planes_on_display(desk: Any) -> None:
    desk.open()
    desk.commit(FIRST, 3)
    desk.viewer.dims.order = (1, 0, 2)
    desk.again()
    assert only(desk) == "objects are followed from y-x slice to y-x slice: roll the axes back"
    desk.run()
    assert desk.grown() == [1, 2, 4, 5, 6]


def test_a_failure_is_one_line_and_what_is_there_stays(desk: Any) -> None:
    desk.open()
    desk.commit(FIRST, 3)
    desk.control.error = "stack.tif: cannot be read; is the disk there?"
    desk.run()
    assert desk.told == ["HQ-SAM: stack.tif: cannot be read; is the disk there?"]
    assert desk.said == desk.control.error
    assert desk.grown() == [4, 5]
    assert desk.c.propagate.enabled
    desk.control.error = ""
    desk.run()
    assert desk.grown() == [1, 2, 4, 5, 6]


def test_a_bug_is_told_and_the_window_goes_on(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[type] = []
    place = "napari_hqsam.plugin.task.notification_manager.receive_error"
    monkeypatch.setattr(place, lambda kind, *_rest: seen.append(kind))
    desk.open()
    desk.commit(FIRST, 3)
    desk.control.error = ZeroDivisionError("of a slice")
    desk.run()
    assert seen == [ZeroDivisionError]
    assert desk.told == ["HQ-SAM: ZeroDivisionError: of a slice"]
    assert desk.c.propagate.enabled


def test_labels_that_refuse_to_be_written(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: Any) -> None:
        raise OSError(28, "No space left on device")

    desk.open()
    desk.commit(FIRST, 3)
    desk.control.go.clear()
    desk.dock.propagate()
    desk.until(lambda: desk.grown() == [4])
    with monkeypatch.context() as patch:
        patch.setattr("napari_hqsam.plugin.annotate.layer_labels.LayerLabels.write", full)
        desk.control.go.set()
        desk.wait()
    (line,) = desk.told
    assert "No space left on device" in line
    assert desk.said == line.removeprefix("HQ-SAM: ")
    assert desk.grown() == [4]
    desk.annotate.undo()
    assert np.count_nonzero(desk.labels.data) == 400


def begun(desk: Any) -> Any:
    """An object that is being propagated; its layer."""
    desk.open()
    desk.commit(FIRST, 3)
    desk.control.go.clear()
    desk.dock.propagate()
    desk.until(lambda: desk.grown() == [4])
    return desk.labels


def test_labels_that_are_deleted_meanwhile(desk: Any) -> None:
    labels = begun(desk)
    desk.viewer.layers.remove(labels)
    desk.control.go.set()
    desk.wait()
    assert desk.said == "cells objects was deleted: the propagation has stopped."
    assert not desk.told
    assert np.count_nonzero(labels.data) == 800
    number = desk.commit(FIRST, 3)  # and it goes on in new ones
    desk.run()
    assert desk.grown(number) == [1, 2, 4, 5, 6]


def test_an_image_that_is_closed_meanwhile(desk: Any) -> None:
    labels = begun(desk)
    desk.viewer.layers.remove("cells")
    desk.control.go.set()
    desk.wait()
    assert not desk.told
    assert np.count_nonzero(labels.data) == 6 * 400


def test_annotate_that_is_closed_meanwhile(desk: Any) -> None:
    labels = begun(desk)
    desk.annotate.shut_down()
    desk.control.go.set()
    desk.wait()
    assert desk.told == ["HQ-SAM: this session is closed: open Annotate again"]
    assert np.count_nonzero(labels.data) == 800
    desk.run()  # opens it again, where the labels are looked through
    assert len(desk.told) == 1
    assert desk.session.objects[1].id == 1


def test_an_object_that_is_deleted_meanwhile(desk: Any) -> None:
    begun(desk)
    desk.session.delete([1])
    desk.control.go.set()
    desk.wait()
    assert not desk.told
    assert not desk.labels.data.any()


def test_other_labels_are_chosen_meanwhile(desk: Any) -> None:
    labels = begun(desk)
    desk.annotate.controls.labels.labels.value = None
    desk.control.go.set()
    desk.wait()
    assert not desk.told
    assert np.count_nonzero(labels.data) == 6 * 400


def test_the_dock_is_closed_meanwhile(desk: Any) -> None:
    before = set(threading.enumerate())
    labels = begun(desk)
    threading.Timer(0.2, desk.control.go.set).start()
    desk.dock.shut_down()
    assert desk.control.closed.wait(20)
    desk.until(lambda: not {t for t in set(threading.enumerate()) - before if "_run" in t.name})
    assert np.count_nonzero(labels.data) == 800
    assert desk.session.can_undo == "propagation of object 1"
    desk.annotate.undo()
    assert np.count_nonzero(labels.data) == 400


def test_a_download_is_told_of_and_can_be_stopped(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_hqsam.errors import HQSAMError

    def load(loader: Any, _subject: Any) -> None:
        while not loader._cancelled():
            loader._tell("Downloading vit_b…", 30_000_000, 360_000_000)
        raise HQSAMError("vit_b: the download was cancelled")

    desk.open()
    desk.commit(FIRST, 3)
    monkeypatch.setattr("napari_hqsam.plugin.loader.Loader.segmenter", load)
    desk.dock.propagate()
    desk.until(lambda: desk.said == "Downloading vit_b… 30 of 360 MB")
    desk.dock.stop()
    desk.wait()
    assert not desk.told
    assert desk.c.propagate.enabled


class TestVoxelSize:
    def test_that_of_the_image_is_shown(self, desk: Any) -> None:
        desk.open(scale=(2000, 500, 400), units="nm")
        voxel = desk.c.voxel
        assert (voxel.step.value, voxel.pixel.value) == (2, 0.4)
        assert not voxel.missing
        assert voxel.step.native.styleSheet() == ""

    def test_a_missing_one_is_red_until_it_is_typed(self, desk: Any) -> None:
        desk.open()
        voxel = desk.c.voxel
        assert voxel.missing
        assert "e03c31" in voxel.step.native.styleSheet()
        assert voxel.hint.value == (
            "The voxel size is not known: type it, or slices count as close as pixels."
        )
        desk.commit(FIRST, 3)
        desk.run()
        assert desk.control.last["settings"].spacing == 1
        voxel.step.value = 4
        voxel.pixel.value = 0.5
        assert not voxel.missing
        assert voxel.pixel.native.styleSheet() == ""
        desk.run()
        assert desk.control.last["settings"].spacing == 8

    def test_steps_without_a_unit_are_taken_as_they_are(self, desk: Any) -> None:
        desk.open(scale=(3, 1, 1))
        assert not desk.c.voxel.missing
        assert desk.c.voxel.spacing == 3

    def test_another_image_has_another_one(self, desk: Any) -> None:
        desk.open()
        desk.c.voxel.step.value = 7
        desk.open(scale=(2, 1, 1), units="um", name="other")
        assert desk.c.voxel.spacing == 2
        assert not desk.c.voxel.missing

    def test_it_is_of_no_importance_along_time(self, desk: Any) -> None:
        desk.open(axis_labels=("t", "y", "x"))
        assert desk.c.axis.value == "t"
        assert not desk.c.voxel.step.enabled
        assert desk.c.smooth.text == "Smooth along T"
        desk.commit(FIRST, 3)
        desk.run()
        assert desk.control.last["settings"].spacing is None


def test_the_range_is_that_of_the_axis(desk: Any) -> None:
    desk.open(np.stack([STACK] * 3), axis_labels=("t", "z", "y", "x"))
    c = desk.c
    assert (c.axis.value, c.first.value, c.last.value, c.last.max) == ("z", 0, 7, 7)
    c.axis.value = "t"
    assert (c.first.value, c.last.value, c.last.max) == (0, 2, 2)
    assert c._range.native.isHidden()
    c.range.value = "range"
    assert not c._range.native.isHidden()
