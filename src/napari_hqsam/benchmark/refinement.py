"""What `Segmenter.refine` makes of labels that were made worse, and of right ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.benchmark.clock import seconds
from napari_hqsam.benchmark.degrade import AS_THEY_ARE, DEGRADATIONS, degrade
from napari_hqsam.benchmark.figures import Cell, Figure, Table
from napari_hqsam.evaluation.data import LabelledPlane
from napari_hqsam.evaluation.metrics import boundary_iou, mask_iou
from napari_hqsam.evaluation.movement import movement
from napari_hqsam.labels.frame import LabelFrame
from napari_hqsam.modeling import HQSam
from napari_hqsam.segmentation import Segmenter

FloatArray = NDArray[np.float64]

# Of the boundary region, in pixels.
_WIDTH = 2
# A gain of less is none: points of mean boundary IoU.
_GAIN = 0.1
# How far right labels may move on average, in pixels.
_MOVED = 1.0
# Smaller objects are specks of the labels: they must survive, but have no boundary to speak of.
_SMALLEST = 30

COLUMNS = (
    "set",
    "labels",
    "objects",
    "mBIoU before",
    "mBIoU after",
    "mIoU before",
    "mIoU after",
    "moved px",
    "lost",
    "swapped",
    "new",
    "s per image",
)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Labels of one plane before and after they were refined, against the right ones.

    Attributes
    ----------
    ious : ndarray
        (objects, 4): boundary IoU before and after, IoU before and after.
    lost, swapped, new : int
        Numbers that are gone; that lie on another object now, more than on their own; and that
        were not there.
    """

    ious: FloatArray
    lost: int
    swapped: int
    new: int


@dataclass(frozen=True)
class Outcome:
    """What became of one kind of labels of a set.

    Attributes
    ----------
    set, labels : str
        The data set; how its labels were made worse.
    objects : int
        That the means are of.
    biou, iou : (float, float)
        Means over the objects, before and after.
    moved : float
        Mean distance of boundaries before and after, in pixels.
    lost, swapped, new : int
        As of `Comparison`.
    seconds : float
        For an image.
    """

    set: str
    labels: str
    objects: int
    biou: tuple[float, float]
    iou: tuple[float, float]
    moved: float
    lost: int
    swapped: int
    new: int
    seconds: float

    @property
    def gain(self) -> float:
        """Points of mean boundary IoU."""
        return 100 * (self.biou[1] - self.biou[0])

    @property
    def row(self) -> tuple[Cell, ...]:
        """In the order of `COLUMNS`."""
        counts = (self.lost, self.swapped, self.new)
        means = (*self.biou, *self.iou, self.moved)
        return self.set, self.labels, self.objects, *means, *counts, self.seconds


def measure_refinement(
    model: HQSam,
    sets: Mapping[str, Sequence[LabelledPlane]],
    *,
    band: float = 8.0,
    tell: Callable[[str], object] = lambda _: None,
) -> tuple[list[Figure], Table]:
    """Degrade right labels in each way, refine them, and compare.

    Parameters
    ----------
    model : HQSam
    sets : mapping of str to sequence of LabelledPlane
    band : float
        As for `Segmenter.refine`, in pixels.
    tell : callable
        Takes a line on what is done now.
    """
    outcomes: list[Outcome] = []
    for name, planes in sets.items():
        found: dict[str, list[_Result]] = {}
        for i, plane in enumerate(planes, start=1):
            with Segmenter(plane.image, axes="yxc"[: plane.image.ndim], model=model) as segmenter:
                for how in (AS_THEY_ARE, *DEGRADATIONS):
                    tell(f"refining {name}, {i} of {len(planes)}, {how}")
                    found.setdefault(how, []).append(_refine(segmenter, plane.labels, how, i, band))
        made = (_outcome(name, how, results) for how, results in found.items())
        outcomes += [outcome for outcome in made if outcome is not None]
    table = Table("refinement", COLUMNS, [outcome.row for outcome in outcomes])
    return _figures(outcomes), table


