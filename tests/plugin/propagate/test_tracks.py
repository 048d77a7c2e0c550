"""What is followed through time is linked in a Tracks layer."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Tracks

from napari_hqsam.labels.objects import LabelObject
from napari_hqsam.plugin.propagate.tracks import centroids

from .conftest import FIRST, SECOND, STACK, mask

TYX = ("t", "y", "x")


def tracks(desk: Any) -> Tracks:
    (found,) = [layer for layer in desk.viewer.layers if isinstance(layer, Tracks)]
    return found


def test_a_film_gets_tracks(desk: Any) -> None:
    desk.open(axis_labels=TYX, scale=(1, 0.5, 0.5), units=("s", "um", "um"))
    desk.commit(FIRST, 3)
    desk.commit(SECOND, 3)
    desk.go_to(3)
    desk.c.objects.value = "slice"
    desk.control.extent = {1: (1, 6), 2: (3, 4)}
    desk.run()
    assert not desk.told
    layer = tracks(desk)
    assert layer.name == "cells objects tracks"
    expected = [[1, t, 19.5, 19.5] for t in range(1, 7)] + [[2, t, 42, 49.5] for t in (3, 4)]
    np.testing.assert_allclose(layer.data, expected)
    np.testing.assert_array_equal(layer.scale, (1, 0.5, 0.5))
    assert [str(u) for u in layer.units] == ["second", "micrometer", "micrometer"]
    assert desk.said.endswith(" Tracks are in cells objects tracks.")
    names = [each.name for each in desk.viewer.layers]
    assert names.index(layer.name) > names.index("cells objects")


def test_they_are_brought_up_to_date(desk: Any) -> None:
    desk.open(axis_labels=TYX)
    desk.commit(FIRST, 3)
    desk.run()
    first = tracks(desk)
    desk.paint((10, 30, 30, 40), 1, 5)
    desk.run()
    assert tracks(desk) is first
    x = {int(row[1]): row[3] for row in first.data}
    assert (x[2], x[5]) == (19.5, 24.5)
    desk.viewer.layers.remove(first)
    desk.run()
    assert tracks(desk) is not first


def test_a_stack_gets_none(desk: Any) -> None:
    desk.open()
    desk.commit(FIRST, 3)
    desk.run()
    assert not [layer for layer in desk.viewer.layers if isinstance(layer, Tracks)]


def test_volumes_through_time(desk: Any) -> None:
    desk.open(np.stack([STACK] * 3), axis_labels=("t", "z", "y", "x"), scale=(1, 2, 1, 1))
    desk.control.extent = {1: (0, 2)}
    desk.commit(FIRST, 1, 3)
    desk.go_to(1, 3)
    desk.c.axis.value = "t"
    desk.run()
    layer = tracks(desk)
    np.testing.assert_allclose(layer.data, [[1, t, 3, 19.5, 19.5] for t in range(3)])
    np.testing.assert_array_equal(layer.scale, (1, 2, 1, 1))


def test_time_behind_an_axis_of_length_one(desk: Any) -> None:
    desk.open(STACK[None], axis_labels=("z", "t", "y", "x"), scale=(1, 1, 0.5, 0.5))
    desk.commit(FIRST, 0, 3)
    desk.run()
    layer = tracks(desk)
    np.testing.assert_allclose(layer.data, [[1, t, 19.5, 19.5] for t in range(1, 7)])
    np.testing.assert_array_equal(layer.scale, (1, 0.5, 0.5))


def test_time_that_is_not_first_is_left_without(desk: Any) -> None:
    desk.open(np.stack([STACK] * 3), axis_labels=("z", "t", "y", "x"))
    desk.commit(FIRST, 1, 3)
    desk.go_to(1, 3)
    desk.c.axis.value = "t"
    desk.run()
    assert not desk.told
    assert [at[1] for at in desk.grown()] == [1, 2, 4, 5, 6]
    assert "Tracks" not in desk.said


def test_the_centroid_of_a_volume_is_weighted() -> None:
    found = LabelObject(
        4, (mask((0, 0, 4, 4), 1, 2), mask((0, 0, 2, 2), 1, 5), mask((6, 6, 8, 8), 0, 0))
    )
    rows = centroids(found, 4, 0)
    np.testing.assert_allclose(rows[0], [4, 0, 0, 6.5, 6.5])
    y = (16 * 1.5 + 4 * 0.5) / 20
    np.testing.assert_allclose(rows[1], [4, 1, (16 * 2 + 4 * 5) / 20, y, y])
