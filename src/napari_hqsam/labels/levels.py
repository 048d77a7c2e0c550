"""The levels of a label image on disk, kept in step with the finest."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images.arrays import fetch
from napari_hqsam.labels.pyramid import (
    Box,
    Plane,
    doubled,
    halved,
    index,
    level_shapes,
    shrink,
    tiles,
)

_TOGETHER = 4  # chunks along y and x that are in memory at once
_UNFINISHED = ".unfinished.json"
_SETTLING = threading.Lock()


class Levels:
    """The arrays of one label pyramid; level 0 is the truth and is written first.

    While the coarser levels follow, a note on disk names the box, so that `recover` can bring
    them up to date if the process ends in between. Callers see to it that one thread writes.

    Attributes
    ----------
    path : pathlib.Path
        The folder.
    name : pathlib.Path
        What messages call it: the folder, or what it is going to be.
    group : zarr.Group
        Its metadata.
    arrays : tuple of zarr.Array
        Finest first; each halves y and x of the one before, rounded up.
    dtype : numpy.dtype
        Of what is read, in native byte order.
    chunk : tuple of int
        Height and width of what is written at once in level 0.
    """

    def __init__(self, path: Path, name: Path, group: Any, keys: Sequence[str]) -> None:
        self.path = path
        self.name = name
        self.group = group
        arrays = [group[key] for key in keys]
        # of the pyramid of another program, the levels that are made as ours are
        halves = level_shapes(arrays[0].shape, 1)
        same = [tuple(a.shape) == shape for a, shape in zip(arrays, halves, strict=False)]
        kept = same.index(False) if False in same else len(same)
        self.arrays: tuple[Any, ...] = tuple(arrays[:kept])
        self.dtype: np.dtype[Any] = np.dtype(arrays[0].dtype).newbyteorder("=")
        chunks = getattr(arrays[0], "shards", None) or arrays[0].chunks
        self.chunk: tuple[int, int] = (int(chunks[-2]), int(chunks[-1]))
        self._foreign = len(arrays) > kept
        self._unfinished: list[tuple[Plane, Box]] = []

    def read(self, level: int, plane: Plane, box: Box) -> NDArray[Any]:
        """The labels of a box of one plane of a level, as an array of its own."""
        (block,) = fetch(self.arrays[level], [index(plane, box)], str(self.name))
        return block.astype(self.dtype, copy=not block.flags.writeable)

    def write(self, plane: Plane, box: Box, block: NDArray[Any]) -> None:
        """Write a block into level 0, then what it makes of the coarser levels.

        Quickest, and without reading, where `box` is made of whole chunks.
        """
        with disk(self.name, "written"):
            if self._foreign:
                self._forget_foreign()
            coarser = len(self.arrays) > 1
            if coarser:
                self._unfinished.append((plane, box))
                self._note()
            self.arrays[0][index(plane, box)] = block
            if coarser:
                self._follow(plane, box, block)
                # an earlier failure in this box is mended, too
                self._unfinished = [other for other in self._unfinished if other != (plane, box)]
                self._note()

    def blocks(self, level: int = 0) -> Iterator[NDArray[Any]]:
        """All labels of a level, one block after the other."""
        *lengths, height, width = self.arrays[level].shape
        for plane in np.ndindex(*lengths):
            for box in self.parts((0, 0, height, width)):
                yield self.read(level, plane, box)

    def parts(self, box: Box) -> Iterator[Box]:
        """The parts of a box that are worked on one after the other, each of few chunks."""
        return tiles(box, (_TOGETHER * self.chunk[0], _TOGETHER * self.chunk[1]))

    def whole_chunks(self, box: Box) -> Box:
        """The smallest box of whole chunks of level 0 around a box."""
        (y0, x0, y1, x1), (h, w) = box, self.chunk
        height, width = self.arrays[0].shape[-2:]
        y1, x1 = min(-(-y1 // h) * h, height), min(-(-x1 // w) * w, width)
        return y0 - y0 % h, x0 - x0 % w, y1, x1

    def recover(self) -> None:
        """Finish what a process that ended in the middle of `write` left."""
        note = self.path / _UNFINISHED
        if not note.is_file():
            return
        try:
            for plane, (y0, x0, y1, x1) in json.loads(note.read_text()):
                box = (y0, x0, y1, x1)
                self._follow(tuple(plane), box, self.read(0, tuple(plane), box))
            note.unlink()
        except OSError:
            return  # a read-only place: level 0 is right all the same
        except (ValueError, TypeError):  # nobody knows which boxes
            self.rebuild()

    def rebuild(self) -> None:
        """Make the coarser levels again from level 0, whatever state they are in."""
        with disk(self.name, "written"):
            for fine, coarse in pairwise(self.arrays):
                *lengths, height, width = coarse.shape
                # of whole chunks, so that a damaged one is replaced unread
                side = (_TOGETHER * coarse.chunks[-2], _TOGETHER * coarse.chunks[-1])
                for plane in np.ndindex(*lengths):
                    for box in tiles((0, 0, height, width), side):
                        block = fine[index(plane, doubled(box, fine.shape))]
                        coarse[index(plane, box)] = shrink(block)
            self._unfinished.clear()
            self._note()

    def _follow(self, plane: Plane, box: Box, block: NDArray[Any]) -> None:
        """Bring the coarser levels up to date where `block` is what level 0 holds in `box`."""
        for level, (fine, coarse) in enumerate(pairwise(self.arrays)):
            even = doubled(halved(box), fine.shape)
            if even != box:
                block = self.read(level, plane, even)
            box, block = halved(even), shrink(block)
            coarse[index(plane, box)] = block

    def _note(self) -> None:
        """Keep the boxes whose coarser levels are not up to date on disk."""
        note = self.path / _UNFINISHED
        if not self._unfinished:
            note.unlink(missing_ok=True)
            return
        fresh = note.with_suffix(".partial")
        fresh.write_text(json.dumps(self._unfinished))
        fresh.replace(note)

    def _forget_foreign(self) -> None:
        """Take levels that will not be kept up to date off the list."""
        attributes = dict(self.group.attrs)
        ome = attributes.get("ome", attributes)
        first = ome["multiscales"][0]
        first["datasets"] = first["datasets"][: len(self.arrays)]
        self.group.attrs.update(attributes)
        self._foreign = False


@contextmanager
def disk(name: Path, done: str) -> Iterator[None]:
    """Tell what the disk, or a damaged chunk, makes impossible in one line.

    After a failure or an interruption nothing is being written any more: zarr writes many chunks
    at once, and does not wait for the others when one fails.
    """
    try:
        yield
    except BaseException as error:
        from zarr.core.sync import sync

        with _SETTLING:  # two that wait for all others would wait for each other
            sync(_settle())
        # zarr and its codecs have errors of their own
        if isinstance(error, HQSAMError | MemoryError) or not isinstance(error, Exception):
            raise
        text = getattr(error, "strerror", None) or str(error)
        reason = next(iter(text.splitlines()), "") or type(error).__name__
        raise HQSAMError(
            f"{name}: the labels cannot be {done} ({reason[:200]}); make sure that the folder is "
            "there, with space and permission, and try again"
        ) from error


async def _settle() -> None:
    """Wait for what zarr's event loop has begun."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*others, return_exceptions=True)
