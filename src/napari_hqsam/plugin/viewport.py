"""What the user looks at: which part of a plane, how large, and where the mouse is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_hqsam.labels.plane import ArrayPlane

_MILLISECONDS = 100


class Viewport(QObject):
    """Tells when the view has moved, ten times a second at most.

    Parameters
    ----------
    viewer : napari.components.ViewerModel

    Signals
    -------
    moved()
        Another part, magnification or plane is shown.
    pointed()
        That, or the mouse has moved.
    """

    moved = Signal()
    pointed = Signal()

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self._has_moved = self._held = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_MILLISECONDS)
        self._timer.timeout.connect(self._tell)
        camera, dims = viewer.scene.camera.events, viewer.dims.events
        self._views = (
            camera.center,
            camera.zoom,
            dims.current_step,
            dims.order,
            dims.ndisplay,
            viewer.canvas.events.size,
        )
        for event in self._views:
            event.connect(self.look)
        viewer.cursor.events.position.connect(self._point)

    def look(self, _event: object = None) -> None:
        """Tell soon that the view is another one."""
        self._has_moved = True
        self._point()

    def hold(self, held: bool) -> None:
        """Tell nothing for now: the window is closing, or hidden."""
        self._held = held
        if held:
            self._timer.stop()

    def close(self) -> None:
        """Tell nothing more."""
        self.hold(True)
        for event in self._views:
            event.disconnect(self.look)
        self._viewer.cursor.events.position.disconnect(self._point)

    def _point(self, _event: object = None) -> None:
        if not self._held and not self._timer.isActive():  # not put off by what comes meanwhile
            self._timer.start()

    def _tell(self) -> None:
        if self._has_moved:
            self._has_moved = False
            self.moved.emit()
        self.pointed.emit()


def main_window(widget: Any) -> Any:
    """The window that a widget belongs to, also where its dock floats."""
    while widget.parent() is not None:
        widget = widget.parent()
    return widget


def visible_box(
    viewer: ViewerModel, layer: Layer, plane: ArrayPlane
) -> tuple[float, float, float, float]:
    """The part of a plane that the canvas shows: (y0, x0, y1, x1), not cut to the image."""
    camera = viewer.scene.camera
    height, width = viewer.canvas.size
    half = np.array([height, width]) / (2 * camera.zoom)
    centre = np.asarray(camera.center, dtype=float)[-2:]
    world = np.tile(np.asarray(viewer.dims.point, dtype=float), (4, 1))
    corners = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]]) * half + centre
    world[:, list(viewer.dims.displayed)] = corners
    seen = plane.yx(np.array([layer.world_to_data(w) for w in world]))
    (y0, x0), (y1, x1) = seen.min(axis=0), seen.max(axis=0)
    return float(y0), float(x0), float(y1) + 1, float(x1) + 1


def screen_pixels(viewer: ViewerModel, layer: Layer, plane: ArrayPlane) -> float:
    """How many pixels of the screen one pixel of the plane spans."""
    scale = [abs(float(layer.scale[axis])) for axis in plane.axes]
    return float(viewer.scene.camera.zoom * np.sqrt(scale[0] * scale[1]))


def pointer(
    viewer: ViewerModel, layer: Layer, plane: ArrayPlane, box: Sequence[float]
) -> tuple[float, float] | None:
    """(y, x) of the mouse in the plane, if it is within `box`."""
    position = viewer.cursor.position
    if len(position) < layer.ndim:
        return None
    y, x = plane.yx([layer.world_to_data(position)])[0]
    y0, x0, y1, x1 = box
    return (float(y), float(x)) if y0 <= y < y1 and x0 <= x < x1 else None
