"""Which planes and pixels of an image are meant, as the view and the sliders stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hqsam.errors import HQSAMError
from napari_hqsam.plugin.layers import spatial_shape
from napari_hqsam.plugin.segment_all.drawn import outline
from napari_hqsam.plugin.segment_all.placement import Placement, plane_in_view
from napari_hqsam.plugin.viewport import visible_box

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Shapes

    from napari_hqsam.labels.plane import ArrayPlane
    from napari_hqsam.labels.pyramid import Box
    from napari_hqsam.plugin.segment_all.extent_controls import Where


@dataclass(frozen=True, eq=False)
class Extent:
    """What is done of an image.

    Attributes
    ----------
    planes : list of tuple of int, or None
        As the image's source counts them; None for all.
    region : (y0, x0, y1, x1) or ndarray (V, 2), or None
        In pixels; None for whole planes.
    """

    planes: list[tuple[int, ...]] | None = None
    region: Any = None


def extent(
    viewer: ViewerModel, image: Image, placement: Placement, where: Where, shapes: Shapes | None
) -> Extent:
    """What a choice of the region means now.

    Raises
    ------
    HQSAMError
        If nothing of the image is meant.
    """
    if where == "all":
        return Extent()
    if where == "shape":
        if shapes is None:
            raise HQSAMError("draw a shape in a Shapes layer, or choose another region")
        plane, region = outline(viewer, image, shapes)
        return Extent([placement.plane(plane)], region)
    shown = plane_in_view(viewer, image)
    here = placement.plane(shown)
    if where == "visible":
        return Extent([here], box_in_view(viewer, image, shown))
    if where == "volume":
        axes = placement.frame.axes
        # which of the indices counts slices
        slices = placement.frame.order[axes.index("z")]
        depth = placement.frame.shape[axes.index("z")]
        return Extent([(*here[:slices], z, *here[slices + 1 :]) for z in range(depth)])
    return Extent([here])


def box_in_view(viewer: ViewerModel, image: Image, plane: ArrayPlane) -> Box:
    """The pixels (y0, x0, y1, x1) of a plane that the canvas shows.

    Raises
    ------
    HQSAMError
        If it shows none.
    """
    height, width = spatial_shape(image)[-2:]
    y0, x0, y1, x1 = visible_box(viewer, image, plane)
    low = np.maximum(np.floor([y0 + 0.5, x0 + 0.5]), 0).astype(int)
    high = np.minimum(np.ceil([y1 - 0.5, x1 - 0.5]), (height, width)).astype(int)
    if (low >= high).any():
        raise HQSAMError(f"nothing of {image.name} is in view: reset the view (Home)")
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])
