"""Chunks that are much larger than a window, computed once and kept while memory allows."""

from __future__ import annotations

import math
import warnings
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import product
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.images.lazy import LazyArray, Span, longest_chunks

_LIMIT = 512 * 2**20
_WINDOW = 1024
_LARGE_BYTES = 8 * 2**20
_THREADS = 4
_BYTES_AT_ONCE = 128 * 2**20


class ChunkCache:
    """Arrays under keys, at most `limit` bytes of them; the least recently used go first.

    The newest stays even if it is larger alone. All methods may be called from any thread; what
    two threads want at once is computed once.
    """

    def __init__(self, limit: int = _LIMIT) -> None:
        self.limit = limit
        self.nbytes = 0
        self._kept: OrderedDict[Hashable, NDArray[Any]] = OrderedDict()
        self._pending: dict[Hashable, Future[NDArray[Any]]] = {}
        self._forgotten: deque[object] = deque()
        self._lock = Lock()

    def get(self, key: Hashable, compute: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """Return what is kept under `key`, or compute it; do not write to it."""
        with self._lock:
            self._sweep()
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            others = self._pending.get(key)
            if others is None:
                mine = self._pending[key] = Future()
        if others is not None:
            return others.result()
        try:
            value = compute()
        except BaseException as error:
            with self._lock:
                del self._pending[key]
            mine.set_exception(error)
            raise
        with self._lock:
            del self._pending[key]
            self._kept[key] = value
            self.nbytes += value.nbytes
            while self.nbytes > self.limit and len(self._kept) > 1:
                self.nbytes -= self._kept.popitem(last=False)[1].nbytes
        mine.set_result(value)
        return value

    def forget(self, owner: object) -> None:
        """Drop everything whose key is a tuple that begins with `owner`.

        It may be called by the garbage collector, also in a thread that holds the lock just then:
        what cannot be dropped now is dropped by the next `get`.
        """
        self._forgotten.append(owner)
        if self._lock.acquire(blocking=False):
            try:
                self._sweep()
            finally:
                self._lock.release()

    def _sweep(self) -> None:
        while self._forgotten:
            owner = self._forgotten.pop()
            for key in [k for k in self._kept if isinstance(k, tuple) and k[0] is owner]:
                self.nbytes -= self._kept.pop(key).nbytes


_shared = ChunkCache()


class CachedArray(LazyArray):
    """An array that is read in whole chunks, which are kept for the next read.

    Parameters
    ----------
    shape, dtype
        Of the array.
    chunks : tuple
        For each axis the length of a chunk, or of all its chunks.
    compute : callable
        Returns the pixels of the box that a chunk covers.
    cache : ChunkCache, optional
        Where chunks are kept; by default one that all images share.
    cost : int, optional
        Bytes that are read for a chunk, which decides how many are read side by side; by default
        its own.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        chunks: tuple[Any, ...],
        compute: Callable[[Span], NDArray[Any]],
        cache: ChunkCache | None = None,
        cost: int | None = None,
    ) -> None:
        self.shape, self.dtype, self.chunks = shape, dtype, chunks
        cost = cost or math.prod(longest_chunks(self) or shape) * dtype.itemsize
        self._threads = min(_THREADS, max(1, _BYTES_AT_ONCE // cost))
        self._compute = compute
        self._cache = _shared if cache is None else cache
        self._edges = [_edges(n, c) for n, c in zip(shape, chunks, strict=True)]
        self._owner = object()
        weakref.finalize(self, self._cache.forget, self._owner)

    def read(self, span: Span) -> NDArray[Any]:
        """Read a box from the chunks that it touches, several of them side by side."""
        touched = []
        for s, edges in zip(span, self._edges, strict=True):
            first, last = np.searchsorted(edges, (s.start, s.stop - 1), side="right") - 1
            touched.append(range(int(first), int(last) + 1))
        numbers = list(product(*touched))
        if len(numbers) == 1:
            part, _ = self._part(numbers[0], span)
            return part
        out = np.empty([s.stop - s.start for s in span], self.dtype)

        def copy(number: tuple[int, ...]) -> None:
            part, where = self._part(number, span)
            out[where] = part

        with ThreadPoolExecutor(min(self._threads, len(numbers)), "hqsam-chunks") as pool:
            list(pool.map(copy, numbers))
        return out

    def _part(self, number: tuple[int, ...], span: Span) -> tuple[NDArray[Any], Span]:
        """What a chunk has of a box, and where in the box it belongs."""
        chunk = tuple(
            slice(int(edges[i]), int(edges[i + 1]))
            for i, edges in zip(number, self._edges, strict=True)
        )
        pixels = self._cache.get((self._owner, number), lambda: self._checked(chunk))
        both = [
            (max(c.start, s.start), min(c.stop, s.stop)) for c, s in zip(chunk, span, strict=True)
        ]
        within = tuple(
            slice(a - c.start, b - c.start) for (a, b), c in zip(both, chunk, strict=True)
        )
        where = tuple(slice(a - s.start, b - s.start) for (a, b), s in zip(both, span, strict=True))
        return pixels[within], where

    def _checked(self, chunk: Span) -> NDArray[Any]:
        pixels = np.asarray(self._compute(chunk)).view()
        if pixels.shape != tuple(s.stop - s.start for s in chunk):
            raise ValueError(f"a chunk came back with {pixels.shape} pixels")
        pixels.flags.writeable = False
        return pixels

    def __dask_tokenize__(self) -> tuple[str, int]:
        return type(self).__name__, id(self._owner)


def keep_chunks(array: Any, warn_about: str | None = None) -> Any:
    """Return the array so that its chunks are kept if they are much larger than a window.

    A window in a dask array whose chunks span a plane costs the computation of the whole plane;
    kept, the next window of it costs nothing. Of the arrays of other libraries, whose chunks only
    have to be unpacked, the same holds on a smaller scale.

    Parameters
    ----------
    array : array-like
        Anything; what has no chunks, or small ones, comes back as it is.
    warn_about : str, optional
        Name of the image, to warn that a dask array would be faster in other chunks.
    """
    largest = None if isinstance(array, CachedArray) else longest_chunks(array)
    if largest is None:
        return array
    dtype = np.dtype(array.dtype)
    nbytes = math.prod(largest) * dtype.itemsize
    if nbytes <= max(_LARGE_BYTES, 4 * _WINDOW**2 * dtype.itemsize):
        return array
    if warn_about is not None and hasattr(array, "__dask_graph__"):
        pixels = " x ".join(map(str, largest))
        warnings.warn(
            f"{warn_about}: its dask chunks of {pixels} pixels ({nbytes / 2**20:.0f} MiB) are "
            f"computed whole for a window of {_WINDOW} x {_WINDOW}; the latest are kept in memory, "
            "but rechunk the array to planes cut into such windows, or save it as OME-Zarr",
            stacklevel=3,
        )
    shape = tuple(int(n) for n in array.shape)
    return CachedArray(shape, dtype, tuple(array.chunks), lambda span: np.asarray(array[span]))


def _edges(length: int, chunks: int | Sequence[int]) -> NDArray[np.int64]:
    """Where the chunks of an axis begin, and its end."""
    if isinstance(chunks, Sequence):
        return np.append(0, np.cumsum(chunks))
    return np.append(np.arange(0, length, chunks), length)
