"""The objects of a label image of any size: one for each label, whatever it is held in."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.label_array import StoreLabels
from napari_hqsam.labels.objects import LabelObject, PlaneMask
from napari_hqsam.labels.pixels import blocks
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.labels.progress import Progress
from napari_hqsam.labels.pyramid import Box, tiles
from napari_hqsam.labels.rows import Ints, masks_of
from napari_hqsam.labels.store import LabelStore

_SIDE = 2048  # of what is read at once from a LabelArray


class Readable(Protocol):
    """Labels that are read by boxes of a plane."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""

    def read(self, plane: ArrayPlane, box: Box) -> NDArray[Any]:
        """The labels (h, w) of a half-open box (y0, x0, y1, x1) of a plane."""


Run = tuple[Ints, Ints, Ints, Ints]
"""Label, y, x0, x1 of runs of pixels."""


def objects_in(labels: Any, progress: Progress | None = None) -> Iterator[LabelObject]:
    """Find the objects of a label image.

    It is read block by block; what is kept of it are the runs of equal labels along the rows, so
    that a plane may be larger than memory. All of it is read before the first object is there.

    Parameters
    ----------
    labels : array-like of int or bool, LabelStore or LabelArray
        The last two axes are y and x; 0 is background. A numpy, dask or zarr array, or whatever
        else is sliced like one.
    progress : callable, optional
        `Progress`, in pixels, after each block.

    Yields
    ------
    LabelObject
        Sorted by label, with one mask for each y-x plane that it is on.

    Raises
    ------
    HQSAMError
        If the labels are not whole numbers from 0 up, or cannot be read.
    """
    if not hasattr(labels, "shape"):
        labels = np.asarray(labels)
    shape, dtype = tuple(labels.shape), np.dtype(labels.dtype)
    if dtype.kind not in "bui" or len(shape) < 2:
        raise HQSAMError(
            f"labels: a label image has at least two axes and whole numbers, not {len(shape)}-D "
            f"{dtype}; convert it, for example with astype('uint32')"
        )
    axes = len(shape) - 2, len(shape) - 1
    runs: dict[tuple[int, ...], list[Run]] = {}
    masks: dict[int, list[PlaneMask]] = {}

    def finish() -> None:
        """Turn what was found on complete planes into masks."""
        for index in sorted(runs):
            found = (np.concatenate(part) for part in zip(*runs[index], strict=True))
            for number, mask in masks_of(ArrayPlane(axes, index), *found):
                masks.setdefault(number, []).append(mask)
        runs.clear()

    planes: tuple[int, ...] | None = None
    done, total = 0, math.prod(shape)
    for corner, block in _parts(labels, shape):
        if corner[:-2] != planes:
            finish()
            planes = corner[:-2]
        for at in np.ndindex(*block.shape[:-2]):
            index = tuple(a + b for a, b in zip(corner, at, strict=False))
            label, y, x0, x1 = _runs(block[at])
            dy, dx = corner[-2:]
            runs.setdefault(index, []).append((label, y + dy, x0 + dx, x1 + dx))
        done += block.size
        if progress is not None:
            progress(done, total, "reading labels")
    finish()
    for number in sorted(masks):
        yield LabelObject(number, tuple(sorted(masks[number], key=lambda m: m.plane.index)))


class LabelBoxes(NamedTuple):
    """Where the labels of one plane are.

    Attributes
    ----------
    labels : ndarray of uint64
        (n,), rising.
    boxes : ndarray of int64
        (n, 4): y0, x0, y1, x1, half-open.
    areas : ndarray of int64
        (n,) pixels.
    widths : ndarray of float64
        (n,) mean length of their rows: of a strip across the rows its width.
    """

    labels: NDArray[np.uint64]
    boxes: Ints
    areas: Ints
    widths: NDArray[np.float64]


def label_boxes(labels: Readable, plane: ArrayPlane) -> LabelBoxes:
    """Find the boxes of the labels of a plane, which is read part by part.

    Parameters
    ----------
    labels : LabelArray or GivenLabels
        What has a ``shape`` and is read by boxes of a plane.
    plane : ArrayPlane

    Raises
    ------
    HQSAMError
        If a label is negative or too large, or they cannot be read.
    """
    height, width = plane.shape(labels.shape)
    found: list[tuple[Ints, ...]] = []
    for part in tiles((0, 0, height, width), (_SIDE, _SIDE)):
        top, left = part[:2]
        label, y, x0, x1 = _runs(labels.read(plane, part))
        if len(label):
            rows = np.ones_like(label)
            runs = (label, y + top, x0 + left, y + top + 1, x1 + left, x1 - x0, rows)
            found.append(_gathered(runs))
    if not found:
        none = np.zeros(0, np.int64)
        return LabelBoxes(none.astype(np.uint64), np.zeros((0, 4), np.int64), none, np.zeros(0))
    number, *ends, area, rows = _gathered(
        tuple(np.concatenate(column) for column in zip(*found, strict=True))
    )
    return LabelBoxes(number.astype(np.uint64), np.stack(ends, axis=1), area, area / rows)


def _gathered(parts: tuple[Ints, ...]) -> tuple[Ints, ...]:
    """Boxes, areas and numbers of rows (n,) of parts of labels, of each label together."""
    label = parts[0]
    order = np.argsort(label, kind="stable")
    label = label[order]
    first = np.flatnonzero(np.concatenate(([True], label[1:] != label[:-1])))
    how = (np.minimum, np.minimum, np.maximum, np.maximum, np.add, np.add)
    rest = (f.reduceat(a[order], first) for f, a in zip(how, parts[1:], strict=True))
    return label[first], *rest


def _runs(block: NDArray[Any]) -> Run:
    """The runs of labels other than 0 along the rows of a block (h, w)."""
    h, w = block.shape
    if block.dtype.kind == "i" and block.size and block.min() < 0:
        raise HQSAMError(f"labels: they are numbers from 0 up, but {block.min()} occurs")
    if block.dtype == np.uint64 and block.size and block.max() > np.iinfo(np.int64).max:
        raise HQSAMError(f"labels: {block.max():,} is too large a number; renumber them")
    first = np.ones((h, w), bool)
    np.not_equal(block[:, 1:], block[:, :-1], out=first[:, 1:])
    start = np.flatnonzero(first)
    end = np.append(start[1:], block.size)
    label = block.ravel()[start]
    there = label != 0
    start, end = start[there], end[there]
    y = start // max(w, 1)
    return label[there].astype(np.int64), y, start - y * w, end - y * w


def _parts(labels: Any, shape: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], NDArray[Any]]]:
    """The corner and the labels of each block, plane after plane."""
    if isinstance(labels, LabelStore):
        labels = StoreLabels(labels)
    if hasattr(labels, "__getitem__"):
        yield from blocks(labels, Path("labels"))
        return
    *lengths, height, width = shape
    axes = len(lengths), len(lengths) + 1
    for index in np.ndindex(*lengths):
        for box in tiles((0, 0, height, width), (_SIDE, _SIDE)):
            block = labels.read(ArrayPlane(axes, index), box)
            yield (*index, *box[:2]), block.reshape((1,) * len(lengths) + block.shape)
