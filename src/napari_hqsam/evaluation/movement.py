"""How far the boundaries of labels have moved, object by object, in labels of any size."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_hqsam.labels.find import label_boxes
from napari_hqsam.labels.frame import LabelFrame
from napari_hqsam.labels.given import GivenLabels, as_label_array
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.labels.progress import Progress
from napari_hqsam.labels.pyramid import Box, slices, tiles
from napari_hqsam.segmentation.region import Region

if TYPE_CHECKING:
    import pandas as pd

_SIDE = 2048  # of what is read at once
_CELL = 1024  # objects that begin in one square of this side, and are no larger, are read together

_MOVED = ("moved_mean", "moved_p95", "moved_max")

Pair = tuple[NDArray[Any], NDArray[Any]]
Read = Callable[[Box], Pair]
"""The labels before and after of a box."""


def movement(
    before: Any,
    after: Any,
    frame: LabelFrame,
    *,
    planes: Sequence[Sequence[int]] | None = None,
    region: ArrayLike | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Measure how far the boundary of each label has moved.

    The boundary is the object's pixels beside others, or at the edge of the plane. Each of its
    pixels has a distance, between pixel centres, to the nearest one of the other boundary. Of both
    labels no more than blocks are read, twice; what is kept at once are the pixels of two
    boundaries.

    Parameters
    ----------
    before, after : labels
        As for `as_label_array`: whole numbers in memory or on disk.
    frame : LabelFrame
        Of the image that both belong to.
    planes : sequence of tuple of int, optional
        Planes of the image; all by default.
    region : (y0, x0, y1, x1) or (V, 2) vertices, optional
        In pixels: only labels the middle of whose box, before, lies in it, as `Segmenter.refine`
        has it.
    progress : callable, optional
        `Progress`, in pixels.

    Returns
    -------
    pandas.DataFrame
        One row for each label and each plane that it is on, sorted by both:

        ``label``; ``t``, ``z``
            Its number; the plane, for those of the axes that the labels have.
        ``area_before``, ``area_after``
            In pixels; 0 before if the label is new, 0 after if it was lost.
        ``iou``
            Intersection over union of both masks.
        ``moved_mean``, ``moved_p95``, ``moved_max``
            Distance in pixels. Mean and 95th percentile are means of both directions, from old to
            new and from new to old; the largest is that of both (Hausdorff distance). NaN if the
            label is new or lost.
        ``moved_mean_um``, ``moved_p95_um``, ``moved_max_um``
            The same in µm, if the size of the pixels is known; they need not be square.
        ``y``, ``x``
            Where it has moved farthest, in pixels; the middle of a new or lost one.
        ``y0``, ``x0``, ``y1``, ``x1``
            The box of both masks, half-open.

    Raises
    ------
    HQSAMError
        If the labels cannot be read, or do not fit the frame.
    """
    import pandas as pd

    both = as_label_array(before, frame, "before"), as_label_array(after, frame, "after")
    um = frame.grid.micrometers("yx")
    steps = None if um is None else (um["y"], um["x"])
    letters = list(frame.axes[:-2])
    part = None if region is None else Region.of(region, frame.plane_shape)
    wanted = [frame.plane(plane) for plane in (frame.planes() if planes is None else planes)]
    done, total = 0, 2 * len(wanted) * frame.shape[-2] * frame.shape[-1]

    def tell(pixels: int, doing: str) -> None:
        nonlocal done
        done += pixels
        if progress is not None:
            progress(min(done, total), total, doing)

    rows: list[dict[str, Any]] = []
    for plane in wanted:
        at = dict(zip(letters, plane.index, strict=True))
        for item, moved in _of_plane(both, plane, part, steps, tell):
            rows.append({"label": item.label, **at, **moved, **item.box_columns()})
    found = ["area_before", "area_after", "iou", *_MOVED]
    found += [f"{name}_um" for name in _MOVED] if steps else []
    columns = ["label", *letters, *found, "y", "x", "y0", "x0", "y1", "x1"]
    return pd.DataFrame(rows, columns=columns).sort_values(["label", *letters], ignore_index=True)


class _Item(NamedTuple):
    """A label that is on a plane before, after, or both."""

    label: int
    box: Box

    @property
    def cell(self) -> tuple[int, int]:
        return self.box[0] // _CELL, self.box[1] // _CELL

    @property
    def small(self) -> bool:
        return max(self.box[2] - self.box[0], self.box[3] - self.box[1]) <= _CELL

    def box_columns(self) -> dict[str, int]:
        return dict(zip(("y0", "x0", "y1", "x1"), self.box, strict=True))


def _of_plane(
    both: tuple[GivenLabels, GivenLabels],
    plane: ArrayPlane,
    region: Region | None,
    steps: tuple[float, float] | None,
    tell: Callable[[int, str], None],
) -> Iterator[tuple[_Item, dict[str, Any]]]:
    """The labels of a plane, and what is said of each."""

    def read(box: Box) -> Pair:
        first, second = (labels.read(plane, box) for labels in both)
        return first, second

    items = _items(both, plane, region)
    pixels, share = math.prod(plane.shape(both[0].shape)), 1 / max(len(items), 1)
    tell(pixels, "looking for labels")
    told = 0
    for _, cell in groupby(items, key=lambda item: item.cell):
        group = list(cell)
        near: Read = read
        boxes = [item.box for item in group if item.small]
        if boxes:
            near = _within(read(_around(boxes)), _around(boxes))
        for item in group:
            yield item, _compare(near if item.small else read, item, steps)
        here = round(pixels * share * len(group))
        told += here
        tell(here, "measuring boundaries")
    tell(pixels - told, "measuring boundaries")


