"""Arrays that are read on indexing: views, stacks and kept chunks of other arrays."""

from __future__ import annotations

import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Span = tuple[slice, ...]
"""One slice (start, stop) without step for each axis, within the array."""


class LazyArray(ABC):
    """An array whose pixels are read when it is indexed, box by box.

    It takes whole numbers, slices and ``...``, which is all that napari, dask and `ImageSource`
    use.

    Attributes
    ----------
    shape : tuple of int
        Lengths of the axes.
    dtype : numpy.dtype
        Data type of what is read.
    chunks : tuple or None
        For each axis the length of a chunk, or of all its chunks, as zarr and dask have it; None
        if any box is read as easily as any other.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: tuple[Any, ...] | None = None

    @abstractmethod
    def read(self, span: Span) -> NDArray[Any]:
        """Read a box; all axes are kept."""

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of pixels."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes that all pixels would take in memory."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> NDArray[Any]:
        span, rest = split_index(index, self.shape)
        if any(s.stop <= s.start for s in span):
            empty = tuple(max(s.stop - s.start, 0) for s in span)
            return np.empty(empty, self.dtype)[rest]
        return self.read(span)[rest]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[...], dtype=dtype)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.shape} {self.dtype}>"


class ArrayView(LazyArray):
    """Another array with its axes in another order, and some fixed at one index.

    Parameters
    ----------
    array : array-like
        What is looked at; anything with ``shape``, ``dtype`` and slicing.
    order : sequence of int
        Axes of `array` that are kept, in their new order.
    fixed : sequence of int, optional
        Index for each axis of `array` that is not kept; by default 0.
    """

    def __init__(self, array: Any, order: Sequence[int], fixed: dict[int, int] | None = None):
        self._array = array
        self._order = tuple(order)
        self._fixed = fixed or {}
        self.shape = tuple(int(array.shape[i]) for i in self._order)
        self.dtype = np.dtype(array.dtype)
        chunks = getattr(array, "chunks", None)
        self.chunks = None if chunks is None else tuple(chunks[i] for i in self._order)

    def read(self, span: Span) -> NDArray[Any]:
        """Read a box in the new order of the axes."""
        of = dict(zip(self._order, span, strict=True))
        axes = range(len(self._array.shape))
        index = tuple(of[i] if i in of else self._fixed.get(i, 0) for i in axes)
        pixels = np.asarray(self._array[index])
        kept = sorted(self._order)
        return pixels.transpose([kept.index(i) for i in self._order])


class MappedArray(LazyArray):
    """Pixels that lie uncompressed in one piece of a file; a box costs only its own rows.

    The file is mapped anew for each box: of a map that stays, every page ever read counts as
    memory of this process.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    dtype : numpy.dtype
        Of the pixels in the file, with its byte order.
    offset : int
        Where they begin.
    shape : tuple of int
        Shape of the array, in C order.
    """

    def __init__(self, path: Path, dtype: np.dtype[Any], offset: int, shape: tuple[int, ...]):
        self._path, self._offset = path, offset
        self.shape, self.dtype = shape, dtype

    def read(self, span: Span) -> NDArray[Any]:
        """Read a box."""
        return np.array(np.memmap(self._path, self.dtype, "r", self._offset, self.shape)[span])


def split_index(index: Any, shape: Sequence[int]) -> tuple[Span, tuple[Any, ...]]:
    """Split an index into the box that covers it, and the index into that box.

    Raises
    ------
    IndexError
        If it holds anything but whole numbers, slices forward and one ``...``, or lies outside.
    """
    parts = list(index) if isinstance(index, tuple) else [index]
    # `in` and `count` would compare arrays
    dots = [i for i, part in enumerate(parts) if part is Ellipsis]
    if len(dots) > 1 or len(parts) - len(dots) > len(shape):
        raise IndexError(f"too many indices for an array of {len(shape)} axes")
    at = dots[0] if dots else len(parts)
    missing = len(shape) - (len(parts) - len(dots))
    parts[at : at + len(dots)] = [slice(None)] * missing
    span: list[slice] = []
    rest: list[Any] = []
    for part, n in zip(parts, shape, strict=True):
        if isinstance(part, slice):
            start, stop, step = part.indices(n)
            if step < 1:
                raise IndexError("slices must go forward")
            span.append(slice(start, max(start, stop)))
            rest.append(slice(None, None, step))
            continue
        try:
            i = operator.index(part)
        except TypeError:
            raise IndexError(f"index {part!r}: give whole numbers or slices") from None
        if not -n <= i < n:
            raise IndexError(f"index {i} is out of bounds for an axis of length {n}")
        span.append(slice(i % n, i % n + 1))
        rest.append(0)
    return tuple(span), tuple(rest)


def longest_chunks(array: Any) -> tuple[int, ...] | None:
    """Longest chunk of an array along each axis; None without chunks, or if dask does not know."""
    chunks = getattr(array, "chunks", None)
    if chunks is None or len(chunks) != len(array.shape):
        return None
    try:
        longest = [max(c) if isinstance(c, Sequence) else c for c in chunks]
        return tuple(min(int(n), int(c)) for n, c in zip(array.shape, longest, strict=True))
    except ValueError:  # NaN
        return None
