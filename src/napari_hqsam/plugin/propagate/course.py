"""The slices that objects are followed through, in the axes of their Labels layer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.plugin.layers import spatial_shape
from napari_hqsam.plugin.plane import displayed_plane
from napari_hqsam.plugin.segment_all.placement import Placement

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels

    from napari_hqsam.images.source import ImageSource
    from napari_hqsam.labels.objects import LabelObject, PlaneMask
    from napari_hqsam.plugin.annotate.label_layers import LabelLayers
    from napari_hqsam.segmentation.volume import Course

_CHANNELS = ("c", "ch", "channel", "channels")


@dataclass(frozen=True)
class LayerCourse:
    """A course through an image as y-x planes of its labels.

    Attributes
    ----------
    course : Course
        In the image.
    origin : ArrayPlane
        One of the planes.
    place : int
        Which of its indices counts along the course.
    """

    course: Course
    origin: ArrayPlane
    place: int

    @classmethod
    def of(
        cls,
        viewer: ViewerModel,
        image: Image,
        labels: Labels,
        layers: LabelLayers,
        source: ImageSource,
        axis: str,
    ) -> LayerCourse:
        """The course along an axis, "z" or "t", where the sliders stand along the others.

        Raises
        ------
        HQSAMError
            If the image or its labels lack that axis, or have one plane along it.
        """
        from napari_hqsam.segmentation.volume import Course

        placement = Placement.of(image, source)
        shown = _plane_at(viewer, image)
        course = Course.of(source, axis, placement.plane(shown))
        place = placement.axes[placement.frame.order.index(course.index)]
        if str(image.axis_labels[place]).lower() in _CHANNELS:
            raise HQSAMError(
                f"{image.name}: that axis holds channels, not slices: split them (right-click the "
                "layer > Split Stack), and propagate in one of them"
            )
        origin = layers.plane_in(labels, image, shown)
        if spatial_shape(labels)[place] < course.length:
            raise HQSAMError(
                f"{labels.name} has a single plane along {axis}: choose labels of the whole image "
                "in Annotate"
            )
        found = cls(replace(course, others=course.plane(0)), origin, place)
        return replace(found, origin=found.plane(0))  # the same wherever its own slider stands

    @property
    def axis(self) -> str:
        """The letter, "z" or "t"."""
        return self.course.axis

    def plane(self, position: int) -> ArrayPlane:
        """The plane of the labels at a position."""
        index = self.origin.index
        return ArrayPlane(
            self.origin.axes, (*index[: self.place], position, *index[self.place + 1 :])
        )

    def position(self, plane: ArrayPlane) -> int | None:
        """Where a plane of the labels lies on the course; None if it does not."""
        if plane.axes != self.origin.axes:
            return None
        at = plane.index[self.place]
        return at if self.plane(at) == plane else None

    def masks(self, found: LabelObject) -> dict[int, PlaneMask]:
        """The masks of an object on the course, by position."""
        placed = ((self.position(mask.plane), mask) for mask in found.masks)
        return {position: mask for position, mask in placed if position is not None}


def slice_in_view(viewer: ViewerModel, labels: Labels) -> ArrayPlane:
    """The y-x plane of labels that the viewer shows.

    Raises
    ------
    HQSAMError
        If it shows something else.
    """
    if viewer.dims.ndisplay != 2:
        raise HQSAMError("this needs a slice: go back to the 2-D view, to one with the object")
    plane = displayed_plane(viewer, labels)
    if plane.axes != (labels.ndim - 2, labels.ndim - 1):
        raise HQSAMError("objects are followed from y-x slice to y-x slice: roll the axes back")
    return plane


def _plane_at(viewer: ViewerModel, image: Image) -> ArrayPlane:
    """The y-x plane of an image where the sliders stand, whatever is on display."""
    lacking = viewer.dims.ndim - image.ndim
    at = np.round(image.world_to_data(np.asarray(viewer.dims.point)[lacking:])).astype(int)
    at = np.clip(at, 0, np.subtract(spatial_shape(image), 1))
    n = image.ndim
    return ArrayPlane((n - 2, n - 1), tuple(int(i) for i in at[: n - 2]))
