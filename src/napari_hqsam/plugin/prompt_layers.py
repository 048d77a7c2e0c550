"""The Points and Shapes layers that prompts are given in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_hqsam.plugin.layers import transform_like
from napari_hqsam.plugin.prompt_rows import (
    PointRows,
    PromptRows,
    ShapeRows,
    points_layer,
    shapes_layer,
)
from napari_hqsam.plugin.prompt_shapes import Tool
from napari_hqsam.plugin.viewport import screen_pixels
from napari_hqsam.session.prompt import PromptItem, group

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer, Shapes

    from napari_hqsam.labels.plane import ArrayPlane
    from napari_hqsam.segmentation import Prompts

__all__ = ["POINTS", "SHAPES", "PromptLayers", "Tool"]

POINTS, SHAPES = "HQ-SAM points", "HQ-SAM shapes"

# In pixels of the screen.
_POINT, _LINE = 12.0, 2.0
# A box smaller than that, on the screen, was a click and not a drag.
_CLICK = 4.0
# A preview of what is being drawn follows after so many milliseconds.
_EVERY = 50

_TOOLS: dict[str, Tool] = {
    "add_rectangle": "box",
    "add_ellipse": "ellipse",
    "add_polygon": "polygon",
    "add_polygon_lasso": "lasso",
    "add_path": "scribble",
    "add_polyline": "scribble",
    "add_line": "scribble",
}
_MODES: dict[Tool, str] = {
    "box": "add_rectangle",
    "ellipse": "add_ellipse",
    "polygon": "add_polygon",
    "lasso": "add_polygon_lasso",
    "scribble": "add_path",
    "negative scribble": "add_path",
}


class PromptLayers:
    """Two ordinary napari layers, and the prompts that they hold.

    They are drawn, selected, moved and deleted with napari's own tools and keys. What each of them
    is can be seen in the `features` of its layer: `prompt` is the tool that it was drawn with,
    `axes` are those of the plane that it lies on. A prompt of the kind "label" is not drawn.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    image : napari.layers.Image
        Its transform becomes theirs, so that their coordinates are its pixels.

    Attributes
    ----------
    points, shapes : napari.layers.Layer
    tool : str or None
        What was last taken up, here or with napari's own buttons.

    Signals
    -------
    changed()
        Prompts were added, moved or removed; once, when it is done.
    dragging(tuple of PromptItem)
        What there would be if a shape that is being drawn, or what is being moved, were left as it
        is now; every 50 ms at most.
    """

    changed = Signal()
    dragging = Signal(tuple)

    def __init__(self, viewer: ViewerModel, image: Image) -> None:
        self._viewer, self._image = viewer, image
        self._silent = False
        self._pressed = False  # the mouse button is down on one of the layers
        self._by_hand = False  # and a shape is drawn with it
        self._labels: tuple[PromptItem, ...] = ()
        self._told: tuple[PromptItem, ...] = ()
        self._dragged: tuple[PromptItem, ...] | None = None
        self.tool: Tool | None = None
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(_EVERY)
        self._timer.timeout.connect(self._tell_dragging)
        selected, placed = viewer.layers.selection.active, transform_like(image)
        self.shapes = shapes_layer(SHAPES, image.ndim, **placed)
        self.points = points_layer(POINTS, image.ndim, **placed)
        self._shapes = ShapeRows(self.shapes, "box", self._axes)
        self._points = PointRows(self.points, "positive", self._axes)
        for layer in (self.shapes, self.points):
            viewer.add_layer(layer)
            layer.events.data.connect(self._on_data)
            layer.events.features.connect(self._on_pasted)
            layer.mouse_drag_callbacks.append(self._on_press)
        self.shapes.mouse_move_callbacks.append(self._on_hover)
        self.shapes.events.mode.connect(self._on_mode)
        self.points.selected_data.events.items_changed.connect(self._on_pasted)
        viewer.layers.selection.active = selected

    @property
    def boxes(self) -> Shapes:
        """The layer of shapes."""
        return self.shapes

    @property
    def alive(self) -> bool:
        """Whether both layers are still in the viewer."""
        return self.shapes in self._viewer.layers and self.points in self._viewer.layers

    def owns(self, layer: Layer) -> bool:
        """Whether a layer is one of the two."""
        return layer is self.shapes or layer is self.points

    def use(self, tool: Tool) -> None:
        """Select the layer of a tool, ready to draw."""
        rows: PromptRows = self._points if tool in ("positive", "negative") else self._shapes
        self._viewer.layers.selection.active = rows.layer
        rows.layer.selected_data = set()
        self.tool = tool
        rows.take(tool)
        rows.layer.mode = _MODES.get(tool, "add")

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
        with self._silently():
            self.points.current_size = _POINT / zoom
            self.points.size = _POINT / zoom
            self.shapes.current_edge_width = _LINE / zoom
            if len(self.shapes.data):
                self.shapes.edge_width = _LINE / zoom

    def items(self, plane: ArrayPlane | None = None) -> tuple[PromptItem, ...]:
        """The prompts of one plane, or all: shapes, then points, then labels."""
        drawn = (*self._shapes.items(), *self._points.items(), *self._labels)
        return tuple(i for i in drawn if i is not None and plane in (None, i.plane))

    def prompts(self, plane: ArrayPlane) -> list[Prompts]:
        """The prompts on one plane, one for each object, see `group`."""
        return [prompts for prompts, _ in group(self.items(plane))]

    def show(self, items: Iterable[PromptItem]) -> None:
        """Replace all prompts, telling nobody; what is being drawn is dropped."""
        items = tuple(items)
        with self._silently():
            if self._shapes.unfinished:  # only another mode ends a drawing
                mode, self.shapes.mode = self.shapes.mode, "pan_zoom"
                self.shapes.mode = mode
                self._shapes.unfinished = False
                self._shapes.drop_row(())
            self._points.show([i for i in items if i.kind == "point"])
            self._shapes.show([i for i in items if i.kind not in ("point", "label")])
        self._labels = tuple(i for i in items if i.kind == "label")
        self._remember(self.items())

    def clear(self, plane: ArrayPlane | None = None) -> None:
        """Remove the prompts of one plane, or all."""
        self.show(item for item in self.items() if plane not in (None, item.plane))
        self.changed.emit()

    def remove(self) -> None:
        """Take both layers out of the viewer."""
        self._timer.stop()
        for layer in (self.shapes, self.points):
            layer.events.data.disconnect(self._on_data)
            layer.events.features.disconnect(self._on_pasted)
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)

    def _on_press(self, _layer: Layer, event: Any) -> Iterator[None]:
        self._pressed = True
        yield
        while event.type == "mouse_move":
            self._on_move()
            yield
        self._pressed = False

    def _on_hover(self, _layer: Layer, _event: Any) -> None:
        if self._shapes.unfinished:  # a polygon that is drawn click by click
            self._on_move()

    def _on_move(self) -> None:
        if not self._timer.isActive():  # not put off by what comes meanwhile
            self._timer.start()

    def _tell_dragging(self) -> None:
        if self._pressed or self._shapes.unfinished:
            items = self.items()
            if items != (self._told if self._dragged is None else self._dragged):
                self._dragged = items
                self.dragging.emit(items)

    def _on_mode(self) -> None:
        """A tool was taken up, perhaps with one of napari's own buttons."""
        tool = _TOOLS.get(self.shapes.mode)
        if tool is not None and not self._silent:
            if _MODES[self._shapes.tool] == self.shapes.mode:  # a path may be a negative one
                tool = self._shapes.tool
            self.tool = tool
            self._shapes.take(tool)

    def _on_data(self, event: Any) -> None:
        if self._silent:
            return
        # napari tells of each change twice: that it will be done, and that it is done.
        action = str(getattr(event, "action", "changed")).lower().rpartition(".")[2]
        is_shape = event.source is self.shapes
        if action.endswith("ing"):
            if is_shape and action == "adding":
                self._shapes.unfinished, self._by_hand = True, self._pressed
            return
        with self._silently():
            if is_shape:
                drawn, self._shapes.unfinished = self._shapes.unfinished, False
                self._shapes.drop_row(event.data_indices)
                if drawn and self._by_hand:
                    self._drop_click()
            elif action == "added":
                self._points.forget_axes(event.data_indices)
        self._report()

    def _on_pasted(self, *_event: Any) -> None:
        """Of what is pasted napari tells nothing but that features or the selection changed."""
        if not (self._silent or self._pressed or self._shapes.unfinished):
            self._report()

    def _report(self) -> None:
        with self._silently():
            self._shapes.tidy()
            self._points.tidy()
        items = self.items()
        news = items != self._told or self._dragged is not None
        self._remember(items)
        if news:
            self.changed.emit()

    def _remember(self, items: tuple[PromptItem, ...]) -> None:
        self._timer.stop()
        self._told, self._dragged = items, None

    def _drop_click(self) -> None:
        """Remove the tiny box that a click leaves."""
        item = (self._shapes.items() or [None])[-1]
        if item is not None and item.kind in ("box", "ellipse"):
            size = np.subtract(item.vertices[1], item.vertices[0]).max() + 1
            if size * screen_pixels(self._viewer, self._image, item.plane) < _CLICK:
                self.shapes.remove([len(self.shapes.data) - 1])

    def _axes(self) -> tuple[int, int]:
        """Those of the layers that are on display."""
        lacking = self._viewer.dims.ndim - self.shapes.ndim
        i, j = sorted(axis - lacking for axis in self._viewer.dims.displayed)[-2:]
        return (i, j) if i >= 0 else (self.shapes.ndim - 2, self.shapes.ndim - 1)

    @contextmanager
    def _silently(self) -> Iterator[None]:
        before, self._silent = self._silent, True
        try:
            yield
        finally:
            self._silent = before
