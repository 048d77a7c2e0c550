"""One job in a thread: progress, cancel, and an end, all told on the main thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from napari.utils.notifications import notification_manager
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from napari_hqsam.errors import HQSAMError

_SECONDS_BETWEEN_REPORTS = 0.05
_SECONDS_TO_END = 2.0  # one that waits for the network may take longer, and is left behind


class Stopped(Exception):
    """The user has cancelled."""


class Reporter:
    """What a job is given: where it tells how far it is, and learns that it is cancelled."""

    def __init__(self, tell: Callable[[int, int], None]) -> None:
        self._tell = tell
        self._stop = threading.Event()
        self._told = 0.0

    def progress(self, done: int, total: int) -> None:
        """Tell that `done` of `total` is done; not every call is passed on."""
        now = time.monotonic()
        if done == total or now - self._told > _SECONDS_BETWEEN_REPORTS:
            self._told = now
            self._tell(done, total)

    def cancelled(self) -> bool:
        """Whether it is cancelled."""
        return self._stop.is_set()

    def check(self) -> None:
        """Raise `Stopped` if it is cancelled."""
        if self.cancelled():
            raise Stopped

    def cancel(self) -> None:
        """Let the job end at its next `check`."""
        self._stop.set()


Work = Callable[[Reporter], Any]


class Task(QObject):
    """Runs one job at a time.

    Signals
    -------
    progress(object, object)
        How much is done, of how much: whole numbers of any size.
    done(object)
        What the job returned.
    failed(str)
        One line for the user.
    ended()
        After each of these, and after a cancel: another job can be started.
    """

    progress = Signal(object, object)
    done = Signal(object)
    failed = Signal(str)
    ended = Signal()
    # From the thread to this object's own, where Qt delivers it: (job, result, error).
    _over = Signal(object, object, object)
    _told = Signal(object, object, object)

    def __init__(self) -> None:
        super().__init__()
        self._job: Reporter | None = None
        self._thread: threading.Thread | None = None
        self._closed = False
        self._over.connect(self._end)
        self._told.connect(self._pass_on)

    @property
    def busy(self) -> bool:
        """Whether a job is under way."""
        return self._job is not None

    def start(self, work: Work) -> bool:
        """Start a job unless there is one; whether it was started."""
        if self._closed or self.busy:
            return False
        job = self._job = Reporter(lambda done, total: self._tell(job, done, total))
        self._thread = threading.Thread(target=self._run, args=(job, work), daemon=True)
        self._thread.start()
        return True

    def cancel(self) -> None:
        """Ask the job to end; `ended` tells when it has."""
        if self._job is not None:
            self._job.cancel()

    def close(self) -> None:
        """Cancel, wait a little for the end, and start and tell nothing more."""
        self._closed = True
        self.cancel()
        if self._thread is not None:
            self._thread.join(_SECONDS_TO_END)

    def _run(self, job: Reporter, work: Work) -> None:
        result, error = None, None
        try:
            result = work(job)
        except BaseException as raised:  # whatever happens here, the window goes on
            error = raised
        if not self._closed:
            self._over.emit(job, result, error)

    def _tell(self, job: Reporter, done: int, total: int) -> None:
        if not self._closed:
            self._told.emit(job, done, total)

    def _pass_on(self, job: Reporter, done: int, total: int) -> None:
        if job is self._job and not self._closed:
            self.progress.emit(done, total)

    def _end(self, job: Reporter, result: Any, error: BaseException | None) -> None:
        self._job = None
        if self._closed:
            return
        if error is None:
            self.done.emit(result)
        elif isinstance(error, HQSAMError) and not job.cancelled():
            self.failed.emit(str(error))
        elif not isinstance(error, (HQSAMError, Stopped)):
            notification_manager.receive_error(type(error), error, error.__traceback__)
            self.failed.emit(f"{type(error).__name__}: {error}")
        self.ended.emit()
