"""Objects whose masks overlap, which a label image cannot show."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

import numpy as np

from napari_hqsam.labels.objects import LabelObject, PlaneMask
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.labels.pyramid import common
from napari_hqsam.session.shape import spread


def overlaps(objects: Iterable[LabelObject]) -> list[tuple[int, int]]:
    """The pairs of numbers, the smaller one first, of objects that share a pixel of a plane."""
    planes: dict[ArrayPlane, list[tuple[int, PlaneMask]]] = defaultdict(list)
    for found in objects:
        for mask in found.masks:
            planes[mask.plane].append((found.id, mask))
    pairs = set()
    for members in planes.values():
        for (a, mask), (b, other) in _near(members):
            box = common(mask.bbox, other.bbox)
            if box is not None and (spread(mask, box) & spread(other, box)).any():
                pairs.add((min(a, b), max(a, b)))
    return sorted(pairs)


def _near(
    members: list[tuple[int, PlaneMask]],
) -> Iterator[tuple[tuple[int, PlaneMask], tuple[int, PlaneMask]]]:
    """The pairs whose boxes overlap."""
    members = sorted(members, key=lambda member: member[1].bbox)
    boxes = np.array([mask.bbox for _, mask in members])
    ends = np.searchsorted(boxes[:, 0], boxes[:, 2])
    for i, end in enumerate(ends):
        others = boxes[i + 1 : end]
        shared = (others[:, 1] < boxes[i, 3]) & (others[:, 3] > boxes[i, 1])
        for j in np.flatnonzero(shared):
            yield members[i], members[i + 1 + int(j)]
