from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel

from napari_hqsam.labels import pixels, tiff
from napari_hqsam.labels.store import LabelStore
from napari_hqsam.plugin import writer
from napari_hqsam.plugin.label_folder import STORE

LABELS = np.kron(np.arange(12).reshape(3, 4), np.ones((500, 300), int))


def layer_data(data: Any, **options: Any) -> tuple[Any, dict[str, Any]]:
    layer = ViewerModel().add_labels(data, **options)
    data, meta, _ = layer.as_layer_data_tuple()
    return data, meta


@pytest.fixture
def store(tmp_path: Path) -> LabelStore:
    store = LabelStore.create(tmp_path / "mine.zarr", LABELS.shape, axes="yx")
    store.write((), 0, 0, LABELS)
    return store


@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
def test_a_layer_that_is_not_in_memory_is_never_read_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    monkeypatch.setattr(tiff, "MEMORY_BYTES", 0)
    monkeypatch.setattr(pixels, "_SIDE", 512)
    asked: list[int] = []

    def chunk(block: np.ndarray) -> np.ndarray:
        asked.append(block.size)
        return block

    def whole(*args: Any, **options: Any) -> None:
        raise AssertionError("all labels were asked for")

    lazy = da.from_array(LABELS, chunks=(400, 400)).map_blocks(chunk, dtype=LABELS.dtype)
    data, meta = layer_data(lazy, multiscale=False)
    asked.clear()
    monkeypatch.setattr(type(lazy), "__array__", whole)
    path = tmp_path / f"a{suffix}"
    assert writer.write_layer(str(path), data, meta) == [str(path)]
    assert asked
    if suffix == ".tif":
        np.testing.assert_array_equal(tifffile.imread(path), LABELS)
    else:
        np.testing.assert_array_equal(LabelStore.open(path).levels[0][...], LABELS)


@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
def test_the_finest_level_of_a_store_is_copied(
    tmp_path: Path, store: LabelStore, suffix: str
) -> None:
    data, meta = layer_data(list(store.levels), multiscale=True, scale=(0.5, 0.5), units="µm")
    path = tmp_path / f"copy{suffix}"
    writer.write_layer(str(path), data, meta)
    if suffix == ".tif":
        np.testing.assert_array_equal(tifffile.imread(path), LABELS)
        return
    copy = LabelStore.open(path)
    np.testing.assert_array_equal(copy.levels[0][...], LABELS)
    assert len(copy.levels) == len(store.levels) == 2
    assert (copy.scale, copy.units) == ((0.5, 0.5), ("micrometer",) * 2)


def test_saving_a_store_where_it_is_does_nothing(tmp_path: Path, store: LabelStore) -> None:
    before = {p: p.stat().st_mtime_ns for p in store.path.rglob("*")}
    for data in (list(store.levels), store.levels[0]):
        shown, meta = layer_data(data, multiscale=isinstance(data, list))
        assert writer.write_layer(str(store.path), shown, meta) == [str(store.path)]
    assert {p: p.stat().st_mtime_ns for p in store.path.rglob("*")} == before
    assert os.listdir(tmp_path) == ["mine.zarr"]


def test_what_is_computed_from_a_store_does_not_replace_it(store: LabelStore) -> None:
    data, meta = layer_data(da.from_array(store.levels[0], chunks=512) * 2, multiscale=False)
    with pytest.raises(OSError, match="read from there"):
        writer.write_layer(str(store.path), data, meta)
    np.testing.assert_array_equal(store.levels[0][...], LABELS)


def test_a_layer_that_shows_a_part_of_a_store_saves_all_of_it(
    store: LabelStore, tmp_path: Path
) -> None:
    """The window that large labels are painted in is not what the user wants to keep."""
    part = {"metadata": {STORE: str(store.path)}, "name": "part (edit)"}
    data, meta = layer_data(LABELS[:100, :100].copy(), **part)
    target = tmp_path / "all.tif"
    assert writer.write_layer(str(target), data, meta) == [str(target)]
    np.testing.assert_array_equal(tifffile.imread(target), LABELS)
    writer.write_layer(str(store.path), data, meta)  # where it is already
    np.testing.assert_array_equal(LabelStore.open(store.path).levels[0][:], LABELS)


def test_all_of_a_stack_keeps_its_axes_and_scale(tmp_path: Path) -> None:
    about = {"axes": "zyx", "scale": (2.0, 0.5, 0.5), "units": ("micrometer",) * 3}
    stack = LabelStore.create(tmp_path / "stack.zarr", (3, 90, 80), **about)
    stack.write((1,), 10, 10, np.full((5, 6), 7))
    data, meta = layer_data(np.zeros((1, 50, 50), int), metadata={STORE: str(stack.path)})
    writer.write_layer(str(tmp_path / "copy.zarr"), data, meta)
    copied = LabelStore.open(tmp_path / "copy.zarr")
    assert (copied.axes, tuple(copied.scale)) == ("zyx", (2.0, 0.5, 0.5))
    assert copied.units == stack.units
    np.testing.assert_array_equal(copied.levels[0][:], stack.levels[0][:])
