"""Objects predicted anew from the prompts that they were made of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from napari_hqsam.labels.objects import PlaneMask
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.session.draft import Draft
from napari_hqsam.session.edit import draw, erase
from napari_hqsam.session.history import History, write_edits
from napari_hqsam.session.prompt import PromptItem, group
from napari_hqsam.session.record import ObjectRecord
from napari_hqsam.session.shape import around, spread, trimmed, united

if TYPE_CHECKING:
    from napari_hqsam.modeling import Mode
    from napari_hqsam.segmentation import Prompts, Segmenter

Place = Callable[[ArrayPlane], "tuple[Segmenter, tuple[int, ...]]"]
"""Gives what predicts on a plane of the labels, and the index of that plane in its image."""

# Predicted at once.
_TOGETHER = 32


def predict_anew(
    objects: Mapping[int, ObjectRecord], place: Place
) -> Iterator[tuple[int, tuple[PlaneMask, ...]]]:
    """Predict objects again, each with its own mode and threshold.

    An object on several planes is predicted on each that has prompts. A ``"label"`` item stands for
    the mask of that object as it is in `objects`.

    Parameters
    ----------
    objects : Mapping
    place : callable

    Yields
    ------
    int, tuple of PlaneMask
        Number and new masks of each object that has prompts; () where nothing was found.
    """

    def label_mask(item: PromptItem) -> PlaneMask | None:
        masks = objects[item.label].masks if item.label in objects else ()
        return next((mask for mask in masks if mask.plane == item.plane), None)

    waiting = [number for number, record in objects.items() if record.prompts]
    for start in range(0, len(waiting), _TOGETHER):
        numbers = waiting[start : start + _TOGETHER]
        asked: dict[tuple[Any, ...], list[tuple[int, Prompts]]] = defaultdict(list)
        for number in numbers:
            record = objects[number]
            for plane in dict.fromkeys(item.plane for item in record.prompts):
                items = [item for item in record.prompts if item.plane == plane]
                for prompts, _ in group(items, label_mask):
                    asked[plane, record.mode, record.threshold].append((number, prompts))
        found: dict[int, dict[ArrayPlane, PlaneMask]] = {number: {} for number in numbers}
        for (plane, mode, threshold), members in asked.items():
            segmenter, index = place(plane)
            masks = segmenter.predict_many(
                [prompts for _, prompts in members],
                plane=index,
                mode=cast("Mode", mode),
                threshold=threshold,
            )
            for (number, _), mask in zip(members, masks, strict=True):
                new = trimmed(plane, mask.bbox[:2], mask.data)
                if new is not None:
                    old = found[number].get(plane)
                    found[number][plane] = new if old is None else united(old, new)
        for number in numbers:
            yield number, tuple(found[number].values())


def redraw(history: History, masks: Mapping[int, Sequence[PlaneMask]]) -> None:
    """Give objects other masks, drawn in the order of `masks`; other objects keep their pixels.

    Raises
    ------
    HQSAMError
        If the labels cannot be written.
    """
    draft = Draft(history.labels, history.objects, history.next_id)
    for number in masks:
        erase(draft, number)
    for number, new in masks.items():
        draw(draft, replace(history.objects[number], masks=tuple(new)))
    write_edits(history.labels, draft.finish(), back=False)


def iou(a: Sequence[PlaneMask], b: Sequence[PlaneMask]) -> float:
    """Intersection over union of two objects, over all planes; 1 for two without pixels."""
    planes = [{mask.plane: mask for mask in masks} for masks in (a, b)]
    both = either = 0
    for plane in {**planes[0], **planes[1]}:
        masks = [found[plane] for found in planes if plane in found]
        box = around(*(mask.bbox for mask in masks))
        count = np.sum([spread(mask, box).astype(np.uint8) for mask in masks], axis=0)
        both += int((count == 2).sum())
        either += int((count > 0).sum())
    return both / either if either else 1.0
