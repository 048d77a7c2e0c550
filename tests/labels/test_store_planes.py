"""Reading and writing a label store along any two axes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.labels.store import LabelStore
from napari_hqsam.labels.store_planes import read_plane, write_plane

SHAPE = (6, 40, 50)
PLANES = [ArrayPlane((1, 2), (3,)), ArrayPlane((0, 2), (17,)), ArrayPlane((0, 1), (23,))]


@pytest.fixture
def store(tmp_path: Path) -> LabelStore:
    return LabelStore.create(tmp_path / "l.zarr", SHAPE, axes="zyx", chunk=16)


def everything(store: LabelStore) -> np.ndarray:
    return np.asarray(store.levels[0][:])


@pytest.mark.parametrize("plane", PLANES, ids=["xy", "xz", "yz"])
def test_what_is_written_is_there_and_nothing_else(plane: ArrayPlane, store: LabelStore) -> None:
    pixels = np.arange(1, 4 * 9 + 1).reshape(4, 9)
    where = pixels % 3 > 0
    changes = write_plane(store, plane, 1, 20, pixels, where)
    expected = np.zeros(SHAPE, dtype=np.uint32)
    expected[plane.region(1, 20, 5, 29)][where] = pixels[where]
    np.testing.assert_array_equal(everything(store), expected)
    np.testing.assert_array_equal(read_plane(store, plane, 1, 20, 5, 29), pixels * where)
    for change in changes:
        change.undo()
    assert not everything(store).any()


def test_a_failure_takes_back_the_lines_before_it(
    store: LabelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, calls = store.write, []

    def fail_later(*args: Any) -> Any:
        calls.append(args)
        if len(calls) == 3:
            raise OSError("no space left")
        return write(*args)

    monkeypatch.setattr(store, "write", fail_later)
    with pytest.raises(OSError, match="no space"):
        write_plane(store, PLANES[1], 0, 0, np.full((5, 5), 4), np.ones((5, 5), dtype=bool))
    assert len(calls) == 3
    assert not everything(store).any()
