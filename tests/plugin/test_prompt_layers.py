"""The layers that prompts are drawn in: what they hold, what is told of it, and when."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel
from napari.utils.colormaps.standardize_color import transform_color

from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.plugin.prompt_layers import PromptLayers
from napari_hqsam.plugin.prompt_shapes import colour, shape_item, shape_of, tool_of
from napari_hqsam.session.prompt import PromptItem

PLANE = ArrayPlane((0, 1), ())


def item(kind: Any, *vertices: tuple[float, float], positive: bool = True) -> PromptItem:
    return PromptItem(kind, PLANE, vertices, positive)


BOX = item("box", (10, 20), (30, 50.25))
ELLIPSE = item("ellipse", (60, 60), (90, 100))
POLYGON = item("polygon", (5, 5), (5, 15), (15, 10))
LASSO = item("lasso", (105, 5), (105, 15), (115, 10), (112, 6))
STROKE = item("scribble", (40, 40), (42, 50), (45, 60))
AGAINST = item("scribble", (70, 10), (75, 12), positive=False)
POINT, NOT = item("point", (12, 22)), item("point", (13.5, 44), positive=False)
LABEL = PromptItem("label", PLANE, label=7)
ALL = (BOX, ELLIPSE, POLYGON, LASSO, STROKE, AGAINST, POINT, NOT, LABEL)


def rectangle(y0: float, x0: float, y1: float, x1: float) -> np.ndarray:
    return np.array([[y0, x0], [y0, x1], [y1, x1], [y1, x0]], dtype=float)


class Heard:
    """What the layers tell."""

    def __init__(self, prompts: PromptLayers) -> None:
        self.changed: list[tuple[PromptItem, ...]] = []
        self.dragging: list[tuple[PromptItem, ...]] = []
        prompts.changed.connect(lambda: self.changed.append(prompts.items()))
        prompts.dragging.connect(self.dragging.append)


@pytest.fixture
def viewer(qapp: Any) -> ViewerModel:
    viewer = ViewerModel()
    viewer.add_image(np.zeros((200, 220), np.uint8))
    return viewer


@pytest.fixture
def prompts(viewer: ViewerModel) -> PromptLayers:
    return PromptLayers(viewer, viewer.layers[0])


@pytest.fixture
def heard(prompts: PromptLayers) -> Heard:
    return Heard(prompts)


# What they hold


def test_every_kind_is_shown_and_read_back(prompts: PromptLayers, heard: Heard) -> None:
    prompts.show(ALL)
    assert prompts.items() == ALL
    assert heard.changed == []
    assert prompts.shapes.shape_type == [
        "rectangle",
        "ellipse",
        "polygon",
        "polygon",
        "path",
        "path",
    ]
    prompts.show(ALL[1:3])
    assert prompts.items() == ALL[1:3]
    prompts.show(())
    assert prompts.items() == ()
    assert len(prompts.shapes.data) == len(prompts.points.data) == 0


def test_colours_tell_what_is_on_the_object_and_what_is_not(prompts: PromptLayers) -> None:
    prompts.show(ALL)
    yellow, blue, red = "#f0e442", "#56b4e9", "#d55e00"
    expected = transform_color([yellow] * 4 + [blue, red])
    np.testing.assert_allclose(prompts.shapes.edge_color, expected, atol=1e-6)
    np.testing.assert_allclose(prompts.points.face_color, transform_color([blue, red]), atol=1e-6)


def test_napari_draws_a_box_around_the_pixels_that_it_names(prompts: PromptLayers) -> None:
    prompts.show([BOX])
    np.testing.assert_array_equal(prompts.shapes.data[0], rectangle(9.5, 19.5, 30.5, 50.75))
    assert prompts.shapes.features.prompt.tolist() == ["box"]


@pytest.mark.parametrize(
    ("tool", "mode"),
    [
        ("box", "add_rectangle"),
        ("polygon", "add_polygon"),
        ("ellipse", "add_ellipse"),
        ("lasso", "add_polygon_lasso"),
        ("scribble", "add_path"),
        ("negative scribble", "add_path"),
    ],
)
def test_tools_are_naparis_own_modes(
    tool: Any, mode: str, prompts: PromptLayers, viewer: ViewerModel
) -> None:
    prompts.use(tool)
    assert viewer.layers.selection.active is prompts.shapes
    assert prompts.shapes.mode == mode
    assert prompts.tool == tool
    expected = transform_color(colour(tool))
    np.testing.assert_allclose(
        transform_color(prompts.shapes.current_edge_color), expected, atol=1e-6
    )


def test_points_get_the_sign_of_the_tool(prompts: PromptLayers, viewer: ViewerModel) -> None:
    prompts.use("negative")
    assert viewer.layers.selection.active is prompts.points
    assert prompts.points.mode == "add"
    prompts.points.add([[13.5, 44]])
    prompts.use("positive")
    prompts.points.add([[12, 22]])
    assert prompts.items() == (NOT, POINT)


def test_what_is_drawn_with_a_tool(prompts: PromptLayers) -> None:
    prompts.use("scribble")
    prompts.shapes.add_paths(np.array(STROKE.vertices))
    prompts.use("negative scribble")
    prompts.shapes.add_paths(np.array(AGAINST.vertices))
    prompts.use("lasso")
    prompts.shapes.add_polygons(np.array(LASSO.vertices))
    prompts.use("polygon")
    prompts.shapes.add_polygons(np.array(POLYGON.vertices))
    prompts.use("box")
    prompts.shapes.add_rectangles(rectangle(9.5, 19.5, 30.5, 50.75))
    prompts.use("ellipse")
    prompts.shapes.add_ellipses(rectangle(59.5, 59.5, 90.5, 100.5))
    assert prompts.items() == (STROKE, AGAINST, LASSO, POLYGON, BOX, ELLIPSE)


def test_naparis_own_buttons_draw_prompts_too(prompts: PromptLayers) -> None:
    prompts.use("negative scribble")
    prompts.shapes.add_paths(np.array(AGAINST.vertices))
    prompts.shapes.selected_data = {0}
    prompts.shapes.mode = "add_ellipse"  # as its button does
    assert prompts.tool == "ellipse"
    prompts.shapes.add_ellipses(rectangle(59.5, 59.5, 90.5, 100.5))
    prompts.shapes.mode = "add_polyline"
    prompts.shapes.add_paths(np.array(STROKE.vertices))
    assert prompts.items() == (AGAINST, ELLIPSE, STROKE)
    colours = transform_color([colour(tool_of(i)) for i in prompts.items()])
    np.testing.assert_allclose(prompts.shapes.edge_color, colours, atol=1e-6)


def test_a_shape_that_is_edited_becomes_what_it_looks_like(prompts: PromptLayers) -> None:
    turned = np.array([[10, 20], [20, 30], [10, 40], [0, 30]], dtype=float)
    prompts.shapes.add_rectangles(turned)
    prompts.shapes.add_ellipses(turned)
    box, ellipse = prompts.items()
    assert (box.kind, ellipse.kind) == ("polygon", "polygon")
    assert set(box.vertices) == {(10, 20), (20, 30), (10, 40), (0, 30)}
    radii = np.hypot(*(np.array(ellipse.vertices) - (10, 30)).T)
    np.testing.assert_allclose(radii, np.sqrt(50), atol=0.02)
    assert prompts.shapes.features.prompt.tolist() == ["polygon", "polygon"]
    prompts.show(prompts.items())  # they stay what they are
    assert prompts.items() == (box, ellipse)


# When it is told


def test_each_change_is_told_once(prompts: PromptLayers, heard: Heard) -> None:
    prompts.use("box")
    prompts.shapes.add_rectangles(rectangle(9.5, 19.5, 30.5, 50.75))
    assert heard.changed == [(BOX,)]
    prompts.use("positive")
    prompts.points.add([[12, 22]])
    assert heard.changed[1:] == [(BOX, POINT)]
    prompts.points.selected_data = {0}
    prompts.shapes.selected_data = {0}
    prompts.fit(0.1)
    assert len(heard.changed) == 2
    prompts.shapes.remove_selected()
    assert heard.changed[2:] == [(POINT,)]
    prompts.points.remove_selected()
    assert heard.changed[3:] == [()]


def test_what_is_pasted_is_told(prompts: PromptLayers, heard: Heard) -> None:
    prompts.show((BOX, NOT))
    for layer in (prompts.shapes, prompts.points):
        layer.selected_data = {0}
        layer._copy_data()
        layer._paste_data()
    assert heard.changed == [(BOX, BOX, NOT), (BOX, BOX, NOT, NOT)]


def test_showing_drops_a_polygon_that_is_being_drawn(prompts: PromptLayers, heard: Heard) -> None:
    from napari.layers.shapes._shapes_mouse_bindings import initiate_polygon_draw

    prompts.show((BOX, AGAINST))
    prompts.use("polygon")
    initiate_polygon_draw(prompts.shapes, (5.0, 5.0))
    assert prompts.items() == (BOX, AGAINST)  # it is no polygon yet
    prompts.show((ELLIPSE, STROKE))
    assert prompts.items() == (ELLIPSE, STROKE)
    assert prompts.shapes.mode == "add_polygon"
    assert not prompts.shapes._is_creating
    prompts.shapes.add_polygons(np.array(POLYGON.vertices))
    assert prompts.items() == (ELLIPSE, STROKE, POLYGON)
    assert heard.changed == [(ELLIPSE, STROKE, POLYGON)]


def test_a_shape_that_napari_drops_takes_its_features_along(prompts: PromptLayers) -> None:
    """It leaves them, and the next shape would be taken for what the dropped one was."""
    from napari.layers.shapes._shapes_mouse_bindings import initiate_polygon_draw

    prompts.use("negative scribble")
    initiate_polygon_draw(prompts.shapes, (5.0, 5.0))
    prompts.shapes._finish_drawing()  # as Escape does
    assert prompts.items() == ()
    prompts.use("scribble")
    prompts.shapes.add_paths(np.array(STROKE.vertices))
    assert prompts.items() == (STROKE,)
    assert len(prompts.shapes.features) == 1


def test_a_shape_that_loses_its_vertices_takes_its_features_along(
    prompts: PromptLayers, heard: Heard
) -> None:
    prompts.show((AGAINST, STROKE))
    shapes = prompts.shapes
    shapes.events.data(value=shapes.data, action="changing", data_indices=(0,))
    shapes._data_view.remove(0)  # as napari does when a vertex of two is removed
    shapes.events.data(value=shapes.data, action="changed", data_indices=(0,))
    assert heard.changed == [(STROKE,)]


def test_what_is_dragged_is_told_every_so_often(
    prompts: PromptLayers, heard: Heard, qtbot: Any
) -> None:
    """Each time is a prediction, and the mouse moves a hundred times a second."""
    prompts.show((BOX, POINT))
    event = SimpleNamespace(type="mouse_press")
    drag = prompts._on_press(prompts.points, event)
    next(drag)
    event.type = "mouse_move"
    for rounds in (1, 2, 3):
        for _ in range(20):
            prompts.points._data = prompts.points.data + 0.5  # as napari moves them
            prompts.points.events.features()
            next(drag)
        assert len(heard.dragging) == rounds - 1
        qtbot.wait(80)
        assert len(heard.dragging) == rounds
    assert heard.dragging[-1] == (BOX, item("point", (42, 52)))
    event.type = "mouse_release"
    assert list(drag) == []
    assert heard.changed == []  # that is told with the event of the whole move
    prompts.points.events.data(value=prompts.points.data, action="changed", data_indices=(0,))
    assert heard.changed == [(BOX, item("point", (42, 52)))]


# On planes


@pytest.fixture
def stack(qapp: Any) -> ViewerModel:
    viewer = ViewerModel()
    viewer.add_image(np.zeros((12, 40, 50), np.uint8), scale=(3, 0.5, 0.25), translate=(5, 0, 9))
    return viewer


def test_prompts_stay_on_the_plane_that_they_were_drawn_on(stack: ViewerModel) -> None:
    prompts = PromptLayers(stack, stack.layers[0])
    stack.dims.set_current_step(0, 7)
    prompts.use("positive")
    prompts.points.add([[7, 10, 20]])
    prompts.use("box")
    box = rectangle(4.5, 4.5, 20.5, 30.5)
    prompts.shapes.add_rectangles(np.insert(box, 0, 7, axis=1))
    stack.dims.order = (1, 0, 2)
    stack.dims.set_current_step(1, 10)
    prompts.points.selected_data = {0}  # which napari takes for an example
    prompts.points.add([[3, 10, 22]])
    prompts.use("scribble")
    prompts.shapes.add_paths(np.array([[2, 10, 8], [6, 10, 30]]))
    xy, xz = ArrayPlane((1, 2), (7,)), ArrayPlane((0, 2), (10,))
    assert prompts.items(xy) == (
        PromptItem("box", xy, ((5, 5), (20, 30))),
        PromptItem("point", xy, ((10, 20),)),
    )
    assert prompts.items(xz) == (
        PromptItem("scribble", xz, ((2, 8), (6, 30))),
        PromptItem("point", xz, ((3, 22),)),
    )
    every = prompts.items()
    assert len(every) == 4
    prompts.show(every)
    assert prompts.items() == every
    prompts.clear(xy)
    assert prompts.items() == prompts.items(xz) != ()
    assert prompts.items(ArrayPlane((1, 2), (8,))) == ()


def test_labels_are_kept_though_they_are_not_drawn(prompts: PromptLayers, heard: Heard) -> None:
    prompts.show((LABEL, POINT))
    prompts.use("negative")
    prompts.points.add([[13.5, 44]])
    assert prompts.items() == (POINT, NOT, LABEL)
    prompts.clear(PLANE)
    assert prompts.items() == ()
    assert heard.changed[-1] == ()


# Exactly


@st.composite
def upright(draw: st.DrawFn) -> np.ndarray:
    y, x = (draw(st.floats(0, 120_000)) for _ in range(2))
    height, width = (draw(st.floats(0.01, 5000)) for _ in range(2))
    return rectangle(y, x, y + height, x + width)


@settings(deadline=None, max_examples=200)
@given(upright(), st.sampled_from(["rectangle", "ellipse", "polygon", "path"]))
def test_what_is_shown_again_is_exactly_what_was_drawn(drawn: np.ndarray, kind: str) -> None:
    """In the float32 of napari's shapes; else each look at the prompts would be a change."""
    found = shape_item(drawn.astype(np.float32), kind, "", (0, 1))
    if found is None:
        return
    vertices, shape_type = shape_of(found)
    again = shape_item(vertices.astype(np.float32), shape_type, tool_of(found), (0, 1))
    assert again == found


def test_boxes_that_a_script_puts_into_the_layer_are_boxes(prompts: PromptLayers) -> None:
    """To napari they are polygons."""
    prompts.use("box")
    prompts.shapes.data = [rectangle(9.5, 19.5, 30.5, 50.75)]
    assert prompts.items() == (BOX,)
    prompts.shapes.data = [rectangle(9.5, 19.5, 30.5, 51.75)]
    assert prompts.items()[0].vertices == ((10, 20), (30, 51.25))
