from __future__ import annotations

import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import zarr

from napari_hqsam.images import open_image, pyramid
from napari_hqsam.images.chunk_cache import ChunkCache
from napari_hqsam.images.lazy import MappedArray
from napari_hqsam.images.pyramid import VirtualLevel, virtual_levels


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planes over 64² are large; the coarsest level has 20 pixels."""
    monkeypatch.setattr(pyramid, "LARGEST_PLANE", 64**2)
    monkeypatch.setattr(pyramid, "_COARSEST", 20)
    monkeypatch.setattr(pyramid, "_BLOCK_BYTES", 4000)


class Counted:
    """A chunked array that exists nowhere and counts how often each pixel is asked for."""

    ndim = 2
    dtype = np.dtype("uint16")

    def __init__(self, image: np.ndarray, chunk: int) -> None:
        self.image, self.shape, self.chunks = image, image.shape, (chunk, chunk)
        self.asked = np.zeros(image.shape, int)
        self.largest = 0
        self._lock = threading.Lock()

    def __getitem__(self, index: tuple[slice, slice]) -> np.ndarray:
        with self._lock:
            self.asked[index] += 1
            self.largest = max(self.largest, self.image[index].size)
        return self.image[index]


def mean_of_blocks(image: np.ndarray) -> np.ndarray:
    h, w = image.shape
    padded = np.pad(image.astype(float), ((0, -h % 4), (0, -w % 4)), mode="edge")
    blocks = padded.reshape(padded.shape[0] // 4, 4, padded.shape[1] // 4, 4)
    return np.rint(blocks.mean((1, 3)))


@pytest.mark.usefixtures("small_limits")
@pytest.mark.parametrize("shape", [(320, 320), (301, 75), (66, 403), (5, 1501)])
@pytest.mark.parametrize("chunk", [16, 30, 33, 500])
def test_each_level_is_the_mean_of_the_one_before(shape: tuple[int, int], chunk: int) -> None:
    image = np.random.default_rng(0).integers(0, 60_000, shape, dtype=np.uint16)
    array = Counted(image, chunk)
    levels = virtual_levels(array, "yx")
    assert not array.asked.any()
    assert levels[0] is array
    assert max(levels[-1].shape) <= 20 < max(levels[-2].shape)
    expected = image
    for level in levels[1:]:
        expected = mean_of_blocks(expected)
        assert level.dtype == np.uint16
        np.testing.assert_allclose(level[...], expected, atol=1)
    # each pixel was read once, whatever was looked at
    assert (array.asked == 1).all()
    # in whole chunks, and not many at once
    assert array.largest <= max(4000 // 2, (min(chunk, 500) * 4) ** 2)


@pytest.mark.usefixtures("small_limits")
def test_other_axes_stay_and_only_what_is_shown_is_read() -> None:
    image = np.random.default_rng(0).integers(0, 255, (3, 4, 90, 100, 3), dtype=np.uint8)
    stored = zarr.create_array({}, data=image, chunks=(1, 1, 32, 32, 3))
    levels = virtual_levels(stored, "tzyxc")
    assert [level.shape[:2] for level in levels] == [(3, 4)] * 3
    assert [level.shape[2:] for level in levels] == [(90, 100, 3), (23, 25, 3), (6, 7, 3)]
    found = levels[1][1, 2]
    for c in range(3):
        np.testing.assert_array_equal(found[..., c], mean_of_blocks(image[1, 2, :, :, c]))


@pytest.mark.usefixtures("small_limits")
@pytest.mark.parametrize("dtype", ["?", "u4"])
def test_labels_are_not_mixed(dtype: str) -> None:
    labels = np.random.default_rng(0).integers(0, 2**32, (81, 90)).astype(dtype)
    levels = virtual_levels(zarr.create_array({}, data=labels, chunks=(20, 20)), "yx", nearest=True)
    np.testing.assert_array_equal(levels[1][...], labels[::4, ::4])


@pytest.mark.usefixtures("small_limits")
@pytest.mark.parametrize("dtype", ["i2", "u4", "i8", "f2", "f4", ">u2", ">f8"])
def test_every_dtype(dtype: str, tmp_path: Path) -> None:
    image = (np.random.default_rng(0).random((80, 84)) * 30_000).astype(dtype)
    path = tmp_path / "a"
    path.write_bytes(image.tobytes())
    level = virtual_levels(MappedArray(path, image.dtype, 0, image.shape), "yx")[1]
    assert level.dtype == image.dtype.newbyteorder("=")
    expected = image.astype(float).reshape(20, 4, 21, 4).mean((1, 3))
    np.testing.assert_allclose(level[...].astype(float), expected, atol=1, rtol=2e-3)


def test_planes_up_to_8192_have_no_virtual_levels() -> None:
    array = zarr.create_array({}, shape=(8192, 8192), chunks=(512, 512), dtype="u2")
    assert virtual_levels(array, "yx") == [array]
    large = zarr.create_array({}, shape=(9, 8192, 8193), chunks=(1, 512, 512), dtype="u2")
    levels = virtual_levels(large, "zyx")
    assert [level.shape for level in levels] == [(9, 8192, 8193), (9, 2048, 2049), (9, 512, 513)]
    assert open_image(levels).downsample(1) == (4, 4)


def test_the_memory_stays_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_hqsam.images.chunk_cache._shared", ChunkCache(2**20))
    monkeypatch.setattr(pyramid, "_overviews", ChunkCache(2**20))
    monkeypatch.setattr(pyramid, "_BLOCK_BYTES", 2**20)

    class Zeros:
        shape, ndim, dtype, chunks = (10_000, 10_000), 2, np.dtype("u2"), (512, 512)

        def __getitem__(self, index: tuple[slice, slice]) -> np.ndarray:
            return np.zeros([s.stop - s.start for s in index], "u2")

    tracemalloc.start()
    overview = virtual_levels(Zeros(), "yx")[-1][...]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert overview.shape == (625, 625)
    assert peak < 60 * 2**20  # of an image of 190 MB


@pytest.mark.usefixtures("small_limits")
def test_virtual_levels_do_not_change_what_is_segmented() -> None:
    array = zarr.create_array({}, shape=(90, 90), chunks=(32, 32), dtype="u2")
    levels = virtual_levels(array, "yx")
    assert isinstance(levels[1], VirtualLevel)
    shown, opened = open_image(levels), open_image(array)
    assert shown.fingerprint() == opened.fingerprint()
    assert shown.best_level(0.01) == 0
