"""What was done to labels, one step at a time, and how to take it back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from napari.layers import Labels

from napari_hqsam.plugin.large_labels import LargeLabels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_hqsam.labels.change import Change
    from napari_hqsam.labels.plane import ArrayPlane
    from napari_hqsam.segmentation import Mask


class Step(Protocol):
    """What can be taken back."""

    @property
    def what(self) -> str:
        """What it is called."""

    def undo(self) -> None:
        """Take it back; pixels that were changed since are left alone."""


@dataclass(frozen=True)
class Drawn:
    """Pixels of a layer that were background and became objects."""

    layer: Labels
    pixels: tuple[np.ndarray, ...]
    values: np.ndarray
    what: str = "commit"

    def undo(self) -> None:
        """Make background again what is still ours."""
        ours = np.asarray(self.layer.data[self.pixels]) == self.values
        chosen = tuple(axis[ours] for axis in self.pixels)
        if ours.any():
            self.layer.data_setitem(chosen, np.zeros(int(ours.sum()), dtype=self.values.dtype))


@dataclass(frozen=True)
class Written:
    """What was committed to a store, or painted there."""

    large: LargeLabels
    changes: list[Change]
    what: str = "commit"

    def undo(self) -> None:
        """Take the changes back on disk, and show it."""
        self.large.undo(self.changes)


def draw(labels: Labels, plane: ArrayPlane, masks: Sequence[Mask], first: int) -> tuple[int, Drawn]:
    """Write masks into an editable layer; how many had a place, and how to undo it."""
    corners = np.array([mask.bbox for mask in masks])
    (y0, x0), (y1, x1) = corners[:, :2].min(axis=0), corners[:, 2:].max(axis=0)
    taken = np.asarray(labels.data[plane.region(y0, x0, y1, x1)]) != 0
    ys: list[np.ndarray] = []
    xs: list[np.ndarray] = []
    values: list[np.ndarray] = []
    value = first
    for mask in masks:
        top, left, bottom, right = mask.bbox
        busy = taken[top - y0 : bottom - y0, left - x0 : right - x0]
        y, x = np.nonzero(mask.data & ~busy)
        if len(y) == 0:
            continue
        busy[y, x] = True
        ys.append(y + top)
        xs.append(x + left)
        values.append(np.full(len(y), value))
        value += 1
    nothing = [np.empty(0, dtype=int)]
    pixels = plane.pixels(np.concatenate(ys or nothing), np.concatenate(xs or nothing))
    written = np.concatenate(values or nothing).astype(labels.dtype)
    if len(written):
        labels.data_setitem(pixels, written)
    return value - first, Drawn(labels, pixels, written)
