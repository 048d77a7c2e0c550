"""Whether an image's objects stay the same where it is one part of a larger one.

Nine images are laid out as a mosaic. What is found in it is compared with what the same method
finds in each image alone. Some windows are the same: their grid begins anew with each image. Others
show a neighbour as well, and what the model says of an object depends on what else it sees: objects
that the same windows show in both tell what stitching does, the others what seams do besides. And
a threshold is one of the whole image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.benchmark.clock import seconds_of
from napari_hqsam.benchmark.figures import Cell, Figure, Table
from napari_hqsam.benchmark.mosaic import lay_out
from napari_hqsam.benchmark.tiles import SIDE, Pictures
from napari_hqsam.evaluation.detection import Box, cutouts
from napari_hqsam.images.windows import Window
from napari_hqsam.modeling import HQSam
from napari_hqsam.segmentation import Segmenter
from napari_hqsam.segmentation.automatic.settings import Method

METHODS: tuple[Method, ...] = ("threshold", "grid")
COLUMNS = (
    "pictures",
    "method",
    "objects",
    "match %",
    "mean IoU",
    "in the same windows",
    "match % of them",
    "cut",
    "s",
    "linking %",
    "drawing %",
)

# An object matches one of the mosaic that has so large an IoU with it.
_MATCH = 0.9
# It is cut if two of the mosaic's objects have so large a share of it.
_SHARE = 0.1
# Share of objects that must match, in percent.
_TARGET = 98.0
# Share of the time that linking and drawing may take, in percent.
_STITCHING = 5.0


@dataclass(frozen=True, eq=False)
class Sameness:
    """How an image's objects are found again in a mosaic.

    Attributes
    ----------
    ious : ndarray of float
        (n,) the best IoU of each with an object of the mosaic.
    cut : ndarray of bool
        (n,) whether two objects of the mosaic have a tenth of it or more each.
    same : ndarray of bool
        (n,) whether the windows that show a part of it are the same in both.
    """

    ious: NDArray[np.float64]
    cut: NDArray[np.bool_]
    same: NDArray[np.bool_]

    @classmethod
    def join(cls, parts: Sequence[Sameness]) -> Sameness:
        """Of all images."""
        arrays = zip(*((p.ious, p.cut, p.same) for p in parts), strict=True)
        return cls(*(np.concatenate(of) for of in arrays))

    def match(self, *, same: bool = False) -> float:
        """Percent of the objects that match; or of those whose windows are the same."""
        ious = self.ious[self.same] if same else self.ious
        return 100 * float((ious >= _MATCH).mean()) if len(ious) else float("nan")


def measure_mosaic_seams(
    model: HQSam,
    pictures: Mapping[str, Pictures],
    *,
    tell: Callable[[str], object] = lambda _: None,
) -> tuple[list[Figure], Table]:
    """Find the objects of mosaics, and of each of their images alone.

    Parameters
    ----------
    model : HQSam
    pictures : mapping of str to Pictures
    tell : callable
        Takes a line on what is done now.
    """
    table = Table("mosaics", COLUMNS)
    figures: list[Figure] = []
    for name, of in pictures.items():
        for method in METHODS:
            found, spent = _compare(model, of, method, partial(_prefixed, tell, name, method))
            if len(found.ious):
                table.rows.append(_row(name, method, found, spent))
                figures += _figures(f"mosaic of {name}, {method}", found, spent)
    return figures, table


def sameness(
    alone: NDArray[Any],
    whole: NDArray[Any],
    box: tuple[slice, slice],
    windows: tuple[Sequence[Window], Sequence[Window]] = ((), ()),
) -> Sameness:
    """Look for the objects of an image in the mosaic that it is a part of.

    Parameters
    ----------
    alone : ndarray of int
        (h, w), the labels of the image. What touches its edge does not count: the mosaic shows
        more of it.
    whole : ndarray of int
        (H, W), the labels of the mosaic.
    box : tuple of slice
        Where the image lies in it.
    windows : (sequence of Window, sequence of Window)
        In which objects were found, in the image and in the mosaic.
    """
    areas = dict(zip(*(a.tolist() for a in np.unique(whole, return_counts=True)), strict=True))
    (height, width), offset = alone.shape, (box[0].start, box[1].start)
    found: list[tuple[float, bool, bool]] = []
    for one in cutouts(alone):
        y0, x0, y1, x1 = one.bbox
        if y0 == 0 or x0 == 0 or y1 == height or x1 == width:
            continue
        under = whole[box][y0:y1, x0:x1][one.data]
        values, counts = np.unique(under[under != 0], return_counts=True)
        shared = zip(values.tolist(), counts.tolist(), strict=True)
        iou = max((n / (under.size + areas[v] - n) for v, n in shared), default=0.0)
        cut = bool((counts >= _SHARE * under.size).sum() > 1)
        same = _showing(windows[0], one.bbox) == _showing(windows[1], one.bbox, offset)
        found.append((iou, cut, same))
    ious, cuts, sames = np.array(found, dtype=np.float64).reshape(-1, 3).T
    return Sameness(ious, cuts > 0, sames > 0)


def _showing(
    windows: Sequence[Window], bbox: Box, offset: tuple[int, int] = (0, 0)
) -> set[tuple[int, int, tuple[int, int]]]:
    """The windows that show a part of a box of the image at `offset`: where, and how large."""
    (y, x), (y0, x0, y1, x1) = offset, bbox
    there = (y0 + y, x0 + x, y1 + y, x1 + x)
    return {(w.origin[0] - y, w.origin[1] - x, w.shape) for w in windows if w.meets(there)}


def _parts(
    image: NDArray[Any], shape: Sequence[int]
) -> Iterator[tuple[NDArray[Any], tuple[slice, slice]]]:
    """The tiles of a mosaic, and where each lies."""
    height, width = shape
    for y, x in product(range(0, image.shape[0], height), range(0, image.shape[1], width)):
        box = (slice(y, y + height), slice(x, x + width))
        yield image[box], box


def _compare(
    model: HQSam, pictures: Pictures, method: Method, tell: Callable[[str], object]
) -> tuple[Sameness, dict[str, float]]:
    """How the objects of the tiles are found again, and the seconds that the mosaic took."""
    image = lay_out(pictures.tiles, SIDE).image
    whole = _find(model, image, method, pictures.diameter, tell)
    found = []
    for i, (part, box) in enumerate(_parts(image, pictures.tiles[0].labels.shape), start=1):
        tell(f"image {i} of {len(pictures.tiles)} alone")
        alone = _find(model, part, method, pictures.diameter)
        found.append(sameness(alone.labels, whole.labels, box, (alone.windows, whole.windows)))
    return Sameness.join(found), whole.seconds


@dataclass(frozen=True, eq=False)
class _Found:
    """Labels of an image, the windows that were searched, and the seconds of each step."""

    labels: NDArray[Any]
    windows: list[Window]
    seconds: dict[str, float]


def _find(
    model: HQSam,
    image: NDArray[Any],
    method: Method,
    diameter: float,
    tell: Callable[[str], object] = lambda _: None,
) -> _Found:
    limits = (0.0, 255.0)
    with Segmenter(image, axes="yxc", contrast_limits=limits, model=model) as segmenter:
        job = segmenter.segment_all(method, diameter=diameter)
        spent = seconds_of(job, tell)
        return _Found(job.result(), [w for w in job.plan if isinstance(w, Window)], spent)


def _prefixed(tell: Callable[[str], object], name: str, method: str, line: str) -> None:
    tell(f"mosaic of {name}, {method}: {line}")


def _shares(spent: Mapping[str, float]) -> list[float]:
    """Of the time of a run linking and drawing, in percent."""
    return [100 * spent[step] / sum(spent.values()) for step in ("linking", "drawing")]


def _row(name: str, method: str, found: Sameness, spent: Mapping[str, float]) -> tuple[Cell, ...]:
    same = int(found.same.sum())
    return (
        name,
        method,
        len(found.ious),
        found.match(),
        float(found.ious.mean()),
        same,
        found.match(same=True) if same else None,
        int(found.cut.sum()),
        sum(spent.values()),
        *_shares(spent),
    )


def _figures(what: str, found: Sameness, spent: Mapping[str, float]) -> Iterator[Figure]:
    count, same = len(found.ious), int(found.same.sum())
    match = f"{what}: objects that match"
    about = f"of {count:,}: IoU with one found alone of {_MATCH:g} or more"
    yield Figure(match, found.match(), "%", _TARGET, about, True)
    if same:
        value = found.match(same=True)
        yield Figure(f"{match}, in the same windows", value, "%", _TARGET, f"of {same:,}", True)
    yield Figure(f"{what}: objects cut", int(found.cut.sum()), "", 0, f"of {count:,}")
    shares = _shares(spent)
    about = f"of {sum(spent.values()):.1f} s; linking {shares[0]:.2g} %"
    yield Figure(f"{what}: linking and drawing", sum(shares), "%", _STITCHING, about)