def compare(
    truth: NDArray[Any],
    before: NDArray[Any],
    after: NDArray[Any],
    spared: frozenset[int] = frozenset(),
) -> Comparison:
    """Compare labels (H, W) before and after with the right ones, object by object.

    Parameters
    ----------
    truth, before, after : ndarray of int
        (H, W); the first two have the same numbers.
    spared : frozenset of int
        Objects that do not count in the means.
    """
    from scipy.ndimage import find_objects

    values = np.unique(truth)
    values = values[values != 0].astype(np.int64)
    images = [_numbered(labels, values) for labels in (truth, before, after)]
    boxes = [find_objects(image, max_label=len(values)) for image in images]
    rows = []
    for number, (label, *places) in enumerate(zip(values.tolist(), *boxes, strict=True), start=1):
        box = _around([place for place in places if place is not None])
        right, old, new = (image[box] == number for image in images)
        if label not in spared and np.count_nonzero(right) >= _SMALLEST:
            borders = [boundary_iou(right, mask, _WIDTH) for mask in (old, new)]
            rows.append([*borders, *(mask_iou(right, mask) for mask in (old, new))])
    was, is_ = (_elsewhere(image, images[0], len(values)) for image in images[1:])
    unknown = (images[2] == 0) & (after != 0)
    return Comparison(
        np.array(rows, dtype=np.float64).reshape(-1, 4),
        lost=sum(place is None for place in boxes[2]),
        swapped=int((is_ & ~was).sum()),
        new=len(np.unique(after[unknown])),
    )


@dataclass(frozen=True)
class _Result:
    """Of one plane."""

    comparison: Comparison
    moved: float
    seconds: float


def _refine(segmenter: Segmenter, truth: NDArray[Any], how: str, seed: int, band: float) -> _Result:
    worse = degrade(truth, how, seed)
    done: list[NDArray[Any]] = []
    took = seconds(lambda: done.append(segmenter.refine(worse.labels, band=band).result()))
    frame = LabelFrame.of(segmenter.source, segmenter.level)
    moved = movement(worse.labels, done[0], frame)["moved_mean"].mean()
    return _Result(compare(truth, worse.labels, done[0], worse.spared), float(moved), took)


def _outcome(name: str, how: str, results: Sequence[_Result]) -> Outcome | None:
    """Over all planes; None if no object counts."""
    counting = [r for r in results if len(r.comparison.ious)]
    if not counting:
        return None
    ious = np.concatenate([r.comparison.ious for r in counting])
    old, new, old_iou, new_iou = ious.mean(axis=0).tolist()
    return Outcome(
        name,
        how,
        len(ious),
        (old, new),
        (old_iou, new_iou),
        float(
            np.average(
                [r.moved for r in counting], weights=[len(r.comparison.ious) for r in counting]
            )
        ),
        sum(r.comparison.lost for r in results),
        sum(r.comparison.swapped for r in results),
        sum(r.comparison.new for r in results),
        float(np.mean([r.seconds for r in results])),
    )


def _figures(outcomes: Sequence[Outcome]) -> list[Figure]:
    found = []
    for name in dict.fromkeys(o.set for o in outcomes):
        own = [o for o in outcomes if o.set == name]
        worse = [o for o in own if o.labels != AS_THEY_ARE]
        least = min(worse, key=lambda o: o.gain)
        mean = np.mean([o.gain for o in worse])
        about = f"of labels {least.labels}; {mean:.1f} on average of {len(worse)} kinds"
        found.append(
            Figure(f"{name}: least gain of mBIoU", least.gain, "points", _GAIN, about, True)
        )
        for o in own:
            if o.labels == AS_THEY_ARE:
                about = f"on average; {o.objects} objects"
                found.append(Figure(f"{name}: right labels move", o.moved, "px", _MOVED, about))
    about = f"of {sum(o.objects for o in outcomes):,}"
    for what in ("lost", "swapped", "new"):
        count = sum(getattr(o, what) for o in outcomes)
        found.append(Figure(f"refined labels: numbers {what}", count, "", 0, about))
    return found


def _numbered(labels: NDArray[Any], values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each label's place among `values`, from 1; 0 for others."""
    given = labels.astype(np.int64)
    at = np.minimum(np.searchsorted(values, given), len(values) - 1)
    return np.where(values[at] == given, at + 1, 0)


def _elsewhere(
    labels: NDArray[np.int64], truth: NDArray[np.int64], count: int
) -> NDArray[np.bool_]:
    """Which of the objects 1 to `count` lie on another one more than on their own."""
    from scipy.sparse import coo_array

    there = (labels > 0) & (truth > 0)
    pairs = (labels[there] - 1, truth[there] - 1)
    shared = coo_array((np.ones(len(pairs[0])), pairs), shape=(count, count)).tocsr()
    own = shared.diagonal()
    shared.setdiag(0)
    return np.asarray(shared.max(axis=1).toarray().ravel() > own)


def _around(places: Sequence[tuple[slice, slice]]) -> tuple[slice, slice]:
    y, x = (
        slice(min(place[a].start for place in places), max(place[a].stop for place in places))
        for a in (0, 1)
    )
    return y, x
