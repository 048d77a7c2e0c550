"""Viewport first: in which order windows are encoded, and how that is stopped."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_hqsam.embedding.features import Stopped
from napari_hqsam.embedding.queue import EncodeQueue, View, view_octave, windows_of
from napari_hqsam.errors import HQSAMError
from napari_hqsam.images import open_image
from napari_hqsam.images.windows import Window

WAIT = 30


class FakeFeatures:
    """Encodes nothing, in an order that one can read; waits where it is told to."""

    def __init__(self, shape: tuple[int, ...] = (2000, 2000)) -> None:
        self.source = open_image(np.broadcast_to(np.uint8(0), shape), axes="zyx"[-len(shape) :])
        self.model = type("Model", (), {"input_size": 256})()
        self.order: list[Window] = []
        self.hold: threading.Event | None = None
        self.begun = threading.Event()
        self.fails: set[Window] = set()

    def prepare(self, window: Window, stop: object = None) -> None:
        if window in self.order:
            return
        self.begun.set()
        while self.hold is not None and not self.hold.wait(0.01):
            if stop():
                raise Stopped
        if window in self.fails:
            raise HQSAMError("the pixels cannot be read")
        self.order.append(window)

    def __contains__(self, window: Window) -> bool:
        return window in self.order

    def offered(self, plane: tuple[int, ...], box: tuple[float, ...]) -> list[Window]:
        return [w for w in self.order if w.plane == plane and w.meets(box)]


def until_done(queue: EncodeQueue) -> None:
    done = threading.Event()

    def look() -> None:
        if queue.progress[0] == queue.progress[1]:
            done.set()

    queue.changed.connect(look)
    look()
    assert done.wait(WAIT), queue.progress


VIEW = View((), (300, 300, 900, 1100), (800, 1000))


def test_first_under_the_pointer_then_the_visible_then_around() -> None:
    features = FakeFeatures()
    queue = EncodeQueue(features)
    queue.watch(VIEW)
    until_done(queue)
    queue.close()
    first = features.order[0]
    assert first.contains([VIEW.pointer])
    visible = [w for w in features.order if _meets(w, VIEW.box)]
    assert features.order[: len(visible)] == visible
    assert len(features.order) > len(visible)
    distances = [_distance(w, VIEW.pointer) for w in visible]
    assert distances == sorted(distances)
    assert queue.progress == (len(features.order), len(features.order))


def _meets(window: Window, box: tuple[float, ...]) -> bool:
    (y, x), (h, w) = window.origin, window.shape
    return y < box[2] and x < box[3] and y + h > box[0] and x + w > box[1]


def _distance(window: Window, point: tuple[float, float]) -> float:
    middle = np.add(window.origin, np.divide(window.shape, 2))
    return float(np.linalg.norm(middle - point))


def test_a_new_view_stops_a_window_that_is_not_wanted_any_more() -> None:
    features = FakeFeatures()
    features.hold = threading.Event()
    queue = EncodeQueue(features)
    queue.watch(VIEW)
    assert features.begun.wait(WAIT)
    there = View((), (1500, 1500, 1900, 1900), (1700, 1700))
    features.begun.clear()
    queue.watch(there)
    assert features.begun.wait(WAIT)  # the window before was stopped
    features.hold.set()
    until_done(queue)
    queue.close()
    assert features.order[0].contains([there.pointer])
    assert not any(w.contains([(350, 350)]) for w in features.order)


def test_the_planes_before_and_after_come_last() -> None:
    features = FakeFeatures((9, 600, 600))
    queue = EncodeQueue(features)
    queue.watch(View((4,), (0, 0, 600, 600)))
    until_done(queue)
    queue.close()
    planes = [w.plane[0] for w in features.order]
    assert list(dict.fromkeys(planes)) == [4, 5, 3, 6, 2]
    assert planes == sorted(planes, key=[4, 5, 3, 6, 2].index)


def test_pausing_and_going_on() -> None:
    features = FakeFeatures()
    queue = EncodeQueue(features)
    queue.pause()
    queue.watch(VIEW)
    assert not features.begun.wait(0.05)
    assert queue.paused
    queue.resume()
    until_done(queue)
    queue.close()


def test_a_window_that_fails_is_told_and_the_others_are_encoded() -> None:
    features = FakeFeatures()
    bad = next(windows_of(VIEW, (2000, 2000), 256))
    features.fails = {bad}
    queue = EncodeQueue(features)
    queue.watch(VIEW)
    until_done(queue)
    queue.close()
    assert isinstance(queue.error, HQSAMError)
    assert bad not in features.order
    assert features.order


def test_closing_joins_the_thread_in_the_middle_of_a_window() -> None:
    features = FakeFeatures()
    features.hold = threading.Event()
    queue = EncodeQueue(features)
    queue.watch(VIEW)
    assert features.begun.wait(WAIT)
    queue.close()
    assert features.order == []
    assert not any(t.name == "encode" for t in threading.enumerate())
    queue.watch(VIEW)  # nothing happens any more
    assert queue.progress[0] <= queue.progress[1]


def test_ready_windows_are_those_of_the_plane_and_the_box() -> None:
    features = FakeFeatures()
    queue = EncodeQueue(features)
    queue.watch(VIEW)
    until_done(queue)
    queue.close()
    ready = queue.ready((), (300, 300, 400, 400))
    assert ready
    assert all(_meets(w, (300, 300, 400, 400)) for w in ready)
    assert queue.ready((1,), VIEW.box) == []
    assert queue.ready((), (1900, 1900, 2000, 2000)) == []


def test_looking_at_nothing_encodes_nothing() -> None:
    features = FakeFeatures()
    queue = EncodeQueue(features)
    queue.watch(None)
    assert queue.progress == (0, 0)
    queue.close()


@given(st.floats(0.001, 100))
def test_windows_have_about_the_screens_magnification(zoom: float) -> None:
    octave = view_octave(zoom)
    scale = 2.0**-octave
    assert scale <= 8
    assert zoom / scale == pytest.approx(1, rel=0.5) or zoom > 8


def test_the_number_of_windows_in_view_does_not_grow_with_the_image() -> None:
    for zoom in (1.0, 0.1, 0.01):
        reach = 1000 / zoom
        found = list(windows_of(View((), (0, 0, reach, reach), None, zoom), (10**5, 10**5), 512))
        assert len(found) < 40
