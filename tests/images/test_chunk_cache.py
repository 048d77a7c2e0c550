from __future__ import annotations

import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import dask.array as da
import numpy as np
import pytest
import zarr

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images import open_image
from napari_hqsam.images.chunk_cache import CachedArray, ChunkCache, keep_chunks


class Counted:
    """A stack whose planes are made on demand, and counted."""

    def __init__(self, n_planes: int = 4, side: int = 2500, delay: float = 0) -> None:
        self.computed: list[int] = []
        self._side, self._delay, self._lock = side, delay, threading.Lock()
        planes = [
            da.from_delayed(_delayed(self.plane)(z), (side, side), dtype="u2")
            for z in range(n_planes)
        ]
        self.array = da.stack(planes)

    def plane(self, z: int) -> np.ndarray:
        with self._lock:
            self.computed.append(z)
        time.sleep(self._delay)
        return np.full((self._side, self._side), z, "u2")


def _delayed(function: object) -> object:
    from dask import delayed

    return delayed(function, pure=False)


def test_a_second_window_of_a_plane_costs_no_computation() -> None:
    stack = Counted()
    with pytest.warns(UserWarning, match=r"chunks of 1 x 2500 x 2500 .*rechunk.*OME-Zarr"):
        source = open_image(stack.array)
    assert not stack.computed
    for y in (0, 500, 1000):
        assert (source.read((2,), y, 0, y + 1024, 1024) == 2).all()
    assert stack.computed == [2]
    source.read((3,), 0, 0, 100, 100)
    source.read((2,), 0, 0, 100, 100)
    assert stack.computed == [2, 3]


def test_threads_that_want_the_same_chunk_compute_it_once() -> None:
    stack = Counted(delay=0.1)
    with pytest.warns(UserWarning, match="rechunk"):
        source = open_image(stack.array)
    with ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(lambda y: source.read((1,), y, 0, y + 9, 9), range(0, 800, 100)))
    assert all((part == 1).all() for part in parts)
    assert stack.computed == [1]


def test_there_is_one_warning_for_a_pyramid_and_none_for_small_chunks() -> None:
    full = da.zeros((5000, 5000), chunks=-1, dtype="u2")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        source = open_image([full, da.zeros((3000, 3000), chunks=-1, dtype="u2")])
        assert all(isinstance(level, CachedArray) for level in source.levels)
        # turned, it is the same image
        source.displaying("x", "y")
    assert len(caught) == 1
    small = full.rechunk((2048, 2048))
    assert open_image(small).levels[0] is small


def test_large_chunks_of_a_zarr_are_kept_without_a_warning() -> None:
    image = np.arange(2500 * 2500, dtype="u2").reshape(2500, 2500)
    array = zarr.create_array({}, data=image, chunks=(2500, 2500))
    source = open_image(array)
    assert isinstance(source.levels[0], CachedArray)
    np.testing.assert_array_equal(source.read((), 9, 8, 30, 40)[..., 0], image[9:30, 8:40])
    array[:] = 0  # what is kept does not change under our feet
    np.testing.assert_array_equal(source.read((), 99, 8, 130, 40)[..., 0], image[99:130, 8:40])
    pixels = source.read((), 0, 0, 5, 5)
    with pytest.raises(ValueError, match="read-only"):
        pixels[:] = 0


def test_irregular_chunks_are_put_together() -> None:
    image = np.random.default_rng(0).integers(0, 999, (40, 50, 60), dtype=np.uint16)
    cache = ChunkCache()
    array = CachedArray(
        image.shape, image.dtype, ((7, 33), 20, (50, 10)), lambda span: image[span], cache
    )
    np.testing.assert_array_equal(array[5:9, 3:47, 40:55], image[5:9, 3:47, 40:55])
    np.testing.assert_array_equal(array[39, ::3, -1], image[39, ::3, -1])
    np.testing.assert_array_equal(np.asarray(array), image)
    assert cache.nbytes == image.nbytes
    np.testing.assert_array_equal(da.from_array(array, chunks=array.chunks)[2].compute(), image[2])


def test_the_least_recently_used_go_first() -> None:
    cache = ChunkCache(limit=300)
    computed: list[str] = []

    def get(key: str, size: int = 100) -> None:
        cache.get(key, lambda: computed.append(key) or np.zeros(size, "u1"))

    for key in "abcadad":
        get(key)
    assert computed == list("abcd")
    get("b")
    assert computed == list("abcdb")
    assert cache.nbytes == 300
    get("large", 1000)  # alone, and kept all the same
    get("large", 1000)
    assert computed[-1] == "large"
    assert computed.count("large") == 1
    assert cache.nbytes == 1000
    get("a")
    assert cache.nbytes == 100


def test_what_belongs_to_a_forgotten_array_is_freed() -> None:
    cache = ChunkCache()
    array = CachedArray((8,), np.dtype("u1"), (4,), lambda s: np.zeros(4, "u1"), cache)
    array[...]
    assert cache.nbytes == 8
    del array
    assert cache.nbytes == 0


def test_an_array_may_be_collected_while_its_cache_is_locked() -> None:
    cache = ChunkCache()
    array = CachedArray((8,), np.dtype("u1"), (4,), lambda s: np.zeros(4, "u1"), cache)
    array[...]
    with cache._lock:
        del array
    cache.get("another", lambda: np.zeros(3, "u1"))
    assert cache.nbytes == 3


def test_a_failure_is_not_kept() -> None:
    fails = [True]

    def compute(span: object) -> np.ndarray:
        if fails:
            fails.pop()
            raise OSError("no answer")
        return np.ones((3000, 3000), "u2")

    array = CachedArray((3000, 3000), np.dtype("u2"), (3000, 3000), compute)
    source = open_image(array)
    with pytest.raises(HQSAMError, match="no answer"):
        source.read((), 0, 0, 5, 5)
    assert source.read((), 0, 0, 5, 5).all()


def test_arrays_without_large_chunks_are_left_alone() -> None:
    unknown = da.zeros(9000_000, chunks=-1)
    for array in (np.zeros((4000, 4000)), unknown[unknown > 0]):
        assert keep_chunks(array) is array
