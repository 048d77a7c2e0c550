"""Objects that are shown by points and shapes of ordinary layers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.plugin.layers import spatial_shape
from napari_hqsam.plugin.prompt_shapes import shape_item
from napari_hqsam.session.prompt import PromptItem, group

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer, Points, Shapes
    from numpy.typing import ArrayLike, NDArray

    from napari_hqsam.segmentation import Prompts

# What the prompt layers of the Annotate dock say of what is not the object.
_NEGATIVE = ("negative", "negative scribble")


def in_pixels(
    viewer: ViewerModel, image: Image, layer: Layer, positions: ArrayLike
) -> NDArray[np.float64]:
    """Positions (N, ndim) of a layer as (N, ndim) pixels of an image.

    A layer with fewer axes lies on the planes on display.
    """
    world = np.asarray(viewer.dims.point, dtype=float)
    out = np.empty((len(np.atleast_2d(positions)), image.ndim))
    for k, position in enumerate(np.atleast_2d(np.asarray(positions, dtype=float))):
        own = np.asarray(layer.data_to_world(position))
        place = world.copy()
        place[len(world) - len(own) :] = own
        out[k] = image.world_to_data(place[len(world) - image.ndim :])
    return out


def drawn_objects(
    viewer: ViewerModel, image: Image, points: Points | None, shapes: Shapes | None
) -> dict[ArrayPlane, list[Prompts]]:
    """The prompts that layers hold, one for each object: shapes first, then points.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    image : napari.layers.Image
    points, shapes : napari.layers.Layer or None
        Each point is an object, and each shape.

    Returns
    -------
    dict
        By the plane of the image.

    Raises
    ------
    HQSAMError
        If there are none, or some lie outside the image.
    """
    if points is None and shapes is None:
        raise HQSAMError("choose a Points or a Shapes layer that shows the objects")
    found: dict[ArrayPlane, list[Prompts]] = {}
    for layer in (shapes, points):
        if layer is None:
            continue
        items = list(_items(viewer, image, layer))
        outside = sum(not _inside(item, image) for item in items)
        if outside:
            raise HQSAMError(
                f"{layer.name}: {outside} of {len(items)} lie outside {image.name}; move or delete "
                "them"
            )
        for item in items:
            for prompts, _ in group([item]):
                found.setdefault(item.plane, []).append(prompts)
    if not found:
        names = " and ".join(layer.name for layer in (points, shapes) if layer is not None)
        raise HQSAMError(f"{names}: nothing is drawn there yet; click on the objects, or box them")
    return found


def outline(viewer: ViewerModel, image: Image, shapes: Shapes) -> tuple[ArrayPlane, Any]:
    """The selected shape of a layer, or its only one: its plane, and its box or (V, 2) outline.

    Raises
    ------
    HQSAMError
        If it is not clear which one is meant, or it has no area.
    """
    chosen = sorted(shapes.selected_data) or list(range(len(shapes.data)))
    if len(chosen) != 1:
        there = "selected" if shapes.selected_data else "there"
        raise HQSAMError(f"{shapes.name}: {len(chosen)} shapes are {there}; select one to work in")
    item = _shape(viewer, image, shapes, chosen[0])
    if item is None or item.kind == "scribble":
        raise HQSAMError(f"{shapes.name}: a line has no area; draw a rectangle or a polygon")
    (y0, x0), (y1, x1) = np.min(item.vertices, axis=0), np.max(item.vertices, axis=0)
    height, width = spatial_shape(image)[-2:]
    if y1 < 0 or x1 < 0 or y0 > height - 1 or x0 > width - 1:
        raise HQSAMError(f"{shapes.name}: the shape lies outside {image.name}")
    if item.kind == "box":
        low = max(round(y0), 0), max(round(x0), 0)
        return item.plane, (*low, min(round(y1) + 1, height), min(round(x1) + 1, width))
    if item.kind == "ellipse":
        from napari_hqsam.session.prompt import ellipse_outline

        return item.plane, ellipse_outline(item.vertices)
    return item.plane, np.asarray(item.vertices)


def _items(viewer: ViewerModel, image: Image, layer: Layer) -> Iterator[PromptItem]:
    """What a layer shows of objects."""
    told = layer.features.get("prompt")
    for k in range(len(layer.data)):
        if told is not None and told.iloc[k] in _NEGATIVE:
            continue
        if hasattr(layer, "shape_type"):
            item = _shape(viewer, image, layer, k)
        else:
            (at,) = in_pixels(viewer, image, layer, layer.data[k])
            plane = ArrayPlane((image.ndim - 2, image.ndim - 1), _index(at))
            item = PromptItem("point", plane, ((float(at[-2]), float(at[-1])),))
        if item is not None:
            yield item


def _shape(viewer: ViewerModel, image: Image, shapes: Any, k: int) -> PromptItem | None:
    vertices = in_pixels(viewer, image, shapes, shapes.data[k])
    axes = image.ndim - 2, image.ndim - 1
    return shape_item(vertices, str(shapes.shape_type[k]), "box", axes)


def _index(at: NDArray[np.float64]) -> tuple[int, ...]:
    return tuple(round(float(v)) for v in at[:-2])


def _inside(item: PromptItem, image: Image) -> bool:
    """Whether something drawn is on a plane of the image, and reaches into it."""
    *lengths, height, width = spatial_shape(image)
    low, high = np.min(item.vertices, axis=0), np.max(item.vertices, axis=0)
    on_plane = all(0 <= i < n for i, n in zip(item.plane.index, lengths, strict=True))
    reaches = (high >= -0.5).all() and (low <= np.subtract((height, width), 0.5)).all()
    return bool(on_plane and reaches)
