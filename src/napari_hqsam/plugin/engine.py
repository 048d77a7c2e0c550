"""The part of the dock that computes: one worker at a time, the newest request wins."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.qt.threading import create_worker
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images.source import ImageSource

if TYPE_CHECKING:
    from napari_hqsam.modeling import HQSam, Mode
    from napari_hqsam.segmentation import Mask, Prompts, Segmenter


@dataclass(frozen=True)
class Request:
    """What is asked of the engine; made on the main thread, from arrays only.

    Attributes
    ----------
    source : ImageSource
        The image.
    limits : tuple or None
        Contrast limits; None for 8-bit colour as it is.
    model, device : str
        As for `load_model`.
    prompts : tuple of Prompts
        One for each object.
    plane : tuple of int
        In the axes of `source`, which leaves out those of length 1.
    layer_plane : tuple of int
        The same in the axes of the layer.
    mode : str
    previous : tuple of Mask or None
        The masks that the prompts correct, in the same order; () for none.
    """

    source: ImageSource
    limits: Any
    model: str
    device: str
    prompts: tuple[Prompts, ...]
    plane: tuple[int, ...]
    layer_plane: tuple[int, ...]
    mode: Mode
    previous: tuple[Mask | None, ...] = ()


class Engine(QObject):
    """Answers requests in a worker thread, and never blocks the window.

    While a request is computed only the newest of those that come is kept; an answer that is no
    longer wanted is dropped.

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

    Attributes
    ----------
    closed : bool
        Whether `close` was called: the dock is gone.
    """

    answered = Signal(object, object)
    failed = Signal(str)
    stage = Signal(str, int, int)
    idle = Signal()
    # From the worker thread to this object's, where Qt delivers them.
    _done = Signal(object, object)
    _error = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.closed = False
        self._lock = threading.Lock()
        self._pending: Request | None = None
        self._newest: Request | None = None
        self._running = False
        self._cancelled = threading.Event()
        self._finished = threading.Event()
        self._finished.set()
        self._models: dict[tuple[str, str], HQSam] = {}
        self._segmenter: tuple[Any, Segmenter] | None = None
        self._done.connect(self._deliver)
        self._error.connect(self._report)

    def request(self, request: Request) -> None:
        """Compute the masks of `request`, unless a newer one comes first."""
        with self._lock:
            self._pending = self._newest = request
            self._cancelled.clear()
            if self._running:
                return
            self._running = True
            self._finished.clear()
        create_worker(self._run, _start_thread=True)

    def cancel(self) -> None:
        """Drop what is being computed; a download stops at its next block."""
        with self._lock:
            self._pending = self._newest = None
        self._cancelled.set()

    def close(self) -> None:
        """Cancel, wait until the worker has ended, and take no more requests."""
        self.closed = True
        self.cancel()
        self._finished.wait()

    @property
    def busy(self) -> bool:
        """Whether something is being computed."""
        return self._running

    def _run(self) -> None:
        """In the worker thread: answer requests until none is left."""
        while True:
            with self._lock:
                request, self._pending = self._pending, None
                if request is None:
                    self._running = False
                    break
            try:
                for masks in self._answers(request):
                    self._done.emit(request, masks)
                    if request is not self._newest:
                        break
            except Exception as error:  # the window must survive whatever happens here
                self._error.emit((request, error))
        self._done.emit(None, None)
        with self._lock:  # the last thing done: whoever waits may delete this object
            if not self._running:
                self._finished.set()

    def _answers(self, request: Request) -> Iterator[list[Mask]]:
        """The masks; then, where there is more to see, the same ones with a finer boundary."""
        segmenter = self._segmenter_for(request)
        previous: Sequence[Mask | None] = request.previous or [None] * len(request.prompts)
        first = segmenter.choose_window(request.prompts[0], request.plane, previous[0])
        if first not in segmenter.cache:
            self.stage.emit("Encoding the image…", 0, 0)
        predict = partial(
            segmenter.predict_many,
            request.prompts,
            plane=request.plane,
            previous=previous,
            mode=request.mode,
        )
        masks = predict(fine=False)
        yield masks
        if segmenter.model.refines_parts:
            finer = predict()
            if any(not np.array_equal(a.data, b.data) for a, b in zip(masks, finer, strict=True)):
                yield finer

    def _segmenter_for(self, request: Request) -> Segmenter:
        from napari_hqsam.segmentation import Segmenter

        key = (id(request.source), request.limits, request.model, request.device)
        if self._segmenter is None or self._segmenter[0] != key:
            model = self._model(request.model, request.device)
            self.stage.emit("Reading the image…", 0, 0)
            segmenter = Segmenter(request.source, contrast_limits=request.limits, model=model)
            self._segmenter = (key, segmenter)
        return self._segmenter[1]

    def _model(self, name: str, device: str) -> HQSam:
        from napari_hqsam.weights import load_model

        if (name, device) not in self._models:
            self.stage.emit(f"Loading {name}…", 0, 0)
            self._models[name, device] = load_model(
                name,
                device=device,
                progress=lambda done, total: self.stage.emit(f"Downloading {name}…", done, total),
                cancelled=self._cancelled.is_set,
            )
        return self._models[name, device]

    def _deliver(self, request: Request | None, masks: list[Mask] | None) -> None:
        if request is not None and request is self._newest:
            self.answered.emit(request, masks)
        if not self._running:
            self.idle.emit()

    def _report(self, failure: tuple[Request, Exception]) -> None:
        request, error = failure
        if request is not self._newest:
            return
        if isinstance(error, HQSAMError):
            self.failed.emit(str(error))
        else:
            notification_manager.receive_error(type(error), error, error.__traceback__)
            self.failed.emit(f"{type(error).__name__}: {error}")
