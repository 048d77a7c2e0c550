"""What a user drew to show an object, as it is kept, undone and written to the journal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.labels.plane import ArrayPlane

if TYPE_CHECKING:
    from napari_hqsam.labels.objects import PlaneMask
    from napari_hqsam.segmentation import Prompts

PromptKind = Literal["point", "box", "polygon", "ellipse", "lasso", "scribble", "label"]


@dataclass(frozen=True)
class PromptItem:
    """One thing drawn on one plane.

    Attributes
    ----------
    kind : str
        ``"label"`` is an object that is there already, as a rough mask.
    plane : ArrayPlane
    vertices : tuple of (float, float)
        (y, x) in pixels of the plane: one for a point; the two outermost corners (lower, higher)
        of the pixels of a box, and of the box around an ellipse; the outline of a polygon or
        lasso; the course of a scribble; none for a label.
    positive : bool
        Whether it shows the object, or (a point or scribble) what does not belong to it.
    label : int
        For ``"label"``: which.
    """

    kind: PromptKind
    plane: ArrayPlane
    vertices: tuple[tuple[float, float], ...] = ()
    positive: bool = True
    label: int = 0

    def to_json(self) -> dict[str, Any]:
        """As plain numbers and texts."""
        return {
            "kind": self.kind,
            "axes": list(self.plane.axes),
            "index": list(self.plane.index),
            "vertices": [list(v) for v in self.vertices],
            "positive": self.positive,
            "label": self.label,
        }

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> Self:
        """What `to_json` gave.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it is something else.
        """
        i, j = (int(n) for n in saved["axes"])
        return cls(
            saved["kind"],
            ArrayPlane((i, j), tuple(int(n) for n in saved["index"])),
            tuple((float(y), float(x)) for y, x in saved["vertices"]),
            bool(saved["positive"]),
            int(saved["label"]),
        )


def group(
    items: Sequence[PromptItem],
    label_mask: Callable[[PromptItem], PlaneMask | None] | None = None,
) -> list[tuple[Prompts, tuple[PromptItem, ...]]]:
    """Which of the things drawn on one plane show which object.

    Each box, polygon, ellipse, lasso and label is an object of its own. A point or scribble belongs
    to the one that it lies in, the smallest of several, or else to the nearest. Without any of
    these, all points and scribbles together are one object, if one of them is positive.

    Parameters
    ----------
    items : sequence of PromptItem
        Of one plane.
    label_mask : callable, optional
        Gives the mask of a ``"label"`` item on its plane; None if there is no such object any more:
        the item then counts for nothing.

    Returns
    -------
    list of (Prompts, tuple of PromptItem)
        One for each object, in the order of the shapes, with the items that it is made of.
    """
    shapes = [made for item in items if (made := _shape(item, label_mask)) is not None]
    strokes = [item for item in items if item.kind in ("point", "scribble")]
    if not shapes:
        if not any(item.positive for item in strokes):
            return []
        return [(_prompts({}, strokes), tuple(strokes))]
    owned: list[list[PromptItem]] = [[] for _ in shapes]
    if strokes:
        lengths = [len(item.vertices) for item in strokes]
        at = np.concatenate([np.asarray(item.vertices) for item in strokes])
        off = [
            np.add.reduceat(shape.distances(at), np.cumsum([0, *lengths[:-1]])) for shape in shapes
        ]
        for k, item in enumerate(strokes):
            near = [(float(d[k]), shape.area) for d, shape in zip(off, shapes, strict=True)]
            owned[near.index(min(near))].append(item)
    return [
        (_prompts(shape.given, mine), (shape.item, *mine))
        for shape, mine in zip(shapes, owned, strict=True)
    ]


@dataclass(frozen=True)
class _Shape:
    """What shows an object by its extent.

    Attributes
    ----------
    item : PromptItem
    given : dict
        Arguments of `Prompts`.
    area : float
        In pixels.
    distances : callable
        Of (V, 2) positions, 0 within; in pixels.
    """

    item: PromptItem
    given: dict[str, Any]
    area: float
    distances: Callable[[NDArray[np.float64]], NDArray[np.float64]]


def _shape(
    item: PromptItem, label_mask: Callable[[PromptItem], PlaneMask | None] | None
) -> _Shape | None:
    if item.kind in ("point", "scribble"):
        return None
    if item.kind == "label":
        mask = None if label_mask is None else label_mask(item)
        if mask is None or mask.area == 0:
            return None
        rough = {"mask": mask.data, "mask_origin": mask.bbox[:2]}
        return _Shape(item, rough, mask.area, partial(_distances_to_pixels, mask))
    import shapely

    vertices = np.asarray(item.vertices)
    if item.kind in ("box", "ellipse"):
        (y0, x0), (y1, x1) = vertices
        given: dict[str, Any] = {"box": (y0, x0, y1, x1)}
        outline = shapely.box(y0 - 0.5, x0 - 0.5, y1 + 0.5, x1 + 0.5)  # with all of its pixels
        if item.kind == "ellipse":
            given["polygon"] = ellipse_outline(item.vertices)
            outline = shapely.Polygon(given["polygon"])
    else:
        given = {"polygon": vertices}
        outline = shapely.Polygon(vertices)

    def distances(at: NDArray[np.float64]) -> NDArray[np.float64]:
        return shapely.distance(outline, shapely.points(at))

    return _Shape(item, given, float(outline.area), distances)


def ellipse_outline(corners: Sequence[Sequence[float]], count: int = 32) -> NDArray[np.float64]:
    """(count, 2) vertices of the ellipse in a box, whose lower and higher corner are given."""
    low, high = np.asarray(corners, dtype=np.float64)
    angles = np.arange(count) * (2 * np.pi / count)
    circle = np.stack([np.sin(angles), np.cos(angles)], axis=1)
    return (low + high) / 2 + circle * (high - low) / 2


def _distances_to_pixels(mask: PlaneMask, at: NDArray[np.float64]) -> NDArray[np.float64]:
    """From (V, 2) positions to the nearest pixel of a mask; 0 on one."""
    from scipy.ndimage import binary_erosion

    data = mask.data
    edge = np.argwhere(data & ~binary_erosion(data))
    out = np.empty(len(at))
    for i, position in enumerate(at - np.array(mask.bbox[:2])):
        y, x = np.round(position).astype(int)
        inside = 0 <= y < data.shape[0] and 0 <= x < data.shape[1] and data[y, x]
        out[i] = 0.0 if inside else np.sqrt(((edge - position) ** 2).sum(axis=1).min())
    return out


def _prompts(given: Mapping[str, Any], strokes: Sequence[PromptItem]) -> Prompts:
    """What shows the object by its extent, and the points and scribbles beside it."""
    from napari_hqsam.segmentation import Prompts

    points = [item for item in strokes if item.kind == "point"]
    scribbles: dict[bool, list[Any]] = {True: [], False: []}
    for item in strokes:
        if item.kind == "scribble":
            scribbles[item.positive].append(np.asarray(item.vertices))
    return Prompts(
        points=[item.vertices[0] for item in points] or None,
        labels=[int(item.positive) for item in points] or None,
        scribble=scribbles[True] or None,
        negative_scribble=scribbles[False] or None,
        **given,
    )
