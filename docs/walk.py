"""A walk through the dock, from a picture to exported objects: ``tox -e docs-pictures``.

Real mouse and key events in the real window; the pictures are those of `annotating.md`. What was
written is looked at in the end.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from make_pictures import NUCLEI, NUCLEI_VIEW, Session, wait
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QFileDialog


class Walk(Session):
    """Somebody at the window."""

    def key(self, key: Any, modifier: Any = Qt.NoModifier) -> None:
        QTest.keyClick(self.hand.canvas, key, modifier)
        wait()

    def press(self, button: Any) -> None:
        QTest.mouseClick(button, Qt.LeftButton, pos=QPoint(button.width() // 2, 8))
        wait()

    def drag_slowly(self, box: Any, midway: Callable[[], None]) -> None:
        """Draw a box; `midway` is called with the mouse button down."""
        canvas, start, end = self.hand.canvas, self.hand._at(*box[:2]), self.hand._at(*box[2:])
        QTest.mouseMove(canvas, start)
        wait(seconds=0.1)
        QTest.mousePress(canvas, Qt.LeftButton, pos=start)
        for t in np.linspace(0.05, 1, 20):
            x = round(start.x() + t * (end.x() - start.x()))
            y = round(start.y() + t * (end.y() - start.y()))
            QTest.mouseMove(canvas, QPoint(x, y))
            wait(seconds=0.05)
        assert wait(lambda: bool(self.dock.annotator.masks), 60), (
            "no preview while the box is drawn"
        )
        wait()
        midway()
        QTest.mouseRelease(canvas, Qt.LeftButton, pos=end)
        wait(seconds=0.1)


def walk() -> None:
    user = Walk("ihc")
    dock, tools = user.dock, user.dock.controls.prompts.buttons
    user.look_at(*NUCLEI_VIEW)
    user.press(tools["box"])
    user.drag_slowly(NUCLEI[0], lambda: user.picture("walk-1-box"))
    user.masks()
    _, x0, y1, _ = NUCLEI[0]
    user.key(Qt.Key_W)
    user.key(Qt.Key_Q)
    user.hand.click(y1 - 1, x0 + 1)
    user.masks()
    user.picture("walk-2-clicks")
    user.key(Qt.Key_Return)
    assert list(dock.sessions.current.objects) == [1]

    user.key(Qt.Key_G)
    for box in NUCLEI[1:]:
        user.hand.drag(*box)
    user.masks(len(NUCLEI) - 1)
    user.key(Qt.Key_Return)
    user.key(Qt.Key_Z, Qt.ControlModifier)
    assert list(dock.sessions.current.objects) == [1]
    user.key(Qt.Key_Z, Qt.ControlModifier | Qt.ShiftModifier)
    assert len(dock.sessions.current.objects) == len(NUCLEI)
    user.picture("walk-3-committed")

    dock.tabs.setCurrentIndex(1)
    user.key(Qt.Key_K)
    user.key(Qt.Key_J)
    user.picture("walk-4-proofreading")
    assert [o.status for o in dock.sessions.current.objects.values()].count("accepted") == 1

    dock.tabs.setCurrentIndex(3)
    folder = Path(tempfile.mkdtemp())
    tab = dock.exporting.tab
    for title, name in (("GeoJSON", "objects.geojson"), ("Measurements", "objects.csv")):
        row = next(i for i in range(tab.format.count()) if tab.format.itemText(i).startswith(title))
        tab.format.setCurrentIndex(row)
        QFileDialog.getSaveFileName = staticmethod(  # the system's dialog cannot be driven
            lambda *_args, to=str(folder / name), **_more: (to, "")
        )
        user.press(tab.export_button)
        assert wait(lambda: tab.status.text().startswith("Written"), 60), tab.status.text()
    user.picture("walk-5-export")
    features = json.loads((folder / "objects.geojson").read_text())["features"]
    assert len(features) == len(NUCLEI)
    print((folder / "objects.csv").read_text())
    user.close()


if __name__ == "__main__":
    walk()
