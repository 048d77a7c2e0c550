"""Coarser levels of an image that was saved without any, made from its pixels when looked at."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.images.chunk_cache import CachedArray, ChunkCache, keep_chunks
from napari_hqsam.images.lazy import Span, longest_chunks

LARGEST_PLANE = 8192**2
"""Pixels of a plane that is shown without coarser levels."""

_FACTOR = 4
_COARSEST = 2048
_BLOCK_BYTES = 8 * 2**20  # of the finer level, read for one chunk of the coarser one
# The first level of a very large plane passes through the cache of all images; what is made of it
# must not be pushed out by that.
_overviews = ChunkCache(256 * 2**20)


class VirtualLevel(CachedArray):
    """A level that no file holds. Its chunks are kept in memory once they have been made."""


def virtual_levels(array: Any, axes: str, *, nearest: bool = False) -> list[Any]:
    """Return an array and, if its planes are large, lazy coarser levels of it.

    Each level is a quarter of the one before along y and x, down to 2048 pixels. No pixel is read
    until a level is indexed; then whole chunks of the array are read once, and what has been made
    of them is kept in memory, up to a limit that all images share.

    Parameters
    ----------
    array : array-like
        Full resolution; anything with ``shape``, ``dtype`` and slicing.
    axes : str
        One letter per axis, for example ``"zyx"``.
    nearest : bool
        Take one pixel of each block, as labels need it, rather than the mean.

    Returns
    -------
    list of array-like
        Finest first; `array` alone if its planes have no more than 8192² pixels.
    """
    along = [axes.index(a) for a in "yx"]
    if math.prod(array.shape[i] for i in along) <= LARGEST_PLANE:
        return [array]
    nearest = nearest or np.dtype(array.dtype).kind == "b"
    levels: list[Any] = [array]
    while max(levels[-1].shape[i] for i in along) > _COARSEST:
        cache = _overviews if len(levels) > 1 else None
        levels.append(_coarser(levels[-1], along, nearest, cache))
    return [keep_chunks(array), *levels[1:]]


def _coarser(finer: Any, along: list[int], nearest: bool, cache: ChunkCache | None) -> VirtualLevel:
    steps = [_FACTOR if i in along else 1 for i in range(len(finer.shape))]
    shape = tuple(-(-int(n) // step) for n, step in zip(finer.shape, steps, strict=True))
    blocks = _block_shape(finer, along)
    chunks = tuple(-(-n // step) for n, step in zip(blocks, steps, strict=True))
    dtype = np.dtype(finer.dtype).newbyteorder("=")

    def compute(span: Span) -> NDArray[Any]:
        within = zip(span, steps, finer.shape, strict=True)
        index = tuple(slice(s.start * k, min(s.stop * k, n)) for s, k, n in within)
        block = np.asarray(finer[index])
        for axis in along:
            block = _sample(block, axis) if nearest else _sum(block, axis)
        return block if nearest else _mean(block, _FACTOR**2, dtype)

    cost = math.prod(blocks) * dtype.itemsize
    return VirtualLevel(shape, dtype, chunks, compute, cache, cost)


def _block_shape(array: Any, along: list[int]) -> list[int]:
    """Shape of a box of whole chunks, of about `_BLOCK_BYTES`, that the factor divides.

    What it needs of the other axes is what one chunk spans.
    """
    shape = [int(n) for n in array.shape]
    longest = longest_chunks(array)
    if longest is None:  # rows of a file follow each other
        unit = [1] * len(shape)
        unit[along[1]] = shape[along[1]]
    else:
        unit = list(longest)
    for i in along:
        unit[i] = min(math.lcm(unit[i], _FACTOR), -(-shape[i] // _FACTOR) * _FACTOR)
    block = list(unit)
    while True:
        # grow the shorter side; a chunk that spans one side can only grow along the other
        growing = [i for i in along if block[i] < shape[i]]
        if not growing:
            return block
        i = min(growing, key=lambda i: block[i])
        block[i] += unit[i]
        if math.prod(block) * np.dtype(array.dtype).itemsize > _BLOCK_BYTES:
            block[i] -= unit[i]
            return block


def _sum(block: NDArray[Any], axis: int) -> NDArray[Any]:
    """Sums of `_FACTOR` neighbours along an axis; the last one counts for those beyond the end."""
    parts = [_every(block, axis, k) for k in range(_FACTOR)]
    total = parts[0].astype(np.result_type(block.dtype, np.float32))
    for part in parts[1:]:
        n = part.shape[axis]
        total[_first(axis, n)] += part
        total[_first(axis, None, n)] += block[_first(axis, None, -1)]
    return total


def _mean(total: NDArray[Any], n: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    mean = total / total.dtype.type(n)
    return np.rint(mean).astype(dtype) if dtype.kind in "iu" else mean.astype(dtype)


def _sample(block: NDArray[Any], axis: int) -> NDArray[Any]:
    return _every(block, axis, 0)


def _every(block: NDArray[Any], axis: int, start: int) -> NDArray[Any]:
    return block[(slice(None),) * axis + (slice(start, None, _FACTOR),)]


def _first(axis: int, stop: int | None, start: int | None = None) -> tuple[slice, ...]:
    return (slice(None),) * axis + (slice(start, stop),)
