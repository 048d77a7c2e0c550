"""What users have of objects, as prompts: label images, boxes, seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images import ImageSource
from napari_hqsam.images.windows import Box
from napari_hqsam.labels.find import Readable, label_boxes
from napari_hqsam.labels.frame import LabelFrame
from napari_hqsam.labels.pyramid import Plane
from napari_hqsam.segmentation.prompts import Prompts

Found = dict[Plane, list[tuple[int, Prompts]]]


def objects_from_labels(
    labels: Readable,
    frame: LabelFrame,
    planes: Sequence[Plane] | None = None,
    region: Box | None = None,
) -> Found:
    """The box of each label on each plane, under its own number.

    They are read block by block; of each label its box alone is kept.

    Parameters
    ----------
    labels : GivenLabels or LabelArray
        From 0 up, of the frame's shape.
    frame : LabelFrame
        Says which plane of the labels belongs to which plane of the image.
    planes : sequence of tuple of int, optional
        Of the image; all by default.
    region : (y0, x0, y1, x1), optional
        Half-open, in pixels: only labels whose boxes meet it.

    Returns
    -------
    dict
        Of each plane that has labels (label, Prompts), by ascending label.
    """
    found: Found = {}
    for plane in frame.planes() if planes is None else planes:
        places = label_boxes(labels, frame.plane(plane))
        chosen = [
            (number, _boxed(box))
            for number, box in zip(places.labels.tolist(), places.boxes, strict=True)
            if region is None or _meets(box, region)
        ]
        if chosen:
            found[tuple(plane)] = chosen
    return found


def objects_from_boxes(boxes: ArrayLike, source: ImageSource) -> Found:
    """Boxes as objects, numbered from 1 on.

    Parameters
    ----------
    boxes : array-like
        (n, 4), (y0, x0, y1, x1), the outermost pixels; of an image with further axes (n, k + 4)
        with the index of the plane along each of the k plane axes first.
    source : ImageSource

    Raises
    ------
    HQSAMError
        If the array has another shape, or names a plane that the image does not have.
    """
    planes, ends = _planes(boxes, source, "boxes", "y0, x0, y1, x1")
    return _numbered(planes, [Prompts(box=box) for box in ends.tolist()])


def objects_from_points(points: ArrayLike, source: ImageSource) -> Found:
    """Seeds, one in each object, as objects numbered from 1 on.

    Parameters
    ----------
    points : array-like
        (n, 2), (y, x); of an image with further axes (n, k + 2) with the index of the plane along
        each of the k plane axes first.
    source : ImageSource

    Raises
    ------
    HQSAMError
        If the array has another shape, or names a plane that the image does not have.
    """
    planes, seeds = _planes(points, source, "points", "y, x")
    return _numbered(planes, [Prompts(points=[seed]) for seed in seeds.tolist()])


def _planes(
    values: ArrayLike, source: ImageSource, name: str, meant: str
) -> tuple[list[Plane], NDArray[np.float64]]:
    """The plane of each row, and the coordinates within it."""
    axes = ", ".join(source.plane_axes)
    columns = f"{axes}, {meant}" if axes else meant
    k, width = len(source.plane_axes), len(columns.split(", "))
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.empty(0)
    if array.ndim != 2 or array.shape[1] != width or not np.isfinite(array).all():
        raise HQSAMError(f"{name}: give an array of {width} columns, {columns}")
    indices = np.round(array[:, :k]).astype(int).tolist()
    return [source.check_plane(index) for index in indices], array[:, k:]


def _numbered(planes: Sequence[Plane], prompts: Sequence[Prompts]) -> Found:
    found: Found = {}
    for number, (plane, of_object) in enumerate(zip(planes, prompts, strict=True), start=1):
        found.setdefault(plane, []).append((number, of_object))
    return found


def _boxed(box: NDArray[np.int64]) -> Prompts:
    """The prompt for a half-open box of pixels: it names the outermost of them."""
    return Prompts(box=(box[0], box[1], box[2] - 1, box[3] - 1))


def _meets(box: NDArray[Any], region: Box) -> bool:
    y0, x0, y1, x1 = region
    return bool(box[0] < y1 and box[1] < x1 and box[2] > y0 and box[3] > x0)
