"""Requests to the engine, as the controls of the dock stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_hqsam.errors import HQSAMError
from napari_hqsam.plugin.plane import displayed_plane
from napari_hqsam.plugin.request import Request
from napari_hqsam.plugin.viewport import pointer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_hqsam.labels.plane import ArrayPlane
    from napari_hqsam.plugin.annotate.controls import Controls
    from napari_hqsam.plugin.annotate.subjects import Subjects
    from napari_hqsam.segmentation import Mask, Prompts


class Asking:
    """Makes requests.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    controls : Controls
    subjects : Subjects
    """

    def __init__(self, viewer: ViewerModel, controls: Controls, subjects: Subjects) -> None:
        self._viewer, self._controls, self._subjects = viewer, controls, subjects

    def request(
        self,
        image: Image,
        plane: ArrayPlane,
        prompts: Sequence[Prompts],
        previous: tuple[Mask | None, ...] = (),
        candidate: int = 0,
    ) -> Request:
        """What to ask for the masks of prompts.

        Raises
        ------
        HQSAMError
            If the image cannot be used, or a prompt lies outside it.
        """
        subject, index = self._subjects.of(image, plane)
        for each in prompts:
            each.check_inside(subject.source.yx_shape())
        c = self._controls.masks
        single = len(prompts) == 1
        return Request(
            subject,
            tuple(prompts),
            plane,
            index,
            c.mode_name,
            previous,
            threshold=float(c.threshold.value),
            candidate=candidate if single else 0,
            multimask=single,
            fill_holes=bool(c.fill_holes.value),
            min_size=int(c.min_size.value),
            keep_to_box=bool(c.keep_to_box.value),
        )

    def click_here(self) -> tuple[Image, Request] | None:
        """What a click would ask where the mouse is; None beside the image."""
        from napari_hqsam.segmentation import Prompts

        image = self._controls.image.image.value
        if image is None:
            return None
        try:
            plane = displayed_plane(self._viewer, image)
            height, width = self._subjects.of(image, plane)[0].source.yx_shape()
            at = pointer(self._viewer, image, plane, (0, 0, height, width))
            return None if at is None else (image, self.request(image, plane, [Prompts([at])]))
        except HQSAMError:
            return None
