"""What is propagated: masks, prompts or labels that somebody gives, as seeds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images import ImageSource
from napari_hqsam.labels.find import label_boxes
from napari_hqsam.labels.frame import LabelFrame
from napari_hqsam.labels.given import as_label_array
from napari_hqsam.segmentation.mask import Mask
from napari_hqsam.segmentation.prompts import Prompts
from napari_hqsam.segmentation.volume.course import Course
from napari_hqsam.segmentation.volume.slice_mask import SliceMask

Plane = tuple[int, ...]
Highest = Callable[[], int]
Predict = Callable[[Sequence[Prompts], Plane], Sequence[Mask]]


def seeds_of(
    given: Any,
    source: ImageSource,
    level: int,
    axis: str | None,
    predict: Predict,
    highest: Highest,
) -> tuple[Course, dict[int, list[SliceMask]]]:
    """Seeds, and the course that they lie on.

    Parameters
    ----------
    given
        As for `Segmenter.propagate`.
    source : ImageSource
    level : int
    axis : {"z", "t"} or None
    predict : callable
        The masks of prompts on a plane.
    highest : callable
        The largest label that is taken; asked for if objects come without labels.

    Raises
    ------
    HQSAMError
        If they are none of these, or do not lie on the planes of one course.
    """
    Course.of(source, axis, (0,) * len(source.plane_axes))  # the image has such an axis at all
    masks = _masks(given, predict, highest)
    if masks is None:
        return _labelled(given, LabelFrame.of(source, level), source, axis)
    planes = [mask.plane for several in masks.values() for mask in several]
    if not planes:
        raise HQSAMError("there is nothing to propagate: give masks, prompts or labels as seeds")
    course = Course.of(source, axis, planes[0])
    out: dict[int, list[SliceMask]] = {}
    for label, several in masks.items():
        for mask in several:
            _check(course, mask.plane, label)
        at = course.index
        out[label] = [SliceMask(label, m.plane[at], m.data, m.bbox) for m in several]
    return course, out


def _masks(given: Any, predict: Predict, highest: Highest) -> dict[int, list[Mask]] | None:
    """Masks by label; None if something else is given."""
    if isinstance(given, Mask):
        given = [given]
    if isinstance(given, Mapping):
        if all(isinstance(key, tuple) for key in given):
            return _predicted(given, predict, highest)
        return {
            int(label): [masks] if isinstance(masks, Mask) else list(masks)
            for label, masks in given.items()
        }
    if isinstance(given, (list, tuple)) and all(isinstance(each, Mask) for each in given):
        return {i: [mask] for i, mask in enumerate(given, start=highest() + 1)}
    return None


def _predicted(
    given: Mapping[Plane, Sequence[Any]], predict: Predict, highest: Highest
) -> dict[int, list[Mask]]:
    """Masks of prompts, ``{plane: [Prompts or (label, Prompts), ...]}``."""
    out: dict[int, list[Mask]] = defaultdict(list)
    unnamed = any(isinstance(each, Prompts) for several in given.values() for each in several)
    last = highest() if unnamed else 0
    for plane, several in given.items():
        labels, prompts = [], []
        for each in several:
            if isinstance(each, Prompts):
                last += 1
                labels.append(last)
                prompts.append(each)
            else:
                labels.append(int(each[0]))
                prompts.append(each[1])
        for label, mask in zip(labels, predict(prompts, tuple(plane)), strict=True):
            if not mask.data.any():
                raise HQSAMError(
                    f"object {label}: its prompts on plane {tuple(plane)} give no mask; move them, "
                    "or add one"
                )
            out[label].append(mask)
    return dict(out)


def _labelled(
    given: Any, frame: LabelFrame, source: ImageSource, axis: str | None
) -> tuple[Course, dict[int, list[SliceMask]]]:
    """Each label on each plane where it occurs."""
    array = as_label_array(given, frame, "seeds")
    course: Course | None = None
    out: dict[int, list[SliceMask]] = defaultdict(list)
    for plane in frame.planes():
        at = frame.plane(plane)
        places = label_boxes(array, at)
        for number, box in zip(places.labels.tolist(), places.boxes.tolist(), strict=True):
            course = course or Course.of(source, axis, plane)
            _check(course, plane, number)
            y0, x0, y1, x1 = box
            data = array.read(at, (y0, x0, y1, x1)) == number
            position = plane[course.index]
            out[number].append(SliceMask(number, position, np.asarray(data), (y0, x0, y1, x1)))
    if course is None:
        raise HQSAMError(f"{array.name}: there is no label in them; label objects on a slice")
    return course, dict(out)


def _check(course: Course, plane: Plane, label: int) -> None:
    if not course.holds(plane):
        raise HQSAMError(
            f"object {label} on plane {plane}: seeds lie on planes that differ along "
            f"{course.axis} alone, as {course.others} does; propagate the others by themselves"
        )
