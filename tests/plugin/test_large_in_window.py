"""Large labels with the whole dock in the real window: mouse, keys, closing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_hqsam.labels.store import LabelStore

pytestmark = pytest.mark.gui

PICTURE = np.zeros((1500, 2000), dtype=np.uint8)
PICTURE[720:780, 1020:1080] = 200


@pytest.fixture
def viewer(make_napari_viewer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("napari_hqsam.plugin.label_folder.LARGEST_PLANE", 1000**2)
    monkeypatch.setattr("napari_hqsam.plugin.label_folder.labels_folder", lambda: tmp_path / "l")
    viewer = make_napari_viewer(show=True)
    viewer.window._qt_window.resize(1200, 800)
    return viewer


@pytest.fixture
def dock(viewer: Any, model: Any) -> Any:
    _, widget = viewer.window.add_plugin_dock_widget("napari-hqsam", "Annotate")
    widget.controls.image.ahead.value = False
    viewer.add_image(PICTURE, name="cells", contrast_limits=(0, 200))
    viewer.scene.camera.zoom = 3
    viewer.scene.camera.center = (0, 750, 1050)
    yield widget
    widget.shut_down()


@pytest.fixture
def committed(dock: Any, until: Callable[..., None]) -> Path:
    """The store with one object, the bright square."""
    dock.annotator.use("box")
    box = [[716, 1016], [716, 1084], [784, 1084], [784, 1016]]
    dock.annotator.prompts.boxes.add_rectangles(np.array(box, dtype=float))
    until(lambda: bool(dock.annotator.masks) and not dock.engine.busy)
    dock.annotator.commit()
    return dock.layers.large(dock.controls.labels.labels.value).store.path


def on_disk(path: Path) -> np.ndarray:
    return LabelStore.open(path).read((), 0, 0, *PICTURE.shape)


def drag(viewer: Any, y0: float, x0: float, y1: float, x1: float) -> None:
    canvas = viewer.window._qt_viewer.canvas.native
    camera, size = viewer.scene.camera, canvas.size()

    def at(share: float) -> QPoint:
        y, x = y0 + share * (y1 - y0), x0 + share * (x1 - x0)
        dy, dx = np.subtract((y, x), camera.center[-2:]) * camera.zoom
        return QPoint(round(size.width() / 2 + dx), round(size.height() / 2 + dy))

    QTest.mouseMove(canvas, at(0))
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=at(0))
    for share in (0.25, 0.5, 0.75, 1):
        QTest.mouseMove(canvas, at(share))
        QTest.qWait(20)
    QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=at(1))


def test_commit_paint_and_undo(
    viewer: Any, dock: Any, committed: Path, until: Callable[..., None]
) -> None:
    first = on_disk(committed)
    assert first[750, 1050] == 1
    assert np.count_nonzero(first) == pytest.approx(3600, rel=0.1)
    names = [each.name for each in viewer.layers]
    assert "cells objects" in names
    # The part that is painted on is not offered as labels of its own.
    assert [each.name for each in dock.controls.labels.labels.choices if each] == ["cells objects"]
    assert committed.name in dock.controls.labels.kept.value
    assert dock.controls.labels.next_label.value == 2

    window = viewer.layers["cells objects (edit)"]
    viewer.layers.selection.active = window
    window.mode, window.brush_size, window.selected_label = "paint", 10, 5
    drag(viewer, 810, 1000, 810, 1090)
    until(lambda: (on_disk(committed) == 5).sum() > 500)
    assert dock.sessions.current.can_undo == "painting of object 5"
    viewer.scene.camera.center = (0, 300, 400)
    until(lambda: dock.layers._large[0].window.box[0] < 300)
    assert not window.data.any()
    assert (on_disk(committed) == 5).sum() > 500
    # Ctrl-Z takes back a stroke that is no longer in view, then the commit.
    undo = next(f for key, f in window.keymap.items() if str(key) in ("Ctrl+Z", "Meta+Z", "Cmd+Z"))
    undo(window)
    np.testing.assert_array_equal(on_disk(committed), first)
    dock.controls.labels.undo_button.changed.emit(True)
    assert not on_disk(committed).any()
    assert len(dock.annotator.prompts.boxes.data) == 1  # the box that it was made with
    dock.controls.labels.undo_button.changed.emit(True)
    assert not len(dock.annotator.prompts.boxes.data)
    assert not dock.controls.labels.undo_button.enabled


def test_closing_the_dock_writes_what_was_painted(viewer: Any, dock: Any, committed: Path) -> None:
    window = viewer.layers["cells objects (edit)"]
    window.data[0, 0] = 6
    viewer.window.remove_dock_widget(dock.parent())
    assert (on_disk(committed) == 6).sum() == 1
    assert "cells objects" in viewer.layers
    assert window not in viewer.layers


def test_closing_the_viewer_writes_what_was_painted(
    viewer: Any, dock: Any, committed: Path
) -> None:
    viewer.layers["cells objects (edit)"].data[0, 0] = 6
    viewer.close()
    assert (on_disk(committed) == 6).sum() == 1


def test_a_disk_that_fails_is_told_and_the_prompts_are_kept(
    viewer: Any,
    dock: Any,
    committed: Path,
    until: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    warned: list[str],
) -> None:
    large = dock.layers._large[0]
    dock.undo()  # the commit
    dock.undo()  # its box

    def full(*_: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(large.store, "write", full)
    dock.annotator.use("box")
    box = [[700, 1000], [700, 1084], [784, 1084], [784, 1000]]
    dock.annotator.prompts.boxes.add_rectangles(np.array(box, dtype=float))
    until(lambda: bool(dock.annotator.masks) and not dock.engine.busy)
    with large.window.layer.block_history():
        large.window.layer.paint((5, 5), 9)
    assert "no space left" in warned[-1]
    assert "NOT SAVED" in large.window.layer.name
    dock.annotator.commit()
    assert "cannot be written" in warned[-1]
    assert not on_disk(committed).any()
    assert len(dock.annotator.prompts.boxes.data) == 1
    assert dock.annotator.masks
