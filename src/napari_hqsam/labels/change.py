"""What one write changed in a label store, small enough to keep for every undo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.labels.pyramid import Box

if TYPE_CHECKING:
    from napari_hqsam.labels.store import LabelStore


@dataclass(frozen=True)
class Runs:
    """A flat array as runs of equal values.

    Attributes
    ----------
    values, lengths : ndarray
        (n,) each; (0,) for an empty array.
    """

    values: NDArray[Any]
    lengths: NDArray[np.uint32]

    @classmethod
    def of(cls, flat: NDArray[Any]) -> Runs:
        """The runs of an array (n,)."""
        first = np.ones(len(flat), dtype=bool)
        np.not_equal(flat[1:], flat[:-1], out=first[1:])
        starts = np.flatnonzero(first)
        return cls(flat[starts], np.diff(starts, append=len(flat)).astype(np.uint32))

    def expand(self) -> NDArray[Any]:
        """The array (n,) again."""
        return np.repeat(self.values, self.lengths)


@dataclass(frozen=True)
class Patch:
    """The changed pixels of one box of a plane.

    Attributes
    ----------
    box : tuple of int
        (y0, x0, y1, x1), the smallest that holds them.
    changed : Runs
        Of bool, for all pixels of the box.
    before, after : Runs
        The labels of the changed pixels alone.
    """

    box: Box
    changed: Runs
    before: Runs
    after: Runs

    @classmethod
    def between(
        cls, before: NDArray[Any], after: NDArray[Any], origin: tuple[int, int]
    ) -> Patch | None:
        """The patch that makes one array (h, w) the other, or None if they are equal."""
        changed = before != after
        rows, columns = (np.flatnonzero(changed.any(axis=axis)) for axis in (1, 0))
        if len(rows) == 0:
            return None
        y0, y1, x0, x1 = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
        inside = changed[y0:y1, x0:x1]
        oy, ox = origin
        return cls(
            (oy + int(y0), ox + int(x0), oy + int(y1), ox + int(x1)),
            Runs.of(inside.ravel()),
            Runs.of(before[y0:y1, x0:x1][inside]),
            Runs.of(after[y0:y1, x0:x1][inside]),
        )

    def apply(self, labels: NDArray[Any], *, back: bool) -> None:
        """Change the labels (h, w) of the box in place, or back, where they are as left."""
        here = self.changed.expand().reshape(labels.shape)
        found, wanted = (self.after, self.before) if back else (self.before, self.after)
        now = labels[here]
        labels[here] = np.where(now == found.expand(), wanted.expand(), now)

    @property
    def area(self) -> int:
        """Number of changed pixels."""
        return int(self.before.lengths.sum())

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        parts = (self.changed, self.before, self.after)
        return sum(part.values.nbytes + part.lengths.nbytes for part in parts)


class Change:
    """What one `LabelStore.write` changed: it can be taken back and done again.

    Attributes
    ----------
    plane : tuple of int
    bbox : tuple of int
        (y0, x0, y1, x1) of the changed pixels, half-open; empty if there are none.
    area : int
        How many pixels changed.
    nbytes : int
        Memory that it takes; runs of equal labels take as much as one pixel.
    patches : tuple of Patch
        The changed pixels.
    """

    def __init__(
        self, store: LabelStore, plane: tuple[int, ...], patches: Sequence[Patch], asked: Box
    ) -> None:
        self._store = store
        self.patches = tuple(patches)
        self.plane = plane
        y0, x0 = asked[:2]
        self.bbox: Box = (y0, x0, y0, x0)
        if patches:
            boxes = np.array([patch.box for patch in patches])
            low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
            self.bbox = (int(low[0]), int(low[1]), int(high[0]), int(high[1]))
        self.area = sum(patch.area for patch in patches)
        self.nbytes = sum(patch.nbytes for patch in patches)

    def undo(self) -> None:
        """Give the pixels their labels from before; those changed by others since are left alone.

        Raises
        ------
        HQSAMError
            If the disk refuses; undo again goes on with the rest.
        """
        for patch in reversed(self.patches):
            self._store.apply(self.plane, patch, back=True)

    def redo(self) -> None:
        """Write again what was undone; pixels changed by others since are left alone.

        Raises
        ------
        HQSAMError
            If the disk refuses; redo again goes on with the rest.
        """
        for patch in self.patches:
            self._store.apply(self.plane, patch, back=False)
