"""Viewport first: what the user looks at is encoded before what they may look at next."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from psygnal import Signal

from napari_hqsam.embedding.features import Features, Stopped
from napari_hqsam.errors import HQSAMError
from napari_hqsam.images.windows import MAX_MAGNIFICATION, Box, Window, grid

# How many planes before and after the visible one are encoded ahead.
_PLANES_AHEAD = 2


@dataclass(frozen=True)
class View:
    """What a user looks at.

    Attributes
    ----------
    plane : tuple of int
        Indices of the axes other than y, x, c.
    box : (y0, x0, y1, x1)
        The visible part of the plane, half-open, in pixels of the level worked on.
    pointer : (y, x) or None
        Where the mouse is.
    zoom : float
        Screen pixels per pixel of the image.
    """

    plane: tuple[int, ...]
    box: Box
    pointer: tuple[float, float] | None = None
    zoom: float = 1.0


def windows_of(
    view: View, plane_shape: tuple[int, int], input_size: int, level: int = 0
) -> Iterator[Window]:
    """Windows of one plane in the order in which they will be needed.

    Their magnification is about that of the screen: what the user can tell apart, so can the
    model. First those under the pointer, then the visible ones, then their neighbours.

    Parameters
    ----------
    view : View
    plane_shape : tuple of int
        (height, width) of the plane.
    input_size : int
        S.
    level : int
    """
    octave = view_octave(view.zoom)
    y0, x0, y1, x1 = view.box
    at = view.pointer or ((y0 + y1) / 2, (x0 + x1) / 2)
    side = input_size * 2.0**octave
    around = (y0 - side / 2, x0 - side / 2, y1 + side / 2, x1 + side / 2)

    def distance(window: Window) -> float:
        middle = (o + n / 2 for o, n in zip(window.origin, window.shape, strict=True))
        return math.dist(tuple(middle), at)

    def within(region: Box) -> list[Window]:
        found = grid(plane_shape, input_size, octave, plane=view.plane, level=level, region=region)
        return sorted(found, key=distance)

    visible = within(view.box)
    yield from visible
    yield from (window for window in within(around) if window not in visible)


def view_octave(zoom: float) -> int:
    """The octave of `grid` whose windows show an image as large as the screen does."""
    return max(-round(math.log2(zoom)), -round(math.log2(MAX_MAGNIFICATION)))


class EncodeQueue:
    """One thread that encodes ahead of the user.

    Parameters
    ----------
    features : Features
    level : int
        Pyramid level worked on.

    Attributes
    ----------
    error : HQSAMError or None
        Why a window of the present view could not be encoded.

    Signals
    -------
    changed
        A window is ready, or the order of the queue is another. Emitted in the queue's thread, or
        in the caller's.
    """

    changed = Signal()

    def __init__(self, features: Features, level: int = 0) -> None:
        self.features, self.level = features, level
        self.error: Exception | None = None
        self._state = threading.Condition()
        self._waiting: list[Window] = []
        self._wanted = 0
        self._paused = self._closed = False
        self._thread: threading.Thread | None = None

    def watch(self, view: View | None) -> None:
        """Encode for this view from now on; None encodes nothing more.

        A window that is being encoded is finished if it is still wanted, else it is stopped.
        """
        waiting = []
        for window in () if view is None else self._order(view):
            if window in self.features:  # perhaps for a click: it serves others, too
                self.features.prepare(window)
            else:
                waiting.append(window)
        with self._state:
            if self._closed:
                return
            self._waiting, self._wanted, self.error = waiting, len(waiting), None
            if waiting and self._thread is None:
                self._thread = threading.Thread(target=self._run, name="encode", daemon=True)
                self._thread.start()
            self._state.notify_all()
        self.changed.emit()

    def pause(self) -> None:
        """Begin no further window until `resume`."""
        with self._state:
            self._paused = True
        self.changed.emit()

    def resume(self) -> None:
        """Go on where `pause` stopped."""
        with self._state:
            self._paused = False
            self._state.notify_all()
        self.changed.emit()

    @property
    def paused(self) -> bool:
        """Whether it was paused."""
        return self._paused

    @property
    def progress(self) -> tuple[int, int]:
        """How many windows of the present view are done, of how many that were not."""
        with self._state:
            return self._wanted - len(self._waiting), self._wanted

    def ready(self, plane: tuple[int, ...], box: Box) -> list[Window]:
        """Windows at hand that meet `box` of a plane: clicks there need no encoding."""
        return list(self.features.offered(plane, box))

    def close(self) -> None:
        """Stop, and wait until the thread has ended."""
        with self._state:
            self._closed = True
            self._waiting = []
            self._state.notify_all()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _order(self, view: View) -> Iterator[Window]:
        source, size = self.features.source, self.features.model.input_size
        shape = source.yx_shape(self.level)
        here = windows_of(view, shape, size, self.level)
        if "z" not in source.plane_axes:
            return here
        axis = source.plane_axes.index("z")
        others = []
        for step in (s for k in range(1, _PLANES_AHEAD + 1) for s in (k, -k)):
            z = view.plane[axis] + step
            if 0 <= z < source.plane_shape[axis]:
                plane = (*view.plane[:axis], z, *view.plane[axis + 1 :])
                octave = view_octave(view.zoom)
                others.append(
                    grid(shape, size, octave, plane=plane, level=self.level, region=view.box)
                )
        return chain(here, *others)

    def _run(self) -> None:
        while True:
            with self._state:
                self._state.wait_for(lambda: self._closed or (self._waiting and not self._paused))
                if self._closed:
                    return
                window = self._waiting[0]

            def unwanted(window: Window = window) -> bool:
                return window not in self._waiting

            try:
                self.features.prepare(window, unwanted)
            except Stopped:
                continue
            except HQSAMError as error:
                self.error = error
            except Exception as error:  # the thread must survive: other windows may do
                self.error = error
            with self._state:
                if window in self._waiting:
                    self._waiting.remove(window)
            self.changed.emit()
