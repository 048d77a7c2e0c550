"""Bringing an object into view."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_hqsam.plugin.viewport import visible_box

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels

    from napari_hqsam.labels.objects import LabelObject
    from napari_hqsam.labels.plane import ArrayPlane

# Of the canvas, how much an object may take at most, and what it takes when the camera moves in.
_TOO_LARGE, _TOO_SMALL, _COMFORTABLE = 0.9, 0.05, 0.4


def go_to(viewer: ViewerModel, labels: Labels, found: LabelObject) -> None:
    """Move sliders and camera to an object, unless it is in view already.

    Of one with masks on several planes the largest is shown, or that on the plane in view.
    """
    if not found.masks or viewer.dims.ndisplay != 2:
        return
    lacking = viewer.dims.ndim - labels.ndim
    displayed = tuple(sorted(axis - lacking for axis in viewer.dims.displayed))
    masks = [m for m in found.masks if m.plane.axes == displayed] or list(found.masks)
    here = np.asarray(viewer.dims.point)[lacking:]
    now = np.round(labels.world_to_data(here)).astype(int)
    on_display = [m for m in masks if all(now[a] == i for a, i in _along(m.plane))]
    mask = max(on_display or masks, key=lambda m: m.area)
    y0, x0, y1, x1 = mask.bbox
    middle = mask.plane.position((y0 + y1 - 1) / 2, (x0 + x1 - 1) / 2)
    world = np.asarray(labels.data_to_world(middle), dtype=float)
    for axis, _ in _along(mask.plane):
        viewer.dims.set_point(axis + lacking, float(world[axis]))
    if mask.plane.axes != displayed:
        return
    seen = visible_box(viewer, labels, mask.plane)
    share = max((y1 - y0) / (seen[2] - seen[0]), (x1 - x0) / (seen[3] - seen[1]))
    inside = seen[0] <= y0 and seen[1] <= x0 and y1 <= seen[2] and x1 <= seen[3]
    camera = viewer.scene.camera
    if not _TOO_SMALL <= share <= _TOO_LARGE:
        camera.zoom *= _COMFORTABLE / share
        inside = False
    if not inside:
        centre = list(camera.center)
        for k, axis in enumerate(viewer.dims.displayed):
            centre[k - 2] = float(world[axis - lacking])
        camera.center = tuple(centre)


def _along(plane: ArrayPlane) -> list[tuple[int, int]]:
    """Each axis beside the plane, and where the plane lies along it."""
    return list(zip(plane.others, plane.index, strict=True))
