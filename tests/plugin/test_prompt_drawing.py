"""Prompts drawn with the mouse in the real window: what is told while it moves, and after."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_hqsam.plugin.prompt_layers import PromptLayers
from napari_hqsam.session.prompt import PromptItem

pytestmark = pytest.mark.gui

BUTTON = Qt.MouseButton.LeftButton


class Mouse:
    """The mouse over the canvas; positions are pixels of the image."""

    def __init__(self, viewer: Any, wait: Callable[[int], None]) -> None:
        self.viewer, self.wait = viewer, wait
        self.native = viewer.window._qt_viewer.canvas.native

    def move(self, y: float, x: float) -> QPoint:
        size, camera = np.array(self.viewer.canvas.size), self.viewer.scene.camera
        at = (np.array([y, x]) - np.array(camera.center)[-2:]) * camera.zoom + size / 2
        point = QPoint(round(float(at[1])), round(float(at[0])))
        QTest.mouseMove(self.native, point)
        self.wait(15)
        return point

    def press(self, y: float, x: float) -> None:
        QTest.mousePress(self.native, BUTTON, pos=self.move(y, x))
        self.wait(5)

    def release(self, y: float, x: float) -> None:
        QTest.mouseRelease(self.native, BUTTON, pos=self.move(y, x))
        self.wait(5)

    def drag(self, *corners: tuple[float, float], steps: int = 8) -> None:
        self.press(*corners[0])
        for a, b in pairwise(corners):
            for t in np.linspace(0, 1, steps + 1)[1:]:
                self.move(*(np.array(a) * (1 - t) + np.array(b) * t))
        self.release(*corners[-1])

    def click(self, y: float, x: float) -> None:
        QTest.mouseClick(self.native, BUTTON, pos=self.move(y, x))
        self.wait(5)


@pytest.fixture
def viewer(make_napari_viewer: Any) -> Any:
    viewer = make_napari_viewer(show=True)
    viewer.add_image(np.zeros((200, 300), np.uint8))
    return viewer


@pytest.fixture
def prompts(viewer: Any) -> PromptLayers:
    prompts = PromptLayers(viewer, viewer.layers[0])
    prompts.fit(viewer.scene.camera.zoom)
    return prompts


@pytest.fixture
def mouse(viewer: Any, qtbot: Any) -> Mouse:
    return Mouse(viewer, qtbot.wait)


class Heard:
    def __init__(self, prompts: PromptLayers) -> None:
        self.changed: list[tuple[PromptItem, ...]] = []
        self.dragging: list[tuple[PromptItem, ...]] = []
        self.times: list[float] = []
        prompts.changed.connect(lambda: self.changed.append(prompts.items()))
        prompts.dragging.connect(self._on_dragging)

    def _on_dragging(self, items: tuple[PromptItem, ...]) -> None:
        self.dragging.append(items)
        self.times.append(time.monotonic())


@pytest.fixture
def heard(prompts: PromptLayers) -> Heard:
    return Heard(prompts)


def near(item: PromptItem, *vertices: tuple[float, float], within: float = 1.5) -> bool:
    return bool(np.allclose(item.vertices, vertices, atol=within))


def test_a_box_is_followed_while_it_is_drawn_and_told_once_it_is(
    prompts: PromptLayers, mouse: Mouse, heard: Heard
) -> None:
    prompts.use("box")
    mouse.drag((20, 30), (60, 90), steps=30)
    assert len(heard.changed) == 1
    (box,) = heard.changed[0]
    assert box.kind == "box"
    assert near(box, (20, 30), (60, 90))
    sizes = [items[0].vertices[1][0] for items in heard.dragging]
    assert 3 < len(sizes) <= 30
    assert sizes == sorted(sizes)
    assert np.diff(heard.times).min() > 0.04
    mouse.drag((100, 30), (140, 90))
    assert len(heard.changed) == 2
    assert heard.dragging[-1][0] == box  # beside the one that is drawn


def test_a_click_with_the_box_leaves_nothing(
    prompts: PromptLayers, mouse: Mouse, heard: Heard
) -> None:
    for tool in ("box", "ellipse"):
        prompts.use(tool)  # type: ignore[arg-type]
        mouse.click(50, 50)
    assert prompts.items() == ()
    assert len(prompts.shapes.data) == len(prompts.shapes.features) == 0
    assert heard.changed == []


def test_outlines_and_strokes_are_drawn_with_the_mouse(
    prompts: PromptLayers, mouse: Mouse, heard: Heard
) -> None:
    prompts.use("ellipse")
    mouse.drag((80, 30), (120, 90))
    prompts.use("lasso")
    mouse.drag((130, 30), (130, 80), (170, 80), (170, 30), (140, 30), steps=6)
    prompts.use("scribble")
    mouse.drag((90, 150), (90, 250))
    prompts.use("negative scribble")
    mouse.drag((120, 150), (120, 250))
    ellipse, lasso, stroke, against = prompts.items()
    assert [len(items) for items in heard.changed] == [1, 2, 3, 4]
    assert near(ellipse, (80, 30), (120, 90))
    assert lasso.kind == "lasso"
    assert (stroke.kind, stroke.positive) == ("scribble", True)
    assert (against.kind, against.positive) == ("scribble", False)
    assert all(abs(y - 90) < 1 for y, _ in stroke.vertices)
    kinds = {items[-1].kind for items in heard.dragging}
    assert {"ellipse", "lasso", "scribble"} <= kinds


def test_a_polygon_is_drawn_click_by_click_and_followed_in_between(
    prompts: PromptLayers, mouse: Mouse, heard: Heard
) -> None:
    prompts.use("polygon")
    for corner in ((20, 150), (20, 200), (60, 200)):
        mouse.click(*corner)
    mouse.move(60, 160)
    mouse.wait(120)
    assert heard.changed == []
    assert heard.dragging[-1][0].kind == "polygon"
    QTest.keyClick(mouse.native, Qt.Key.Key_Escape)
    mouse.wait(20)
    (polygon,) = prompts.items()
    assert heard.changed == [(polygon,)]
    assert near(polygon, (20, 150), (20, 200), (60, 200))


def test_a_polygon_that_is_given_up_takes_its_preview_along(
    prompts: PromptLayers, mouse: Mouse, heard: Heard
) -> None:
    prompts.use("polygon")
    mouse.click(20, 150)
    mouse.click(20, 200)
    mouse.move(60, 200)
    mouse.wait(120)
    assert heard.dragging
    QTest.keyClick(mouse.native, Qt.Key.Key_Escape)
    mouse.wait(20)
    assert heard.changed == [()]


def test_what_is_moved_is_followed_and_told_once(
    prompts: PromptLayers, mouse: Mouse, heard: Heard, viewer: Any
) -> None:
    prompts.use("box")
    mouse.drag((20, 30), (60, 90))
    prompts.use("negative")
    mouse.click(150, 150)
    box, _ = prompts.items()
    heard.changed.clear()
    heard.dragging.clear()
    viewer.layers.selection.active = prompts.shapes
    prompts.shapes.mode = "select"
    mouse.click(40, 60)
    assert heard.changed == []
    mouse.drag((40, 60), (50, 80))
    assert len(heard.changed) == 1
    moved = heard.changed[0][0]
    assert near(moved, *np.add(box.vertices, (10, 20)))
    assert heard.dragging
    viewer.layers.selection.active = prompts.points
    prompts.points.mode = "select"
    mouse.drag((150, 150), (155, 165))
    assert len(heard.changed) == 2
    assert heard.changed[1][0] == moved
    assert near(heard.changed[1][1], (155, 165))
    assert not heard.changed[1][1].positive
    QTest.keyClick(mouse.native, Qt.Key.Key_Delete)
    mouse.wait(20)
    assert heard.changed[2:] == [(moved,)]


def test_other_prompts_shown_while_one_is_drawn(
    prompts: PromptLayers, mouse: Mouse, heard: Heard
) -> None:
    """As undo does when its key is pressed with the mouse button down."""
    prompts.use("box")
    mouse.drag((20, 30), (60, 90))
    before = prompts.items()
    mouse.press(100, 30)
    mouse.move(120, 50)
    prompts.show(before)
    mouse.move(140, 90)
    mouse.release(140, 90)
    assert prompts.items() == before
    mouse.drag((100, 130), (140, 190))
    assert len(prompts.items()) == 2
    assert len(prompts.shapes.features) == 2
