"""A line that the user draws to cut an object in two."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Shapes
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_hqsam.plugin.layers import crop_transform
from napari_hqsam.plugin.plane import displayed_plane
from napari_hqsam.plugin.viewport import screen_pixels

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels, Layer

NAME = "HQ-SAM cut"


class CutLine:
    """A Shapes layer that is there only while a line is drawn.

    Parameters
    ----------
    viewer : napari.components.ViewerModel

    Signals
    -------
    drawn(ArrayPlane, ndarray)
        The plane, and (V, 2) positions within it.
    """

    drawn = Signal(object, object)

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._layer: Shapes | None = None
        self._labels: Labels | None = None
        self._before: Layer | None = None

    def begin(self, labels: Labels) -> None:
        """Let the user draw over these labels."""
        self.end()
        self._labels = labels
        self._before = self._viewer.layers.selection.active
        plane = displayed_plane(self._viewer, labels)
        self._layer = Shapes(
            ndim=labels.ndim,
            name=NAME,
            edge_color="#d55e00",
            face_color="transparent",
            edge_width=2 / screen_pixels(self._viewer, labels, plane),
            **crop_transform(labels, (0,) * labels.ndim),
        )
        self._viewer.add_layer(self._layer)
        self._viewer.layers.selection.active = self._layer
        self._layer.mode = "add_path"
        self._layer.events.data.connect(self._on_data)

    def end(self) -> None:
        """Take the layer away."""
        layer, self._layer = self._layer, None
        if layer is None:
            return
        layer.events.data.disconnect(self._on_data)
        if layer in self._viewer.layers:
            self._viewer.layers.remove(layer)
        if self._before is not None and self._before in self._viewer.layers:
            self._viewer.layers.selection.active = self._before

    def _on_data(self, event: Any) -> None:
        done = str(getattr(event, "action", "")).lower().rpartition(".")[2]
        if done != "added" or self._layer is None or self._labels is None:
            return
        line = self._layer.data[-1]
        plane = displayed_plane(self._viewer, self._labels)
        # napari still works on the layer: it must not go before that is done
        QTimer.singleShot(0, lambda: self._finish(plane, plane.yx(line)))

    def _finish(self, plane: Any, line: Any) -> None:
        if self._layer is not None:
            self.end()
            self.drawn.emit(plane, line)
