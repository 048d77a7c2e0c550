from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels import find, pixels
from napari_hqsam.labels.find import objects_in
from napari_hqsam.labels.label_array import MemoryLabels, StoreLabels
from napari_hqsam.labels.store import LabelStore

from .pictures import drawn, label_images


@settings(deadline=None, max_examples=40)
@given(label_images(), st.integers(1, 5), st.booleans())
def test_the_objects_drawn_are_the_labels(labels: np.ndarray, side: int, lazy: bool) -> None:
    """Also of objects that blocks of few pixels cut into pieces."""
    array = da.from_array(labels, chunks=side) if lazy else labels
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pixels, "_SIDE", side)
        objects = list(objects_in(array))
    np.testing.assert_array_equal(drawn(objects, labels.shape), labels)
    assert [obj.id for obj in objects] == sorted(set(labels.ravel().tolist()) - {0})
    for obj in objects:
        planes = [mask.plane.index for mask in obj.masks]
        assert planes == sorted(set(planes))
        for mask in obj.masks:  # the smallest box
            assert mask.data.any(axis=0)[[0, -1]].all()
            assert mask.data.any(axis=1)[[0, -1]].all()


def test_labels_in_whatever_holds_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.random.default_rng(0).integers(0, 5, (2, 40, 50)).astype(np.uint32)
    store = LabelStore.create(tmp_path / "l.zarr", labels.shape, axes="zyx", chunk=16)
    for z in range(2):
        store.write((z,), 0, 0, labels[z])
    monkeypatch.setattr(find, "_SIDE", 13)
    deep = zarr.create_array(tmp_path / "a.zarr", data=labels, chunks=(2, 7, 9))
    holders: list[Any] = [labels, labels.tolist(), MemoryLabels(labels), store, StoreLabels(store)]
    for held in [*holders, deep, labels.astype(">i8")]:
        np.testing.assert_array_equal(drawn(objects_in(held), labels.shape), labels)
    np.testing.assert_array_equal(drawn(objects_in(labels > 2), labels.shape), labels > 2)


def test_a_huge_plane_is_not_in_memory(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "huge.zarr", mode="w")
    plane = group.create_array("0", shape=(16_000, 16_000), chunks=(2048, 2048), dtype="u4")
    plane[2040:2060, 4000:9000] = 7  # across several blocks
    tracemalloc.start()
    try:
        (obj,) = objects_in(plane)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert obj.masks[0].bbox == (2040, 4000, 2060, 9000)
    assert obj.area == 100_000
    assert peak < 200e6  # a plane is 1 GB


def test_progress_tells_how_far_it_is_and_can_stop_it() -> None:
    labels = np.ones((3, 5000, 100), np.uint8)
    told: list[tuple[int, int]] = []
    list(objects_in(labels, lambda done, total, doing: told.append((done, total))))
    assert len(told) == 9
    assert told[-1] == (labels.size, labels.size)

    class Enough(Exception):
        pass

    def stop(done: int, total: int, doing: str) -> None:
        told.append((done, total))
        if done > total / 3:
            raise Enough

    told.clear()
    with pytest.raises(Enough):
        list(objects_in(labels, stop))
    assert len(told) == 4


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((4, 4)), "whole numbers, not 2-D float64"),
        (np.zeros(4, int), "at least two axes"),
        (np.array([[0, -3]]), "-3 occurs"),
        (np.array([[0, 2**63]], np.uint64), "too large"),
    ],
)
def test_what_are_no_labels_is_refused(labels: np.ndarray, message: str) -> None:
    with pytest.raises(HQSAMError, match=message):
        list(objects_in(labels))
