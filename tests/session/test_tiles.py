from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.session import tiles
from napari_hqsam.session.tiles import TiledLabels

from .scene import SHAPE, Refusing, array, memory


class Counting(Refusing):
    """Labels that count what is read and written."""

    def __init__(self) -> None:
        super().__init__(memory(), after=10**6)
        self.reads = self.writes = 0

    def read(self, plane, box):
        self.reads += 1
        return super().read(plane, box)

    def write(self, *what) -> None:
        self.writes += 1
        super().write(*what)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 9999), st.sampled_from([1, 100, 10**6]))
def test_what_is_written_is_read_and_is_there_after_a_flush(seed: int, limit: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiles, "_SIDE", 4)
        labels, expected, rng = memory(), memory(), np.random.default_rng(seed)
        tiled = TiledLabels(labels, limit)
        for _ in range(15):
            axes = [(1, 2), (1, 2), (0, 2)][rng.integers(3)]
            (other,) = {0, 1, 2} - set(axes)
            at = ArrayPlane(axes, (int(rng.integers(SHAPE[other])),))
            height, width = at.shape(SHAPE)
            (y0, y1), (x0, x1) = (
                sorted(rng.integers(0, n + 1, 2).tolist()) for n in (height, width)
            )
            box = (y0, x0, y1, x1)
            np.testing.assert_array_equal(tiled.read(at, box), expected.read(at, box))
            pixels = rng.integers(0, 9, (y1 - y0, x1 - x0))
            where = rng.random(pixels.shape) < 0.5
            for each in (tiled, expected):
                each.write(at, y0, x0, pixels, where)
        tiled.flush()
        np.testing.assert_array_equal(array(labels), array(expected))


def test_a_tile_is_read_once_and_written_if_it_is_different() -> None:
    labels = Counting()
    tiled, at = TiledLabels(labels), ArrayPlane((1, 2), (0,))
    everywhere = np.ones((2, 2), bool)
    for value in (1, 2, 0):
        tiled.read(at, (3, 3, 5, 5))
        tiled.write(at, 3, 3, np.full((2, 2), value), everywhere)
    assert (labels.reads, labels.writes) == (1, 0)
    tiled.flush()
    assert labels.writes == 0
    tiled.write(at, 3, 3, np.full((2, 2), 7), everywhere)
    tiled.flush()
    tiled.flush()
    assert labels.writes == 1


def test_a_flush_that_is_refused_can_be_repeated() -> None:
    labels = Counting()
    tiled, at = TiledLabels(labels), ArrayPlane((1, 2), (1,))
    tiled.write(at, 0, 0, np.full((2, 2), 7), np.ones((2, 2), bool))
    labels.left = 0
    with pytest.raises(HQSAMError):
        tiled.flush()
    tiled.flush()
    assert (array(labels) == 7).sum() == 4
