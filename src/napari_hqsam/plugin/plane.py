"""Which plane of a layer is on the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.plugin.layers import spatial_shape

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer


def displayed_plane(viewer: ViewerModel, image: Layer) -> ArrayPlane:
    """The plane of an image that the viewer shows, as its sliders stand.

    Raises
    ------
    HQSAMError
        If it shows a volume, an axis that the image does not have, or a place outside the image.
    """
    if viewer.dims.ndisplay != 2:
        raise HQSAMError("Annotate works on planes: go back to the 2-D view")
    lacking = viewer.dims.ndim - image.ndim
    i, j = sorted(axis - lacking for axis in viewer.dims.displayed)
    if i < 0:
        raise HQSAMError(f"{image.name} does not have the axes on display: roll them back")
    point = np.asarray(viewer.dims.point)[lacking:]
    at = np.round(image.world_to_data(point)).astype(int)
    shape = spatial_shape(image)
    plane = ArrayPlane((i, j), tuple(int(at[k]) for k in range(image.ndim) if k not in (i, j)))
    if any(not 0 <= n < shape[k] for n, k in zip(plane.index, plane.others, strict=True)):
        raise HQSAMError(f"the sliders are outside {image.name}: move them to where it is shown")
    return plane
