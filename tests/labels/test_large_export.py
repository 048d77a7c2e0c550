"""Labels that are on disk, or not computed yet, are written without being held in memory."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import tifffile
import yaozarrs
import zarr
from numpy.typing import NDArray

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels import pixels, tiff
from napari_hqsam.labels.export import write_labels
from napari_hqsam.labels.pyramid import shrink
from napari_hqsam.labels.store import LabelStore

PLANE = np.kron(np.arange(24 * 20).reshape(24, 20), np.ones((75, 99), int))[:1700, :1970]


class Watched:
    """An array that notes how much of it is asked for at once, and how often each pixel is."""

    def __init__(self, data: NDArray[Any], chunks: tuple[int, ...] | None = None) -> None:
        self.data, self.chunks = data, chunks
        self.shape, self.dtype = data.shape, data.dtype
        self.reads: list[int] = []

    def __getitem__(self, index: Any) -> NDArray[Any]:
        found = self.data[index]
        self.reads.append(found.size)
        return found


@pytest.fixture
def small_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take everything for large."""
    monkeypatch.setattr(tiff, "MEMORY_BYTES", 0)


def levels_of(path: Path) -> list[NDArray[Any]]:
    if path.suffix == ".zarr":
        return [level[...] for level in LabelStore.open(path).levels]
    with tifffile.TiffFile(path) as tif:
        return [level.asarray() for level in tif.series[0].levels]


@pytest.mark.parametrize("suffix", [".zarr", ".tif"])
@pytest.mark.parametrize("kind", ["numpy", "dask", "zarr", "store"])
def test_every_kind_of_array_becomes_a_pyramid(
    tmp_path: Path, small_memory: None, kind: str, suffix: str
) -> None:
    labels: Any = PLANE
    if kind == "dask":
        labels = da.from_array(PLANE, chunks=(700, 601))
    elif kind == "zarr":
        labels = zarr.create_array({}, data=PLANE.astype("i4"), chunks=(300, 400))
    elif kind == "store":
        labels = LabelStore.create(tmp_path / "mine.zarr", PLANE.shape, axes="yx")
        labels.write((), 0, 0, PLANE)
    path = write_labels(tmp_path / f"a{suffix}", labels)
    levels = levels_of(path)
    assert [level.shape for level in levels] == [(1700, 1970), (850, 985)]
    np.testing.assert_array_equal(levels[0], PLANE)
    np.testing.assert_array_equal(levels[1], shrink(PLANE))
    assert {level.dtype for level in levels} == {np.dtype("u2")}
    assert set(os.listdir(tmp_path)) <= {"mine.zarr", f"a{suffix}"}


@pytest.mark.parametrize("suffix", [".zarr", ".tif"])
def test_memory_does_not_grow_with_the_labels(
    tmp_path: Path, small_memory: None, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    monkeypatch.setattr(pixels, "_SIDE", 512)
    labels = Watched(PLANE)
    write_labels(tmp_path / f"a{suffix}", labels)
    assert max(labels.reads) <= 512**2
    assert sum(labels.reads) == 2 * PLANE.size


def test_a_chunk_of_several_planes_is_unpacked_for_all_of_them(tmp_path: Path) -> None:
    stack = np.random.default_rng(0).integers(0, 99, (7, 60, 70))
    labels = Watched(stack, chunks=(4, 60, 70))
    path = write_labels(tmp_path / "a.zarr", labels, axes="zyx")
    assert sorted(labels.reads) == [3 * 4200, 3 * 4200, 4 * 4200, 4 * 4200]
    np.testing.assert_array_equal(levels_of(path)[0], stack)


def test_chunks_of_too_many_planes_are_not_unpacked_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixels, "_BLOCK_PIXELS", 10_000)
    stack = np.random.default_rng(0).integers(0, 99, (7, 60, 70))
    labels = Watched(stack, chunks=(4, 60, 70))
    path = write_labels(tmp_path / "a.zarr", labels, axes="zyx")
    assert set(labels.reads) == {4200}
    np.testing.assert_array_equal(levels_of(path)[0], stack)


def test_a_store_is_not_searched_for_its_largest_label(tmp_path: Path) -> None:
    store = LabelStore.create(tmp_path / "mine.zarr", (90, 80), axes="yx")
    store.write((), 5, 5, np.full((3, 3), 70_000)).undo()
    assert tifffile.imread(write_labels(tmp_path / "a.tif", store)).dtype == np.uint32
    copy = LabelStore.open(write_labels(tmp_path / "a.zarr", store))
    assert copy.highest == 70_000
    assert write_labels(tmp_path / "b.zarr", PLANE).is_dir()
    assert LabelStore.open(tmp_path / "b.zarr").highest == PLANE.max()


