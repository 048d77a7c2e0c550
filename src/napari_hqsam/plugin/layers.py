"""Where layers lie: from an image's pixels to the world and back.

What the dock makes (prompts, preview, labels) has the image's own transform, so that a position in
the layer *is* a position in pixels, whatever the scale, rotation or translation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.transforms import Affine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Layer


def transform_like(image: Layer) -> dict[str, Any]:
    """Layer arguments that place another layer exactly on `image`."""
    return {
        "scale": tuple(image.scale),
        "translate": tuple(image.translate),
        "rotate": np.array(image.rotate),
        "shear": np.array(image.shear),
        "affine": image.affine,
        "units": image.units,
        "axis_labels": image.axis_labels,
    }


def crop_transform(
    image: Layer, offset: Sequence[float], step: Sequence[float] | None = None
) -> dict[str, Any]:
    """Layer arguments that place a crop of `image`.

    Parameters
    ----------
    image : napari.layers.Layer
    offset : sequence of float
        Where the crop's first pixel lies in the image.
    step : sequence of float, optional
        How many pixels of the image lie between two of the crop, along each axis.
    """
    whole = transform_like(image)
    placed = Affine(**{k: whole[k] for k in ("scale", "translate", "rotate", "shear")})
    factor = np.ones(len(offset)) if step is None else np.asarray(step, dtype=float)
    return {
        **whole,
        "scale": tuple(factor * whole["scale"]),
        "translate": tuple(placed(np.asarray(offset, dtype=float))),
    }


def insert_above(viewer: ViewerModel, image: Layer, layer: Layer) -> None:
    """Add a layer just above `image`; the one that is being drawn on stays selected."""
    active = viewer.layers.selection.active
    viewer.layers.insert(viewer.layers.index(image) + 1, layer)
    viewer.layers.selection.active = active


def spatial_shape(image: Layer) -> tuple[int, ...]:
    """Shape of an image or of labels at full resolution, without the colours."""
    data = image.data[0] if image.multiscale else image.data
    shape = tuple(int(n) for n in data.shape)
    return shape[:-1] if getattr(image, "rgb", False) else shape
