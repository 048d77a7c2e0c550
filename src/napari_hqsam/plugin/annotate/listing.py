"""Objects that a Labels layer holds already, found in a thread, so that the table knows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_hqsam.labels.find import objects_in
from napari_hqsam.plugin.task import Task

if TYPE_CHECKING:
    from napari_hqsam.plugin.task import Reporter
    from napari_hqsam.session.session import Session


class Listing:
    """Finds the objects of labels.

    Signals
    -------
    listed(Session, list of LabelObject)
        Those of that session's labels.
    progress(int, int)
    failed(str)
    """

    listed = Signal(object, object)
    progress = Signal(object, object)
    failed = Signal(str)

    def __init__(self) -> None:
        self._waiting: tuple[Session, Any] | None = None
        self.task = Task()
        self.task.done.connect(self._on_done)
        self.task.failed.connect(self.failed.emit)
        self.task.progress.connect(self.progress.emit)
        self.task.ended.connect(self._begin)

    def look(self, session: Session, labels: Any) -> None:
        """Find the objects of labels (numpy array, zarr array or LabelStore) for a session."""
        self._waiting = (session, labels)
        self._begin()

    def close(self) -> None:
        """Look no more."""
        self._waiting = None
        self.task.close()

    def _begin(self) -> None:
        if self._waiting is None or self.task.busy:
            return
        (session, labels), self._waiting = self._waiting, None
        if isinstance(labels, np.ndarray):
            labels = labels.copy()  # the user goes on painting

        def work(job: Reporter) -> Any:
            def progress(done: int, total: int, _what: str) -> None:
                job.check()
                job.progress(done, total)

            return session, list(objects_in(labels, progress))

        self.task.start(work)

    def _on_done(self, result: tuple[Session, list[Any]]) -> None:
        self.listed.emit(*result)
