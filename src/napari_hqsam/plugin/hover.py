"""What a click would find, shown before it is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_hqsam.plugin.engine import Engine
    from napari_hqsam.plugin.preview import Preview
    from napari_hqsam.plugin.request import Request
    from napari_hqsam.segmentation import Mask

# The mouse must rest so many milliseconds.
_REST = 80


class Hover(QObject):
    """Outlines the object under the mouse where that needs no encoding; commits nothing.

    It is off at first. What was asked for prompts comes first: while it is computed, and while its
    masks are on show, nothing else is.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    engine : Engine
    preview : Preview
    ask : callable
        Gives the image and the request for a click where the mouse is; None if there is nothing to
        click on, or if there are prompts already.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        engine: Engine,
        preview: Preview,
        ask: Callable[[], tuple[Image, Request] | None],
    ) -> None:
        super().__init__()
        self._viewer, self._engine, self._preview, self._ask = viewer, engine, preview, ask
        self._asked: tuple[Image, Request] | None = None
        self._shown = False
        self._on = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_REST)
        self._timer.timeout.connect(self._look)
        engine.glanced.connect(self._on_glance)
        engine.answered.connect(self._on_answer)

    @property
    def on(self) -> bool:
        """Whether objects are outlined."""
        return self._on

    def turn(self, on: bool) -> None:
        """Begin or end to outline objects."""
        if on != self._on:
            self._on = on
            moved = self._viewer.cursor.events.position
            if on:
                moved.connect(self._on_move)
            else:
                moved.disconnect(self._on_move)
                self.drop()

    def drop(self) -> None:
        """Outline nothing until the mouse moves: something was clicked on."""
        self._timer.stop()
        self._asked = None
        self._engine.glance(None)
        if self._shown:
            self._shown = False
            self._preview.clear()

    def _on_move(self, _event: Any = None) -> None:
        self._asked = None
        self._timer.start()  # again from the beginning

    def _look(self) -> None:
        asked = None if self._engine.busy or self._engine.closed else self._ask()
        if asked is None:
            self.drop()
        else:
            self._asked = asked
            self._engine.glance(asked[1])

    def _on_glance(self, request: Request, mask: Mask | None) -> None:
        if self._asked is None or self._asked[1] is not request:
            return
        if mask is None or mask.area == 0:
            self.drop()
            return
        self._shown = True
        self._preview.show(self._asked[0], request.plane, [mask], outline=True)

    def _on_answer(self, _request: Request, _masks: list[Mask]) -> None:
        """The preview is no longer that of this object."""
        self._shown, self._asked = False, None
