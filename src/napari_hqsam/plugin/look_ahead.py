"""Encoding ahead of the user: what is in view first, so that a click there need not wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_hqsam.plugin.ready_overlay import ReadyOverlay
from napari_hqsam.plugin.viewport import Viewport, pointer, screen_pixels, visible_box

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel

    from napari_hqsam.plugin.annotate.image_controls import ImageControls
    from napari_hqsam.plugin.annotate.subjects import Shown
    from napari_hqsam.plugin.engine import Engine

# An image with a longer side is encoded ahead unless the user says no: it takes several windows.
_LARGE = 1024


class LookAhead:
    """Tells the engine where the user looks, and shows how far it is.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    viewport : Viewport
        Tells when the view moves.
    engine : Engine
    controls : ImageControls
    looked_at : callable
        The image, its plane on display, what the engine makes of them and the plane's index in
        that; None while there is nothing to encode.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        viewport: Viewport,
        engine: Engine,
        controls: ImageControls,
        looked_at: Callable[[], Shown | None],
    ) -> None:
        self._viewer, self._viewport, self._engine = viewer, viewport, engine
        self._controls, self._looked_at = controls, looked_at
        self._overlay = ReadyOverlay(viewer)
        self._asleep = False
        self._chosen = False  # whether the user has ticked or unticked the box
        self._setting = False
        self._last: object = None
        viewport.pointed.connect(self._look)
        engine.encoding_changed.connect(viewport.look)
        controls.ahead.changed.connect(self._on_ahead)
        controls.pause.changed.connect(self._on_pause)
        controls.show_ready.changed.connect(self._show)

    def begin(self, shown: Shown | None) -> None:
        """Another image is on display, or none."""
        shape = None if shown is None else shown[2].source.yx_shape()
        if not self._chosen:
            self._setting = True
            self._controls.ahead.value = shape is not None and max(shape) > _LARGE
            self._setting = False
        self._viewport.look()

    def sleep(self, asleep: bool, *, quietly: bool = False) -> None:
        """Encode nothing while the dock is hidden; `quietly` leaves the overlay where it is."""
        self._asleep, self._last = asleep, None
        if asleep:
            self._engine.stop_watching()
        if not quietly:
            self._look()

    def close(self) -> None:
        """Take the overlay away."""
        self._asleep = True
        self._overlay.clear()

    def _on_ahead(self) -> None:
        self._chosen = self._chosen or not self._setting
        self._look()

    def _on_pause(self) -> None:
        self._engine.pause(bool(self._controls.pause.value))
        self._show()

    def _look(self) -> None:
        """Tell the engine what is in view now, and show how far it is."""
        if self._engine.closed:
            return
        found = None
        if self._controls.ahead.value and not self._asleep:
            found = self._looked_at()
        if found is None:
            if self._last is not None:
                self._last = None
                self._engine.stop_watching()
            self._show()
            return
        from napari_hqsam.embedding.queue import View

        image, plane, subject, index = found
        box = visible_box(self._viewer, image, plane)
        height, width = subject.source.yx_shape()
        y0, x0, y1, x1 = (*(max(v, 0.0) for v in box[:2]), min(box[2], height), min(box[3], width))
        if y0 >= y1 or x0 >= x1:
            return
        at = pointer(self._viewer, image, plane, (y0, x0, y1, x1))
        view = View(index, (y0, x0, y1, x1), at, screen_pixels(self._viewer, image, plane))
        if (subject, view) != self._last:
            self._last = (subject, view)
            self._engine.watch(subject, view)
        self._show()

    def _show(self) -> None:
        """The progress, and the outline of what is ready in view."""
        if self._engine.closed:
            return
        found = None if self._asleep else self._looked_at()
        encoding = None if found is None else self._engine.encoding(found[2])
        if found is None or encoding is None:
            self._controls.ahead_status.value = ""
            self._overlay.clear()
            return
        image, plane, _, index = found
        self._controls.show_ahead(
            *encoding.progress,
            watching=bool(self._controls.ahead.value),
            paused=encoding.paused,
            error=encoding.error,
        )
        if not self._controls.show_ready.value:
            self._overlay.clear()
            return
        box = visible_box(self._viewer, image, plane)
        zoom = screen_pixels(self._viewer, image, plane)
        self._overlay.show(image, plane, encoding.ready(index, box), zoom)
