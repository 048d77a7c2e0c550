"""Having the next images encoded while the user is at work on this one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from qtpy.QtCore import QObject, QTimer

from napari_hqsam.errors import HQSAMError

_MILLISECONDS = 1000


class Ahead(QObject):
    """Prepares images one by one, each when nothing else is computed.

    Parameters
    ----------
    prepare : callable or None
        Begins to encode an image, given its path; returns at once.
    idle : callable or None
        Whether nothing is being computed; None if it always may begin.
    parent : QObject, optional
    """

    def __init__(
        self,
        prepare: Callable[[Path], object] | None,
        idle: Callable[[], bool] | None,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._prepare, self._idle = prepare, idle
        self._waiting: list[Path] = []
        self._timer = QTimer(self)
        self._timer.setInterval(_MILLISECONDS)
        self._timer.timeout.connect(self._look)

    def start(self, paths: Iterable[Path]) -> None:
        """Prepare these next, and none of those that wait."""
        self._waiting = list(paths)
        if self._prepare is not None:
            self._timer.start()

    def stop(self) -> None:
        """Prepare nothing more."""
        self._timer.stop()

    def _look(self) -> None:
        if not self._waiting or self._prepare is None:
            self._timer.stop()
        elif self._idle is None or self._idle():
            with suppress(HQSAMError):  # it is told when the image is opened
                self._prepare(self._waiting.pop(0))