def _items(
    both: tuple[GivenLabels, GivenLabels], plane: ArrayPlane, region: Region | None
) -> list[_Item]:
    """The labels of a plane, those that begin near each other together."""
    found = [label_boxes(labels, plane) for labels in both]
    boxes = np.concatenate([each.boxes for each in found])
    labels, first, which = np.unique(
        np.concatenate([each.labels for each in found]), return_index=True, return_inverse=True
    )
    low = np.full((len(labels), 2), np.iinfo(np.int64).max)
    high = np.zeros((len(labels), 2), np.int64)
    np.minimum.at(low, which, boxes[:, :2])
    np.maximum.at(high, which, boxes[:, 2:])
    if region is not None:  # the first box is the one before
        inside = region.holds((boxes[first, :2] + boxes[first, 2:] - 1) / 2)
        labels, low, high = labels[inside], low[inside], high[inside]
    rows = zip(labels.tolist(), low.tolist(), high.tolist(), strict=True)
    items = [_Item(label, (y0, x0, y1, x1)) for label, (y0, x0), (y1, x1) in rows]
    return sorted(items, key=lambda item: item.cell)


def _compare(read: Read, item: _Item, steps: tuple[float, float] | None) -> dict[str, Any]:
    """What is said of one label on one plane."""
    areas, shared, same = np.zeros(2, np.int64), 0, True
    outlines: tuple[list[NDArray[Any]], list[NDArray[Any]]] = ([], [])
    for tile in tiles(item.box, (_SIDE, _SIDE)):
        outer = _grown(tile, item.box)
        old, new = (labels == item.label for labels in read(outer))
        inner = slices(tile, outer)
        areas += np.count_nonzero(old[inner]), np.count_nonzero(new[inner])
        shared += int(np.count_nonzero(old[inner] & new[inner]))
        same = same and bool((old == new).all())
        for outline, mask in zip(outlines, (old, new), strict=True):
            outline.append(np.argwhere(_boundary(mask)[inner]) + tile[:2])
    found = {
        "area_before": int(areas[0]),
        "area_after": int(areas[1]),
        "iou": shared / int(areas.sum() - shared),
    }
    y0, x0, y1, x1 = item.box
    if not areas.all():
        return found | {"y": (y0 + y1) // 2, "x": (x0 + x1) // 2}
    points = np.concatenate(outlines[0]), np.concatenate(outlines[1])
    distances, (y, x) = _distances(points, (1.0, 1.0), same)
    found |= {"y": int(y), "x": int(x)} | dict(zip(_MOVED, distances, strict=True))
    if steps is not None:
        if steps[0] == steps[1]:
            distances = [d * steps[0] for d in distances]
        else:
            distances, _ = _distances(points, steps, same)
        found |= {f"{name}_um": d for name, d in zip(_MOVED, distances, strict=True)}
    return found


def _distances(
    points: tuple[NDArray[Any], NDArray[Any]], steps: tuple[float, float], same: bool
) -> tuple[list[float], NDArray[Any]]:
    """Mean, 95th percentile and largest distance of two boundaries (n, 2), and where that is."""
    if same:
        return [0.0, 0.0, 0.0], points[0][0]
    # as a distance transform has them, in memory that goes with the boundary, not with its box
    from scipy.spatial import cKDTree

    old, new = (p * steps for p in points)
    there = [cKDTree(new).query(old)[0], cKDTree(old).query(new)[0]]
    mean = sum(float(d.mean()) for d in there) / 2
    p95 = sum(_percentile(d, 0.95) for d in there) / 2
    farther = int(there[1].max() > there[0].max())
    far = int(there[farther].argmax())
    return [mean, p95, float(there[farther][far])], points[farther][far]


def _percentile(values: NDArray[Any], share: float) -> float:
    """As `numpy.quantile`, which takes a tenth of a millisecond."""
    ordered = np.sort(values)
    at = share * (len(ordered) - 1)
    below, above = ordered[int(at)], ordered[math.ceil(at)]
    return float(below + (above - below) * (at - int(at)))


def _boundary(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels of a mask (h, w) with one of four neighbours outside it."""
    around = np.pad(mask, 1)
    inside = around[:-2, 1:-1] & around[2:, 1:-1] & around[1:-1, :-2] & around[1:-1, 2:]
    return mask & ~inside


def _within(block: Pair, around: Box) -> Read:
    """Reads from what was read already."""

    def read(box: Box) -> Pair:
        here = slices(box, around)
        return block[0][here], block[1][here]

    return read


def _grown(box: Box, limit: Box) -> Box:
    """A box with one pixel more on each side, within another."""
    y0, x0, y1, x1 = limit
    return max(box[0] - 1, y0), max(box[1] - 1, x0), min(box[2] + 1, y1), min(box[3] + 1, x1)


def _around(boxes: Sequence[Box]) -> Box:
    y0, x0, y1, x1 = zip(*boxes, strict=True)
    return min(y0), min(x0), max(y1), max(x1)
