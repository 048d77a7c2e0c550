"""Where the labels of a long job go: into memory, or to disk, where they survive a kill."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels import place
from napari_hqsam.labels.frame import LabelFrame
from napari_hqsam.labels.label_array import LabelArray, MemoryLabels, StoreLabels
from napari_hqsam.labels.pixels import MEMORY_BYTES
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.labels.pyramid import CHUNK, Box, Plane
from napari_hqsam.labels.store import LabelStore
from napari_hqsam.storage import PARTIAL, crc32c, exclusive
from napari_hqsam.storage.work import LOCK, Work, begun

BLOCK = 2 * CHUNK
"""Side of a block: whole chunks of a store."""

_LARGEST = 4 * MEMORY_BYTES  # labels in memory
_MADE = "output"


class Output:
    """The labels of a job, and what it has committed.

    With a path they are a `LabelStore`, made when the first block is written, and the job's
    records are in ``<path>.job`` beside it until `finish`. A block is committed by a record with
    the checksum of its labels: one that is not on disk as it was written is written again.

    Parameters
    ----------
    frame : LabelFrame
    path : path-like, optional
        Ends in ``.zarr``; in memory without it.
    overwrite : bool
        Whether labels of that name may be replaced, and a job of other settings be forgotten. One
        of the same settings goes on in any case.
    settings : mapping
        What the job is, in terms of JSON.

    Attributes
    ----------
    frame : LabelFrame
    work : Work
    labels : LabelArray or None
        None until there are some.

    Raises
    ------
    HQSAMError
        If they are too large for memory, the path has another suffix or is taken, or it was begun
        with other settings.
    """

    def __init__(
        self,
        frame: LabelFrame,
        path: str | os.PathLike[str] | None,
        *,
        overwrite: bool,
        settings: Mapping[str, Any],
    ) -> None:
        self.frame = frame
        self.labels: LabelArray | None = None
        self._written = 0
        if path is None:
            size = math.prod(frame.shape) * np.dtype(np.uint32).itemsize
            if size > _LARGEST:
                raise HQSAMError(
                    f"labels of {frame.shape} take {size / 1e9:.1f} GB of memory; give out=, a "
                    ".zarr, to write them to disk"
                )
            self.path, self.work = None, Work.open(None, settings)
            return
        self.path = Path(path).expanduser()
        if self.path.suffix.lower() != ".zarr":
            raise HQSAMError(f"{self.path}: labels are written to a folder .zarr; change the name")
        place.check_target(self.path)
        folder = self.path.with_name(f"{self.path.name}.job")
        goes_on = begun(folder)
        if self.path.exists() and not (goes_on or overwrite):
            raise HQSAMError(f"{self.path}: exists already; choose another name, or overwrite it")
        try:
            self.work = Work.open(folder, settings)
        except HQSAMError:
            if not (overwrite and goes_on):
                raise
            self.work = Work.open(folder, settings, restart=True)
        self._reopen()

    @property
    def bytes(self) -> int:
        """What was written to disk so far, the coarser levels of the labels aside."""
        return self.work.bytes + self._written

    def begin(self, dtype: DTypeLike, highest: int = 0) -> None:
        """Make the labels, if there are none yet.

        Parameters
        ----------
        dtype : dtype
            Of integers.
        highest : int
            The largest label, as far as it is known.
        """
        if self.labels is not None:
            return
        if self.path is None:
            self.labels = MemoryLabels(np.zeros(self.frame.shape, dtype))
            return
        with self._alone():
            self._reopen()
            if self.labels is None:
                # what is there from now on is ours, even if the next line is cut short
                self.work.mark(_MADE)
                store = LabelStore.create(
                    self.path,
                    self.frame.shape,
                    axes=self.frame.axes,
                    dtype=dtype,
                    scale=self.frame.scale,
                    units=self.frame.units,
                    highest=highest,
                    overwrite=True,
                )
                self.labels = StoreLabels(store)

    def holds(self, plane: Plane, box: Box) -> bool:
        """Whether a block was committed, and is as it was written."""
        key = _key(plane, box)
        if self.labels is None or key not in self.work:
            return False
        record = self.work.read(key)
        if self.path is not None:
            try:
                pixels = self.labels.read(self.frame.plane(plane), box)
            except HQSAMError:  # a damaged chunk
                return False
            if _checksum(pixels) != int(record["crc32c"]):
                return False
            self._written += int(record["bytes"])
        return True

    def write(self, plane: Plane, box: Box, pixels: NDArray[Any]) -> None:
        """Write and commit the labels (h, w) of a block, after `begin`.

        Parameters
        ----------
        plane : tuple of int
            As the image counts it.
        box : (y0, x0, y1, x1)
            Half-open; cells of a grid of `BLOCK` are written fastest.
        pixels : ndarray of int
        """
        assert self.labels is not None
        pixels = pixels.astype(self.labels.dtype, copy=False)
        at = self.frame.plane(plane)
        size = 0
        if isinstance(self.labels, MemoryLabels):
            self.labels.array[at.region(*box)] = pixels
        elif isinstance(self.labels, StoreLabels):
            with self._alone():
                self._fill(self.labels.store, at.index, box, pixels)
            size = _bytes_of(self.labels.store, at.index, box)
        self._written += size
        record = {"crc32c": _checksum(pixels), "bytes": size}
        self.work.write(_key(plane, box), {name: np.array(v) for name, v in record.items()})

    def draw(
        self, plane: ArrayPlane, box: Box, pixels: NDArray[Any], where: NDArray[np.bool_]
    ) -> None:
        """Write labels (h, w) of a box where `where` (h, w) says so, without a record."""
        assert self.labels is not None
        if self.path is None:
            self.labels.write(plane, *box[:2], pixels, where)
            return
        with self._alone():
            self.labels.write(plane, *box[:2], pixels, where)

    def finish(self) -> None:
        """Forget the records: the labels are complete."""
        self.work.remove()

    def result(self) -> NDArray[Any] | LabelStore:
        """The labels: an array of ``frame.shape``, or the store."""
        if isinstance(self.labels, StoreLabels):
            return self.labels.store
        assert isinstance(self.labels, MemoryLabels)
        return self.labels.array

    def _fill(self, store: LabelStore, index: Plane, box: Box, pixels: NDArray[Any]) -> None:
        (y0, x0), largest = box[:2], int(pixels.max(initial=0))
        if largest > store.highest:  # which `fill` leaves as it is
            y, x = np.unravel_index(int(pixels.argmax()), pixels.shape)
            store.write(index, y0 + int(y), x0 + int(x), pixels[y : y + 1, x : x + 1])
        # whole chunks are not read, so that it does not matter what a kill left of them
        store.fill(index, y0, x0, pixels)

    def _reopen(self) -> None:
        """Go on with labels that this job has made."""
        if self.path is None or _MADE not in self.work or not self.path.exists():
            return
        for leftover in self.path.rglob(f"*{PARTIAL}"):
            leftover.unlink(missing_ok=True)
        try:
            self.labels = StoreLabels(LabelStore.open(self.path))
        except HQSAMError:  # damaged beyond reading: it is made again
            self.labels = None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes that do the same job out: a store has one writer at a time."""
        assert self.work.folder is not None
        with place.writing(self.work.folder), exclusive(self.work.folder / LOCK, str(self.path)):
            yield


def _key(plane: Plane, box: Box) -> str:
    return f"block/{'.'.join(map(str, plane))}/{'.'.join(map(str, box))}"


def _checksum(pixels: NDArray[Any]) -> int:
    return crc32c(np.ascontiguousarray(pixels).tobytes())


def _bytes_of(store: LabelStore, index: Plane, box: Box) -> int:
    """Size on disk of the chunks of level 0 under a box."""
    level = store.levels[0]
    h, w = level.chunks[-2:]
    y0, x0, y1, x1 = box
    size = 0
    for y in range(y0 // h, -(-y1 // h)):
        for x in range(x0 // w, -(-x1 // w)):
            chunk = store.path / level.path / level.metadata.encode_chunk_key((*index, y, x))
            size += chunk.stat().st_size if chunk.is_file() else 0
    return size
