"""The part of the dock that computes: one worker at a time, the newest request wins."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.qt.threading import create_worker
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images.intensity import IntensityMapping
from napari_hqsam.plugin.request import Request, Subject

if TYPE_CHECKING:
    from napari_hqsam.embedding.queue import EncodeQueue, View
    from napari_hqsam.modeling import HQSam
    from napari_hqsam.segmentation import Mask, Segmenter


class Engine(QObject):
    """Answers requests in a worker thread, and never blocks the window.

    While a request is computed only the newest of those that come is kept; an answer that is no
    longer wanted is dropped. What the user looks at is encoded by the Segmenter's own thread.

    Signals
    -------
    answered(Request, list of Mask)
        On the main thread, as all signals that are connected to its methods. Perhaps twice for one
        request, the second time with a finer boundary.
    failed(str)
        One line for the user.
    stage(str, int, int)
        What is done now, and how far: (text, done, total), total 0 if it is not known.
    idle()
        Nothing is left to do.
    encoding_changed()
        Another window is ready, or others are waited for.

    Attributes
    ----------
    closed : bool
        Whether `close` was called: the dock is gone.
    """

    answered = Signal(object, object)
    failed = Signal(str)
    stage = Signal(str, int, int)
    idle = Signal()
    encoding_changed = Signal()
    # From the worker thread to this object's, where Qt delivers them.
    _done = Signal(object, object)
    _error = Signal(object)
    _stage = Signal(str, int, int)

    def __init__(self) -> None:
        super().__init__()
        self.closed = False
        self._lock = threading.Lock()
        self._pending: Request | None = None
        self._newest: Request | None = None
        self._running = self._answering = False
        self._cancelled = threading.Event()
        self._finished = threading.Event()
        self._finished.set()
        self._models: dict[tuple[str, str], HQSam] = {}
        self._segmenter: tuple[Subject, Segmenter] | None = None
        self._watched: tuple[Subject, View] | None = None
        self._tried: Subject | None = None  # made ready to watch, or in vain
        self._mapped: tuple[Any, Any] | None = None
        self._paused = False
        self._done.connect(self._deliver)
        self._error.connect(self._report)
        self._stage.connect(self._tell)

    def request(self, request: Request) -> None:
        """Compute the masks of `request`, unless a newer one comes first."""
        with self._lock:
            self._pending = self._newest = request
            self._cancelled.clear()
        self._work()

    def cancel(self) -> None:
        """Drop what is being computed; a download stops at its next block."""
        with self._lock:
            self._pending = self._newest = None
        self._cancelled.set()

    def watch(self, subject: Subject, view: View) -> None:
        """Encode ahead what the user looks at.

        A model is loaded for it if that needs no download.
        """
        with self._lock:
            self._watched = (subject, view)
            ready = self._segmenter
        if ready is not None and ready[0] == subject:
            ready[1].watch(view)
        else:
            self._work()

    def stop_watching(self) -> None:
        """Encode nothing more ahead."""
        with self._lock:
            self._watched, ready = None, self._segmenter
        if ready is not None:
            ready[1].watch(None)

    def pause(self, paused: bool) -> None:
        """Encode nothing ahead until told to go on; requests are answered all the same."""
        self._paused = paused
        if self._segmenter is not None:
            encoding = self._segmenter[1].encoding
            encoding.pause() if paused else encoding.resume()

    def encoding(self, subject: Subject) -> EncodeQueue | None:
        """What is encoded ahead of that subject, once it has begun."""
        ready = self._segmenter
        return ready[1].encoding if ready is not None and ready[0] == subject else None

    def close(self) -> None:
        """Cancel, wait until the threads have ended, and take no more requests."""
        self.closed = True
        self._watched = None
        self.cancel()
        self._finished.wait()
        self._let_go()

    @property
    def busy(self) -> bool:
        """Whether an answer is being computed."""
        return self._answering or self._pending is not None

    def _work(self) -> None:
        """Start the worker if it does not run."""
        with self._lock:
            idle = self._pending is None and not self._to_prepare()
            if self.closed or self._running or idle:
                return
            self._running = True
            self._finished.clear()
        create_worker(self._run, _start_thread=True)

    def _run(self) -> None:
        """In the worker thread: answer requests, and make ready what is watched."""
        while True:
            with self._lock:
                request, self._pending = self._pending, None
                self._answering = request is not None
                watched = self._watched if request is None and self._to_prepare() else None
                if request is None and watched is None:
                    self._running = False
                    break
                if watched is not None:
                    self._tried = watched[0]
            try:
                if request is not None:
                    self._answer(request)
                elif watched is not None:
                    self._done.emit(None, None)
                    self._prepare(watched[0])
            except Exception as error:  # the window must survive whatever happens here
                self._error.emit((request, error))
        self._done.emit(None, None)
        with self._lock:  # the last thing done: whoever waits may delete this object
            if not self._running:
                self._finished.set()

    def _answer(self, request: Request) -> None:
        for masks in self._answers(request):
            self._done.emit(request, masks)
            if request is not self._newest:
                return

    def _answers(self, request: Request) -> Iterator[list[Mask]]:
        """The masks; then, where there is more to see, the same ones with a finer boundary."""
        segmenter = self._segmenter_for(request.subject)
        previous: Sequence[Mask | None] = request.previous or [None] * len(request.prompts)
        first = segmenter.choose_window(request.prompts[0], request.index, previous[0])
        if first not in segmenter.features:
            self._stage.emit("Encoding the image…", 0, 0)
        predict = partial(
            segmenter.predict_many,
            request.prompts,
            plane=request.index,
            previous=previous,
            mode=request.mode,
        )
        masks = predict(fine=False)
        yield masks
        if segmenter.model.refines_parts:
            finer = predict()
            if any(not np.array_equal(a.data, b.data) for a, b in zip(masks, finer, strict=True)):
                yield finer

    def _to_prepare(self) -> bool:
        """Whether something is watched that no Segmenter was made for. Needs the lock."""
        if self._watched is None or self._watched[0] == self._tried:
            return False
        return self._segmenter is None or self._segmenter[0] != self._watched[0]

    def _prepare(self, subject: Subject) -> None:
        from napari_hqsam.weights import list_models

        here = {info.name for info in list_models() if info.installed}
        if (subject.model, subject.device) in self._models or subject.model in here:
            self._segmenter_for(subject)

    def _segmenter_for(self, subject: Subject) -> Segmenter:
        from napari_hqsam.segmentation import Segmenter

        if self._segmenter is None or self._segmenter[0] != subject:
            self._let_go()
            model = self._model(subject.model, subject.device)
            self._stage.emit("Reading the image…", 0, 0)
            limits = self._limits(subject)
            segmenter = Segmenter(
                subject.source, contrast_limits=limits, model=model, store=subject.store
            )
            if self._paused:
                segmenter.encoding.pause()
            segmenter.encoding.changed.connect(self._on_encoding)
            with self._lock:
                self._segmenter = (subject, segmenter)
                self._tried = subject
                watched = self._watched
            if watched is not None and watched[0] == subject:
                segmenter.watch(watched[1])
        return self._segmenter[1]

    def _limits(self, subject: Subject) -> Any:
        """One intensity mapping for all planes, whichever way they are cut."""
        key = (subject.source.upright, subject.limits)
        if self._mapped is None or self._mapped[0] != key:
            self._mapped = (key, IntensityMapping.choose(*key).limits)
        return self._mapped[1]

    def _let_go(self) -> None:
        """End the thread of the Segmenter that is no longer needed."""
        with self._lock:
            old, self._segmenter = self._segmenter, None
        if old is not None:
            old[1].encoding.changed.disconnect()
            old[1].close()

    def _on_encoding(self) -> None:
        """In whichever thread; Qt brings it to the main one."""
        self.encoding_changed.emit()

    def _model(self, name: str, device: str) -> HQSam:
        from napari_hqsam.weights import load_model

        if (name, device) not in self._models:
            self._stage.emit(f"Loading {name}…", 0, 0)
            self._models[name, device] = load_model(
                name,
                device=device,
                progress=lambda done, total: self._stage.emit(f"Downloading {name}…", done, total),
                cancelled=self._cancelled.is_set,
            )
        return self._models[name, device]

    def _deliver(self, request: Request | None, masks: list[Mask] | None) -> None:
        if self.closed:
            return
        if request is not None and request is self._newest:
            self.answered.emit(request, masks)
        if not self.busy:
            self.idle.emit()

    def _tell(self, text: str, done: int, total: int) -> None:
        if not self.closed:
            self.stage.emit(text, done, total)

    def _report(self, failure: tuple[Request | None, Exception]) -> None:
        request, error = failure
        if self.closed or (request is not self._newest and request is not None):
            return
        if isinstance(error, HQSAMError):
            self.failed.emit(str(error))
        else:
            notification_manager.receive_error(type(error), error, error.__traceback__)
            self.failed.emit(f"{type(error).__name__}: {error}")
