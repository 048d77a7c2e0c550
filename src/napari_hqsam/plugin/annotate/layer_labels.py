"""An editable Labels layer as what a session edits, and what the user paints in it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_hqsam.labels.change import Patch
from napari_hqsam.labels.plane import ArrayPlane

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_hqsam.labels.pyramid import Box


class LayerLabels:
    """The labels of a layer in memory; a `LabelArray`.

    Parameters
    ----------
    layer : napari.layers.Labels
        Of one scale, of a numpy or zarr array.

    Signals
    -------
    painted(list of (ArrayPlane, Patch))
        The user has painted, filled or erased: one list for one stroke.
    """

    painted = Signal(list)

    def __init__(self, layer: Labels) -> None:
        self.layer = layer
        self._writing = False
        layer.events.paint.connect(self._on_paint)

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return tuple(int(n) for n in self.layer.data.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the layer."""
        return np.dtype(self.layer.data.dtype)

    def read(self, plane: ArrayPlane, box: Box) -> NDArray[Any]:
        """As `LabelArray.read`."""
        return np.array(self.layer.data[plane.region(*box)])

    def write(
        self, plane: ArrayPlane, y0: int, x0: int, pixels: NDArray[Any], where: NDArray[np.bool_]
    ) -> None:
        """As `LabelArray.write`."""
        y, x = np.nonzero(where)
        if len(y) == 0:
            return
        values = np.asarray(pixels)[y, x].astype(self.dtype)
        staged = self.layer._staged_history
        with self._own():
            before = len(staged)
            self.layer.data_setitem(plane.pixels(y + y0, x + x0), values)
            del staged[before:]  # no part of a stroke that is being drawn

    def close(self) -> None:
        """Listen no more."""
        self.layer.events.paint.disconnect(self._on_paint)

    @contextmanager
    def _own(self) -> Iterator[None]:
        """What is written now is not what the user paints."""
        self._writing = True
        try:
            yield
        finally:
            self._writing = False

    def _on_paint(self, event: Any) -> None:
        # napari's own way back would lead around the session
        self.layer._undo_history.clear()
        if not self._writing:
            edits = list(_edits(self.layer.data, event.value))
            if edits:
                self.painted.emit(edits)


def _edits(data: Any, atoms: list[Any]) -> Iterator[tuple[ArrayPlane, Patch]]:
    """What one stroke changed, plane by plane.

    Parameters
    ----------
    data : array
        As it is after the stroke, or just before its last pixels are written.
    atoms : list
        napari's record of it: for each step the region and mask, or the indices, of the pixels
        that changed, and, last, what they were before and what they are then.
    """
    boxes = np.array([_box(atom, data.shape) for atom in atoms])
    low, high = boxes[:, 0].min(axis=0), boxes[:, 1].max(axis=0)
    after = np.array(data[tuple(map(slice, low, high))])
    before = after.copy()
    for atom in reversed(atoms):  # a pixel may have been changed more than once
        _put(before, low, atom, atom[-2])
    for atom in atoms:  # some tools tell of a change before they write it
        _put(after, low, atom, atom[-1])
    # The plane that the stroke lies in; a stroke through a volume lies in several.
    i, j = sorted(np.argsort(high - low, kind="stable")[-2:].tolist())
    others = [axis for axis in range(data.ndim) if axis not in (i, j)]
    for index in np.ndindex(*(int((high - low)[axis]) for axis in others)):
        here: list[Any] = [slice(None)] * data.ndim
        for axis, at in zip(others, index, strict=True):
            here[axis] = at
        patch = Patch.between(before[tuple(here)], after[tuple(here)], (int(low[i]), int(low[j])))
        if patch is not None:
            at = tuple(int(low[axis]) + n for axis, n in zip(others, index, strict=True))
            yield ArrayPlane((i, j), at), patch


def _put(part: NDArray[Any], low: NDArray[Any], atom: Any, values: Any) -> None:
    """Give the pixels of an atom these values, in a part of the labels that begins at `low`."""
    if hasattr(atom, "slice_key"):
        start, stop = _box(atom, tuple((low + part.shape).tolist()))
        region = part[tuple(map(slice, start - low, stop - low))]
        region[... if atom.mask is None else atom.mask] = values
    else:
        part[tuple(np.asarray(i) - o for i, o in zip(atom[0], low, strict=True))] = values


def _box(atom: Any, shape: tuple[int, ...]) -> tuple[NDArray[Any], NDArray[Any]]:
    """First and behind the last index, along each axis, of the pixels of an atom."""
    if hasattr(atom, "slice_key"):
        spans = [key.indices(n) for key, n in zip(atom.slice_key, shape, strict=True)]
        return np.array([s[0] for s in spans]), np.array([s[1] for s in spans])
    indices = [np.asarray(i) for i in atom[0]]
    return np.array([i.min() for i in indices]), np.array([i.max() + 1 for i in indices])
