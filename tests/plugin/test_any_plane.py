"""Annotating across a stack: prompts, preview, commit and undo on xy, xz and yz."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from napari_hqsam.labels.plane import ArrayPlane

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("model")]

# A bright block, z 30 to 69, y 60 to 109, x 90 to 149.
STACK = np.zeros((100, 150, 180), dtype=np.uint8)
STACK[30:70, 60:110, 90:150] = 200
BLOCK = np.array([[30, 60, 90], [69, 109, 149]])
LIMITS = {"contrast_limits": (0, 200)}
VIEWS = {"xy": (0, 1, 2), "xz": (1, 0, 2), "yz": (2, 0, 1), "transposed": (1, 2, 0)}


def turn(viewer: Any, view: str, at: int) -> None:
    viewer.dims.order = VIEWS[view]
    viewer.dims.set_current_step(VIEWS[view][0], at)


def around_block(plane: ArrayPlane) -> np.ndarray:
    """The vertices of a box around the block, in the layer."""
    (y0, x0), (y1, x1) = BLOCK[:, list(plane.axes)] + [[-4], [4]]
    return np.array([plane.position(y, x) for y, x in ((y0, x0), (y0, x1), (y1, x1), (y1, x0))])


@pytest.mark.parametrize("view", list(VIEWS))
def test_box_preview_commit_undo(
    view: str, viewer: Any, dock: Any, until: Callable[..., None]
) -> None:
    image = viewer.add_image(STACK, scale=(2, 0.5, 0.5), translate=(5, 6, 7), **LIMITS)
    hidden = VIEWS[view][0]
    at = int(BLOCK[:, hidden].mean())
    turn(viewer, view, at)
    plane = ArrayPlane(tuple(a for a in range(3) if a != hidden), (at,))  # type: ignore[arg-type]
    dock.annotator.use("box")
    dock.annotator.prompts.boxes.add_rectangles(around_block(plane))
    until(lambda: bool(dock.annotator.masks) and not dock.engine.busy)
    expected = np.zeros(STACK.shape, dtype=bool)
    expected[plane.region(0, 0, *plane.shape(STACK.shape))] = 1
    expected &= STACK > 0

    preview = dock.preview.layer
    corner = np.round(image.world_to_data(preview.data_to_world((0, 0, 0)))).astype(int)
    drawn = np.argwhere(preview.data) + corner
    shown = np.zeros_like(expected)
    shown[tuple(drawn.T)] = True
    assert np.count_nonzero(shown ^ expected) < 0.15 * np.count_nonzero(expected)

    dock.annotator.commit()
    labels = dock.controls.labels.labels.value
    np.testing.assert_array_equal(labels.data == 1, shown)
    assert not len(dock.annotator.prompts.boxes.data)
    dock.undo()
    assert not labels.data.any()


def test_prompts_and_undo_while_the_view_is_turned(
    viewer: Any, dock: Any, until: Callable[..., None]
) -> None:
    viewer.add_image(STACK, **LIMITS)
    answered = lambda: bool(dock.annotator.masks) and not dock.engine.busy  # noqa: E731
    xy, xz = ArrayPlane((1, 2), (50,)), ArrayPlane((0, 2), (80,))
    turn(viewer, "xy", 50)
    dock.annotator.use("box")
    dock.annotator.prompts.boxes.add_rectangles(around_block(xy))
    until(answered)
    turn(viewer, "xz", 80)
    assert not dock.annotator.masks  # these prompts are not on this plane
    assert not dock.preview.shown
    dock.annotator.prompts.boxes.add_rectangles(around_block(xz))
    until(answered)
    assert dock.annotator._shown.plane == xz
    dock.annotator.commit()
    labels = dock.controls.labels.labels.value.data
    assert set(np.argwhere(labels == 1)[:, 1]) == {80}
    assert len(dock.annotator.prompts.boxes.data) == 1  # those of the other plane stay
    turn(viewer, "xy", 50)
    until(answered)
    assert dock.annotator._shown.plane == xy
    dock.annotator.commit()
    boxes = dock.annotator.prompts.boxes
    assert labels[50, 80, 120] == 1  # an object that is there is kept
    assert labels[50, 70, 120] == 2
    found = []
    for _ in range(4):  # the commits, and the boxes before them
        dock.undo()
        found.append((set(np.unique(labels)), len(boxes.data)))
    assert found == [({0, 1}, 1), ({0}, 2), ({0}, 1), ({0}, 0)]


def test_a_volume_on_display_is_explained_once(viewer: Any, dock: Any, warned: list[str]) -> None:
    viewer.add_image(STACK, **LIMITS)
    dock.annotator.use("box")
    viewer.dims.ndisplay = 3
    viewer.dims.set_current_step(0, 3)
    assert not warned
    dock.annotator.predict()
    assert len(warned) == 1
    assert "2-D view" in warned[0]


def test_fifty_rapid_changes_end_with_the_last_and_undo_restores_every_pixel(
    viewer: Any, dock: Any, model: Any, until: Callable[..., None]
) -> None:
    viewer.add_image(STACK, **LIMITS)
    turn(viewer, "xz", 80)
    plane = ArrayPlane((0, 2), (80,))
    mine = viewer.add_labels((np.arange(STACK.size) % 7 == 0).reshape(STACK.shape).astype("u1"))
    dock.controls.labels.labels.value = mine
    before = mine.data.tobytes()
    model.seconds = 0.05
    dock.annotator.use("positive")
    for i in range(50):
        dock.annotator.prompts.points.data = np.array([plane.position(35 + i % 30, 95 + i)])
    until(lambda: bool(dock.annotator.masks) and not dock.engine.busy)
    np.testing.assert_array_equal(
        dock.annotator._shown.prompts[0].points, [[35 + 49 % 30, 95 + 49]]
    )
    dock.annotator.commit()
    assert mine.data.tobytes() != before
    dock.undo()
    assert mine.data.tobytes() == before


def test_undo_after_the_layer_was_deleted_says_so(
    viewer: Any, dock: Any, until: Callable[..., None]
) -> None:
    viewer.add_image(STACK, name="stack", **LIMITS)
    turn(viewer, "xy", 50)
    dock.annotator.use("box")
    dock.annotator.prompts.boxes.add_rectangles(around_block(ArrayPlane((1, 2), (50,))))
    until(lambda: bool(dock.annotator.masks) and not dock.engine.busy)
    dock.annotator.commit()
    labels = dock.controls.labels.labels.value
    labels.name = "renamed"
    viewer.layers.move(viewer.layers.index(labels), 0)
    viewer.layers.remove(labels)
    assert not dock.controls.labels.undo_button.enabled
    dock.undo()
    assert dock.controls.status.message.value == "Nothing to undo."
    box = around_block(ArrayPlane((1, 2), (50,)))
    dock.annotator.prompts.boxes.add_rectangles(box)
    until(lambda: bool(dock.annotator.masks) and not dock.engine.busy)
    dock.annotator.commit()
    assert dock.controls.labels.labels.value.data[50, 80, 120] == 1
