"""The layer on display as what the engine works on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images.layer import limits_from_layers, source_from_layers
from napari_hqsam.images.source import ImageSource
from napari_hqsam.plugin.layers import spatial_shape
from napari_hqsam.plugin.plane import displayed_plane
from napari_hqsam.plugin.request import Subject

if TYPE_CHECKING:
    from pathlib import Path

    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_hqsam.labels.plane import ArrayPlane
    from napari_hqsam.plugin.annotate.image_controls import ImageControls
    from napari_hqsam.plugin.settings import Settings

Shown = tuple["Image", "ArrayPlane", Subject, tuple[int, ...]]

# So many images are known at a time: that on display, and those that are encoded ahead.
_KNOWN = 4


@dataclass
class _Known:
    """An image that was looked at.

    Attributes
    ----------
    layers : list of (Image, data)
        What it was made of.
    whole : ImageSource
    limits : tuple or None
        The contrast that the engine works with.
    turned : dict
        By the axes on display, the source along these.
    """

    layers: list[tuple[Image, Any]]
    whole: ImageSource
    limits: Any
    turned: dict[tuple[int, int], ImageSource] = field(default_factory=dict)

    def of(self, axes: tuple[int, int]) -> ImageSource:
        if axes not in self.turned:
            letters = self.whole.array_axes.removeprefix("c")
            down, across = (letters[axis] for axis in axes)
            turn = (down, across) != ("y", "x")
            self.turned[axes] = self.whole.displaying(down, across) if turn else self.whole
        return self.turned[axes]


class Subjects:
    """Makes one source for each image, its data and its axes on display, and keeps them.

    The contrast is that on display when the image is first used: an object must look the same
    everywhere, and what is encoded stay of use.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    controls : ImageControls
        Where the image, its channels and the model are chosen.
    settings : Settings
        Device, precision, whether to compile, and where embeddings are kept.
    """

    def __init__(self, viewer: ViewerModel, controls: ImageControls, settings: Settings) -> None:
        self._viewer, self._controls = viewer, controls
        self.settings = settings
        self._known: list[_Known] = []

    def of(self, image: Image, plane: ArrayPlane) -> tuple[Subject, tuple[int, ...]]:
        """What the engine works on, and the index of a plane of the image in it.

        Raises
        ------
        HQSAMError
            If the layers cannot be used, or not together.
        """
        known = self._look([image, *self._more(image)])
        subject = Subject(
            known.of(plane.axes),
            known.limits,
            str(self._controls.model.value),
            self.settings.device,
            self._store(image, known),
            self.settings.precision,
            self.settings.compile,
        )
        return subject, plane.source_index(spatial_shape(image))

    def source(self, image: Image) -> ImageSource:
        """The image with its channels, as it is stored."""
        return self._look([image, *self._more(image)]).whole

    def about(self, image: Image) -> tuple[ImageSource, Any, str]:
        """Its source, the contrast limits that are worked with, and the model, for the records."""
        known = self._look([image, *self._more(image)])
        limits = None if known.limits is None or None in known.limits else known.limits
        return known.whole, limits, str(self._controls.model.value)

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
        if not self._known or self._controls.contrast.value == "auto":
            return False
        known = self._known[0]
        return self._contrast([layer for layer, _ in known.layers]) != known.limits

    def take_contrast(self) -> None:
        """Work with the contrast chosen, or on display, from now on."""
        if self._known:
            known = self._known[0]
            known.limits = self._contrast([layer for layer, _ in known.layers])

    def _more(self, image: Image) -> list[Image]:
        """The channels chosen beside an image; none for one that is only encoded ahead."""
        if image is not self._controls.image.value:
            return []
        return [each for each in self._controls.more_channels if each is not image]

    def _look(self, layers: list[Image]) -> _Known:
        """What is known of layers; that of the image on display comes first."""
        now = [(layer, layer.data) for layer in layers]
        for known in self._known:
            if len(known.layers) == len(now) and all(
                a is c and b is d for (a, b), (c, d) in zip(known.layers, now, strict=True)
            ):
                break
        else:
            known = _Known(now, source_from_layers(layers), self._contrast(layers))
        rest = [other for other in self._known if other is not known]
        first = layers[0] is self._controls.image.value
        self._known = ([known, *rest] if first else [*rest[:1], known, *rest[1:]])[:_KNOWN]
        return known

    def _contrast(self, layers: list[Image]) -> Any:
        limits = limits_from_layers(layers)
        if limits is None:
            return None
        return (
            tuple(None for _ in limits)
            if self._controls.contrast.value == "auto"
            else tuple(limits)
        )

    def _store(self, image: Image, known: _Known) -> Path | None:
        """Where the embeddings of an image are kept: the folder chosen, or that of all images."""
        chosen = self._controls.store_folder
        if chosen is not None and image is self._controls.image.value:
            return chosen
        folder = self.settings.folder
        if folder is None:
            return None
        from napari_hqsam.embedding.folder import store_path

        return store_path(folder, known.whole, image.name)
