"""The same step for many objects, so that the window lives on in between."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from qtpy.QtCore import QObject, QTimer
from qtpy.QtCore import Signal as QtSignal  # type: ignore[attr-defined]

from napari_hqsam.errors import HQSAMError


class Batch(QObject):
    """Does one step at each turn of the event loop, on the main thread.

    Signals
    -------
    progressed(int, int)
        So many are done, of how many; the last time both are equal, or both 0 after `cancel`.
    failed(str)
        One line for the user; the other steps are not done.
    """

    progressed = QtSignal(int, int)
    failed = QtSignal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._waiting: list[int] = []
        self._total = 0
        self._step: Callable[[int], object] = lambda _label: None
        self._timer = QTimer(self)
        self._timer.setInterval(0)
        self._timer.timeout.connect(self._turn)

    @property
    def busy(self) -> bool:
        """Whether steps are left to do."""
        return bool(self._waiting)

    def start(self, labels: Iterable[int], step: Callable[[int], object]) -> None:
        """Do `step` for each of `labels`, the first at once; what was under way is dropped."""
        self._waiting, self._step = list(labels)[::-1], step
        self._total = len(self._waiting)
        self._turn()
        if self._waiting:
            self._timer.start()

    def cancel(self) -> None:
        """Do no more; what is done is done."""
        self._timer.stop()
        self._waiting = []
        self.progressed.emit(0, 0)

    def _turn(self) -> None:
        if self._waiting:
            try:
                self._step(self._waiting.pop())
            except HQSAMError as error:
                self.cancel()
                self.failed.emit(str(error))
                return
        if not self._waiting:
            self._timer.stop()
        self.progressed.emit(self._total - len(self._waiting), self._total)
