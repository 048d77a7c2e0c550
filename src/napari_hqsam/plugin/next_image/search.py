"""Looking for the images of a worklist in a thread: a folder on a server takes long."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from napari.qt.threading import create_worker
from qtpy.compat import isalive
from qtpy.QtCore import QObject
from qtpy.QtCore import Signal as QtSignal  # type: ignore[attr-defined]

from napari_hqsam.session.worklist import Worklist

Scan = Callable[..., Generator[int, None, Worklist]]
"""`scan_folder` or `scan_list`."""


class WorklistSearch(QObject):
    """One search at a time; a new one ends the one before.

    Signals
    -------
    counted(int)
        So many were found until now.
    found(Worklist)
    failed(Exception)
    """

    counted = QtSignal(int)
    found = QtSignal(object)
    failed = QtSignal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._worker: Any = None

    def start(self, scan: Scan, source: Path, **options: Any) -> None:
        """Look for images."""
        self.cancel()
        worker = self._worker = create_worker(_run, scan, source, options, _start_thread=False)
        worker.yielded.connect(lambda number: self._count(worker, number))
        worker.returned.connect(lambda answer: self._end(worker, *answer))
        worker.start()

    def cancel(self) -> None:
        """Stop at the next image; nothing more is emitted."""
        if self._worker is not None:
            self._worker.quit()
            self._worker = None

    def _count(self, worker: Any, number: int) -> None:
        if isalive(self) and worker is self._worker:
            self.counted.emit(number)

    def _end(self, worker: Any, made: Worklist | None, error: Exception | None) -> None:
        if isalive(self) and worker is self._worker:
            self._worker = None
            if made is None:
                self.failed.emit(error)
            else:
                self.found.emit(made)


def _run(
    scan: Scan, source: Path, options: dict[str, Any]
) -> Generator[int, None, tuple[Worklist | None, Exception | None]]:
    """In the thread. An error is an answer as well: napari would show its traceback."""
    try:
        return (yield from scan(source, **options)), None
    except Exception as error:
        return None, error
