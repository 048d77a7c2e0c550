"""The Points and Shapes layers that prompts are given in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from napari.layers import Points, Shapes
from psygnal import Signal

from napari_hqsam.plugin.layers import transform_like
from napari_hqsam.segmentation.prompts import Prompts

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer

    from napari_hqsam.labels.plane import ArrayPlane

Tool = Literal["box", "positive", "negative"]

POINTS, BOXES = "HQ-SAM points", "HQ-SAM boxes"
# Okabe and Ito's sky blue and vermilion: told apart by colour-blind people too.
COLOURS = {"positive": "#56b4e9", "negative": "#d55e00"}
_BOX_COLOUR = "#f0e442"
# In pixels of the screen.
_POINT, _LINE = 12.0, 2.0


class PromptLayers:
    """Two ordinary napari layers, and the prompts that they hold.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    image : napari.layers.Image
        Its transform becomes theirs, so that their coordinates are its pixels.

    Attributes
    ----------
    changed : psygnal.Signal
        Emitted when a prompt was added, moved or removed.
    """

    changed = Signal()

    def __init__(self, viewer: ViewerModel, image: Image) -> None:
        self._viewer = viewer
        self._silent = False
        ndim = image.ndim
        selected = viewer.layers.selection.active
        self.boxes = Shapes(
            ndim=ndim,
            name=BOXES,
            edge_color=_BOX_COLOUR,
            face_color="transparent",
            **transform_like(image),
        )
        self.points = Points(
            np.empty((0, ndim)),
            ndim=ndim,
            name=POINTS,
            features={"prompt": np.empty(0, dtype=object)},
            face_color="prompt",
            face_color_cycle=COLOURS,
            border_color="white",
            **transform_like(image),
        )
        self.points.feature_defaults = {"prompt": "positive"}
        for layer in (self.boxes, self.points):
            viewer.add_layer(layer)
            layer.events.data.connect(self._on_data)
        viewer.layers.selection.active = selected

    @property
    def alive(self) -> bool:
        """Whether both layers are still in the viewer."""
        return self.boxes in self._viewer.layers and self.points in self._viewer.layers

    def owns(self, layer: Layer) -> bool:
        """Whether a layer is one of the two."""
        return layer is self.boxes or layer is self.points

    def use(self, tool: Tool) -> None:
        """Select the layer of a tool, ready to draw."""
        layer: Layer = self.boxes if tool == "box" else self.points
        self._viewer.layers.selection.active = layer
        if tool == "box":
            self.boxes.mode = "add_rectangle"
            return
        self.points.selected_data = set()
        self.points.feature_defaults = {"prompt": tool}
        self.points.refresh_colors()
        self.points.mode = "add"

    def fit(self, zoom: float) -> None:
        """Draw points and lines as large on the screen as ever.

        Parameters
        ----------
        zoom : float
            Screen pixels per pixel of the image.
        """
        now = float(self.points.current_size) * zoom / _POINT
        if 0.67 < now < 1.5:  # each change draws all of them anew
            return
        self._silent = True
        try:
            self.points.current_size = _POINT / zoom
            self.points.size = _POINT / zoom
            self.boxes.current_edge_width = _LINE / zoom
            if len(self.boxes.data):
                self.boxes.edge_width = _LINE / zoom
        finally:
            self._silent = False

    def prompts(self, plane: ArrayPlane) -> list[Prompts]:
        """The prompts on one plane, one for each object.

        Each box is an object of its own; a point belongs to the box it lies in, or else to the
        nearest one. Points without any box make one object.
        """
        boxes = [_corners(plane.yx(b)) for b in self.boxes.data if plane.holds(b)]
        rows = [i for i, p in enumerate(self.points.data) if plane.holds(p[None])]
        points = plane.yx(self.points.data[rows])
        labels = (self.points.features["prompt"].to_numpy()[rows] != "negative").astype(int)
        if not boxes:
            return [Prompts(points, labels)] if (labels == 1).any() else []
        owner = np.array([_nearest(p, boxes) for p in points], dtype=int)
        return [
            Prompts(points[owner == k], labels[owner == k], box)
            if (owner == k).any()
            else Prompts(box=box)
            for k, box in enumerate(boxes)
        ]

    def clear(self, plane: ArrayPlane | None = None) -> None:
        """Remove the prompts of one plane, or all."""
        self._silent = True
        try:
            for layer in (self.boxes, self.points):
                layer.selected_data = {
                    i
                    for i, data in enumerate(layer.data)
                    if plane is None or plane.holds(np.atleast_2d(data))
                }
                layer.remove_selected()
        finally:
            self._silent = False
        self.changed.emit()

    def remove(self) -> None:
        """Take both layers out of the viewer."""
        for layer in (self.boxes, self.points):
            layer.events.data.disconnect(self._on_data)
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)

    def _on_data(self, event: Any) -> None:
        # napari tells of each change twice: that it will be done, and that it is done.
        done = str(getattr(event, "action", "changed")).lower().rpartition(".")[2]
        if not self._silent and not done.endswith("ing"):
            self.changed.emit()


def _corners(vertices: np.ndarray) -> tuple[float, float, float, float]:
    """The outermost pixel centres within a drawn outline."""
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    inset = np.minimum(0.5, (high - low) / 2)
    (y0, x0), (y1, x1) = low + inset, high - inset
    return float(y0), float(x0), float(y1), float(x1)


def _nearest(point: np.ndarray, boxes: list[tuple[float, float, float, float]]) -> int:
    """The box that a point lies in (the smallest of several), or is nearest to."""

    def key(k: int) -> tuple[float, float]:
        y0, x0, y1, x1 = boxes[k]
        dy, dx = max(y0 - point[0], 0, point[0] - y1), max(x0 - point[1], 0, point[1] - x1)
        return float(np.hypot(dy, dx)), (y1 - y0) * (x1 - x0)

    return min(range(len(boxes)), key=key)
