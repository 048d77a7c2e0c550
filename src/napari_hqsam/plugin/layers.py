"""Where layers lie: from an image's pixels to the world and back.

What the dock makes (prompts, preview, labels) has the image's own transform, so that a position in
the layer *is* a position in pixels, whatever the scale, rotation or translation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.transforms import Affine

from napari_hqsam.errors import HQSAMError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Image, Layer


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


def crop_transform(image: Layer, offset: Sequence[float]) -> dict[str, Any]:
    """Layer arguments that place a crop of `image` whose first pixel is at `offset`."""
    whole = transform_like(image)
    placed = Affine(**{k: whole[k] for k in ("scale", "translate", "rotate", "shear")})
    return {**whole, "translate": tuple(placed(np.asarray(offset, dtype=float)))}


def insert_above(viewer: ViewerModel, image: Layer, layer: Layer) -> None:
    """Add a layer just above `image`; the one that is being drawn on stays selected."""
    active = viewer.layers.selection.active
    viewer.layers.insert(viewer.layers.index(image) + 1, layer)
    viewer.layers.selection.active = active


def spatial_shape(image: Image) -> tuple[int, ...]:
    """Shape of the image at full resolution, without the colours."""
    data = image.data[0] if image.multiscale else image.data
    shape = tuple(int(n) for n in data.shape)
    return shape[:-1] if image.rgb else shape


def current_plane(viewer: ViewerModel, image: Image) -> tuple[int, ...]:
    """Indices of the image's axes other than the last two, as the sliders stand.

    Raises
    ------
    HQSAMError
        If the viewer does not show the plane of the last two axes, in 2-D.
    """
    displayed = tuple(viewer.dims.displayed)
    if displayed != (viewer.dims.ndim - 2, viewer.dims.ndim - 1):
        raise HQSAMError("Annotate works on the y, x plane: go back to the 2-D view, unswapped")
    point = np.asarray(viewer.dims.point)[viewer.dims.ndim - image.ndim :]
    index = np.asarray(image.world_to_data(point))[:-2]
    shape = spatial_shape(image)[:-2]
    plane = tuple(int(i) for i in np.round(index))
    if any(not 0 <= i < n for i, n in zip(plane, shape, strict=True)):
        raise HQSAMError(f"the sliders are outside {image.name}: move them to where it is shown")
    return plane
