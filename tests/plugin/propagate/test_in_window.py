"""Both docks in napari's window."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from napari.utils.key_bindings import KeymapHandler
from qtpy.QtCore import QPoint
from qtpy.QtWidgets import QAbstractButton, QComboBox, QLabel, QScrollArea

from napari_hqsam.plugin.annotate import AnnotateWidget
from napari_hqsam.session.record import NewObject

from .conftest import FIRST, STACK, mask

pytestmark = pytest.mark.gui


def open_dock(viewer: Any) -> tuple[Any, Any]:
    place, dock = viewer.window.add_plugin_dock_widget("napari-hqsam", "Propagate")
    return place, dock


def commit(dock: Any, z: int = 3) -> Any:
    """Commit an object; its layer."""
    annotate = dock.annotating.open()
    session = annotate.annotator.destination.session(dock.annotating.image)
    session.commit([NewObject((mask(FIRST, z),))])
    return annotate.controls.labels.labels.value


def test_annotate_is_opened_beside_it(viewer: Any, control: Any, until: Any) -> None:
    _, dock = open_dock(viewer)
    annotate = dock.annotating.dock
    assert isinstance(annotate, AnnotateWidget)
    # as the menu calls it: there it is hidden and shown, and not opened again
    assert "Annotate (HQ-SAM)" in viewer.window.dock_widgets
    until(lambda: dock.parent() in viewer.window._qt_window.tabifiedDockWidgets(annotate.parent()))
    viewer.add_image(STACK, name="cells", contrast_limits=(0, 1000))
    labels = commit(dock)
    dock.propagate()
    until(lambda: not dock.busy)
    assert labels.data[:, 20, 20].tolist() == [0, 1, 1, 1, 1, 1, 1, 0]
    viewer.layers.selection.active = labels
    handler = KeymapHandler()
    handler.keymap_providers = [labels, viewer]
    handler.press_key("Control-Z")
    assert labels.data[:, 20, 20].tolist() == [0, 0, 0, 1, 0, 0, 0, 0]
    viewer.dims.ndisplay = 3
    dock.propagate()
    until(lambda: not dock.busy)
    assert labels.data[:, 20, 20].tolist() == [0, 1, 1, 1, 1, 1, 1, 0]
    assert labels.visible
    dock.shut_down()
    annotate.shut_down()


def test_annotate_that_is_there_is_used(viewer: Any, dock: Any, control: Any) -> None:
    _, propagate = open_dock(viewer)
    assert propagate.annotating.dock is dock
    propagate.shut_down()


def test_annotate_that_was_closed_is_opened_again(viewer: Any, control: Any, until: Any) -> None:
    _, dock = open_dock(viewer)
    first = dock.annotating.dock
    viewer.add_image(STACK, name="cells", contrast_limits=(0, 1000))
    viewer.window.remove_dock_widget(first.parent())
    assert dock.annotating.dock is None
    data = np.zeros(STACK.shape, np.uint8)
    data[3, 10:30, 10:30] = 1
    labels = viewer.add_labels(data)
    dock.propagate()
    until(lambda: not dock.busy)
    assert dock.annotating.dock is not first
    assert labels.data[:, 20, 20].tolist() == [0, 1, 1, 1, 1, 1, 1, 0]
    second = dock.annotating.dock
    dock.shut_down()
    second.shut_down()


@pytest.mark.parametrize("how", ["dock", "viewer"])
def test_closing_while_it_works_ends_the_threads(
    how: str, make_napari_viewer: Callable[..., Any], control: Any, until: Any, qtbot: Any
) -> None:
    before = set(threading.enumerate())
    viewer = make_napari_viewer()
    place, dock = open_dock(viewer)
    annotate = dock.annotating.dock
    viewer.add_image(STACK, name="cells", contrast_limits=(0, 1000))
    labels = commit(dock)
    control.go.clear()
    dock.propagate()
    until(lambda: labels.data[4, 20, 20] == 1)
    threading.Timer(0.3, control.go.set).start()
    if how == "dock":
        viewer.window.remove_dock_widget(place)
    else:
        viewer.close()
    del place
    until(lambda: dock.running.closed and control.closed.is_set())
    until(lambda: not {t for t in set(threading.enumerate()) - before if "_run" in t.name})
    assert labels.data[:, 20, 20].tolist() == [0, 0, 0, 1, 1, 0, 0, 0]
    if how == "dock":  # what is left of it keeps still
        viewer.dims.set_current_step(0, 5)
        viewer.layers.remove(labels)
        qtbot.wait(200)
        annotate.shut_down()


def test_nothing_is_cut_off_on_a_small_screen(viewer: Any, control: Any, qtbot: Any) -> None:
    viewer.window._qt_window.resize(1280, 720)
    viewer.window.show()
    _, dock = open_dock(viewer)
    viewer.add_image(STACK, name="an image with a rather long name.ome.tif")
    c = dock.controls
    c.range.value = "range"
    c.smooth.value = True
    c.show_busy(True)
    c.say("z = 1234 · 12,345 of 67,890 steps · 12.5 h left, and a line that goes on and on")
    qtbot.waitUntil(lambda: c.stop.native.isVisible() and dock.height() > 300)
    qtbot.wait(50)
    (area,) = dock.findChildren(QScrollArea)
    assert area.widget().width() <= area.viewport().width()
    assert dock.width() < 0.4 * 1280
    for each in dock.findChildren((QLabel, QAbstractButton, QComboBox)):
        if not each.isVisible():
            continue
        right = each.mapTo(dock, QPoint(each.width(), 0)).x()
        assert right <= dock.width(), each
        if isinstance(each, QLabel) and not each.wordWrap():
            text = each.fontMetrics().horizontalAdvance(each.text())
            assert text <= each.width(), each.text()
    for control_ in (c.propagate, c.stop, c.again, c.worst, c.message):
        assert control_.native.visibleRegion().boundingRect().height() > 10
    annotate = dock.annotating.dock
    dock.shut_down()
    annotate.shut_down()


def test_the_dock_opens_before_the_library_is_loaded() -> None:
    program = """
import sys, time
from napari.components import ViewerModel
from qtpy.QtWidgets import QApplication
app = QApplication([])
from napari_hqsam.plugin.propagate import PropagateWidget
dock = PropagateWidget(ViewerModel())
assert "torch" not in sys.modules
dock.look()
assert "torch" not in sys.modules
print("opened")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "opened\n", done.stderr


def test_every_control_explains_itself(viewer: Any, control: Any) -> None:
    _, dock = open_dock(viewer)
    c = dock.controls
    controls = [c.axis, c.direction, c.range, c.first, c.last, c.objects, c.voxel.step]
    controls += [c.voxel.pixel, c.min_score, c.overlap, c.smooth, c.sigma]
    controls += [c.propagate, c.stop, c.again, c.worst]
    for each in controls:
        assert each.tooltip.endswith("."), each
    annotate = dock.annotating.dock
    dock.shut_down()
    annotate.shut_down()
