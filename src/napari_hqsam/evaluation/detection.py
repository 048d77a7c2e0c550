"""Average precision of instance masks, as COCO defines it, without classes.

AP compares masks by their IoU; AP_B (Cheng et al., CVPR 2021) by the lesser of mask and boundary
IoU in a band of 2 % of the image's diagonal, AP_B strict of 1 %:

>>> width = Band(0.02, "ratio").width(labels.shape)  # doctest: +SKIP
>>> pairs = similarity(predicted=masks, truth=cutouts(labels), width=width)  # doctest: +SKIP
>>> average_precision([(pairs, [m.score for m in masks])])  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_hqsam.errors import HQSAMError
from napari_hqsam.evaluation.metrics import BoolArray, boundary_region, extent

FloatArray = NDArray[np.float64]

THRESHOLDS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))

Box = tuple[int, int, int, int]


class Located(Protocol):
    """A mask and where it lies; `segmentation.Mask` is one."""

    @property
    def data(self) -> BoolArray: ...  # noqa: D102
    @property
    def bbox(self) -> Box: ...  # noqa: D102


@dataclass(frozen=True)
class Cutout:
    """A mask, cut out of its image.

    Attributes
    ----------
    data : ndarray of bool
        (h, w), the mask inside `bbox`.
    bbox : tuple of int
        (y0, x0, y1, x1) in pixels of the image, half-open.
    """

    data: BoolArray
    bbox: Box


def cutouts(labels: NDArray[Any]) -> list[Cutout]:
    """The objects of a label image (H, W), by ascending label; 0 and less is background."""
    from scipy.ndimage import find_objects

    if labels.max(initial=0) > labels.size:  # identifiers rather than numbers
        values, numbered = np.unique(labels, return_inverse=True)
        labels = numbered.reshape(labels.shape) + (values[0] != 0)
    return [
        Cutout(labels[where] == number, (y.start, x.start, y.stop, x.stop))
        for number, where in enumerate(find_objects(labels), start=1)
        if where is not None
        for y, x in [where]
    ]


def similarity(
    *,
    predicted: Sequence[Located | BoolArray],
    truth: Sequence[Located | BoolArray],
    width: int | None = None,
) -> FloatArray:
    """How well each predicted mask agrees with each true one.

    Parameters
    ----------
    predicted, truth : sequence of Located or of ndarray of bool
        Masks of one image, each with its box, or as arrays (H, W) of the whole image. Masks may
        overlap.
    width : int, optional
        If given, of the boundary region in pixels: a pair has the lesser of mask IoU and boundary
        IoU. If not, it has the mask IoU.

    Returns
    -------
    ndarray of float64
        (predicted, truth), 0 to 1. An empty mask agrees with none.
    """
    rows, columns = [_tight(m) for m in predicted], [_tight(m) for m in truth]
    out = np.zeros((len(rows), len(columns)))
    if not out.size:
        return out
    pairs = np.argwhere(_boxes_overlap(rows, columns))
    out[tuple(pairs.T)] = _ious(rows, columns, pairs)
    if width is not None:
        rows, columns = _boundaries(rows, width), _boundaries(columns, width)
        out[tuple(pairs.T)] = np.minimum(out[tuple(pairs.T)], _ious(rows, columns, pairs))
    return out


def average_precision(
    images: Iterable[tuple[ArrayLike, ArrayLike]], thresholds: Sequence[float] = THRESHOLDS
) -> float:
    """Average precision over images, mean over thresholds.

    In each image the predictions choose in order of confidence: each takes, of the true objects
    not yet taken, the most similar one, if it is similar by at least the threshold. Precision is
    the best at this or a higher recall, read at recalls 0, 0.01, …, 1. There is no limit of
    predictions per image (COCO has 100) and no object is ignored.

    Parameters
    ----------
    images : iterable of (similarity, confidence)
        For each image an array (predicted, truth), see `similarity`, and the confidence of each
        prediction (predicted,). An image without predictions counts too: (0, truth).
    thresholds : sequence of float
        (0.5,) gives AP50, (0.75,) AP75.

    Returns
    -------
    float
        0 to 1; NaN if no image holds a true object.

    Raises
    ------
    HQSAMError
        If an image's confidences are not as many as the rows of its matrix.
    """
    confidences, hits, objects = [], [], 0
    for matrix, confidence in images:
        pairs = np.asarray(matrix, dtype=np.float64)
        score = np.asarray(confidence, dtype=np.float64)
        if pairs.ndim != 2 or score.shape != pairs.shape[:1]:
            raise HQSAMError(
                f"Similarity of shape {pairs.shape} with confidences of shape {score.shape}: "
                "give (predicted, truth) and (predicted,)."
            )
        order = np.argsort(-score, kind="stable")
        confidences.append(score[order])
        hits.append(_match(pairs[order], thresholds))
        objects += pairs.shape[1]
    if not objects:
        return float("nan")
    order = np.argsort(-np.concatenate(confidences), kind="stable")
    return float(np.mean([_area(h, objects) for h in np.concatenate(hits, axis=1)[:, order]]))


def _match(pairs: FloatArray, thresholds: Sequence[float]) -> BoolArray:
    """Which predictions, in order of confidence, find an object of their own at each threshold."""
    row, column = np.nonzero(pairs >= min(thresholds))
    value = pairs[row, column]
    best_first = np.lexsort((-column, -value, row))  # of equals the last object, as COCO does
    columns = [a[best_first].tolist() for a in (row, column, value)]
    choices = list(zip(*columns, strict=True))
    hits = np.zeros((len(thresholds), len(pairs)), dtype=bool)
    for hit, threshold in zip(hits, thresholds, strict=True):
        taken = set()
        for i, j, similar in choices:
            if similar >= threshold and not hit[i] and j not in taken:
                hit[i] = True
                taken.add(j)
    return hits


def _area(hit: BoolArray, objects: int) -> float:
    """Area under precision over recall, the hits being in order of confidence."""
    found = np.cumsum(hit)
    precision = found / np.arange(1, len(hit) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(found / objects, np.linspace(0, 1, 101))
    return float(np.append(precision, 0.0)[at].mean())


def _tight(mask: Located | BoolArray) -> Cutout:
    data, y0, x0 = mask, 0, 0
    if not isinstance(mask, np.ndarray):
        data, (y0, x0) = mask.data, mask.bbox[:2]
    data = np.asarray(data, dtype=bool)
    where = extent(data)
    if where is None:
        return Cutout(np.zeros((0, 0), dtype=bool), (y0, x0, y0, x0))
    y, x = where
    return Cutout(data[where], (y0 + y.start, x0 + x.start, y0 + y.stop, x0 + x.stop))


def _boundaries(masks: Sequence[Cutout], width: int) -> list[Cutout]:
    return [Cutout(boundary_region(m.data, width), m.bbox) for m in masks]


def _boxes_overlap(rows: Sequence[Cutout], columns: Sequence[Cutout]) -> BoolArray:
    top, left, bottom, right = np.array([m.bbox for m in rows]).T[..., None]
    top2, left2, bottom2, right2 = np.array([m.bbox for m in columns]).T
    return np.asarray((top < bottom2) & (top2 < bottom) & (left < right2) & (left2 < right))


def _ious(rows: Sequence[Cutout], columns: Sequence[Cutout], pairs: NDArray[Any]) -> FloatArray:
    """IoU of pairs whose boxes overlap."""
    row_areas = [np.count_nonzero(m.data) for m in rows]
    column_areas = [np.count_nonzero(m.data) for m in columns]
    out = np.empty(len(pairs))
    for k, (i, j) in enumerate(pairs.tolist()):
        a, b = rows[i], columns[j]
        y0, x0 = max(a.bbox[0], b.bbox[0]), max(a.bbox[1], b.bbox[1])
        y1, x1 = min(a.bbox[2], b.bbox[2]), min(a.bbox[3], b.bbox[3])
        shared = np.count_nonzero(_within(a, y0, x0, y1, x1) & _within(b, y0, x0, y1, x1))
        out[k] = shared / (row_areas[i] + column_areas[j] - shared)
    return out


def _within(mask: Cutout, y0: int, x0: int, y1: int, x1: int) -> BoolArray:
    top, left = mask.bbox[:2]
    return mask.data[y0 - top : y1 - top, x0 - left : x1 - left]
