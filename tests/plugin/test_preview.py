"""Masks that are not committed yet, over the image; and those that a click would find."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_hqsam.images import open_image
from napari_hqsam.images.windows import whole_plane
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.plugin.engine import Engine
from napari_hqsam.plugin.hover import Hover
from napari_hqsam.plugin.layers import spatial_shape
from napari_hqsam.plugin.preview import Preview
from napari_hqsam.plugin.request import Request, Subject
from napari_hqsam.segmentation import Mask, Prompts

SHAPE = (200, 220)
LOGITS = np.zeros((16, 16), np.float32)
PLANE = ArrayPlane((0, 1), ())


def mask(y0: int, x0: int, y1: int, x1: int) -> Mask:
    data = np.ones((y1 - y0, x1 - x0), bool)
    return Mask(data, (y0, x0, y1, x1), (), 0.9, whole_plane(SHAPE, 64), LOGITS, LOGITS)


def shown(preview: Preview, image: Any) -> np.ndarray:
    """The numbers shown on each pixel of the image."""
    layer = preview.layer
    assert layer is not None
    out = np.zeros(spatial_shape(image), dtype=int)
    for at in np.argwhere(layer.data):
        there = np.round(image.world_to_data(layer.data_to_world(at))).astype(int)
        out[tuple(there)] = layer.data[tuple(at)]
    return out


@pytest.fixture
def viewer(qapp: Any) -> ViewerModel:
    return ViewerModel()


@pytest.mark.parametrize(
    "placed",
    [{}, {"scale": (0.2, 3), "translate": (5, -8)}, {"rotate": 30, "scale": (2, 2)}],
    ids=["plain", "scaled", "rotated"],
)
def test_masks_are_shown_where_they_are_one_after_the_other(
    viewer: ViewerModel, placed: dict
) -> None:
    image = viewer.add_image(np.zeros(SHAPE, np.uint8), **placed)
    preview = Preview(viewer)
    preview.prepare(image)
    assert not preview.shown
    preview.show(image, PLANE, [mask(10, 20, 30, 50), mask(20, 40, 60, 80)])
    expected = np.zeros(SHAPE, int)
    expected[20:60, 40:80] = 2
    expected[10:30, 20:50] = 1
    np.testing.assert_array_equal(shown(preview, image), expected)
    preview.show(image, PLANE, [mask(100, 100, 103, 104)])  # smaller, and elsewhere
    expected[:] = 0
    expected[100:103, 100:104] = 1
    np.testing.assert_array_equal(shown(preview, image), expected)
    assert preview.shown
    preview.show(image, PLANE, [mask(5, 5, 5, 5)])
    assert not preview.shown


def test_a_preview_is_drawn_once(viewer: ViewerModel) -> None:
    """Each time costs as much as a decode does on a GPU."""
    image = viewer.add_image(np.zeros(SHAPE, np.uint8), scale=(2, 2))
    preview = Preview(viewer)
    preview.show(image, PLANE, [mask(10, 20, 30, 50)])
    assert preview.layer is not None
    drawn: list[object] = []
    preview.layer.events.set_data.connect(drawn.append)
    preview.show(image, PLANE, [mask(40, 30, 70, 90)])
    assert len(drawn) == 1


def test_an_outline_is_one_as_long_as_it_is_asked_for(viewer: ViewerModel) -> None:
    image = viewer.add_image(np.zeros(SHAPE, np.uint8))
    preview = Preview(viewer)
    viewer.scene.camera.zoom = 0.25
    preview.show(image, PLANE, [mask(10, 20, 90, 90)], outline=True)
    assert preview.layer is not None
    assert preview.layer.contour == 8  # two pixels of the screen
    preview.show(image, PLANE, [mask(10, 20, 90, 90)])
    assert preview.layer.contour == 0


def test_it_can_be_deleted_and_comes_back(viewer: ViewerModel) -> None:
    image = viewer.add_image(np.zeros(SHAPE, np.uint8))
    preview = Preview(viewer)
    preview.show(image, PLANE, [mask(10, 20, 30, 50)])
    viewer.layers.remove(preview.layer)
    assert not preview.shown
    preview.clear()
    preview.show(image, PLANE, [mask(10, 20, 30, 50)])
    assert preview.layer in viewer.layers
    preview.remove()
    assert len(viewer.layers) == 1


# Hover


class Place:
    """An image, and where on it the mouse is."""

    def __init__(self, viewer: ViewerModel, engine: Engine) -> None:
        picture = np.zeros(SHAPE, np.uint8)
        picture[40:80, 40:80] = picture[120:150, 120:150] = 255
        self.viewer, self.engine = viewer, engine
        self.image = viewer.add_image(picture, contrast_limits=(0, 255))
        self.subject = Subject(open_image(picture), ((0, 255),), "micro")
        self.asked: list[Request] = []
        self.prompts = False

    def request(self, y: float, x: float) -> Request:
        return Request(self.subject, (Prompts(points=[(y, x)]),), PLANE, (), "hq+sam")

    def ask(self) -> Any:
        if self.prompts:
            return None
        self.asked.append(self.request(*self.viewer.cursor.position))
        return self.image, self.asked[-1]

    def point(self, y: float, x: float) -> None:
        self.viewer.cursor.position = (y, x)


@pytest.fixture
def engine(qtbot: Any, model: Any) -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.close()


@pytest.fixture
def place(viewer: ViewerModel, engine: Engine, until: Callable[..., None]) -> Place:
    place = Place(viewer, engine)
    answers: list[Any] = []
    engine.answered.connect(lambda *answer: answers.append(answer))
    engine.request(place.request(60, 60))  # the image is encoded
    until(lambda: bool(answers) and not engine.busy)
    return place


@pytest.fixture
def preview(viewer: ViewerModel) -> Preview:
    return Preview(viewer)


@pytest.fixture
def hover(viewer: ViewerModel, engine: Engine, preview: Preview, place: Place) -> Iterator[Hover]:
    hover = Hover(viewer, engine, preview, place.ask)
    yield hover
    hover.turn(False)


def test_hover_is_off_until_it_is_turned_on(
    hover: Hover, place: Place, preview: Preview, qtbot: Any, until: Any
) -> None:
    place.point(50, 50)
    qtbot.wait(150)
    assert not hover.on
    assert place.asked == []
    hover.turn(True)
    place.point(51, 50)
    until(lambda: preview.shown)
    hover.turn(False)
    assert not preview.shown
    place.point(60, 50)
    qtbot.wait(150)
    assert len(place.asked) == 1


def test_the_object_under_the_mouse_is_outlined_once_it_rests(
    hover: Hover, place: Place, preview: Preview, qtbot: Any, until: Any, model: Any
) -> None:
    hover.turn(True)
    encoded = model.encoded
    for x in range(40, 60):
        place.point(50, x)
        qtbot.wait(5)
    until(lambda: preview.shown)
    assert len(place.asked) == 1
    assert preview.layer is not None
    assert preview.layer.contour > 0
    assert shown(preview, place.image)[60, 60] == 1
    assert model.encoded == encoded


def test_hover_keeps_out_of_the_way_of_prompts(
    hover: Hover, place: Place, preview: Preview, engine: Engine, qtbot: Any, until: Any
) -> None:
    engine.answered.connect(lambda r, masks: preview.show(place.image, r.plane, masks))
    hover.turn(True)
    place.point(50, 50)
    until(lambda: preview.shown)
    place.prompts = True  # a click
    engine.request(place.request(50, 50))
    until(lambda: not engine.busy and preview.layer is not None and preview.layer.contour == 0)
    place.point(100, 100)
    qtbot.wait(150)
    assert preview.shown  # what was clicked on is still there
    assert preview.layer is not None
    assert preview.layer.contour == 0
    assert len(place.asked) == 1


def test_an_outline_goes_where_there_is_nothing_to_click_on(
    hover: Hover, place: Place, preview: Preview, until: Any
) -> None:
    hover.turn(True)
    place.point(50, 50)
    until(lambda: preview.shown)
    place.point(500, 500)
    until(lambda: not preview.shown)


def test_a_glance_that_comes_too_late_is_dropped(
    hover: Hover,
    place: Place,
    preview: Preview,
    engine: Engine,
    until: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine, "glance", lambda _request: None)  # it answers when told here
    hover.turn(True)
    place.point(50, 50)
    until(lambda: len(place.asked) == 1)
    place.point(55, 50)
    engine.glanced.emit(place.asked[0], mask(10, 20, 30, 50))
    assert not preview.shown
    until(lambda: len(place.asked) == 2)
    engine.glanced.emit(place.asked[0], mask(10, 20, 30, 50))
    assert not preview.shown
    engine.glanced.emit(place.asked[1], mask(10, 20, 30, 50))
    assert preview.shown
