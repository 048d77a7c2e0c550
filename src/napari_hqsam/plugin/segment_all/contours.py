"""The layer of the live preview: outlines, only where somebody looks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import CyclicLabelColormap

from napari_hqsam.plugin.layers import crop_transform
from napari_hqsam.plugin.preview import MARK
from napari_hqsam.plugin.viewport import screen_pixels

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer
    from numpy.typing import NDArray

    from napari_hqsam.labels.plane import ArrayPlane
    from napari_hqsam.labels.pyramid import Box

NAME = "Segment all preview"

# Bright, rare in stains, and told apart by colour-blind people too.
_COLOURS = ((0.0, 0.9, 1.0, 1.0), (1.0, 0.88, 0.3, 1.0), (1.0, 0.4, 0.85, 1.0))


class Contours:
    """A read-only Labels layer of one box of a plane.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self.layer: Labels | None = None
        self._image: Image | None = None

    @property
    def alive(self) -> bool:
        """Whether the layer is in the viewer."""
        return self.layer is not None and self.layer in self._viewer.layers

    def owns(self, layer: Layer) -> bool:
        """Whether a layer is this one."""
        return layer is self.layer

    def show(self, image: Image, plane: ArrayPlane, box: Box, labels: NDArray[Any]) -> None:
        """Show labels (h, w) of a box of a plane of an image."""
        data = plane.slab(np.ascontiguousarray(labels))
        data.flags.writeable = False
        placed = crop_transform(image, plane.position(*box[:2]))
        zoom = screen_pixels(self._viewer, image, plane)
        contour = int(np.clip(round(2 / zoom), 1, 2))
        if self.alive and self.layer is not None and self._image is image:
            with self.layer._block_refresh():  # each of these would draw it
                self.layer.data = data
                self.layer.scale, self.layer.translate = placed["scale"], placed["translate"]
                self.layer.contour = contour
            self.layer.refresh()
            return
        self.remove()
        self._image = image
        self.layer = Labels(
            data, name=NAME, opacity=1, metadata={MARK: True}, colormap=_bright(), **placed
        )
        self.layer.contour = contour
        self.layer.editable = False
        selected = self._viewer.layers.selection.active
        self._viewer.add_layer(self.layer)  # on top: rough labels would hide it
        self._viewer.layers.selection.active = selected

    def remove(self) -> None:
        """Take the layer out of the viewer."""
        layer, self.layer = self.layer, None
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)


def _bright() -> CyclicLabelColormap:
    return CyclicLabelColormap(colors=[(0, 0, 0, 0), *_COLOURS])
