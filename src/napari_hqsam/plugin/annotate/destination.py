"""Where prompts and objects go: the chosen Labels layer, its session, its planes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.objects import PlaneMask
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.plugin.plane import displayed_plane
from napari_hqsam.session.record import NewObject

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_hqsam.plugin.annotate.controls import Controls
    from napari_hqsam.plugin.annotate.label_layers import LabelLayers
    from napari_hqsam.plugin.annotate.sessions import Sessions
    from napari_hqsam.plugin.request import Request
    from napari_hqsam.segmentation import Mask
    from napari_hqsam.session.prompt import PromptItem
    from napari_hqsam.session.session import Session


class Destination:
    """Brings planes of the image and of the labels together.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    controls : Controls
    layers : LabelLayers
    sessions : Sessions
    """

    def __init__(
        self, viewer: ViewerModel, controls: Controls, layers: LabelLayers, sessions: Sessions
    ) -> None:
        self._viewer, self._controls = viewer, controls
        self._layers, self._sessions = layers, sessions

    def session(self, image: Image) -> Session:
        """The session of the chosen Labels layer, begun if it had not.

        Raises
        ------
        HQSAMError
            If objects of `image` cannot go into that layer.
        """
        labels = self._controls.labels.labels.value
        if labels is not None:
            problem = self._layers.problem(labels, image)
            if problem is not None:
                raise HQSAMError(f"{problem}: make a copy that can be edited, or a new layer")
        index = self._time_point(image)
        return self._sessions.begun(image, labels, lambda: self._layers.new(image, index), index)

    def plane(self, image: Image, plane: ArrayPlane) -> ArrayPlane:
        """A plane of the image as one of the labels.

        Raises
        ------
        HQSAMError
            If the labels do not have it.
        """
        labels = self._controls.labels.labels.value
        if labels is not None:
            return self._layers.plane_in(labels, image, plane)
        alone = len(self._time_point(image) or ())
        return ArrayPlane(plane.axes, (0,) * alone + plane.index[alone:])

    def mask(self, image: Image, item: PromptItem) -> PlaneMask | None:
        """The mask that an object has on the plane of a prompt."""
        session = self._sessions.current
        if session is None or item.label not in session.objects:
            return None
        plane = self.plane(image, item.plane)
        masks = session.objects[item.label].masks
        return next((mask for mask in masks if mask.plane == plane), None)

    def commit(
        self,
        image: Image,
        request: Request,
        masks: Sequence[Mask],
        items: Sequence[tuple[PromptItem, ...]],
    ) -> str:
        """Make objects of masks; what to tell the user.

        Parameters
        ----------
        image : napari.layers.Image
        request : Request
            What the masks answer.
        masks : sequence of Mask
        items : sequence of tuple of PromptItem
            What was drawn for each.

        Raises
        ------
        HQSAMError
            If nothing could be written; the prompts are kept.
        """
        from napari_hqsam.segmentation.uncertainty import boundary_uncertainty

        session = self.session(image)
        plane = self.plane(image, request.plane)
        name = self._controls.labels.class_name.value.strip()
        new = [
            NewObject(
                masks=(PlaneMask.of(plane, mask.bbox, mask.data),) if mask.area else (),
                score=mask.score,
                uncertainty=boundary_uncertainty(mask),
                model=request.subject.model,
                mode=request.mode,
                threshold=request.threshold,
                prompts=drawn,
                class_name=name,
            )
            for mask, drawn in zip(masks, items, strict=True)
        ]
        self._layers.flush()
        numbers = session.commit(new, self._controls.labels.overlap.value)
        labels = self._sessions.labels_of(session)
        what = f"object {numbers[0]}"
        if len(numbers) > 1:
            what = f"objects {numbers[0]}–{numbers[-1]}"
        told = f"Committed {what} to {'' if labels is None else labels.name}."
        if any(self._hidden(session, number, plane) for number in numbers):
            told += (
                " It overlaps another object: both keep their whole mask, but the label image "
                "shows only one of them there."
            )
        return told

    def _hidden(self, session: Session, number: int, plane: ArrayPlane) -> bool:
        """Whether the labels show less of an object than its mask."""
        for mask in session.objects[number].masks:
            if mask.plane == plane:
                shown = session.labels.read(plane, mask.bbox) == number
                return bool(np.count_nonzero(shown) < mask.area)
        return False

    def _time_point(self, image: Image) -> tuple[int, ...] | None:
        """For labels of one time point: where that is along the first axis."""
        control = self._controls.labels.time
        if control.value == "all" or image.ndim < 4:
            return None
        return displayed_plane(self._viewer, image).index[:1]
