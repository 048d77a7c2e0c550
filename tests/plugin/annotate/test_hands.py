"""Real keys and mouse buttons in the real window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

pytestmark = pytest.mark.gui

LEFT = Qt.MouseButton.LeftButton
NONE, CONTROL = Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ControlModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier
PICTURE = np.zeros((200, 220), dtype=np.uint16)
PICTURE[40:80, 40:80] = 1000


class Hands:
    """On the mouse and the keyboard; positions are pixels of the picture."""

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._canvas = viewer.window._qt_viewer.canvas.native

    def at(self, y: float, x: float) -> QPoint:
        camera, size = self._viewer.scene.camera, self._canvas.size()
        dy, dx = np.subtract((y, x), camera.center[-2:]) * camera.zoom
        return QPoint(round(size.width() / 2 + dx), round(size.height() / 2 + dy))

    def click(self, y: float, x: float) -> None:
        QTest.mouseMove(self._canvas, self.at(y, x))
        QTest.mouseClick(self._canvas, LEFT, pos=self.at(y, x))
        QTest.qWait(20)

    def drag(self, *course: tuple[float, float]) -> None:
        QTest.mouseMove(self._canvas, self.at(*course[0]))
        QTest.mousePress(self._canvas, LEFT, pos=self.at(*course[0]))
        for here in course[1:]:
            QTest.mouseMove(self._canvas, self.at(*here))
            QTest.qWait(20)
        QTest.mouseRelease(self._canvas, LEFT, pos=self.at(*course[-1]))

    def key(self, which: Any, modifier: Any = NONE) -> None:
        self._canvas.setFocus()
        QTest.keyClick(self._canvas, which, modifier)


@pytest.fixture
def viewer(make_napari_viewer: Any) -> Any:
    viewer = make_napari_viewer(show=True, strict_qt=True)
    viewer.window._qt_window.resize(1200, 800)
    return viewer


@pytest.fixture
def dock(viewer: Any, model: Any) -> Any:
    _, widget = viewer.window.add_plugin_dock_widget("napari-hqsam", "Annotate")
    viewer.add_image(PICTURE, contrast_limits=(0, 1000))
    viewer.scene.camera.zoom = 2
    viewer.scene.camera.center = (0, 100, 110)
    yield widget
    widget.shut_down()


def test_an_object_and_strokes_by_hand_and_all_taken_back(
    viewer: Any, dock: Any, until: Callable[..., None]
) -> None:
    hands = Hands(viewer)
    hands.key(Qt.Key.Key_G)
    prompts = dock.annotator.prompts
    assert prompts.tool == "box"
    dock.annotator.use("polygon")
    for corner in ((36, 36), (36, 84), (84, 84), (84, 36)):
        hands.click(*corner)
    assert prompts.shapes._is_creating
    until(lambda: bool(dock.annotator.masks) and not dock.engine.busy)  # the preview follows
    hands.key(Qt.Key.Key_Return)  # ends the polygon, and commits nothing
    assert not prompts.shapes._is_creating
    assert dock.controls.labels.labels.value is None
    until(lambda: bool(dock.sessions.current.prompts))
    a = dock.annotator
    until(lambda: a._shown is a._request is not None and not dock.engine.busy)
    hands.key(Qt.Key.Key_Return)
    labels = dock.controls.labels.labels.value
    assert labels.data[60, 60] == 1
    states = [np.array(labels.data)]

    viewer.layers.selection.active = labels
    labels.selected_label, labels.brush_size = 5, 8
    labels.mode = "paint"
    hands.drag((120, 100), (120, 130), (121, 110), (120, 140))
    states.append(np.array(labels.data))
    labels.mode, labels.selected_label = "fill", 6
    hands.click(180, 200)
    states.append(np.array(labels.data))
    labels.mode = "erase"
    hands.drag((120, 100), (60, 60))
    states.append(np.array(labels.data))
    labels.mode, labels.selected_label = "polygon", 9
    for corner in ((150, 20), (150, 60), (190, 60)):
        hands.click(*corner)
    hands.key(Qt.Key.Key_Return)  # ends this polygon, too
    labels.mode = "pan_zoom"
    states.append(np.array(labels.data))
    assert len({state.tobytes() for state in states}) == 5
    assert (states[-1] == 9).any()

    for state in [*states[-2::-1], np.zeros_like(states[0])]:
        hands.key(Qt.Key.Key_Z, CONTROL)
        np.testing.assert_array_equal(labels.data, state)
    for state in states:
        hands.key(Qt.Key.Key_Z, CONTROL | SHIFT)
        np.testing.assert_array_equal(labels.data, state)
