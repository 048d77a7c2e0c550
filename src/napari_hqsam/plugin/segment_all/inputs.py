"""What the controls, the layers and the view together ask for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from psygnal import Signal

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.plugin.segment_all.assignment import Assignment
from napari_hqsam.plugin.segment_all.drawn import drawn_objects
from napari_hqsam.plugin.segment_all.extent import Extent, box_in_view, extent
from napari_hqsam.plugin.segment_all.live_preview import LARGEST, Sight
from napari_hqsam.plugin.segment_all.placement import Placement, plane_in_view

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer

    from napari_hqsam.plugin.annotate.subjects import Subjects
    from napari_hqsam.plugin.request import Subject
    from napari_hqsam.plugin.segment_all.controls import Controls


class Inputs:
    """Makes assignments of what is chosen.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    controls : Controls
    subjects : Subjects

    Signals
    -------
    changed()
        The labels, points or shapes that are chosen were edited.
    """

    changed = Signal()

    def __init__(self, viewer: ViewerModel, controls: Controls, subjects: Subjects) -> None:
        self._viewer, self._controls, self._subjects = viewer, controls, subjects
        self._heard: WeakSet[Layer] = WeakSet()
        for box in self._boxes:
            box.changed.connect(self._hear)
        self._hear()

    @property
    def image(self) -> Image:
        """The image that is chosen.

        Raises
        ------
        HQSAMError
            If there is none.
        """
        image = self._controls.image.image.value
        if image is None or image not in self._viewer.layers:
            raise HQSAMError("open an image first")
        return image

    def placement(self) -> Placement:
        """Where labels of the image lie.

        Raises
        ------
        HQSAMError
            If there is no image, or it cannot have labels.
        """
        image = self.image
        return Placement.of(image, self._subjects.source(image))

    def assignment(self) -> Assignment:
        """All of the region.

        Raises
        ------
        HQSAMError
            If something is missing, or does not fit.
        """
        c, image, placement = self._controls.extent, self.image, self.placement()
        where = extent(self._viewer, image, placement, c.region, c.shapes.value)
        return self._assignment(image, placement, where)

    def sight(self) -> Sight:
        """What is in view, for a preview.

        Raises
        ------
        HQSAMError
            If there is nothing, or too much of it, or something is missing.
        """
        image, placement = self.image, self.placement()
        plane = plane_in_view(self._viewer, image)
        box = y0, x0, y1, x1 = box_in_view(self._viewer, image, plane)
        if (y1 - y0) * (x1 - x0) > LARGEST:
            side = math.isqrt(LARGEST)
            raise HQSAMError(f"Zoom in to preview: up to {side} × {side} pixels.")
        return Sight(image, self._assignment(image, placement, Extent()), plane, box)

    def _assignment(self, image: Image, placement: Placement, where: Extent) -> Assignment:
        method, extent = self._controls.method, self._controls.extent
        given = self._given(image, placement, where)
        options = {**method.options(), **extent.options()}
        subject = self._subject(image)
        return Assignment(
            subject, placement, method.chosen, given, options, where.planes, where.region
        )

    def _subject(self, image: Image) -> Subject:
        n = image.ndim
        subject, _ = self._subjects.of(image, ArrayPlane((n - 2, n - 1), (0,) * (n - 2)))
        return subject

    def _given(self, image: Image, placement: Placement, where: Extent) -> Any:
        c = self._controls.method
        if c.chosen == "automatic":
            return c.find_by.value
        if c.chosen == "refine":
            labels = c.labels.value
            if labels is None:
                raise HQSAMError("there is no Labels layer to refine: open one, or find objects")
            placement.check(labels, image)
            return placement.gather(labels.data[0] if labels.multiscale else labels.data)
        drawn = drawn_objects(self._viewer, image, c.points.value, c.shapes.value)
        found = {placement.plane(plane): prompts for plane, prompts in drawn.items()}
        if where.planes is not None:
            found = {plane: found[plane] for plane in where.planes if plane in found}
            if not found:
                raise HQSAMError(
                    "nothing is drawn on the slice on display: move there, or choose all of it"
                )
        return found

    @property
    def _boxes(self) -> tuple[Any, ...]:
        c = self._controls.method
        return c.labels, c.points, c.shapes

    def _hear(self) -> None:
        """Listen to the layers that are chosen."""
        for box in self._boxes:
            layer = box.value
            if layer is not None and layer not in self._heard:
                self._heard.add(layer)
                for name in ("data", "paint", "labels_update"):
                    if hasattr(layer.events, name):
                        getattr(layer.events, name).connect(self._on_edited)

    def _on_edited(self, event: Any) -> None:
        chosen = {
            "refine": (self._controls.method.labels,),
            "automatic": (),
            "drawn": (self._controls.method.points, self._controls.method.shapes),
        }[self._controls.method.chosen]
        if any(box.value is event.source for box in chosen):
            self.changed.emit()
