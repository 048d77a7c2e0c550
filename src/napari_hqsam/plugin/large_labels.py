"""Labels of a plane or stack that napari cannot edit as one layer: kept on disk, seen in two.

A read-only layer shows all of the store at any magnification. Where the view is close enough, an
editable layer of a part of it takes its place, follows the view, and writes what is painted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from app_model.types import KeyCode, KeyMod
from napari.layers import Labels
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.labels.store_planes import read_plane, write_plane
from napari_hqsam.plugin.edit_window import EditWindow, window_for
from napari_hqsam.plugin.label_folder import STORE, create_store, store_of
from napari_hqsam.plugin.layers import insert_above, spatial_shape, transform_like
from napari_hqsam.plugin.plane import displayed_plane
from napari_hqsam.plugin.viewport import visible_box

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari.components import ViewerModel
    from napari.layers import Layer
    from numpy.typing import NDArray

    from napari_hqsam.labels.change import Change
    from napari_hqsam.labels.pyramid import Box
    from napari_hqsam.labels.store import LabelStore

# Edits that did not come from the brush are written after this long without another.
_QUIET_MILLISECONDS = 500
_RETRY_MILLISECONDS = 5000
_UNDO = KeyMod.CtrlCmd | KeyCode.KeyZ


class LargeLabels:
    """A `LabelStore` in the viewer; a `LabelArray`.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    store : LabelStore
    overview : napari.layers.Labels
        The multiscale layer of the store's levels.

    Attributes
    ----------
    close_by : bool
        Whether the view is close enough to paint.

    Signals
    -------
    painted(list of (ArrayPlane, Patch))
        Something was painted, and is written.
    failed(str)
        One line: something painted could not be written.
    undo_pressed()
        Ctrl-Z on the editable layer, whose own steps back end where it was moved.
    """

    painted = Signal(list)
    failed = Signal(str)
    undo_pressed = Signal()

    def __init__(self, viewer: ViewerModel, store: LabelStore, overview: Labels) -> None:
        self._viewer, self.store, self.overview = viewer, store, overview
        self.window = EditWindow(viewer, store, overview)
        self._saved = True
        self._switching = self.close_by = self._behind = False
        self._wanted = bool(overview.visible)
        overview.metadata[STORE] = str(store.path)
        overview.events.visible.connect(self._on_visible)
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._catch_up)

    @classmethod
    def create(cls, viewer: ViewerModel, image: Layer, place: Path | None = None) -> LargeLabels:
        """Make an empty store that fits an image, at a place or the usual one, and show it above.

        Raises
        ------
        HQSAMError
            If it cannot be made.
        """
        store = create_store(image, place)
        name = f"{image.name} objects"
        overview = Labels(_levels(store), name=name, **transform_like(image))
        overview.editable = False
        insert_above(viewer, image, overview)
        return cls(viewer, store, overview)

    @classmethod
    def adopt(cls, viewer: ViewerModel, layer: Labels) -> LargeLabels | None:
        """Go on with labels that were opened from a store; None if the layer is of none."""
        store = store_of(layer)
        if store is None:
            return None
        layer.data = _levels(store)  # ours are read anew whenever they are shown
        layer.editable = False
        return cls(viewer, store, layer)

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return self.store.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the store."""
        return self.store.dtype

    def read(self, plane: ArrayPlane, box: Box) -> NDArray[Any]:
        """As `LabelArray.read`; what is being painted is not in it before `flush`."""
        return read_plane(self.store, plane, *box)

    def write(
        self, plane: ArrayPlane, y0: int, x0: int, pixels: NDArray[Any], where: NDArray[np.bool_]
    ) -> None:
        """As `LabelArray.write`, and shown."""
        try:
            self._refresh(write_plane(self.store, plane, y0, x0, pixels, where))
        except OSError as error:
            raise HQSAMError(f"{self.store.path}: cannot be written ({error})") from error

    def owns(self, layer: Layer) -> bool:
        """Whether a layer shows this store."""
        return layer is self.overview or (layer is self.window.layer is not None)

    def flush(self) -> bool:
        """Write what was painted; whether that succeeded."""
        self._timer.stop()
        try:
            changes = self.window.flush()
        except Exception as error:  # a full disk, a lost mount: the edits stay in the layer
            if self._saved:
                self._saved = False
                self.window.mark(saved=False)
                self.failed.emit(f"what you paint is not on disk yet, it is tried again: {error}")
            self._timer.start(_RETRY_MILLISECONDS)
            return False
        if not self._saved:
            self._saved = True
            self.window.mark(saved=True)
        if changes:
            last = len(self.shape) - 2, len(self.shape) - 1
            self.painted.emit(
                [(ArrayPlane(last, change.plane), p) for change in changes for p in change.patches]
            )
        return True

    def follow(self) -> None:
        """Bring the editable part to where the view is, or show the read-only layer instead."""
        if self.overview not in self._viewer.layers:
            return
        self._behind = self.window.drawing
        if self._behind:
            self._soon()
            return
        try:
            plane = displayed_plane(self._viewer, self.overview)
        except HQSAMError:
            self._show_window(not self.flush())
            return
        shape = plane.shape(spatial_shape(self.overview))
        now = self.window.box if self.window.plane == plane and self.window.alive else None
        box = window_for(visible_box(self._viewer, self.overview, plane), shape, now)
        if box is not None and box != now:
            if not self.flush():
                return  # what is painted there has no other place
            new = not self.window.alive
            self.window.load(plane, box)
            if new:
                self._connect()
        self._show_window(box is not None)

    def rest(self) -> None:
        """Show the read-only layer only, for as long as other labels are worked on."""
        if self.window.alive and self.flush():
            self._show_window(False)

    def window_removed(self) -> None:
        """The user has deleted the editable layer: the read-only one stands in for it."""
        self.flush()
        self.window.remove()
        self._show_window(False)

    def close(self) -> bool:
        """Write what was painted and leave the read-only layer; whether that succeeded.

        If it cannot be written the editable layer stays, for the user to save.
        """
        saved = self.flush()
        if saved:
            self._switching = True
            self.window.remove()
            if self._wanted and self.overview in self._viewer.layers:
                _show(self.overview, True)
        self._timer.stop()
        self.overview.events.visible.disconnect(self._on_visible)
        return saved

    def _connect(self) -> None:
        """A new layer of the window: note what is painted, and whether the user hides it."""
        layer: Any = self.window.layer
        layer.metadata[STORE] = str(self.store.path)
        layer.events.paint.connect(self.flush)
        # Whatever else changes the layer draws it anew.
        layer.events.labels_update.connect(self._soon)
        layer.events.set_data.connect(self._soon)
        layer.events.visible.connect(self._on_visible)
        layer.bind_key(_UNDO, lambda _layer: self.undo_pressed.emit())

    def _refresh(self, changes: Sequence[Change]) -> None:
        """Show what was changed in the store."""
        self.window.reload(changes)
        self.overview.refresh()

    def _catch_up(self) -> None:
        """Do what was put off; a stroke that is being drawn is one step, written at its end."""
        if self.window.drawing:
            self._soon()
            return
        self.flush()
        if self._behind:
            self.follow()

    def _soon(self) -> None:
        self._timer.start(_QUIET_MILLISECONDS)

    def _show_window(self, shown: bool) -> None:
        """One of the two layers at a time: both would be drawn on top of each other."""
        self.close_by = shown and self.window.alive
        self._switching = True
        try:
            if self.window.layer is not None:
                _show(self.window.layer, self.close_by and self._wanted)
            _show(self.overview, not self.close_by and self._wanted)
        finally:
            self._switching = False

    def _on_visible(self, event: Any) -> None:
        if not self._switching:  # the user did it
            self._wanted = bool(event.source.visible)
            self._show_window(self.close_by)


def _levels(store: LabelStore) -> Any:
    """Data of a layer that shows the store: a pyramid, if it has one."""
    return list(store.levels) if len(store.levels) > 1 else store.levels[0]


def _show(layer: Labels, shown: bool) -> None:
    if layer.visible != shown:  # napari falls back to another tool even where nothing changes
        layer.visible = shown
