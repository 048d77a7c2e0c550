"""The part of the dock that computes: one thread, the newest request wins."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from napari.utils.notifications import notification_manager
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from napari_hqsam.errors import HQSAMError
from napari_hqsam.plugin.loader import Loader
from napari_hqsam.plugin.request import Request, Subject

if TYPE_CHECKING:
    from napari_hqsam.embedding.queue import EncodeQueue, View
    from napari_hqsam.plugin.predictor import Predictor
    from napari_hqsam.segmentation import Mask, Segmenter


class Engine(QObject):
    """Answers requests in a thread of its own, and never blocks the window.

    While a request is computed only the newest of those that come is kept; an answer that is no
    longer wanted is dropped, and what is left of its work is left undone. The thread stays: a new
    one for each request would cost as much as a decode does. What the user looks at is encoded by
    the Segmenter's own thread.

    Signals
    -------
    answered(Request, list of Mask)
        On the main thread, as all signals that are connected to its methods. Perhaps several times
        for one request: SAM's mask before the HQ mask, if that takes long, and at the end the same
        with a finer boundary.
    candidates(Request, list of Mask)
        After that, if the request is for one object and asks for them: SAM's single mask, then its
        three others, best first; of "hq" there is one only. `Request.candidate` counts in this
        list. Their boundaries are as first predicted.
    glanced(Request, Mask or None)
        What `glance` was asked for; None if nothing is at hand to see it with.
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
    candidates = Signal(object, object)
    glanced = Signal(object, object)
    failed = Signal(str)
    stage = Signal(str, object, object)
    idle = Signal()
    encoding_changed = Signal()
    # From the thread to this object's, where Qt delivers them.
    _done = Signal(object, object)
    _offered = Signal(object, object)
    _seen = Signal(object, object)
    _error = Signal(object)
    _stage = Signal(str, object, object)  # numbers of any size

    def __init__(self) -> None:
        super().__init__()
        self.closed = False
        self._state = threading.Condition()
        self._pending: Request | None = None
        self._newest: Request | None = None
        self._glance: Request | None = None  # waiting
        self._latest_glance: Request | None = None  # whose answer is wanted
        self._answering = False
        self._thread: threading.Thread | None = None
        self._cancelled = threading.Event()
        self._loader = Loader(self._stage.emit, self._cancelled.is_set)
        self._segmenter: tuple[Subject, Segmenter] | None = None
        self._predictor: Predictor | None = None  # of that Segmenter
        self._watched: tuple[Subject, View] | None = None
        self._tried: Subject | None = None  # made ready to watch, or in vain
        self._ahead: tuple[Subject, tuple[int, ...]] | None = None  # to be on display later
        self._paused = False
        self._done.connect(self._deliver)
        self._offered.connect(self._offer)
        self._seen.connect(self._show_seen)
        self._error.connect(self._report)
        self._stage.connect(self._tell)

    def request(self, request: Request) -> None:
        """Compute the masks of `request`, unless a newer one comes first."""
        with self._state:
            self._pending = self._newest = request
            self._glance = self._latest_glance = None
            self._cancelled.clear()
        self._work()

    def glance(self, request: Request | None) -> None:
        """See what a request for one object would find, if no request is waiting.

        Nothing is loaded or encoded for it, and no answer is given twice. None drops the last one.
        """
        with self._state:
            self._glance = self._latest_glance = request
        if request is not None:
            self._work()

    def cancel(self) -> None:
        """Drop what is being computed; a download stops at its next block."""
        with self._state:
            self._pending = self._newest = None
        self._cancelled.set()

    def watch(self, subject: Subject, view: View) -> None:
        """Encode ahead what the user looks at.

        A model is loaded for it if that needs no download.
        """
        with self._state:
            self._watched = (subject, view)
            ready = self._segmenter
        if ready is not None and ready[0] == subject:
            ready[1].watch(view)
        else:
            self._work()

    def prepare(self, subject: Subject, index: tuple[int, ...]) -> None:
        """Encode a plane of another subject, which will be on display later, when nothing else is.

        A model is not downloaded for it.
        """
        with self._state:
            self._ahead = (subject, index)
        self._work()

    def stop_watching(self) -> None:
        """Encode nothing more ahead."""
        with self._state:
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
        with self._state:
            self.closed = True
            self._watched = self._glance = self._ahead = None
            self._state.notify_all()
        self.cancel()
        if self._thread is not None:
            self._thread.join()
        self._let_go()
        self._loader.close()

    @property
    def busy(self) -> bool:
        """Whether an answer is being computed."""
        return self._answering or self._pending is not None

    def _work(self) -> None:
        """Wake the thread; it is started when there is something to do for the first time."""
        with self._state:
            if self.closed:
                return
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="predict", daemon=True)
                self._thread.start()
            self._state.notify_all()

    def _run(self) -> None:
        """In the thread: answer requests, make ready what is watched, and glance, in that order."""
        while True:
            with self._state:
                self._state.wait_for(self._has_work)
                if self.closed:
                    return
                request, self._pending = self._pending, None
                self._answering = request is not None
                watched = glance = ahead = None
                if request is None and self._to_prepare():
                    watched = self._watched
                elif request is None and self._glance is not None:
                    glance, self._glance = self._glance, None
                elif request is None:
                    ahead, self._ahead = self._ahead, None
                if watched is not None:
                    self._tried = watched[0]
            try:
                if request is not None:
                    self._answer(request)
                elif watched is not None and not self._loader.needs_download(watched[0]):
                    self._predictor_for(watched[0])
                elif glance is not None:
                    self._look(glance)
                elif ahead is not None and not self._loader.needs_download(ahead[0]):
                    self._loader.prepare(*ahead)
            except Exception as error:  # the window must survive whatever happens here
                self._error.emit((request, error))
            self._answering = False
            self._done.emit(None, None)

    def _has_work(self) -> bool:
        """Needs the lock."""
        waiting = any(each is not None for each in (self._pending, self._glance, self._ahead))
        return self.closed or waiting or self._to_prepare()

    def _answer(self, request: Request) -> None:
        """The masks; then, where there is more to see, the same ones with a finer boundary."""
        predictor = self._predictor_for(request.subject)
        if predictor.needs_encoding(request):
            self._stage.emit("Encoding the image…", 0, 0)

        def show(masks: list[Mask]) -> None:
            self._done.emit(request, request.polish(masks))

        show(predictor.masks(request, lambda early: show([early])))

        def outdated() -> bool:
            return request is not self._newest

        finer = None if outdated() else predictor.finer(request, outdated)
        if finer is not None:
            show(finer)
        if request.multimask and len(request.prompts) == 1 and not outdated():
            self._offered.emit(request, request.polish(predictor.candidates(request)))

    def _look(self, request: Request) -> None:
        """A glance: only if all is loaded that it takes."""
        ready, mask = self._segmenter, None
        if ready is not None and ready[0] == request.subject:
            with suppress(HQSAMError):  # nobody has asked for anything yet
                mask = self._predictor_for(request.subject).glance(request)
        self._seen.emit(request, None if mask is None else request.polish([mask])[0])

    def _to_prepare(self) -> bool:
        """Whether something is watched that no Segmenter was made for. Needs the lock."""
        if self._watched is None or self._watched[0] == self._tried:
            return False
        return self._segmenter is None or self._segmenter[0] != self._watched[0]

    def _predictor_for(self, subject: Subject) -> Predictor:
        from napari_hqsam.plugin.predictor import Predictor

        if self._predictor is None or self._segmenter is None or self._segmenter[0] != subject:
            self._let_go()
            segmenter = self._loader.segmenter(subject)
            if self._paused:
                segmenter.encoding.pause()
            segmenter.encoding.changed.connect(self._on_encoding)
            with self._state:
                self._segmenter, self._tried = (subject, segmenter), subject
                watched = self._watched
            if watched is not None and watched[0] == subject:
                segmenter.watch(watched[1])
            self._predictor = Predictor(segmenter)
        return self._predictor

    def _let_go(self) -> None:
        """End the thread of the Segmenter that is no longer needed."""
        with self._state:
            old, self._segmenter, self._predictor = self._segmenter, None, None
        if old is not None:
            old[1].encoding.changed.disconnect()
            old[1].close()

    def _on_encoding(self) -> None:
        """In whichever thread; Qt brings it to the main one."""
        self.encoding_changed.emit()

    def _deliver(self, request: Request | None, masks: list[Mask] | None) -> None:
        if self.closed:
            return
        if request is not None and request is self._newest:
            self.answered.emit(request, masks)
        if not self.busy:
            self.idle.emit()

    def _offer(self, request: Request, masks: list[Mask]) -> None:
        if not self.closed and request is self._newest:
            self.candidates.emit(request, masks)

    def _show_seen(self, request: Request, mask: Mask | None) -> None:
        if not self.closed and request is self._latest_glance:
            self.glanced.emit(request, mask)

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
