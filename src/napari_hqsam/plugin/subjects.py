"""The layer on display as what the engine works on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images.layer import limits_from_layers, source_from_layers
from napari_hqsam.images.source import ImageSource
from napari_hqsam.plugin.layers import spatial_shape
from napari_hqsam.plugin.plane import displayed_plane
from napari_hqsam.plugin.request import Subject

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_hqsam.labels.plane import ArrayPlane
    from napari_hqsam.plugin.annotate_controls import AnnotateControls

Shown = tuple["Image", "ArrayPlane", Subject, tuple[int, ...]]


class Subjects:
    """Makes one source for each image, its data and its axes on display, and keeps them.

    The contrast is that on display when the image is first used: an object must look the same
    everywhere, and what is encoded stay of use.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    controls : AnnotateControls
        Where the image, its channels and the model are chosen.
    """

    def __init__(self, viewer: ViewerModel, controls: AnnotateControls) -> None:
        self._viewer, self._controls = viewer, controls
        self._made_for: list[tuple[Image, Any]] = []
        self._whole: ImageSource | None = None
        self._turned: dict[tuple[int, int], ImageSource] = {}
        self._limits: Any = None

    def of(self, image: Image, plane: ArrayPlane) -> tuple[Subject, tuple[int, ...]]:
        """What the engine works on, and the index of a plane of the image in it.

        Raises
        ------
        HQSAMError
            If the layers cannot be used, or not together.
        """
        layers = [image, *(each for each in self._controls.more_channels if each is not image)]
        now = [(layer, layer.data) for layer in layers]
        same = len(now) == len(self._made_for) and all(
            a is c and b is d for (a, b), (c, d) in zip(now, self._made_for, strict=True)
        )
        if self._whole is None or not same:
            self._whole = source_from_layers(layers)
            self._made_for, self._turned = now, {}
            self._limits = _contrast(layers)
        if plane.axes not in self._turned:
            letters = self._whole.array_axes.removeprefix("c")
            down, across = (letters[axis] for axis in plane.axes)
            turn = (down, across) != ("y", "x")
            self._turned[plane.axes] = self._whole.displaying(down, across) if turn else self._whole
        subject = Subject(
            self._turned[plane.axes],
            self._limits,
            str(self._controls.model.value),
            store=self._controls.store_folder,
        )
        return subject, plane.source_index(spatial_shape(image))

    def on_display(self) -> Shown | None:
        """The image, its plane that the viewer shows, and `of` these; None if there is none."""
        image = self._controls.image.value
        if image is None or image not in self._viewer.layers:
            return None
        try:
            plane = displayed_plane(self._viewer, image)
            return image, plane, *self.of(image, plane)
        except HQSAMError:
            return None

    @property
    def contrast_changed(self) -> bool:
        """Whether another contrast is on display than the engine works with."""
        layers = [layer for layer, _ in self._made_for]
        return bool(layers) and _contrast(layers) != self._limits

    def take_contrast(self) -> None:
        """Work with the contrast on display from now on."""
        self._limits = _contrast([layer for layer, _ in self._made_for])


def _contrast(layers: list[Image]) -> Any:
    limits = limits_from_layers(layers)
    return None if limits is None else tuple(limits)
