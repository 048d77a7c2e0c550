from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images import open_image
from napari_hqsam.labels.grid import Grid
from napari_hqsam.labels.objects import LabelObject, PlaneMask
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.session.record import ObjectRecord


def test_the_grid_of_an_image_has_its_planes_in_order() -> None:
    image = open_image(
        np.zeros((3, 2, 4, 10, 20), "u1"),
        axes="cztyx"[0] + "ztyx",
        scale=(5, 7, 0.5, 0.25),
        units=("um", "s", "um", "um"),
    )
    grid = Grid.of(image)
    assert (grid.axes, grid.shape) == ("tzyx", (4, 2, 10, 20))
    assert grid.scale == (7, 5, 0.5, 0.25)
    assert grid.micrometers("zyx") == {"z": 5, "y": 0.5, "x": 0.25}
    assert (grid.yx, grid.length("z"), len(grid.planes())) == ((10, 20), 2, 8)
    assert grid.plane(t=3, z=1) == ArrayPlane((2, 3), (3, 1))
    assert grid.at(ArrayPlane((2, 3), (3, 1))) == (3, 1)


def test_an_axis_of_another_name_becomes_depth() -> None:
    grid = Grid.of(open_image(np.zeros((5, 10, 20), "u1"), axes="qyx"))
    assert (grid.axes, grid.shape) == ("zyx", (5, 10, 20))
    assert grid.micrometers("zyx") is None


def test_steps_that_are_no_lengths_are_unknown() -> None:
    assert Grid("yx", (3, 4), (1.0, 2.0), ("pixel", "um")).micrometers("yx") is None
    assert Grid("yx", (3, 4), (1.0, 2.0)).micrometers("yx") is None
    known = Grid("zyx", (2, 3, 4), (1.0, 500.0, 200.0), ("pixel", "nm", "nm"))
    assert known.micrometers("yx") == {"y": 0.5, "x": 0.2}
    assert known.micrometers("zyx") is None


@pytest.mark.parametrize(
    ("axes", "shape"), [("zy", (1, 2)), ("yx", (1, 2, 3)), ("cyx", (1, 2, 3)), ("xy", (1, 2))]
)
def test_axes_that_labels_do_not_have_are_refused(axes: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(HQSAMError, match="cells: axes"):
        Grid(axes, shape, name="cells")


@settings(deadline=None, max_examples=40)
@given(hnp.arrays(bool, (3, 4, 5)), st.sampled_from([(0, 1), (0, 2), (1, 2)]), st.booleans())
def test_masks_drawn_on_other_planes_become_upright(
    voxels: np.ndarray, axes: tuple[int, int], both: bool
) -> None:
    grid = Grid("zyx", voxels.shape)
    masks = []
    for drawn_on in {axes, (1, 2)} if both else {axes}:
        (across,) = {0, 1, 2} - set(drawn_on)
        for i in range(voxels.shape[across]):
            data = voxels.take(i, across)
            plane = ArrayPlane(drawn_on, (i,))
            masks.append(PlaneMask.of(plane, (0, 0, *data.shape), data))
    upright = grid.upright(ObjectRecord(7, tuple(masks), model="micro"))
    assert isinstance(upright, ObjectRecord)
    assert (upright.id, upright.model) == (7, "micro")
    found = np.zeros_like(voxels)
    for mask in upright.masks:
        assert mask.plane.axes == (1, 2)
        here = found[mask.plane.region(*mask.bbox)]
        assert not (here & mask.data).any()
        here |= mask.data
    np.testing.assert_array_equal(found, voxels)


def test_masks_of_another_array_are_refused() -> None:
    mask = PlaneMask.of(ArrayPlane((0, 1), ()), (0, 0, 1, 1), np.ones((1, 1), bool))
    with pytest.raises(HQSAMError, match='object 3: its masks have 2 axes, but the labels "zyx"'):
        Grid("zyx", (2, 3, 4)).upright(LabelObject(3, (mask,)))


def test_a_plane_that_is_not_there_is_refused() -> None:
    with pytest.raises(HQSAMError, match="no plane z = 2, only 0 to 1"):
        Grid("zyx", (2, 3, 4)).plane(z=2)
