"""Where `propagate` begins, and whether one course through the image passes it all."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from napari_hqsam.cli.console import counting_bar
from napari_hqsam.cli.prompts import PromptedObject
from napari_hqsam.errors import HQSAMError

if TYPE_CHECKING:
    from napari_hqsam.images import ImageSource
    from napari_hqsam.labels.frame import LabelFrame
    from napari_hqsam.segmentation.volume import Course

_SIDE = 2048  # of the labels that are read at once

Plane = tuple[int, ...]


def choose_course(source: ImageSource, axis: str | None, plane: Plane) -> Course:
    """The course along ``--axis`` that passes a plane.

    Raises
    ------
    HQSAMError
        If there is none.
    """
    from napari_hqsam.segmentation.volume import Course

    if not source.plane_axes:
        raise HQSAMError(
            f"{source.name}: is a single plane, there is nothing to propagate to; if one of its "
            "dimensions is z or t, say so with --axes"
        )
    return Course.of(source, axis, plane)


def check_course(
    course: Course, planes: Sequence[Plane], first: int | None, last: int | None
) -> None:
    """Find out whether a course passes all planes, and has the slices ``--from`` and ``--to``.

    Raises
    ------
    HQSAMError
        If not.
    """
    for each in planes:
        if not course.holds(each):
            raise HQSAMError(
                f"objects are followed along {course.axis} in one go, but they are on the planes "
                f"{planes[0]} and {each}; propagate them one after the other"
            )
    for option, at in (("--from", first), ("--to", last)):
        if at is not None and at >= course.length:
            raise HQSAMError(
                f"{option} {at}: {course.axis} goes from 0 to {course.length - 1} in this image"
            )
    if first is not None and last is not None and first > last:
        raise HQSAMError(f"--to {last}: comes before --from {first}")


def prompts_by_plane(objects: Sequence[PromptedObject], after: int) -> dict[Plane, list[Any]]:
    """Labels and prompts by plane, the labels numbered on from `after`."""
    found: dict[Plane, list[Any]] = {}
    for each in objects:
        found.setdefault(each.plane, []).append((after + each.label, each.prompts))
    return found


def labelled_planes(labels: str, frame: LabelFrame) -> tuple[list[Plane], int]:
    """The planes of the image on which a label image has labels, and the largest label.

    Raises
    ------
    HQSAMError
        If they do not fit the image, or cannot be read.
    """
    from napari_hqsam.labels.given import as_label_array
    from napari_hqsam.labels.pyramid import tiles

    found, highest = [], 0
    planes, boxes = list(frame.planes()), list(tiles((0, 0, *frame.plane_shape), (_SIDE, _SIDE)))
    with closing(as_label_array(labels, frame)) as given, counting_bar() as progress:
        for i, plane in enumerate(planes, start=1):
            largest = max(int(given.read(frame.plane(plane), box).max()) for box in boxes)
            found += [plane] if largest else []
            highest = max(highest, largest)
            progress(i, len(planes), "reading labels")
    return found, highest
