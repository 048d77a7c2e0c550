"""A napari layer as a list of prompts: one for each of its rows, named in its features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from napari.layers import Points, Shapes
from napari.utils.colormaps.standardize_color import transform_color

from napari_hqsam.plugin.prompt_shapes import (
    EXTENT,
    NEGATIVE,
    POSITIVE,
    Tool,
    colour,
    point_item,
    shape_item,
    shape_of,
    tool_of,
)
from napari_hqsam.session.prompt import PromptItem

_COLUMNS = ("prompt", "axes")


class PromptRows(ABC):
    """What is common to both layers.

    Parameters
    ----------
    layer : napari.layers.Layer
    tool : str
        What the next row is drawn with.
    axes : callable
        Gives the axes of the plane on display: those of what is drawn now.
    """

    layer: Any

    def __init__(self, layer: Any, tool: Tool, axes: Callable[[], tuple[int, int]]) -> None:
        self.layer, self._axes = layer, axes
        self.take(tool)

    @abstractmethod
    def items(self) -> list[PromptItem | None]:
        """One for each row; None for what is not complete."""

    @abstractmethod
    def put(self, items: Sequence[PromptItem]) -> None:
        """Have these rows and no others; features and colours follow."""

    def show(self, items: Sequence[PromptItem]) -> None:
        """Hold these prompts and no others; nothing is selected then."""
        if list(items) != self.items():
            self.layer.selected_data = set()
            self.put(items)
            self._name(items)

    def take(self, tool: Tool) -> None:
        """Draw the next row with another tool."""
        self.tool = tool
        self.layer.feature_defaults = {"prompt": tool, "axes": ""}

    def tidy(self) -> None:
        """Have features and colours say what the rows are, whatever they were drawn with."""
        items = [item for item in self.items() if item is not None]
        if len(items) == len(self.layer.data):
            self._name(items)

    def forget_axes(self, rows: Iterable[int]) -> None:
        """Those of new rows are what is on display, not what the last selected one had."""
        table = self.layer.features
        table.iloc[list(rows), table.columns.get_loc("axes")] = ""

    def _name(self, items: Sequence[PromptItem]) -> None:
        tools = [str(tool_of(item)) for item in items]
        axes = ["{} {}".format(*item.plane.axes) for item in items]
        if [list(self.layer.features[name]) for name in _COLUMNS] != [tools, axes]:
            self._set_features({"prompt": np.array(tools, object), "axes": np.array(axes, object)})

    def _set_features(self, table: Any) -> None:
        self.layer.features = table
        self.take(self.tool)  # napari takes the last row for the next

    def _places(self) -> list[tuple[str, tuple[int, int]]]:
        """Tool and axes of each row."""
        out = []
        for tool, text in zip(*(self.layer.features[name] for name in _COLUMNS), strict=True):
            i, j = (int(axis) for axis in text.split()) if text else self._axes()
            out.append((str(tool), (i, j)))
        return out


class PointRows(PromptRows):
    """Points, positive and negative."""

    layer: Points

    def items(self) -> list[PromptItem | None]:
        """One for each point."""
        data = zip(self.layer.data, self._places(), strict=True)
        return [point_item(position, *place) for position, place in data]

    def put(self, items: Sequence[PromptItem]) -> None:
        """Have these points and no others."""
        places = [item.plane.position(*item.vertices[0]) for item in items]
        self.layer.data = np.array(places).reshape(-1, self.layer.ndim)

    def _set_features(self, table: Any) -> None:
        super()._set_features(table)
        self.layer.refresh_colors()


class ShapeRows(PromptRows):
    """All that is drawn with more than one click.

    Attributes
    ----------
    unfinished : bool
        Whether the last shape is still being drawn.
    """

    layer: Shapes
    unfinished = False

    def items(self) -> list[PromptItem | None]:
        """One for each shape; None for one that is no shape yet."""
        types: list[str] = list(self.layer.shape_type)
        if self.unfinished and types and self.tool in ("polygon", "lasso"):
            types[-1] = "polygon"  # napari makes it one when it is finished
        data = zip(self.layer.data, types, self._places(), strict=False)
        return [shape_item(vertices, kind, *place) for vertices, kind, place in data]

    def put(self, items: Sequence[PromptItem]) -> None:
        """Have these shapes and no others."""
        self.layer.remove(list(range(len(self.layer.data))))
        if items:
            colours = [colour(tool_of(item)) for item in items]
            self.layer.add([shape_of(item) for item in items], edge_color=colours)

    def take(self, tool: Tool) -> None:
        """Draw the next shape with another tool."""
        super().take(tool)
        with self.layer.block_update_properties():  # those that are selected keep their colour
            self.layer.current_edge_color = colour(tool)

    def drop_row(self, indices: Sequence[int]) -> None:
        """Forget a shape that napari has dropped without its features: it had too few vertices."""
        table = self.layer.features
        if len(table) > len(self.layer.data):
            kept = table.drop(index=table.index[indices[0] if indices else -1])
            self._set_features(kept.reset_index(drop=True))

    def _name(self, items: Sequence[PromptItem]) -> None:
        super()._name(items)
        if items:
            colours = transform_color([colour(tool_of(item)) for item in items])
            if not np.allclose(colours, self.layer.edge_color):
                self.layer.edge_color = colours


def points_layer(name: str, ndim: int, **placed: Any) -> Points:
    """An empty layer of points, coloured by their sign."""
    return Points(
        np.empty((0, ndim)),
        ndim=ndim,
        name=name,
        features=_no_features(),
        face_color="prompt",
        face_color_cycle={"positive": POSITIVE, "negative": NEGATIVE},
        border_color="white",
        **placed,
    )


def shapes_layer(name: str, ndim: int, **placed: Any) -> Shapes:
    """An empty layer of outlines."""
    return Shapes(
        ndim=ndim,
        name=name,
        features=_no_features(),
        edge_color=EXTENT,
        face_color="transparent",
        **placed,
    )


def _no_features() -> dict[str, Any]:
    return {name: np.empty(0, dtype=object) for name in _COLUMNS}
