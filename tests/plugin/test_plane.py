"""Planes of a layer, whichever two of its axes are on the screen."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.plugin.plane import displayed_plane
from napari_hqsam.plugin.viewport import pointer, screen_pixels, visible_box

STACK = np.arange(3 * 4 * 5 * 6).reshape(3, 4, 5, 6)


@pytest.mark.parametrize("axes", [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)])
def test_indices_and_positions_agree(axes: tuple[int, int]) -> None:
    plane = ArrayPlane(axes, (1, 2))
    moved = np.moveaxis(STACK, axes, (2, 3))[1, 2]  # the others keep their order
    assert plane.shape(STACK.shape) == moved.shape
    np.testing.assert_array_equal(STACK[plane.region(1, 0, 3, 4)], moved[1:3, :4])
    y, x = np.array([0, 2]), np.array([3, 1])
    np.testing.assert_array_equal(STACK[plane.pixels(y, x)], moved[y, x])
    assert STACK[tuple(int(i) for i in plane.position(2, 3))] == moved[2, 3]
    slab = plane.slab(moved)
    assert slab.ndim == 4
    assert slab.size == moved.size
    np.testing.assert_array_equal(plane.flat(slab), moved)
    position = np.array([plane.position(2, 3)])
    np.testing.assert_array_equal(plane.yx(position), [[2, 3]])


def test_axes_of_length_one_are_no_axes_of_the_source() -> None:
    assert ArrayPlane((2, 3), (0, 7)).source_index((1, 9, 20, 30)) == (7,)
    assert ArrayPlane((1, 3), (0, 4)).source_index((1, 9, 20, 30)) == (4,)


@pytest.mark.parametrize(
    ("order", "axes", "index"),
    [
        ((0, 1, 2), (1, 2), (1,)),
        ((0, 2, 1), (1, 2), (1,)),  # transposed: the same plane
        ((1, 0, 2), (0, 2), (3,)),
        ((2, 0, 1), (0, 1), (4,)),
    ],
)
def test_the_plane_on_display(
    order: tuple[int, ...], axes: tuple[int, int], index: tuple[int, ...]
) -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((4, 20, 30)), scale=(5, 0.5, 2), translate=(7, 8, 9))
    viewer.dims.order = order
    viewer.dims.point = image.data_to_world((1, 3, 4))
    assert displayed_plane(viewer, image) == ArrayPlane(axes, index)


def test_other_views_are_explained() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((20, 30)), name="flat")
    viewer.add_image(np.zeros((4, 20, 30)))
    assert displayed_plane(viewer, image) == ArrayPlane((0, 1), ())
    viewer.dims.order = (1, 0, 2)
    with pytest.raises(HQSAMError, match="flat does not have the axes on display"):
        displayed_plane(viewer, image)
    viewer.dims.order = (0, 1, 2)
    viewer.dims.ndisplay = 3
    with pytest.raises(HQSAMError, match="2-D view"):
        displayed_plane(viewer, image)
    viewer.dims.ndisplay = 2
    far = viewer.add_image(np.zeros((2, 20, 30)), translate=(50, 0, 0), name="far")
    viewer.dims.set_point(0, 0)
    with pytest.raises(HQSAMError, match="outside far"):
        displayed_plane(viewer, far)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (0, 2, 1)])
def test_what_the_canvas_shows_of_a_plane(order: tuple[int, ...]) -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((40, 200, 300)), scale=(5, 0.5, 2))
    viewer.dims.order = order
    viewer.canvas.size = (100, 400)  # height, width
    viewer.scene.camera.zoom = 4
    plane = displayed_plane(viewer, image)
    centre = (10, 60)  # y, x of the plane
    world = image.data_to_world(plane.position(*centre))
    viewer.scene.camera.center = (0, *(world[axis] for axis in viewer.dims.displayed))
    y0, x0, y1, x1 = visible_box(viewer, image, plane)
    steps = np.array([image.scale[axis] for axis in plane.axes])
    height, width = np.array([100, 400] if order[1] < order[2] else [400, 100]) / 4 / steps
    np.testing.assert_allclose([(y0 + y1 - 1) / 2, (x0 + x1 - 1) / 2], centre)
    np.testing.assert_allclose([y1 - 1 - y0, x1 - 1 - x0], [height, width])
    assert screen_pixels(viewer, image, plane) == pytest.approx(4 * np.sqrt(np.prod(steps)))
    viewer.cursor.position = tuple(world)
    assert pointer(viewer, image, plane, (y0, x0, y1, x1)) == pytest.approx(centre)
    assert pointer(viewer, image, plane, (0, 0, 5, 5)) is None
