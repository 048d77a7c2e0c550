"""Take the pictures of these pages from the running program: ``tox -e docs-pictures``.

The mouse is moved as a hand would; nothing is drawn into the pictures afterwards.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

FOLDER = Path(__file__).parent / "images"


def wait(condition: Callable[[], bool] = lambda: False, seconds: float = 0.3) -> bool:
    """Let the window live until `condition` holds, or for `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        if condition():
            return True
        time.sleep(0.01)
    return condition()


class Hand:
    """A mouse on the canvas, in world coordinates (y, x)."""

    def __init__(self, viewer: Any) -> None:
        self.viewer = viewer
        self.canvas = viewer.window._qt_viewer.canvas.native

    def _at(self, y: float, x: float) -> QPoint:
        camera, size = self.viewer.scene.camera, self.canvas.size()
        dy, dx = np.subtract((y, x), camera.center[-2:]) * camera.zoom
        return QPoint(round(size.width() / 2 + dx), round(size.height() / 2 + dy))

    def click(self, y: float, x: float) -> None:
        QTest.mouseMove(self.canvas, self._at(y, x))
        wait(seconds=0.05)
        QTest.mouseClick(self.canvas, Qt.LeftButton, pos=self._at(y, x))
        wait(seconds=0.05)

    def drag(self, y0: float, x0: float, y1: float, x1: float) -> None:
        start, end = self._at(y0, x0), self._at(y1, x1)
        QTest.mouseMove(self.canvas, start)
        wait(seconds=0.05)
        QTest.mousePress(self.canvas, Qt.LeftButton, pos=start)
        for t in np.linspace(0.1, 1, 10):
            between = QPoint(
                round(start.x() + t * (end.x() - start.x())),
                round(start.y() + t * (end.y() - start.y())),
            )
            QTest.mouseMove(self.canvas, between)
            wait(seconds=0.02)
        QTest.mouseRelease(self.canvas, Qt.LeftButton, pos=end)
        wait(seconds=0.05)


class Session:
    """A viewer with one of the samples and the dock."""

    def __init__(self, sample: str, copies: int = 1) -> None:
        # Nothing of the person at the keyboard plays a part, nor is anything left there.
        os.environ["XDG_DATA_HOME"] = os.environ["NAPARI_HQSAM_DATA"] = tempfile.mkdtemp()
        self.viewer = napari.Viewer()
        self.viewer.window._qt_window.resize(1400, 900)
        (layer,) = self.viewer.open_sample("napari-hqsam", sample)
        if copies > 1:  # a mosaic, as a large image
            layer.data = np.tile(layer.data, (copies, copies, 1))
        _, self.dock = self.viewer.window.add_plugin_dock_widget("napari-hqsam", "Annotate")
        self.hand = Hand(self.viewer)
        wait(seconds=1)
        self.viewer.reset_view()

    def look_at(self, y: float, x: float, zoom: float) -> None:
        self.viewer.scene.camera.center = (0, y, x)
        self.viewer.scene.camera.zoom = zoom
        wait()

    def masks(self, count: int = 1) -> None:
        """Wait for the preview."""
        ready = wait(
            lambda: len(self.dock.annotator.masks) == count and not self.dock.engine.busy, 120
        )
        assert ready, self.dock.controls.status.message.value
        wait()

    def picture(self, name: str) -> None:
        self.viewer.screenshot(str(FOLDER / f"{name}.png"), canvas_only=False, flash=False)
        print(FOLDER / f"{name}.png")

    def close(self) -> None:
        self.dock.shut_down()
        self.viewer.close()


def first_object() -> None:
    """Boxes around nuclei: preview, correction, commit."""
    session = Session("ihc")
    session.look_at(*NUCLEI_VIEW)
    session.picture("dock")
    session.dock.controls.prompts.buttons["box"].click()
    session.hand.drag(*NUCLEI[0])
    session.masks()
    session.picture("box-and-preview")
    session.dock.annotator.commit()
    for box in NUCLEI[1:]:
        session.hand.drag(*box)
    session.masks(len(NUCLEI) - 1)
    session.picture("several-boxes")
    session.dock.annotator.commit()
    wait()
    session.picture("committed")
    session.close()


def clicks() -> None:
    """A positive click on the cell, then a negative one on what is too much."""
    session = Session("cell")
    session.dock.controls.prompts.buttons["positive"].click()
    session.hand.click(375, 430)
    session.masks()
    session.dock.controls.prompts.buttons["negative"].click()
    session.hand.click(300, 345)
    session.masks()
    session.picture("clicks")
    session.close()


def large() -> None:
    """A mosaic of 6144 x 6144 pixels: what is encoded ahead, and labels on disk."""
    session = Session("ihc", copies=12)
    y, x, zoom = NUCLEI_VIEW
    session.look_at(y + 2048, x + 2048, 1.5)
    controls = session.dock.controls
    assert wait(lambda: "of" in controls.image.ahead_status.value, 60)
    ready = wait(lambda: int(controls.image.ahead_status.value.split()[0]) >= 6, 120)
    assert ready, controls.image.ahead_status.value
    session.picture("encoding-ahead")
    assert wait(lambda: controls.image.ahead_status.value.startswith("All"), 120)
    session.look_at(y + 2048, x + 2048, zoom)
    controls.prompts.buttons["box"].click()
    for box in NUCLEI:
        session.hand.drag(*(v + 2048 for v in box))
    session.masks(len(NUCLEI))
    session.dock.annotator.commit()
    wait(seconds=2)
    session.picture("labels-on-disk")
    session.close()


# Where to look in the stained tissue: y, x, zoom; and boxes around nuclei there.
NUCLEI_VIEW = (277, 297, 7.0)
NUCLEI = [
    (247, 291, 256, 304),
    (266, 325, 276, 340),
    (283, 311, 298, 321),
    (288, 279, 299, 292),
    (266, 264, 275, 276),
]


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    first_object()
    clicks()
    large()
