"""The part of large labels that can be painted on: a crop of the store, as a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from qtpy.QtWidgets import QApplication

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.store_planes import read_plane, write_plane
from napari_hqsam.plugin.layers import crop_transform, insert_above

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from numpy.typing import NDArray

    from napari_hqsam.labels.change import Change
    from napari_hqsam.labels.plane import ArrayPlane
    from napari_hqsam.labels.store import LabelStore

Box = tuple[int, int, int, int]

# Longest side in pixels: napari copies all of an editable layer's plane, and graphics cards
# hold textures of this size.
LARGEST_SIDE = 4096
# Sides are a multiple of this, so that small moves of the view need no new window.
_STEP = 256
_UNSAVED = " — NOT SAVED"


class EditWindow:
    """An editable Labels layer over a box of one plane of a store.

    What is painted is found by comparing the layer with what was read: however it came about,
    it is written.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    store : LabelStore
    overview : napari.layers.Labels
        The layer that shows all of the store; this one is placed like it, just above.

    Attributes
    ----------
    layer : napari.layers.Labels or None
        None until `load` is called for the first time.
    plane, box : ArrayPlane and (y0, x0, y1, x1), or None
        What it holds.
    """

    def __init__(self, viewer: ViewerModel, store: LabelStore, overview: Labels) -> None:
        self._viewer, self._store, self._overview = viewer, store, overview
        self.layer: Labels | None = None
        self.plane: ArrayPlane | None = None
        self.box: Box | None = None
        self._stored: NDArray[Any] = np.zeros((0, 0), dtype=store.dtype)

    @property
    def alive(self) -> bool:
        """Whether its layer is in the viewer."""
        return self.layer is not None and self.layer in self._viewer.layers

    @property
    def drawing(self) -> bool:
        """Whether a stroke is being drawn, during which the layer must stay where it is."""
        if self.layer is None or self._viewer.layers.selection.active is not self.layer:
            return False
        pressed = bool(QApplication.mouseButtons().value)
        return pressed and str(self.layer.mode) not in ("pan_zoom", "pick")

    def load(self, plane: ArrayPlane, box: Box) -> None:
        """Hold another part of the store; what is not written yet is lost: `flush` before."""
        self._stored = read_plane(self._store, plane, *box)
        data = plane.slab(self._stored.copy())
        placed = crop_transform(self._overview, plane.position(*box[:2]))
        self.plane, self.box = plane, box
        if not self.alive:
            name = f"{self._overview.name} (edit)"
            self.layer = Labels(data, name=name, opacity=self._overview.opacity, **placed)
            insert_above(self._viewer, self._overview, self.layer)
            return
        assert self.layer is not None
        with self.layer._block_refresh():  # it would be sliced twice
            self.layer.data = data
            self.layer.translate = placed["translate"]
        self.layer._reset_history()  # napari's own steps back are of another place
        self.layer.refresh()

    def flush(self) -> list[Change]:
        """Write what was painted since; returns how to undo it, [] where nothing was.

        Raises
        ------
        Exception
            Whatever the disk says; what was painted stays in the layer, and is written next time.
        """
        if self.layer is None or self.plane is None or self.box is None:
            return []
        if self.layer.data.size != self._stored.size:
            raise HQSAMError(f"{self.layer.name} has another shape than before: undo that")
        now = self.plane.flat(np.asarray(self.layer.data))
        different = now != self._stored
        rows = np.flatnonzero(different.any(axis=1))
        if len(rows) == 0:
            return []
        columns = np.flatnonzero(different[rows[0] : rows[-1] + 1].any(axis=0))
        part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        y0, x0 = self.box[0] + int(rows[0]), self.box[1] + int(columns[0])
        pixels = now[part].copy()
        changes = write_plane(self._store, self.plane, y0, x0, pixels, different[part])
        self._stored[part] = pixels
        return changes

    def reload(self, changes: Sequence[Change]) -> None:
        """Show what changes made of the store; what was painted and is not written stays."""
        if not self.alive or self.plane is None or self.box is None or self.layer is None:
            return
        box = self.box
        if self.plane.axes == (self.plane.ndim - 2, self.plane.ndim - 1):
            here = [c.bbox for c in changes if c.plane == self.plane.index]
            if not here:
                return
            low, high = np.min(here, axis=0)[:2], np.max(here, axis=0)[2:]
            low, high = np.maximum(low, box[:2]), np.minimum(high, box[2:])
            if (low >= high).any():
                return
            box = int(low[0]), int(low[1]), int(high[0]), int(high[1])
        y0, x0 = self.box[:2]
        part = np.s_[box[0] - y0 : box[2] - y0, box[1] - x0 : box[3] - x0]
        fresh = read_plane(self._store, self.plane, *box)
        shown = self.plane.flat(np.asarray(self.layer.data))[part]
        np.copyto(shown, fresh, where=shown == self._stored[part])
        self._stored[part] = fresh
        self.layer._reset_history()
        self.layer.refresh()

    def mark(self, saved: bool) -> None:
        """Say in the layer's name whether the store holds what it shows."""
        if self.layer is not None:
            name = self.layer.name.removesuffix(_UNSAVED)
            self.layer.name = name if saved else name + _UNSAVED

    def remove(self) -> None:
        """Take the layer out of the viewer; `flush` before."""
        if self.alive:
            self._viewer.layers.remove(self.layer)
        self.layer = self.plane = self.box = None


def window_for(
    visible: tuple[float, float, float, float], shape: tuple[int, int], now: Box | None
) -> Box | None:
    """Which box of a plane of `shape` to hold while `visible` is on the screen.

    Parameters
    ----------
    visible : (y0, x0, y1, x1)
        May reach over the plane's edges.
    shape : (int, int)
    now : tuple of int or None
        The box that is held; it is kept as long as it shows what is visible and a margin.

    Returns
    -------
    (y0, x0, y1, x1) or None
        None if what is visible is larger than a window may be, or beside the plane.
    """
    low = np.maximum(visible[:2], 0)
    high = np.minimum(visible[2:], shape)
    extent = high - low
    if (extent <= 0).any() or (extent > LARGEST_SIDE).any():
        return None
    margin = np.minimum(extent / 8, (LARGEST_SIDE - extent) / 2)
    if now is not None:
        held = (np.maximum(low - margin, 0) >= now[:2]).all()
        held = held and (np.minimum(high + margin, shape) <= now[2:]).all()
        if held:
            return now
    side = np.minimum(-(-2 * extent // _STEP) * _STEP, LARGEST_SIDE)
    side = np.minimum(side, shape).astype(int)
    start = np.clip(np.round((low + high - side) / 2), 0, shape - side).astype(int)
    y0, x0 = int(start[0]), int(start[1])
    return y0, x0, y0 + int(side[0]), x0 + int(side[1])
