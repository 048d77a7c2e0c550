"""The dock in napari's window."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint
from qtpy.QtWidgets import QAbstractButton, QComboBox, QLabel, QScrollArea

from .conftest import PICTURE

pytestmark = pytest.mark.gui


def open_dock(viewer: Any) -> tuple[Any, Any]:
    place, dock = viewer.window.add_plugin_dock_widget("napari-hqsam", "Segment all")
    return place, dock


@pytest.mark.parametrize("method", ["refine", "automatic", "drawn"])
def test_nothing_is_cut_off_on_a_small_screen(
    viewer: Any, control: Any, method: str, until: Any, qtbot: Any
) -> None:
    viewer.window._qt_window.resize(1280, 720)
    viewer.window.show()
    stack = np.stack([PICTURE] * 2)[None].repeat(2, 0)
    viewer.add_image(stack, name="an image with a rather long name.ome.tif", scale=(1, 1, 0.5, 0.5))
    _, dock = open_dock(viewer)
    c = dock.controls
    c.method.method.value = method
    c.extent.where.value = "shape"
    c.show_place(dock._offered or "/a/very/long/path/to/labels/of/an/image.zarr")
    c.show_busy(True, "12,345 of 67,890 windows · 12.5 h left · 1234.56 GB written")
    c.say_preview("a line that is long enough to go on in the next line of the dock, and more")
    qtbot.wait(100)
    (area,) = dock.findChildren(QScrollArea)
    assert area.widget().width() <= area.viewport().width()
    assert dock.width() < 0.4 * 1280
    assert dock.visibleRegion().boundingRect().height() == dock.height()  # within the window
    for each in dock.findChildren((QLabel, QAbstractButton, QComboBox)):
        if not each.isVisible():
            continue
        right = each.mapTo(dock, QPoint(each.width(), 0)).x()
        assert right <= dock.width(), each
        if isinstance(each, QLabel) and not each.wordWrap():
            text = each.fontMetrics().horizontalAdvance(each.text())
            assert text <= each.width(), each.text()
    for control_ in (c.run, c.cancel, c.preview, c.message):  # in sight however little room
        assert control_.native.visibleRegion().boundingRect().height() > 10


def test_both_docks_beside_each_other(
    viewer: Any, dock: Any, control: Any, model: Any, until: Any
) -> None:
    _, everything = open_dock(viewer)
    viewer.add_image(PICTURE, name="cells", contrast_limits=(0, 1000))
    viewer.reset_view()
    everything.controls.preview.value = True
    until(lambda: everything.preview.contours.alive)
    preview = everything.preview.contours.layer
    assert preview not in everything.controls.method.labels.choices
    everything.run()
    until(lambda: not everything.running.busy)
    assert viewer.layers["cells objects"].features.shape[0] == 2
    everything.shut_down()


@pytest.mark.parametrize("how", ["dock", "viewer"])
@pytest.mark.parametrize("what", ["run", "preview"])
def test_closing_while_it_works_ends_the_threads(
    how: str, what: str, make_napari_viewer: Any, control: Any, until: Any, qtbot: Any
) -> None:
    before = set(threading.enumerate())
    viewer = make_napari_viewer()
    viewer.add_image(PICTURE, name="cells", contrast_limits=(0, 1000))
    place, dock = open_dock(viewer)
    viewer.reset_view()
    control.go.clear()
    if what == "run":
        dock.run()
        until(lambda: "1 of 4" in dock.controls.message.value)
    else:
        dock.controls.preview.value = True
        until(lambda: len(control.previews) == 1)
    threading.Timer(0.3, control.go.set).start()
    if how == "dock":
        viewer.window.remove_dock_widget(place)
    else:
        viewer.close()
    del place
    until(lambda: dock.running.closed)
    until(lambda: not {t for t in set(threading.enumerate()) - before if "_run" in t.name})
    if how == "dock":  # what is left of it keeps still
        viewer.add_labels(np.zeros((200, 220), np.uint8))
        viewer.scene.camera.zoom = 3
        qtbot.wait(300)
        assert [layer.name for layer in viewer.layers] == ["cells", "Labels"]
