"""The Segmenter that the dock works with, for one job at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from napari_hqsam.plugin.loader import Loader

if TYPE_CHECKING:
    from napari_hqsam.plugin.request import Subject
    from napari_hqsam.plugin.task import Reporter
    from napari_hqsam.segmentation import Segmenter

_SECONDS = 0.05


class Bench:
    """Makes Segmenters, keeps the last one, and lends it to one thread at a time.

    Parameters
    ----------
    tell : callable
        As for `Loader`: is told of loading, in whichever thread.
    """

    def __init__(self, tell: Callable[[str, int, int], None]) -> None:
        self._turn = threading.Lock()
        self._job: Reporter | None = None
        self._loader = Loader(tell, lambda: self._job is not None and self._job.cancelled())
        self._made: tuple[Subject, Segmenter] | None = None
        self._closed = False

    def needs_download(self, subject: Subject) -> bool:
        """Whether the model of a subject is not on this computer."""
        return self._loader.needs_download(subject)

    @contextmanager
    def segmenter(self, subject: Subject, job: Reporter) -> Iterator[Segmenter]:
        """The Segmenter of a subject, for a job that waits until no other one has it.

        Raises
        ------
        Stopped
            If the job is cancelled while it waits.
        HQSAMError
            If the model or the image cannot be used.
        """
        while not self._turn.acquire(timeout=_SECONDS):
            job.check()
        try:
            job.check()
            self._job = job
            if self._made is None or self._made[0] != subject:
                self._let_go()
                self._made = subject, self._loader.segmenter(subject)
            yield self._made[1]
        finally:
            self._job = None
            if self._closed:
                self._let_go()
            self._turn.release()

    def close(self) -> None:
        """Let go of the Segmenter, at once or when the job that has it ends."""
        self._closed = True
        if self._turn.acquire(blocking=False):
            self._let_go()
            self._turn.release()

    def _let_go(self) -> None:
        made, self._made = self._made, None
        if made is not None:
            made[1].close()