def test_a_large_tiff_is_tiled_and_calibrated(tmp_path: Path, small_memory: None) -> None:
    stack = np.stack([PLANE, PLANE.T[: len(PLANE), :].repeat(2, 1)[:1700, :1970], PLANE[::-1]])
    scale, units = (2, 0.5, 0.25), "µm"
    path = write_labels(tmp_path / "a.tif", stack, scale=scale, units=units, axes="zyx")
    with tifffile.TiffFile(path) as tif:
        assert tif.is_bigtiff
        page = tif.pages[0]
        assert (page.tile, page.compression) == ((512, 512), tifffile.COMPRESSION.ADOBE_DEFLATE)
        assert page.tags["XResolution"].value == (40_000, 1)
        assert tif.series[0].axes == "ZYX"
        about = tifffile.xml2dict(tif.ome_metadata)["OME"]["Image"]["Pixels"]
        assert [about[f"PhysicalSize{a}"] for a in "ZYX"] == [2, 0.5, 0.25]
        fine, coarse = (level.asarray() for level in tif.series[0].levels)
    np.testing.assert_array_equal(fine, stack)
    np.testing.assert_array_equal(coarse, [shrink(plane) for plane in stack])


def test_levels_of_a_zarr_are_valid_and_lie_on_each_other(tmp_path: Path) -> None:
    path = write_labels(tmp_path / "a.zarr", PLANE, scale=(0.5, 0.25), units="µm")
    document = json.loads((path / "zarr.json").read_text())
    image = yaozarrs.validate_ome_object(document["attributes"]).ome
    fine, coarse = image.multiscales[0].datasets
    assert [t.type for t in fine.coordinateTransformations] == ["scale"]
    scale, translation = coarse.coordinateTransformations
    assert (scale.scale, translation.translation) == ([1, 0.5], [0.25, 0.125])


@pytest.mark.parametrize("suffix", [".zarr", ".tif"])
def test_labels_that_fail_on_the_way_leave_nothing(
    tmp_path: Path, small_memory: None, suffix: str
) -> None:
    class Failing(Watched):
        def __getitem__(self, index: Any) -> NDArray[Any]:
            if self.reads:
                raise OSError(5, "Input/output error")
            return super().__getitem__(index)

    path = tmp_path / f"a{suffix}"
    write_labels(path, PLANE)
    with pytest.raises(HQSAMError, match="Input/output error") as caught:
        write_labels(path, Failing(PLANE))
    assert str(caught.value).startswith(str(path))
    assert os.listdir(tmp_path) == [path.name]
    np.testing.assert_array_equal(levels_of(path)[0], PLANE)


@pytest.mark.parametrize("suffix", [".zarr", ".tif"])
def test_a_disk_that_fills_up_is_told_by_the_name_of_the_file(
    tmp_path: Path, small_memory: None, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    store_piece = zarr.storage.LocalStore.set

    async def refuse(self: Any, key: str, *args: Any) -> None:
        if "c/" in key:
            raise OSError(28, "No space left on device")
        await store_piece(self, key, *args)

    monkeypatch.setattr(zarr.storage.LocalStore, "set", refuse)
    with pytest.raises(HQSAMError, match="No space left on device") as caught:
        write_labels(tmp_path / f"a{suffix}", PLANE)
    assert str(caught.value).startswith(str(tmp_path / f"a{suffix}"))
    assert "partial" not in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_labels_are_not_replaced_by_themselves(tmp_path: Path) -> None:
    store = LabelStore.create(tmp_path / "mine.zarr", (90, 80), axes="yx")
    store.write((), 5, 5, np.full((3, 3), 7))
    whole = store.levels[0][...]
    lazy = da.from_array(store.levels[0], chunks=(32, 32))[::-1]
    for labels in (store, store.levels[0], lazy):
        with pytest.raises(HQSAMError, match="read from there") as caught:
            write_labels(store.path, labels)
        assert str(caught.value).startswith(str(store.path))
    np.testing.assert_array_equal(store.read((), 0, 0, 90, 80), whole)
    assert os.listdir(tmp_path) == ["mine.zarr"]


def test_a_plane_too_large_for_a_png_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_hqsam.labels.export.MEMORY_BYTES", 100)
    with pytest.raises(HQSAMError, match=r"too large for a PNG; save it as \.tif or \.zarr"):
        write_labels(tmp_path / "a.png", PLANE)
