"""What was found in one window: many masks, as runs of pixels along their rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_hqsam.labels.pyramid import Box, Plane
from napari_hqsam.labels.rows import Ints, Rows, row_runs

Ids = NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class Instances:
    """The objects of one window; their masks may overlap.

    The pixels of object i are the half-open runs [x0, x1) of row y from ``starts[i]`` up to
    ``starts[i + 1]``, sorted by row and column, none of which overlap or touch.

    Attributes
    ----------
    plane : tuple of int
        Indices of the axes other than y, x, c.
    box : tuple of int
        (y0, x0, y1, x1), half-open: the pixels of the plane that the window shows.
    ids : ndarray of uint64
        (n,) the label that each is to have; 0 for any.
    scores : ndarray of float32
        (n,) the higher one is drawn on top.
    boxes : ndarray of int64
        (n, 4) smallest boxes, as `box`.
    starts : ndarray of int64
        (n + 1,)
    y, x0, x1 : ndarray of int64
        Runs of pixels of the plane.
    """

    plane: Plane
    box: Box
    ids: Ids = field(repr=False)
    scores: NDArray[np.float32] = field(repr=False)
    boxes: Ints = field(repr=False)
    starts: Ints = field(repr=False)
    y: Ints = field(repr=False)
    x0: Ints = field(repr=False)
    x1: Ints = field(repr=False)

    @classmethod
    def of(
        cls,
        plane: Sequence[int],
        box: Sequence[int],
        masks: Iterable[tuple[NDArray[np.bool_], Sequence[int]]],
        scores: ArrayLike,
        ids: ArrayLike | None = None,
    ) -> Instances:
        """Masks as they are predicted; what lies outside the window is cut off.

        Parameters
        ----------
        plane, box
            As the attributes.
        masks : iterable of (ndarray of bool, box)
            (h, w) each, inside its box of the plane. Empty ones are left out.
        scores, ids : array-like
            (n,)
        """
        runs = [row_runs(data, int(at[0]), int(at[1])) for data, at in masks]
        counts = np.array([len(y) for y, _, _ in runs], np.int64)
        parts = zip(*runs, strict=True) if runs else [()] * 3
        y, x0, x1 = (np.concatenate([np.empty(0, np.int64), *part]) for part in parts)
        which = np.repeat(np.arange(len(runs)), counts)
        return cls._of_runs(plane, box, which, y, x0, x1, scores, ids, len(runs))

    @classmethod
    def of_labels(
        cls,
        plane: Sequence[int],
        box: Sequence[int],
        labels: NDArray[Any],
        scores: ArrayLike | None = None,
        *,
        keep_ids: bool = False,
    ) -> Instances:
        """The objects of a label image (h, w) of a window; they do not overlap.

        Parameters
        ----------
        plane, box
            As the attributes.
        labels : ndarray of int
            (h, w), from 0 up; 0 is background.
        scores : array-like, optional
            (n,) in the order of the labels; 1 without it.
        keep_ids : bool
            Whether the labels are the ones that are wanted.
        """
        h, w = labels.shape
        first = np.ones((h, w), bool)
        np.not_equal(labels[:, 1:], labels[:, :-1], out=first[:, 1:])
        start = np.flatnonzero(first)
        end = np.append(start[1:], labels.size)
        value = labels.ravel()[start]
        there = value != 0
        start, end, value = start[there], end[there], value[there]
        names, which = np.unique(value, return_inverse=True)
        order = np.argsort(which, kind="stable")
        start, end, which = start[order], end[order], which[order]
        y = start // max(w, 1)
        x0, x1 = start - y * w + int(box[1]), end - y * w + int(box[1])
        if scores is None:
            scores = np.ones(len(names), np.float32)
        ids = names.astype(np.uint64) if keep_ids else None
        return cls._of_runs(plane, box, which, y + int(box[0]), x0, x1, scores, ids, len(names))

    @classmethod
    def _of_runs(
        cls,
        plane: Sequence[int],
        box: Sequence[int],
        which: Ints,
        y: Ints,
        x0: Ints,
        x1: Ints,
        scores: ArrayLike,
        ids: ArrayLike | None,
        n: int,
    ) -> Instances:
        """Of runs sorted by object, row and column."""
        top, left, bottom, right = (int(v) for v in box)
        scores = np.asarray(scores, np.float32).reshape(n)
        wanted = np.zeros(n, np.uint64) if ids is None else np.asarray(ids, np.uint64).reshape(n)
        x0, x1 = np.maximum(x0, left), np.minimum(x1, right)
        inside = (y >= top) & (y < bottom) & (x1 > x0)
        if not inside.all():
            which, y, x0, x1 = which[inside], y[inside], x0[inside], x1[inside]
        counts = np.bincount(which, minlength=n)
        filled = counts > 0
        starts = np.concatenate(([0], np.cumsum(counts[filled])))
        boxes = np.empty((len(starts) - 1, 4), np.int64)
        if len(boxes):
            first = starts[:-1]
            boxes[:, 0], boxes[:, 2] = y[first], y[starts[1:] - 1] + 1
            boxes[:, 1] = np.minimum.reduceat(x0, first)
            boxes[:, 3] = np.maximum.reduceat(x1, first)
        index = tuple(int(i) for i in plane)
        shown = (top, left, bottom, right)
        return cls(index, shown, wanted[filled], scores[filled], boxes, starts, y, x0, x1)

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def areas(self) -> Ints:
        """(n,) number of pixels of each."""
        before = np.concatenate(([0], np.cumsum(self.x1 - self.x0)))
        return before[self.starts[1:]] - before[self.starts[:-1]]

    def rows(self, i: int) -> Rows:
        """The pixels of object `i`."""
        part = slice(self.starts[i], self.starts[i + 1])
        return Rows(self.y[part], self.x0[part], self.x1[part])

    @property
    def nbytes(self) -> int:
        """Memory that they take."""
        fields = (self.ids, self.scores, self.boxes, self.starts, self.y, self.x0, self.x1)
        return sum(array.nbytes for array in fields)

    def take(self, chosen: ArrayLike) -> Instances:
        """Some of the objects: (m,) indices, or (n,) bool."""
        index = np.arange(len(self))[np.asarray(chosen)]
        counts = np.diff(self.starts)[index]
        starts = np.concatenate(([0], np.cumsum(counts)))
        runs = np.repeat(self.starts[index] - starts[:-1], counts) + np.arange(starts[-1])
        return Instances(
            self.plane,
            self.box,
            self.ids[index],
            self.scores[index],
            self.boxes[index],
            starts,
            self.y[runs],
            self.x0[runs],
            self.x1[runs],
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """As arrays to be stored: positions within the window, so that they compress well."""
        top, left = self.box[:2]
        return {
            "plane": np.asarray(self.plane, np.int64),
            "box": np.asarray(self.box, np.int64),
            "ids": self.ids,
            "scores": self.scores,
            "counts": np.diff(self.starts).astype(np.uint32),
            "y": (self.y - top).astype(np.uint32),
            "x": (self.x0 - left).astype(np.uint32),
            "length": (self.x1 - self.x0).astype(np.uint32),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Instances:
        """What `arrays` gave."""
        box = arrays["box"]
        counts, y, x, length = (
            arrays[name].astype(np.int64) for name in ("counts", "y", "x", "length")
        )
        x0 = x + box[1]
        which = np.repeat(np.arange(len(counts)), counts)
        args = (arrays["scores"], arrays["ids"], len(counts))
        return cls._of_runs(
            tuple(arrays["plane"]), tuple(box), which, y + box[0], x0, x0 + length, *args
        )
