"""Encoding ahead in the real window: what is in view, while the user clicks, pauses, leaves."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from napari.layers import Vectors

from napari_hqsam.embedding.queue import View

pytestmark = pytest.mark.gui

# Bright squares of 60 pixels every 100 pixels; a window of the model takes 256.
PICTURE = np.tile(np.pad(np.full((60, 60), 200, np.uint8), 20), (15, 20))
ALONE = np.zeros_like(PICTURE)
ALONE[720:780, 1020:1080] = 200
LIMITS = {"contrast_limits": (0, 200)}


@pytest.fixture
def dock(viewer: Any, model: Any) -> Any:
    _, widget = viewer.window.add_plugin_dock_widget("napari-hqsam", "Annotate")
    yield widget
    widget.shut_down()


def encoders() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "encode"]


def watched(dock: Any) -> View:
    return dock.engine._watched[1]


def show(viewer: Any, y: float, x: float, zoom: float = 1.0) -> None:
    viewer.scene.camera.zoom = zoom
    viewer.scene.camera.center = (0, y, x)


def box(dock: Any, y0: float, x0: float, y1: float, x1: float) -> None:
    dock.annotator.use("box")
    dock.annotator.prompts.boxes.add_rectangles(
        np.array([[y0, x0], [y0, x1], [y1, x1], [y1, x0]], dtype=float)
    )


def test_what_is_in_view_is_encoded_and_outlined(
    viewer: Any, dock: Any, model: Any, until: Callable[..., None]
) -> None:
    viewer.add_image(ALONE, **LIMITS)
    show(viewer, 700, 1000)
    assert dock.controls.image.ahead.value  # it is larger than one window
    until(lambda: "is ready" in dock.controls.image.ahead_status.value)
    view = watched(dock)
    assert view.zoom == pytest.approx(1.0)
    y0, x0, y1, x1 = view.box
    assert 0 <= y0 < 700 < y1 <= 1500
    assert 0 <= x0 < 1000 < x1 <= 2000
    encoded = model.encoded
    assert encoded > 1
    (outline,) = (each for each in viewer.layers if isinstance(each, Vectors))
    assert outline.data[:, 0, 0].min() <= y0
    dock.controls.image.show_ready.value = False
    assert outline not in viewer.layers
    # A click there needs no encoding.
    dock.annotator.use("positive")
    dock.annotator.prompts.points.add([[750, 1050]])
    until(lambda: bool(dock.annotator.masks) and not dock.engine.busy)
    assert model.encoded == encoded
    show(viewer, 100, 100)
    until(lambda: watched(dock).box[0] == 0)
    until(lambda: model.encoded > encoded)


def test_a_small_image_is_not_encoded_ahead_unless_asked(
    viewer: Any, dock: Any, model: Any, until: Callable[..., None], qtbot: Any
) -> None:
    viewer.add_image(PICTURE[:300, :300], **LIMITS)
    assert not dock.controls.image.ahead.value
    qtbot.wait(300)
    assert model.encoded == 0
    dock.controls.image.ahead.value = True
    until(lambda: model.encoded > 0)
    dock.controls.image.ahead.value = False
    until(lambda: dock.engine._watched is None)
    viewer.add_image(PICTURE, name="large", **LIMITS)
    dock.controls.image.image.value = viewer.layers["large"]
    assert not dock.controls.image.ahead.value  # what the user said holds


def test_a_click_does_not_wait_for_what_is_encoded_ahead(
    viewer: Any, dock: Any, model: Any, until: Callable[..., None]
) -> None:
    viewer.add_image(ALONE, **LIMITS)
    show(viewer, 700, 1000)
    until(lambda: "is ready" in dock.controls.image.ahead_status.value)
    model.seconds = 60.0
    show(viewer, 750, 1600)
    began = model.encoded
    until(lambda: model.encoded > began)
    dock.annotator.use("positive")
    dock.annotator.prompts.points.add([[750, 1050]])
    until(lambda: bool(dock.annotator.masks), timeout=40_000)
    assert model.encoded == began + 1  # which still goes on


def test_pause_goes_on_and_a_click_is_answered_meanwhile(
    viewer: Any, dock: Any, model: Any, until: Callable[..., None], qtbot: Any
) -> None:
    dock.controls.image.pause.value = True
    viewer.add_image(PICTURE, **LIMITS)
    show(viewer, 700, 1000)
    until(lambda: "paused" in dock.controls.image.ahead_status.value)
    qtbot.wait(300)
    assert model.encoded == 0
    box(dock, 718, 1018, 782, 1082)
    until(lambda: bool(dock.annotator.masks) and not dock.engine.busy)
    assert model.encoded == 1
    dock.controls.image.pause.value = False
    until(lambda: "is ready" in dock.controls.image.ahead_status.value)


def test_a_hidden_dock_encodes_nothing(
    viewer: Any, dock: Any, model: Any, until: Callable[..., None]
) -> None:
    viewer.show()
    viewer.add_image(PICTURE, **LIMITS)
    until(lambda: dock.engine._watched is not None)
    dock.parent().hide()
    until(lambda: dock.engine._watched is None)
    assert not [each for each in viewer.layers if isinstance(each, Vectors)]
    dock.parent().show()
    until(lambda: dock.engine._watched is not None)


@pytest.mark.parametrize("how", ["dock", "viewer", "image", "model"])
def test_leaving_ends_the_thread(
    how: str, viewer: Any, model: Any, until: Callable[..., None]
) -> None:
    dock_widget, dock = viewer.window.add_plugin_dock_widget("napari-hqsam", "Annotate")
    image = viewer.add_image(PICTURE, **LIMITS)
    model.seconds = 0.5
    until(lambda: model.encoded > 0)
    (before,) = encoders()
    start = time.monotonic()
    if how == "dock":
        viewer.window.remove_dock_widget(dock_widget)
        assert not encoders()
    elif how == "viewer":
        dock.shut_down()  # what napari does to docks that it closes
        viewer.close()
        assert not encoders()
    elif how == "model":
        dock.controls.image.model.value = "vit_b"
        dock.engine._loader.models["vit_b", "auto", "auto", False] = model
        until(lambda: not before.is_alive())
    else:
        viewer.layers.remove(image)
        viewer.add_image(PICTURE[:, :1800], **LIMITS)
        until(lambda: not before.is_alive())
    assert time.monotonic() - start < 10
    dock.shut_down()
    assert not encoders()


def test_looking_downloads_no_model(
    viewer: Any, dock: Any, until: Callable[..., None], qtbot: Any, monkeypatch: Any
) -> None:
    asked: list[str] = []

    def load(name: str, **_: Any) -> None:
        asked.append(name)
        raise AssertionError("not to be loaded")

    monkeypatch.setattr("napari_hqsam.weights.load_model", load)
    dock.controls.image.model.value = "vit_h"
    viewer.add_image(PICTURE, **LIMITS)
    until(lambda: dock.engine._watched is not None)
    qtbot.wait(300)
    assert not asked


def test_a_window_that_cannot_be_read_is_warned_and_the_thread_lives(
    viewer: Any, dock: Any, model: Any, until: Callable[..., None]
) -> None:
    class Damaged:
        shape, dtype, ndim = PICTURE.shape, PICTURE.dtype, 2
        broken = True

        def __getitem__(self, index: Any) -> np.ndarray:
            if self.broken and threading.current_thread().name == "encode":
                raise OSError("chunk 3/4 is damaged")
            return PICTURE[index]

        def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
            return PICTURE

    data = Damaged()
    viewer.add_image(data, **LIMITS)
    until(lambda: "chunk 3/4 is damaged" in dock.controls.image.ahead_status.value)
    data.broken = False
    show(viewer, 700, 1000)
    until(lambda: model.encoded > 0)


def test_a_warning_in_a_worker_thread_reaches_no_slot(
    viewer: Any, dock: Any, model: Any, until: Callable[..., None]
) -> None:
    encode = model.encode

    def warn_and_encode(*args: Any) -> Any:
        warnings.warn("a kernel is deprecated", UserWarning, stacklevel=1)
        return encode(*args)

    model.encode = warn_and_encode
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        viewer.add_image(PICTURE, **LIMITS)
        until(lambda: model.encoded > 0)
        box(dock, 718, 1018, 782, 1082)
        until(lambda: bool(dock.annotator.masks) and not dock.engine.busy)
    assert dock.annotator.masks[0].area > 3000


def test_the_contrast_is_that_from_before_until_the_user_says_so(
    viewer: Any, dock: Any, model: Any, until: Callable[..., None]
) -> None:
    image = viewer.add_image(PICTURE[:300, :300], **LIMITS)
    box(dock, 18, 18, 82, 82)
    until(lambda: bool(dock.annotator.masks) and not dock.engine.busy)
    first = dock.annotator._request.subject
    image.contrast_limits = (0, 100)
    until(lambda: not dock.controls.image.contrast_button.native.isHidden())
    dock.annotator.predict()
    until(lambda: not dock.engine.busy)
    assert dock.annotator._request.subject == first
    dock.controls.image.contrast_button.changed.emit(True)
    until(lambda: not dock.engine.busy)
    assert dock.annotator._request.subject.limits == ((0.0, 100.0),)
    until(lambda: dock.controls.image.contrast_button.native.isHidden())


def test_three_layers_are_seen_as_colours(
    viewer: Any, dock: Any, model: Any, until: Callable[..., None]
) -> None:
    small = PICTURE[:300, :300]
    layers = [viewer.add_image(small, name=name, **LIMITS) for name in "abc"]
    dock.controls.image.image.value = layers[0]
    dock.controls.image.green.value = layers[1]
    dock.controls.image.blue.value = layers[2]
    box(dock, 18, 18, 82, 82)
    until(lambda: bool(dock.annotator.masks) and not dock.engine.busy)
    source = dock.annotator._request.subject.source
    assert source.channels == (0, 1, 2)
    assert source.name == "a + b + c"
    viewer.layers.remove(layers[2])
    assert dock.controls.image.blue.value is None
    until(lambda: not dock.engine.busy)
    assert dock.annotator._request.subject.source.channels == (0, 1)
