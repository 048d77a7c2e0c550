"""The masks that have been predicted and not committed yet, shown over the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import CyclicLabelColormap

from napari_hqsam.plugin.layers import crop_transform, insert_above, transform_like
from napari_hqsam.plugin.viewport import screen_pixels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_hqsam.labels.plane import ArrayPlane
    from napari_hqsam.segmentation import Mask

NAME = "HQ-SAM preview"
MARK = "napari-hqsam preview"
"""Key of a layer's metadata: it shows what might be, and is no input."""
# Longest side: of what is larger, every second pixel is shown, or every third, and so on.
_LARGEST = 4096
# Width of an outline in pixels of the screen.
_OUTLINE = 2
# Bright, rare in stains, and told apart by colour-blind people too.
_COLOURS = ("#00e5ff", "#ffe14d", "#ff66d9")


def _colours() -> CyclicLabelColormap:
    rgb = [tuple(int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)) for c in _COLOURS]
    return CyclicLabelColormap(colors=[(0, 0, 0, 0), *((*c, 1) for c in rgb)])


class Preview:
    """A small Labels layer, only as large as the masks are, and hidden where there are none.

    To add a layer takes napari some tenths of a second; so it is made with the prompt layers, and
    stays until another image is annotated.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self.layer: Labels | None = None

    @property
    def shown(self) -> bool:
        """Whether masks are on show."""
        layer = self.layer
        return layer is not None and layer in self._viewer.layers and bool(layer.visible)

    def prepare(self, image: Image) -> Labels:
        """The layer for masks of an image, hidden until there are some."""
        if self.layer is not None and self.layer in self._viewer.layers:
            if self.layer.ndim == image.ndim:
                return self.layer
            self.remove()
        empty = np.zeros((1,) * image.ndim, dtype=np.uint16)
        placed = transform_like(image)
        self.layer = Labels(empty, name=NAME, opacity=0.5, colormap=_colours(), **placed)
        self.layer.editable = self.layer.visible = False
        insert_above(self._viewer, image, self.layer)
        return self.layer

    def show(
        self, image: Image, plane: ArrayPlane, masks: Sequence[Mask], *, outline: bool = False
    ) -> None:
        """Replace what is shown; masks without any pixel show nothing.

        Parameters
        ----------
        image : napari.layers.Image
        plane : ArrayPlane
            Of the image.
        masks : sequence of Mask
            The first ones lie on top.
        outline : bool
            Their outlines alone: what might be, not what is.
        """
        drawn = [m for m in masks if m.area]
        if not drawn:
            self.clear()
            return
        corners = np.array([m.bbox for m in drawn])
        (y0, x0), (y1, x1) = corners[:, :2].min(axis=0), corners[:, 2:].max(axis=0)
        step = -(-int(max(y1 - y0, x1 - x0)) // _LARGEST)
        data = np.zeros((-(-(y1 - y0) // step), -(-(x1 - x0) // step)), dtype=np.uint16)
        for k, mask in enumerate(drawn):
            top, left = mask.bbox[0] - y0, mask.bbox[1] - x0
            # The first pixel of the mask that one of the preview's lies on, and where that is.
            part = mask.data[-top % step :: step, -left % step :: step]
            row, column = -(-top // step), -(-left // step)
            region = data[row : row + part.shape[0], column : column + part.shape[1]]
            region[part & (region == 0)] = k + 1
        whole = crop_transform(image, plane.position(y0, x0), plane.steps(step))
        placed = {name: whole[name] for name in ("scale", "translate")}
        layer = self.prepare(image)
        zoom = screen_pixels(self._viewer, image, plane) * step
        contour = max(1, round(_OUTLINE / zoom)) if outline else 0
        layer.visible = False  # each of the following would draw it; so it is drawn once
        layer.data = plane.slab(data)
        for name, value in {**placed, "contour": contour}.items():
            if not np.array_equal(getattr(layer, name), value):
                setattr(layer, name, value)
        layer.visible = True

    def clear(self) -> None:
        """Show nothing."""
        if self.layer is not None and self.layer in self._viewer.layers:
            self.layer.visible = False

    def remove(self) -> None:
        """Take the layer out of the viewer."""
        if self.layer is not None and self.layer in self._viewer.layers:
            self._viewer.layers.remove(self.layer)
        self.layer = None
