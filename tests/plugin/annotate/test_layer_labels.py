"""What is painted in a Labels layer is a step of the session, to the pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import zarr
from napari.layers import Labels

from napari_hqsam.labels.objects import PlaneMask
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.plugin.annotate.layer_labels import LayerLabels
from napari_hqsam.session.record import NewObject
from napari_hqsam.session.session import Session


def begin(layer: Labels) -> Session:
    array = LayerLabels(layer)
    session = Session(array)
    array.painted.connect(session.painted)
    return session


def stroke(layer: Labels, *path: tuple[float, ...], label: int = 1) -> None:
    """Drag the brush along a path: one stroke."""
    with layer.block_history():
        for here in path:
            layer.paint(here, label, refresh=False)


def assert_steps_lead_back(session: Session, states: list[np.ndarray], layer: Labels) -> None:
    """Undo leads through the states back to the first, redo to the last."""
    for state in states[-2::-1]:
        session.undo()
        np.testing.assert_array_equal(layer.data, state)
    assert session.can_undo is None
    for state in states[1:]:
        session.redo()
        np.testing.assert_array_equal(layer.data, state)
    assert session.can_redo is None


def assert_objects_are_the_pixels(session: Session, labels: np.ndarray) -> None:
    drawn = np.zeros_like(labels)
    for number, found in session.objects.items():
        for mask in found.masks:
            drawn[mask.plane.region(*mask.bbox)][mask.data] = number
    np.testing.assert_array_equal(drawn, labels)


def kinds(layer: Labels) -> list[np.ndarray]:
    """Paint, paint over, erase, fill, draw a polygon; the labels after each."""
    states = [np.array(layer.data)]
    corner = (0,) * (layer.ndim - 2)
    layer.brush_size = 7

    def keep() -> None:
        states.append(np.array(layer.data))

    stroke(layer, (*corner, 10, 10), (*corner, 10, 12), (*corner, 10, 11))
    keep()
    stroke(layer, (*corner, 10, 14), (*corner, 12, 10), label=2)
    keep()
    stroke(layer, (*corner, 9, 10), label=0)
    keep()
    layer.fill((*corner, 30, 30), 5)
    keep()
    layer.paint_polygon([(20, 20), (20, 30), (33, 30)], 3)
    keep()
    return states


def test_every_way_of_painting_is_undone_and_redone_exactly() -> None:
    layer = Labels(np.zeros((40, 50), dtype=np.uint16))
    session = begin(layer)
    states = kinds(layer)
    assert len({state.tobytes() for state in states}) == 6  # each of them did something
    assert_objects_are_the_pixels(session, states[-1])
    assert_steps_lead_back(session, states, layer)


def test_several_passes_over_a_pixel_in_one_stroke_are_one_step() -> None:
    layer = Labels(np.zeros((30, 30), dtype=np.uint8))
    session = begin(layer)
    layer.brush_size = 5
    stroke(layer, (10, 10), label=4)
    before = np.array(layer.data)
    with layer.block_history():
        layer.paint((10, 12), 7, refresh=False)
        layer.paint((10, 11), 9, refresh=False)
        layer.paint((11, 12), 0, refresh=False)
        layer.paint((10, 13), 4, refresh=False)
    after = np.array(layer.data)
    session.undo()
    np.testing.assert_array_equal(layer.data, before)
    session.redo()
    np.testing.assert_array_equal(layer.data, after)
    assert_objects_are_the_pixels(session, after)


def test_painting_and_filling_a_volume() -> None:
    layer = Labels(np.zeros((6, 30, 40), dtype=np.uint32))
    session = begin(layer)
    layer.n_edit_dimensions = 3
    layer.brush_size = 5
    states = [np.array(layer.data)]
    stroke(layer, (2, 10, 10), (3, 12, 14))
    states.append(np.array(layer.data))
    assert np.count_nonzero(states[-1].any(axis=(1, 2))) > 3
    layer.fill((2, 10, 10), 8)
    states.append(np.array(layer.data))
    layer.n_edit_dimensions = 2
    stroke(layer, (5, 3, 3), label=2)
    states.append(np.array(layer.data))
    assert_objects_are_the_pixels(session, states[-1])
    assert_steps_lead_back(session, states, layer)


def test_painting_another_plane_of_a_volume_than_yx() -> None:
    layer = Labels(np.zeros((20, 30, 40), dtype=np.uint8))
    session = begin(layer)
    at = (np.array([3, 4, 5]), np.array([7, 7, 7]), np.array([9, 10, 11]))
    layer.data_setitem(at, 3)
    after = np.array(layer.data)
    assert_objects_are_the_pixels(session, after)
    session.undo()
    assert not layer.data.any()
    session.redo()
    np.testing.assert_array_equal(layer.data, after)


def test_labels_of_a_zarr_array(tmp_path: Any) -> None:
    data = zarr.create_array(tmp_path / "labels.zarr", shape=(40, 50), chunks=(16, 16), dtype="u2")
    layer = Labels(data)
    session = begin(layer)
    states = kinds(layer)
    assert_steps_lead_back(session, states, layer)
    np.testing.assert_array_equal(data[:], states[-1])


def mask(y0: int, x0: int, y1: int, x1: int) -> NewObject:
    filled = np.ones((y1 - y0, x1 - x0), dtype=bool)
    return NewObject((PlaneMask.of(ArrayPlane((0, 1), ()), (y0, x0, y1, x1), filled),))


def test_what_the_session_writes_is_not_taken_for_paint() -> None:
    layer = Labels(np.zeros((30, 30), dtype=np.uint8))
    session = begin(layer)
    session.commit([mask(2, 2, 9, 9)])
    assert session.can_undo == "commit of object 1"
    session.undo()
    assert session.can_undo is None
    assert not layer.data.any()


def test_a_commit_while_a_stroke_is_drawn_is_no_part_of_the_stroke() -> None:
    layer = Labels(np.zeros((30, 30), dtype=np.uint8))
    session = begin(layer)
    layer.brush_size = 3
    with layer.block_history():
        layer.paint((20, 20), 5, refresh=False)
        session.commit([mask(2, 2, 9, 9)])
    assert session.can_undo == "painting of object 5"
    session.undo()
    assert set(np.unique(layer.data)) == {0, 1}
    session.undo()
    assert not layer.data.any()


def test_napari_keeps_no_second_history() -> None:
    layer = Labels(np.zeros((30, 30), dtype=np.uint8))
    session = begin(layer)
    stroke(layer, (10, 10))
    session.undo()
    layer.undo()
    assert not layer.data.any()
    layer.redo()
    assert not layer.data.any()


def test_a_closed_layer_is_left_to_napari() -> None:
    layer = Labels(np.zeros((30, 30), dtype=np.uint8))
    array = LayerLabels(layer)
    seen: list[Any] = []
    array.painted.connect(seen.append)
    array.close()
    stroke(layer, (10, 10))
    assert not seen
    layer.undo()
    assert not layer.data.any()


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint64"])
def test_reading_and_writing_keep_the_type(dtype: str) -> None:
    array = LayerLabels(Labels(np.zeros((4, 20, 20), dtype=dtype)))
    plane = ArrayPlane((1, 2), (3,))
    pixels = np.full((3, 4), 9, dtype=dtype)
    where = np.zeros((3, 4), dtype=bool)
    where[1, 2] = True
    array.write(plane, 5, 6, pixels, where)
    back = array.read(plane, (5, 6, 8, 10))
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, pixels * where)
    assert np.count_nonzero(array.layer.data) == 1
