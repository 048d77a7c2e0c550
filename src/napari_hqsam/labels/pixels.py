"""Labels from whatever holds them, read block by block for writing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images.arrays import fetch

if TYPE_CHECKING:
    from napari_hqsam.labels.store import LabelStore

MEMORY_BYTES = 2**29
"""Labels beyond this are never in memory as a whole."""

_SIDE = 2048  # of a block in y and x, a multiple of the chunks that are written
_BLOCK_PIXELS = 2**26


@dataclass(frozen=True)
class Pixels:
    """Labels to be written.

    Attributes
    ----------
    array : array-like
        What holds them, with ``shape``, ``dtype`` and slicing.
    dtype : numpy.dtype
        In which they are written: uint16, uint32 or uint64.
    highest : int
        The largest label.
    target : pathlib.Path
        Where they go; it begins every message.
    store : LabelStore or None
        What `array` is the finest level of.
    """

    array: Any
    dtype: np.dtype[Any]
    highest: int
    target: Path
    store: LabelStore | None = None

    @classmethod
    def of(cls, labels: ArrayLike | LabelStore, target: Path) -> Pixels:
        """Look labels through once, block by block, for what dtype they need.

        Raises
        ------
        HQSAMError
            If they are not whole numbers from 0 up, there are none, or they cannot be read.
        """
        from napari_hqsam.labels.store import LabelStore

        store = labels if isinstance(labels, LabelStore) else None
        array: Any = store.levels[0] if store else labels
        if not (hasattr(array, "shape") and hasattr(array, "dtype")):
            array = np.asarray(array)
        if array.dtype.kind not in "bui":
            raise HQSAMError(
                f"{target}: labels are whole numbers, not {array.dtype}; convert them, for example "
                "with astype('uint32')"
            )
        if 0 in array.shape:
            raise HQSAMError(f"{target}: the labels have no pixels, their shape is {array.shape}")
        lowest, highest = (0, store.highest) if store else _extremes(array, target)
        if lowest < 0:
            raise HQSAMError(f"{target}: labels are numbers from 0 up, but {lowest} occurs")
        dtype = next(t for t in (np.uint16, np.uint32, np.uint64) if highest <= np.iinfo(t).max)
        return cls(array, np.dtype(dtype), highest, target, store)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the labels."""
        return tuple(int(n) for n in self.array.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all labels as they are written, uncompressed."""
        size = self.dtype.itemsize
        for n in self.shape:
            size *= n
        return size

    def load(self) -> NDArray[Any]:
        """All labels, in memory."""
        (whole,) = fetch(self.array, [(slice(None),) * len(self.shape)], str(self.target))
        return whole.astype(self.dtype, copy=False)

    def copy_to(self, store: LabelStore) -> None:
        """Fill an empty store of the same shape."""
        for corner, block in blocks(self.array, self.target):
            for i in np.ndindex(*block.shape[:-2]):
                plane = tuple(a + b for a, b in zip(corner, i, strict=False))
                store.fill(plane, corner[-2], corner[-1], block[i].astype(self.dtype, copy=False))


def _extremes(array: Any, target: Path) -> tuple[int, int]:
    """The smallest and the largest label."""
    if isinstance(array, np.ndarray):
        return int(array.min()), int(array.max())
    low = high = 0
    for _, block in blocks(array, target):
        low, high = min(low, int(block.min())), max(high, int(block.max()))
    return low, high


def blocks(array: Any, target: Path) -> Iterator[tuple[tuple[int, ...], NDArray[Any]]]:
    """The corner and the pixels of each block; together they are the whole array."""
    shape = tuple(int(n) for n in array.shape)
    steps = _block_shape(shape, _chunk(array))
    for corner in product(*(range(0, n, step) for n, step in zip(shape, steps, strict=True))):
        box = tuple(slice(a, a + step) for a, step in zip(corner, steps, strict=True))
        (block,) = fetch(array, [box], str(target))
        yield corner, block


def _block_shape(shape: tuple[int, ...], chunk: Sequence[int]) -> tuple[int, ...]:
    """What is read at once: whole chunks of the array, where they fit the memory.

    Planes that lie in one chunk are read together, as each would unpack the whole chunk.
    """
    deep = tuple(chunk[:-2])
    sides = tuple(-(-max(n, 1) // _SIDE) * _SIDE for n in chunk[-2:])
    pixels = int(np.prod(deep + tuple(min(s, n) for s, n in zip(sides, shape[-2:], strict=True))))
    if pixels > _BLOCK_PIXELS:
        deep = (1,) * len(deep)
        sides = tuple(min(s, 4 * _SIDE) for s in sides)
    return deep + sides


def _chunk(array: Any) -> tuple[int, ...]:
    """Shape of the largest chunk of a dask or zarr array; single pixels of any other."""
    chunks = getattr(array, "shards", None) or getattr(array, "chunks", None)
    if chunks is None:
        return (1,) * len(array.shape)
    return tuple(int(n) if isinstance(n, (int, np.integer)) else int(max(n)) for n in chunks)
