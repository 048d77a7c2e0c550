"""Plans, as the controls of the dock, the sliders and the objects stand."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_hqsam.plugin.propagate.choice import in_words, on_slice
from napari_hqsam.plugin.propagate.course import LayerCourse, slice_in_view
from napari_hqsam.plugin.propagate.plan import Finished, Plan, around, seeds_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari.components import ViewerModel

    from napari_hqsam.labels.objects import PlaneMask
    from napari_hqsam.plugin.propagate.annotating import Annotating
    from napari_hqsam.plugin.propagate.choice import Choice
    from napari_hqsam.plugin.propagate.controls import Controls
    from napari_hqsam.segmentation.volume import PropagateSettings


class Planning:
    """Makes plans.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    controls : Controls
    annotating : Annotating
    choice : Choice

    Attributes
    ----------
    finished : Finished
        What earlier plans have left.
    """

    def __init__(
        self, viewer: ViewerModel, controls: Controls, annotating: Annotating, choice: Choice
    ) -> None:
        self._viewer, self._controls = viewer, controls
        self._annotating, self._choice = annotating, choice
        self.finished = Finished()

    def course(self) -> LayerCourse:
        """The slices along the axis that is chosen.

        Raises
        ------
        HQSAMError
            If the image or the labels do not have it, or there is nothing to work on.
        """
        dock, image, labels, _ = self._annotating.there()
        source, axis = dock.subjects.source(image), str(self._controls.axis.value)
        return LayerCourse.of(self._viewer, image, labels, dock.layers, source, axis)

    def objects(self, course: LayerCourse) -> list[int]:
        """The objects that are meant.

        Raises
        ------
        HQSAMError
            If there is none.
        """
        *_, session = self._annotating.there()
        if self._controls.objects.value == "slice":
            return on_slice(session, course, self._here(course))
        return self._choice.required()

    def plan(self, *, from_here: bool) -> Plan:
        """What is to be propagated.

        Parameters
        ----------
        from_here : bool
            Only from the slice on display to the next seeds; its masks are seeds themselves.

        Raises
        ------
        HQSAMError
            If nothing can be.
        """
        dock, image, labels, session = self._annotating.there()
        course = self.course()
        here = self._here(course) if from_here else None
        seeds = seeds_of(session, course, self.objects(course), here)
        masks = dock.controls.masks
        settings = self._controls.settings(masks.mode_name, float(masks.threshold.value))
        subject, _ = dock.subjects.of(image, course.origin)
        overlap = self._controls.overlap.value
        kind = subject, course, settings, overlap
        known: dict[int, Mapping[int, PlaneMask]] = {}
        for number, own in seeds.items():
            there = course.masks(session.objects[number])
            # who begins with a propagated mask wants what comes after it anew
            fresh = here is not None and there[here].score is not None
            if not fresh and self.finished.holds(number, kind, there):
                known[number] = {at: mask for at, mask in there.items() if at not in own}
        if here is not None:
            seeds = {number: around(own, here) for number, own in seeds.items()}
            settings = _narrowed(settings, seeds, here)
        return Plan(
            session,
            labels,
            subject,
            course,
            settings,
            overlap,
            seeds,
            known=known,
            kind=kind,
            here=here,
        )

    def described(self, course: LayerCourse) -> str:
        """The objects that are meant, and how many masks they have, in words."""
        *_, session = self._annotating.there()
        numbers = self.objects(course)
        masks = [m for n in numbers for m in course.masks(session.objects[n]).values()]
        grown = sum(mask.score is not None for mask in masks)
        mine = len(masks) - grown
        slices = f"{mine:,} slice{'' if mine == 1 else 's'}"
        return f"{in_words(numbers).capitalize()}: {slices} of yours, {grown:,} propagated"

    def _here(self, course: LayerCourse) -> int:
        """The position on display."""
        _, _, labels, _ = self._annotating.there()
        return slice_in_view(self._viewer, labels).index[course.place]


def _narrowed(
    settings: PropagateSettings, seeds: Mapping[int, Mapping[int, PlaneMask]], here: int
) -> PropagateSettings:
    """Settings that lead no farther than to the next seeds, on a side where all objects have one.

    What lies between two seeds is propagated whatever the range.
    """
    before = all(min(own) < here for own in seeds.values())
    after = all(max(own) > here for own in seeds.values())
    return replace(
        settings,
        start=here if before else settings.start,
        stop=here + 1 if after else settings.stop,
    )
