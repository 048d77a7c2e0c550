"""Prompts as the shapes that napari draws, and back."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.session.prompt import PromptItem, PromptKind, ellipse_outline

Tool = Literal[
    "positive",
    "negative",
    "box",
    "polygon",
    "ellipse",
    "lasso",
    "scribble",
    "negative scribble",
]

# Okabe and Ito's sky blue, vermilion and yellow: told apart by colour-blind people too.
POSITIVE, NEGATIVE, EXTENT = "#56b4e9", "#d55e00", "#f0e442"

# Positions are kept to this part of a pixel: exact in the float32 of napari's shapes, up to 131,072
# pixels, so that what is shown again is what was drawn.
_STEPS = 64
# A rectangle is upright if its corners are no farther off, in pixels.
_UPRIGHT = 0.02


def colour(tool: Tool) -> str:
    """What a tool draws in."""
    if tool in ("positive", "scribble"):
        return POSITIVE
    return NEGATIVE if tool in ("negative", "negative scribble") else EXTENT


def tool_of(item: PromptItem) -> Tool:
    """What an item was drawn with, or could be."""
    if item.kind == "point":
        return "positive" if item.positive else "negative"
    if item.kind == "scribble":
        return "scribble" if item.positive else "negative scribble"
    assert item.kind != "label"
    return item.kind


def point_item(position: NDArray[np.float64], tool: str, axes: tuple[int, int]) -> PromptItem:
    """A point of a layer.

    Parameters
    ----------
    position : ndarray
        (ndim,) in the layer.
    tool : str
        "negative", or else it is positive.
    axes : tuple of int
        Of the plane that it was drawn on.
    """
    plane = _plane(position, axes)
    return PromptItem("point", plane, _rounded(plane.yx([position])), tool != "negative")


def shape_item(
    vertices: ArrayLike, shape_type: str, tool: str, axes: tuple[int, int]
) -> PromptItem | None:
    """A shape of a layer.

    Parameters
    ----------
    vertices : array-like
        (V, ndim) as the layer has them: the corners of a rectangle, or of that around an ellipse.
    shape_type : {"rectangle", "ellipse", "polygon", "path", "line"}
        A rectangle or ellipse that was rotated counts as a polygon.
    tool : str
        What it was drawn with: says whether a polygon is a lasso, and a path negative.
    axes : tuple of int
        Of the plane that it was drawn on.

    Returns
    -------
    PromptItem or None
        None if it is not complete.
    """
    array = np.asarray(vertices, dtype=np.float64)
    plane = _plane(array[0], axes)
    yx = plane.yx(array)
    low, high = yx.min(axis=0), yx.max(axis=0)
    upright = len(yx) == 4 and np.minimum(abs(yx - low), abs(yx - high)).max() <= _UPRIGHT
    if shape_type == "polygon" and tool == "box" and upright:
        shape_type = "rectangle"  # as napari takes boxes that a script puts into the layer
    if shape_type in ("rectangle", "ellipse"):
        if upright:
            # napari draws along the edges of pixels, a box names their middles
            inset = np.minimum(0.5, (high - low) / 2)
            kind: PromptKind = "box" if shape_type == "rectangle" else "ellipse"
            return PromptItem(kind, plane, _rounded([low + inset, high - inset]))
        if shape_type == "ellipse":
            yx = _turned_ellipse(yx)
        return PromptItem("polygon", plane, _rounded(yx))
    positions = _rounded(yx)
    if shape_type == "polygon":
        kind = "lasso" if tool == "lasso" else "polygon"
        return PromptItem(kind, plane, positions) if len(set(positions)) > 2 else None
    return PromptItem("scribble", plane, positions, tool != "negative scribble")


def shape_of(item: PromptItem) -> tuple[NDArray[np.float64], str]:
    """Vertices (V, ndim) and shape type of an item, which is no point and no label."""
    yx = np.array(item.vertices)
    shape_type = "path" if item.kind == "scribble" else "polygon"
    if item.kind in ("box", "ellipse"):
        shape_type = "rectangle" if item.kind == "box" else "ellipse"
        (y0, x0), (y1, x1) = yx[0] - 0.5, yx[1] + 0.5
        yx = np.array([(y0, x0), (y0, x1), (y1, x1), (y1, x0)])
    elif item.kind == "scribble" and len(yx) == 1:
        yx = np.concatenate([yx, yx])  # napari knows no path of one vertex
    return np.array([item.plane.position(y, x) for y, x in yx]), shape_type


def _plane(position: NDArray[np.float64], axes: tuple[int, int]) -> ArrayPlane:
    others = (round(float(v)) for axis, v in enumerate(position) if axis not in axes)
    return ArrayPlane(axes, tuple(others))


def _rounded(yx: ArrayLike) -> tuple[tuple[float, float], ...]:
    steps = np.round(np.asarray(yx, dtype=np.float64) * _STEPS) / _STEPS
    return tuple((float(y), float(x)) for y, x in steps)


def _turned_ellipse(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """(V, 2) outline of the ellipse in a rectangle (4, 2) that is not upright."""
    circle = ellipse_outline(((-0.5, -0.5), (0.5, 0.5)))
    sides = np.stack([corners[3] - corners[0], corners[1] - corners[0]])
    return corners.mean(axis=0) + circle @ sides
