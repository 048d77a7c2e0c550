"""The dock with a viewer without a window, and what is told to the user."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels
from napari.utils.key_bindings import KeymapHandler

from napari_hqsam.plugin.annotate import AnnotateWidget

# Two bright squares on black, (y, x) from 40 to 79 and from 120 to 149.
PICTURE = np.zeros((200, 220), dtype=np.uint16)
PICTURE[40:80, 40:80] = 1000
PICTURE[120:150, 120:150] = 1000


class Desk:
    """A user at the dock.

    Attributes
    ----------
    viewer : napari.components.ViewerModel
    dock : AnnotateWidget
    told : list of str
        The warnings.
    """

    def __init__(self, viewer: Any, dock: AnnotateWidget, told: list[str], until: Any) -> None:
        self.viewer, self.dock, self.told, self.until = viewer, dock, told, until
        self.annotator = dock.annotator

    @property
    def labels(self) -> Labels:
        """The layer chosen."""
        chosen = self.dock.controls.labels.labels.value
        assert chosen is not None
        return chosen

    @property
    def session(self) -> Any:
        session = self.dock.sessions.current
        assert session is not None
        return session

    @property
    def status(self) -> str:
        return str(self.dock.controls.status.message.value)

    @property
    def boxes(self) -> int:
        """How many shapes are drawn."""
        prompts = self.annotator.prompts
        return 0 if prompts is None else len(prompts.shapes.data)

    def open(self, data: np.ndarray = PICTURE, **options: Any) -> Image:
        layer = self.viewer.add_image(data, contrast_limits=(0, 1000), **options)
        self.dock.reset_choices()
        self.dock.controls.image.image.value = layer
        return layer

    def add_labels(self, data: Any, **options: Any) -> Labels:
        """Add a Labels layer, and choose it."""
        layer = self.viewer.add_labels(data, **options)
        self.dock.reset_choices()
        self.dock.controls.labels.labels.value = layer
        return layer

    def draw(self, y0: float, x0: float, y1: float, x1: float, *leading: float) -> None:
        """Draw a box."""
        self.annotator.use("box")
        box = np.array([[y0, x0], [y0, x1], [y1, x1], [y1, x0]], dtype=float)
        box = np.hstack([np.tile(leading, (4, 1)), box]) if leading else box
        self.annotator.prompts.shapes.add_rectangles(box)  # type: ignore[union-attr]

    def click(self, *at: float, tool: Any = "positive") -> None:
        self.annotator.use(tool)
        self.annotator.prompts.points.add([at])  # type: ignore[union-attr]

    def wait(self) -> None:
        """Until all is answered."""
        a = self.annotator
        self.until(lambda: bool(a.masks) and a._shown is a._request and not self.dock.engine.busy)

    def commit(self, *box: float) -> None:
        """Commit what is drawn, or a box."""
        if box:
            self.draw(*box)
        self.wait()
        self.annotator.commit()

    def listed(self) -> None:
        """Until the objects that were there are known."""
        self.until(lambda: self.dock.objects.is_listed(self.session))

    def press(self, key: str, layer: Any = None) -> None:
        """Press a key where napari looks for it: on a layer, then in the viewer."""
        active = self.viewer.layers.selection.active if layer is None else layer
        handler = KeymapHandler()
        handler.keymap_providers = [*([active] if active is not None else []), self.viewer]
        handler.press_key(key)
        handler.release_key(key)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where journals and labels are kept."""
    data = tmp_path / "data"
    monkeypatch.setenv("NAPARI_HQSAM_DATA", str(data))
    monkeypatch.setattr("napari_hqsam.plugin.label_folder.labels_folder", lambda: data / "labels")
    return data


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The warnings that are shown."""
    lines: list[str] = []
    for place in ("annotate.widget", "annotate.export_tab", "objects.widget", "next_image.widget"):
        monkeypatch.setattr(f"napari_hqsam.plugin.{place}.show_warning", lines.append)
    return lines


@pytest.fixture
def sit_down(qtbot: Any, model: Any, until: Any, told: list[str]) -> Iterator[Callable[[], Desk]]:
    """Open the dock, in a viewer of its own each time."""
    desks: list[Desk] = []

    def make() -> Desk:
        viewer: Any = ViewerModel()
        dock = AnnotateWidget(viewer)
        qtbot.addWidget(dock)
        viewer.layers.events.inserted.connect(lambda _event: dock.reset_choices())
        viewer.layers.events.removed.connect(lambda _event: dock.reset_choices())
        desks.append(Desk(viewer, dock, told, until))
        return desks[-1]

    yield make
    for desk in desks:
        desk.dock.shut_down()


@pytest.fixture
def desk(sit_down: Callable[[], Desk]) -> Desk:
    return sit_down()
