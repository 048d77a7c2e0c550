"""The dock in the real window: what a user does, and what is then in the layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.plugin.annotate import AnnotateWidget
from napari_hqsam.plugin.preview import MARK

pytestmark = pytest.mark.gui

# Two bright squares on black, (y, x) from 40 to 79 and from 120 to 149.
PICTURE = np.zeros((200, 220), dtype=np.uint16)
PICTURE[40:80, 40:80] = 1000
PICTURE[120:150, 120:150] = 1000
LIMITS = {"contrast_limits": (0, 1000)}


def rectangle(y0: float, x0: float, y1: float, x1: float) -> np.ndarray:
    return np.array([[y0, x0], [y0, x1], [y1, x1], [y1, x0]], dtype=float)


def answered(dock: AnnotateWidget) -> Callable[[], bool]:
    a = dock.annotator
    return lambda: bool(a.masks) and a._shown is a._request and not dock.engine.busy


def draw(dock: AnnotateWidget, *corners: float) -> None:
    dock.annotator.use("box")
    dock.annotator.prompts.boxes.add_rectangles(rectangle(*corners))


def shown(dock: AnnotateWidget) -> np.ndarray:
    """The preview in the pixels of the whole image."""
    layer = dock.preview.layer
    out = np.zeros(PICTURE.shape, dtype=bool)
    for y, x in np.argwhere(layer.data):
        world = layer.data_to_world((y, x))
        iy, ix = np.round(dock.controls.image.image.value.world_to_data(world)).astype(int)
        out[iy, ix] = True
    return out


TRANSFORMS = [
    {},
    {"scale": (0.2, 0.5), "translate": (7, -3)},
    {"scale": (2, 2), "rotate": 25, "translate": (100, 40)},
]


@pytest.mark.parametrize("transform", TRANSFORMS, ids=["plain", "scaled", "rotated"])
def test_box_preview_commit_undo(
    transform: dict, viewer: Any, dock: Any, model: Any, until: Any
) -> None:
    viewer.add_image(PICTURE, name="cells", **transform, **LIMITS)
    draw(dock, 36, 36, 84, 84)
    until(answered(dock))
    expected = np.zeros(PICTURE.shape, dtype=bool)
    expected[40:80, 40:80] = True
    assert np.count_nonzero(shown(dock) ^ expected) <= 4 * 40  # one pixel of the boundary

    dock.annotator.commit()
    labels = viewer.layers["cells objects"]
    np.testing.assert_allclose(labels.scale, viewer.layers["cells"].scale)
    np.testing.assert_allclose(
        labels.data_to_world((5, 6)), viewer.layers["cells"].data_to_world((5, 6))
    )
    assert labels.data[60, 60] == 1
    assert labels.data.dtype == np.uint32
    assert np.count_nonzero((labels.data == 1) ^ expected) <= 4 * 40
    assert len(dock.annotator.prompts.boxes.data) == 0
    assert not dock.preview.shown
    # The next box is drawn at once, and what is drawn on lies above the labels.
    assert viewer.layers.selection.active is dock.annotator.prompts.boxes
    assert viewer.layers.index(labels) < viewer.layers.index(dock.annotator.prompts.boxes)
    assert dock.controls.labels.next_label.value == 2

    draw(dock, 116, 116, 154, 154)
    until(answered(dock))
    dock.annotator.commit()
    assert set(np.unique(labels.data)) == {0, 1, 2}
    boxes = dock.annotator.prompts.boxes
    found = []
    for _ in range(4):  # each box and each commit is a step of its own
        dock.undo()
        found.append((set(np.unique(labels.data)), len(boxes.data)))
    assert found == [({0, 1}, 1), ({0, 1}, 0), ({0}, 1), ({0}, 0)]
    assert not dock.controls.labels.undo_button.enabled


def test_clicks_make_an_object_and_a_negative_one_cuts_it(
    viewer: Any, dock: Any, model: Any, until: Any
) -> None:
    viewer.add_image(PICTURE, **LIMITS)
    draw(dock, 36, 36, 84, 84)
    until(answered(dock))
    before = dock.annotator.masks[0].area
    dock.annotator.use("negative")
    dock.annotator.prompts.points.add([[50, 60]])
    until(lambda: answered(dock)() and dock.annotator.masks[0].area < before)
    assert list(dock.annotator.prompts.points.features["prompt"]) == ["negative"]
    assert dock.annotator._request.previous[0].area == before  # it corrects the mask on show
    dock.annotator.use("positive")
    dock.annotator.prompts.points.add([[70, 60]])
    assert list(dock.annotator.prompts.points.features["prompt"]) == ["negative", "positive"]
    colours = dock.annotator.prompts.points.face_color
    assert not np.allclose(colours[0], colours[1])
    until(lambda: not dock.engine.busy)
    dock.annotator.clear()
    assert not len(dock.annotator.prompts.points.data)
    assert not len(dock.annotator.prompts.boxes.data)
    assert not dock.annotator.masks
    dock.undo()
    assert list(dock.annotator.prompts.points.features["prompt"]) == ["negative", "positive"]
    assert len(dock.annotator.prompts.boxes.data) == 1


def test_two_boxes_are_two_objects_and_a_click_belongs_to_its_box(
    viewer: Any, dock: Any, model: Any, until: Any
) -> None:
    viewer.add_image(PICTURE, **LIMITS)
    draw(dock, 36, 36, 84, 84)
    draw(dock, 116, 116, 154, 154)
    until(lambda: len(dock.annotator.masks) == 2 and not dock.engine.busy)
    dock.annotator.use("negative")
    dock.annotator.prompts.points.add([[125, 130]])
    first, second = dock.annotator.prompts.prompts(ArrayPlane((0, 1), ()))
    assert len(first.points) == 0
    np.testing.assert_array_equal(second.points, [[125, 130]])
    until(answered(dock))
    dock.annotator.commit()
    labels = dock.controls.labels.labels.value.data
    assert (labels[60, 60], labels[145, 130]) == (1, 2)


def test_planes_of_a_stack_with_an_axis_of_length_one(
    viewer: Any, dock: Any, model: Any, until: Any
) -> None:
    stack = np.stack([np.zeros_like(PICTURE), PICTURE, np.zeros_like(PICTURE)])[None]
    viewer.add_image(stack, name="stack", scale=(1, 3, 0.5, 0.5), **LIMITS)
    viewer.dims.set_current_step(1, 1)
    dock.annotator.use("box")
    box = np.hstack([np.tile([0.0, 1.0], (4, 1)), rectangle(36, 36, 84, 84)])
    dock.annotator.prompts.boxes.add_rectangles(box)
    until(answered(dock))
    dock.annotator.commit()
    labels = dock.controls.labels.labels.value.data
    assert labels.shape == stack.shape
    assert labels[0, 1, 60, 60] == 1
    assert not labels[0, 0].any()
    assert not labels[0, 2].any()
    dock.annotator.prompts.boxes.add_rectangles(box + np.array([0, 0, 80, 80]))
    until(answered(dock))
    viewer.dims.set_current_step(1, 2)  # the prompts stay on their plane
    assert not dock.annotator.masks
    viewer.dims.set_current_step(1, 1)
    until(answered(dock))


def test_only_the_newest_of_many_requests_is_shown(
    viewer: Any, dock: Any, model: Any, until: Any
) -> None:
    viewer.add_image(PICTURE, **LIMITS)
    model.seconds = 0.3
    seen = []
    dock.engine.answered.connect(lambda request, _masks: seen.append(request))
    for i in range(20):
        dock.annotator.use("box")
        dock.annotator.prompts.boxes.data = [rectangle(36, 36, 60 + i, 84)]
    until(lambda: bool(seen) and not dock.engine.busy)
    assert seen[-1].prompts[0].box == (36.5, 36.5, 78.5, 83.5)
    assert len(seen) < 20
    assert dock.annotator.masks[0].bbox[2] == 79  # not 80, where the object ends


def test_objects_that_are_there_are_kept(viewer: Any, dock: Any, model: Any, until: Any) -> None:
    viewer.add_image(PICTURE, **LIMITS)
    mine = np.zeros(PICTURE.shape, dtype=np.uint8)
    mine[40:80, 40:60] = 7
    labels = viewer.add_labels(mine, name="mine")
    dock.controls.labels.labels.value = labels
    assert dock.controls.labels.next_label.value == 8
    draw(dock, 36, 36, 84, 84)
    until(answered(dock))
    dock.annotator.commit()
    assert (labels.data[40:80, 40:60] == 7).all()
    assert labels.data[60, 70] == 8
    labels.data_setitem((np.array([60]), np.array([70])), 3)  # painted over since
    assert dock.sessions.current.can_undo == "painting of 2 objects"
    dock.undo()
    assert labels.data[60, 70] == 8
    labels.data[60, 70] = 3  # by a script, which tells nobody
    dock.undo()
    assert labels.data[60, 70] == 3
    assert set(np.unique(labels.data)) == {0, 3, 7}


def test_labels_that_do_not_fit_lose_nothing(
    viewer: Any, dock: Any, model: Any, until: Any, warned: list[str]
) -> None:
    viewer.add_image(PICTURE, **LIMITS)
    small = viewer.add_labels(np.zeros((10, 10), dtype=np.uint8), name="small")
    dock.controls.labels.labels.value = small
    draw(dock, 36, 36, 84, 84)
    until(answered(dock))
    dock.annotator.commit()
    assert "small has shape (10, 10)" in warned[-1]
    assert dock.annotator.masks
    assert len(dock.annotator.prompts.boxes.data) == 1
    full = viewer.add_labels(np.zeros(PICTURE.shape, dtype=np.uint8), name="full")
    dock.controls.labels.labels.value = full
    assert dock.annotator.masks
    dock.controls.labels.next_label.value = 256
    assert "label 256 does not fit" in warned[-1]
    assert dock.controls.labels.next_label.value == 1
    dock.controls.labels.next_label.value = 255
    dock.annotator.commit()
    assert full.data.max() == 255
    assert not small.data.any()
    assert not len(dock.annotator.prompts.boxes.data)
    draw(dock, 116, 116, 154, 154)
    until(answered(dock))
    dock.annotator.commit()
    assert "label 256 does not fit" in warned[-1]
    assert dock.annotator.masks
    assert len(dock.annotator.prompts.boxes.data) == 1


def test_prompts_outside_and_other_views_are_explained(
    viewer: Any, dock: Any, model: Any, until: Any, warned: list[str]
) -> None:
    dock.annotator.use("box")
    assert "open an image first" in warned[-1]
    viewer.add_image(np.stack([PICTURE] * 3), **LIMITS)
    viewer.dims.set_current_step(0, 0)
    dock.annotator.use("positive")
    dock.annotator.prompts.points.add([[0, 500, 20]])
    assert "point 500,20 is outside the image" in warned[-1]
    viewer.dims.ndisplay = 3
    dock.annotator.predict()
    assert "2-D view" in warned[-1]


def test_a_model_that_cannot_be_loaded_is_one_line(
    viewer: Any, dock: Any, until: Any, monkeypatch: pytest.MonkeyPatch, warned: list[str]
) -> None:
    from napari_hqsam.errors import HQSAMError

    def refuse(*_args: Any, **_kwargs: Any) -> None:
        raise HQSAMError("vit_b: needs a download of 379 MB, and there is no network")

    monkeypatch.setattr("napari_hqsam.weights.load_model", refuse)
    viewer.add_image(PICTURE, **LIMITS)
    draw(dock, 36, 36, 84, 84)
    until(lambda: bool(warned))
    assert warned == ["HQ-SAM: vit_b: needs a download of 379 MB, and there is no network"]
    until(lambda: not dock.controls.status.progress.visible)
    assert len(dock.annotator.prompts.boxes.data) == 1


def test_cancel_drops_the_answer(viewer: Any, dock: Any, model: Any, until: Any) -> None:
    viewer.add_image(PICTURE, **LIMITS)
    model.seconds = 0.5
    draw(dock, 36, 36, 84, 84)
    until(lambda: dock.controls.status.message.value.startswith("Encoding"))
    dock.cancel()
    until(lambda: not dock.engine.busy)
    assert not dock.annotator.masks
    assert not dock.preview.shown


@pytest.mark.parametrize("what", ["image", "prompts", "preview", "everything"])
def test_layers_deleted_meanwhile(
    what: str, viewer: Any, dock: Any, model: Any, until: Any, qtbot: Any
) -> None:
    viewer.add_image(PICTURE, name="cells", **LIMITS)
    draw(dock, 36, 36, 84, 84)
    until(answered(dock))
    model.seconds = 0.3
    dock.annotator.prompts.boxes.data = [rectangle(116, 116, 154, 154)]
    if what == "everything":
        viewer.layers.clear()
    else:
        layer = {
            "image": viewer.layers["cells"],
            "prompts": dock.annotator.prompts.boxes,
            "preview": dock.preview.layer,
        }[what]
        viewer.layers.remove(layer)
    until(lambda: not dock.engine.busy)
    qtbot.wait(50)
    if what == "everything":
        viewer.add_image(PICTURE, **LIMITS)
    if what != "image":
        model.seconds = 0.0
        draw(dock, 36, 36, 84, 84)
        until(answered(dock))


def test_closing_the_dock_while_encoding_ends_the_worker(
    viewer: Any, model: Any, until: Any, qtbot: Any
) -> None:
    dock_widget, widget = viewer.window.add_plugin_dock_widget("napari-hqsam", "Annotate")
    viewer.add_image(np.stack([PICTURE] * 3), **LIMITS)
    viewer.dims.set_current_step(0, 0)
    model.seconds = 0.5
    widget.annotator.use("box")
    box = np.hstack([np.zeros((4, 1)), rectangle(36, 36, 84, 84)])
    widget.annotator.prompts.boxes.add_rectangles(box)
    engine = widget.engine
    until(lambda: model.encoded == 1)
    viewer.window.remove_dock_widget(dock_widget)
    del dock_widget
    until(lambda: engine.closed)
    assert not engine.busy
    # What is left of the dock keeps still when the viewer goes on.
    viewer.dims.set_current_step(0, 1)
    viewer.layers.remove(viewer.layers[-1])
    viewer.add_image(PICTURE)
    widget.annotator.commit()
    qtbot.wait(100)
    assert model.encoded == 1


def test_commit_waits_for_the_preview_of_the_prompts_on_show(
    viewer: Any, dock: Any, model: Any, until: Any
) -> None:
    viewer.add_image(PICTURE, **LIMITS)
    dock.controls.labels.next_label.value = 40
    draw(dock, 36, 36, 84, 84)
    until(answered(dock))
    model.seconds = 0.5
    dock.annotator.prompts.boxes.data = [rectangle(116, 116, 154, 154)]
    dock.annotator.commit()
    assert dock.controls.status.message.value.startswith("Wait for the preview")
    assert dock.controls.labels.labels.value is None
    assert len(dock.annotator.prompts.boxes.data) == 1
    until(answered(dock))
    dock.annotator.commit()
    labels = dock.controls.labels.labels.value.data
    assert (labels[60, 60], labels[130, 130]) == (0, 40)


def test_the_boundary_is_refined_after_the_first_answer(
    viewer: Any, dock: Any, model: Any, until: Any
) -> None:
    model.refines_parts = True
    y, x = np.mgrid[:900, :900]
    thin = (abs(y - x) < 14) & (y > 40) & (y < 860)
    viewer.add_image((255 * thin).astype(np.uint8), contrast_limits=(0, 255))
    answers: list[list[Any]] = []
    dock.engine.answered.connect(lambda request, masks: answers.append(masks))
    draw(dock, 30, 30, 870, 870)
    until(answered(dock))
    until(lambda: len(answers) == 2)
    errors = [np.count_nonzero(m.full(thin.shape) ^ thin) for (m,) in answers]
    assert errors[1] < 0.8 * errors[0]
    assert dock.annotator.masks[0].area == answers[1][0].area
    assert dock.controls.status.message.value.startswith(
        f"1 object, {answers[1][0].area} px, score"
    )


def test_previews_of_another_dock_are_not_offered_as_labels(viewer: Any, dock: Any) -> None:
    viewer.add_labels(np.zeros((8, 8), int), name="mine")
    viewer.add_labels(np.zeros((8, 8), int), name="theirs", metadata={MARK: True})
    assert not dock._is_hidden(viewer.layers["mine"])
    assert dock._is_hidden(viewer.layers["theirs"])
