"""What is to be propagated: objects, the masks that they start from, and those that may go."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.objects import PlaneMask
from napari_hqsam.plugin.propagate.choice import in_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence, Set

    from napari.layers import Labels

    from napari_hqsam.labels.plane import ArrayPlane
    from napari_hqsam.plugin.propagate.course import LayerCourse
    from napari_hqsam.plugin.request import Subject
    from napari_hqsam.segmentation.volume import PropagateSettings, SliceMask
    from napari_hqsam.session.edit import Overlap
    from napari_hqsam.session.session import Session


@dataclass(frozen=True, eq=False)
class Plan:
    """A propagation.

    Attributes
    ----------
    session : Session
    labels : napari.layers.Labels
    subject : Subject
        The image and the model.
    course : LayerCourse
    settings : PropagateSettings
    overlap : {"background", "overwrite"}
        What becomes of pixels of other objects.
    seeds : Mapping of int to Mapping of int to PlaneMask
        By number and position: the masks that somebody vouches for.
    known : Mapping of int to Mapping of int to PlaneMask
        The same of propagated masks that are still right where no new seed has changed them.
    here : int or None
        The position that all begins from, up to the next seeds; None if from all seeds.
    kind : tuple
        How it is done, to be compared with that of others.
    group : str
        Of the steps of the session.
    asked : set of (int, int)
        Number and position of each known mask that the propagation has looked at.
    """

    session: Session
    labels: Labels
    subject: Subject
    course: LayerCourse
    settings: PropagateSettings
    overlap: Overlap
    seeds: Mapping[int, Mapping[int, PlaneMask]]
    known: Mapping[int, Mapping[int, PlaneMask]] = field(default_factory=dict)
    kind: tuple[Any, ...] = ()
    here: int | None = None
    group: str = field(default_factory=lambda: f"propagation {uuid4().hex[:8]}")
    asked: set[tuple[int, int]] = field(default_factory=set)

    @property
    def objects(self) -> tuple[int, ...]:
        """Their numbers."""
        return tuple(self.seeds)

    def seed_masks(self) -> dict[int, list[SliceMask]]:
        """The seeds, as a propagation takes them."""
        return {
            number: [_slice_mask(number, position, mask) for position, mask in sorted(own.items())]
            for number, own in self.seeds.items()
        }

    def known_mask(self, number: int, position: int) -> SliceMask | None:
        """What an earlier propagation made of an object at a position; noted as `asked`."""
        mask = self.known.get(number, {}).get(position)
        if mask is None:
            return None
        self.asked.add((number, position))
        return _slice_mask(number, position, mask)

    def drawn(self, found: Sequence[SliceMask]) -> dict[int, list[PlaneMask]]:
        """What was found, as the session takes it; what lies beyond the range is left out."""
        masks: dict[int, list[PlaneMask]] = {}
        for each in found:
            if not self._within(each.label, each.position):
                continue
            whole = PlaneMask.of(self.course.plane(each.position), each.bbox, each.data)
            score = 0.0 if each.score is None else float(each.score)
            scored = PlaneMask(whole.plane, whole.bbox, whole.runs, score)
            masks.setdefault(each.label, []).append(scored)
        return masks

    def stale(self, told: Set[tuple[int, int]]) -> dict[int, list[ArrayPlane]]:
        """Where objects have masks of an earlier propagation that this one would not make.

        Parameters
        ----------
        told : set of (int, int)
            Number and position of each mask that it has made.
        """
        gone: dict[int, list[ArrayPlane]] = {}
        for number, own in self.seeds.items():
            record = self.session.objects.get(number)
            if record is None:
                continue
            # what it has looked at and not made anew is as it was, and so is all that follows
            same = {at for label, at in self.asked - told if label == number}
            before = max((at for at in same if at < min(own)), default=-1)
            after = min((at for at in same if at > max(own)), default=self.course.course.length)
            for at, mask in self.course.masks(record).items():
                made = at in own or (number, at) in told
                kept = at in same or at <= before or at >= after
                if not (mask.score is None or made or kept) and self._within(number, at):
                    gone.setdefault(number, []).append(mask.plane)
        return gone

    def _within(self, number: int, position: int) -> bool:
        """Whether a mask at a position is asked for: between two seeds they always are."""
        own, settings = self.seeds[number], self.settings
        if position < min(own):
            wanted = settings.direction != "forward" and position >= (settings.start or 0)
            return wanted and (self.here is None or self.here == min(own))
        if position > max(own):
            wanted = settings.stop is None or position < settings.stop
            wanted = wanted and settings.direction != "backward"
            return wanted and (self.here is None or self.here == max(own))
        return True


class Finished:
    """What propagations have left complete, so that a correction need not begin all over again."""

    def __init__(self) -> None:
        self._of: dict[int, tuple[tuple[Any, ...], frozenset[int]]] = {}

    def forget(self) -> None:
        """Other labels: their numbers are other objects."""
        self._of.clear()

    def begin(self, plan: Plan) -> None:
        """A propagation has begun that may not come to its end."""
        for number in plan.objects:
            self._of.pop(number, None)

    def note(self, plan: Plan) -> None:
        """It has: note what its objects have now, unless slices elsewhere are of another kind."""
        for number in plan.objects:
            record = plan.session.objects.get(number)
            if record is not None and (number in plan.known or plan.here is None):
                self._of[number] = plan.kind, frozenset(plan.course.masks(record))

    def holds(self, number: int, kind: tuple[Any, ...], masks: Mapping[int, PlaneMask]) -> bool:
        """Whether an object still has all that a propagation of that kind gave it."""
        known = self._of.get(number)
        return known is not None and known[0] == kind and known[1] <= masks.keys()


def seeds_of(
    session: Session, course: LayerCourse, numbers: Sequence[int], here: int | None = None
) -> dict[int, dict[int, PlaneMask]]:
    """The masks that objects start from; those that have none are left out.

    Parameters
    ----------
    session : Session
    course : LayerCourse
    numbers : sequence of int
        Of the objects.
    here : int, optional
        The mask at this position counts, too, whoever made it; objects without one are left out.

    Raises
    ------
    HQSAMError
        If no object has any.
    """
    found, propagated = {}, False
    for number in numbers:
        masks = course.masks(session.objects[number])
        if here is not None and here not in masks:
            continue
        own = {at: m for at, m in masks.items() if m.area and (m.score is None or at == here)}
        propagated |= bool(masks) and not own
        if own:
            found[number] = own
    if found:
        return found
    who = in_words(numbers).capitalize()
    if here is not None:
        raise HQSAMError(
            f"{who} {_have(numbers)} no mask at {course.axis} = {here}: prompt or paint it here"
        )
    if propagated:
        raise HQSAMError(
            f"{who} {_have(numbers)} propagated masks only: go to a slice where it is right, and "
            "Re-propagate from here"
        )
    raise HQSAMError(
        f"{who} {_have(numbers)} no mask on the slices along {course.axis} here: prompt it on one "
        "of them, and commit it (Enter)"
    )


def around(own: Mapping[int, PlaneMask], here: int) -> dict[int, PlaneMask]:
    """The seeds of an object at a position and next to it on both sides."""
    before = max((at for at in own if at < here), default=here)
    after = min((at for at in own if at > here), default=here)
    return {at: mask for at, mask in own.items() if before <= at <= after}


def _have(numbers: Sequence[int]) -> str:
    return "has" if len(numbers) == 1 else "have"


def _slice_mask(number: int, position: int, mask: PlaneMask) -> SliceMask:
    from napari_hqsam.segmentation.volume import SliceMask

    return SliceMask(number, position, mask.data, mask.bbox, mask.score)
