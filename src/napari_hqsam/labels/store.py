"""Labels of any size on disk, written and read by boxes: the truth of a large annotation."""

from __future__ import annotations

import operator
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels import place
from napari_hqsam.labels.calibration import check_calibration
from napari_hqsam.labels.change import Change, Patch
from napari_hqsam.labels.levels import Levels, disk
from napari_hqsam.labels.pyramid import CHUNK, OURS, Box, Plane, create_pyramid, slices


class LabelStore:
    """Chunked multiscale labels in an OME-Zarr folder; level 0 is the truth.

    The coarser levels halve y and x, and show of each 2 × 2 pixels the largest label. A write
    changes level 0 first and then what lies above it. What was written survives the end of the
    process, and `open` mends the coarser levels that this cut short; but no write waits for the
    disk: against a power cut the caller keeps a journal.

    Made by `create` or `open`. Threads may share one store; two processes may not write to it.

    Attributes
    ----------
    path : pathlib.Path
        The folder.
    name : pathlib.Path
        What messages call it; `path` if nothing else was given.
    levels : tuple of zarr.Array
        Finest first, for display; write with `write` only.
    axes : str
        One letter per dimension; y and x are the last.
    shape : tuple of int
    dtype : numpy.dtype
    scale : tuple of float or None
        Step along each of `axes`, in `units`.
    units : tuple of str or None
    """

    def __init__(self, path: Path, name: Path | None = None) -> None:
        import zarr

        from napari_hqsam.images.files import open_file

        # the reader of images refuses what is dangerous: pickles, paths that lead elsewhere
        file = open_file(path)
        keys, dtype = [level.path for level in file.levels], np.dtype(file.levels[0].dtype)
        file.close()
        if not file.is_labels or dtype.kind not in "ui" or file.axes[-2:] != "yx":
            raise HQSAMError(
                f'{path}: is no label image that can be edited ({dtype}, axes "{file.axes}"); '
                "save the labels as .zarr first"
            )
        self.path, self.name = path, name or path
        self.axes, self.scale, self.units = file.axes, file.scale, file.units
        with disk(self.name, "opened"):
            self._levels = Levels(path, self.name, zarr.open_group(path, mode="r+"), keys)
            known = dict(self._levels.group.attrs).get(OURS)
        self.levels = self._levels.arrays
        self.shape = tuple(int(n) for n in self.levels[0].shape)
        self.dtype = self._levels.dtype
        highest = known.get("highest") if isinstance(known, dict) else None
        self._highest: int | None = highest if isinstance(highest, int) else None
        self._lock = threading.RLock()

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        shape: Sequence[int],
        *,
        axes: str,
        dtype: DTypeLike = "uint32",
        scale: Sequence[float] | None = None,
        units: str | Sequence[object] | None = None,
        chunk: int = CHUNK,
        highest: int = 0,
        overwrite: bool = False,
        name: Path | None = None,
    ) -> LabelStore:
        """Make a store without labels; at once, whatever its size.

        Parameters
        ----------
        path : str or path-like
            Ends in ``.zarr``.
        shape : sequence of int
            Along `axes`.
        axes : str
            ``"yx"``, ``"zyx"``, ``"tyx"`` or ``"tzyx"``.
        dtype : dtype
            Of integers.
        scale, units : optional
            As for `write_labels`.
        chunk : int
            Side of a chunk in pixels. There are levels until a plane is two chunks wide and high.
        highest : int
            What `highest` begins with.
        overwrite : bool
            Whether a label zarr of that name may be replaced.
        name : pathlib.Path, optional
            What messages call it.

        Raises
        ------
        HQSAMError
            If it cannot be made there, or the arguments do not fit together.
        """
        target = Path(path).expanduser()
        if target.suffix.lower() != ".zarr":
            raise HQSAMError(f"{target}: a label store is a folder .zarr; change the suffix")
        extent = tuple(operator.index(n) for n in shape)
        calibration = check_calibration(target, len(extent), axes, scale, units)
        if min(extent) < 1:
            raise HQSAMError(f"{target}: the labels have no pixels, their shape is {extent}")
        if np.dtype(dtype).kind not in "ui":
            raise HQSAMError(f"{target}: labels are whole numbers, not {np.dtype(dtype)}")
        if target.exists() and not overwrite:
            raise HQSAMError(f"{target}: exists already; open it, or choose another name")
        made = place.partial(target)
        try:
            with place.writing(target):
                place.check_target(target)
                create_pyramid(made, extent, dtype, calibration, chunk=chunk, highest=highest)
                place.replace(made, target)
        finally:
            place.remove(made)
        return cls(target, name)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> LabelStore:
        """Open a label OME-Zarr, of this program or another.

        Coarser levels that do not halve y and x are not kept up to date; the first write takes
        them off the image's list of levels, so that no program shows what is no longer true.

        Raises
        ------
        HQSAMError
            If it is missing, damaged, or no label image.
        """
        store = cls(Path(path).expanduser())
        store._levels.recover()
        return store

    @property
    def highest(self) -> int:
        """The largest label that was ever written, or more; an undone one is not given back.

        It is committed before the pixels. Only a store of another program is searched for it,
        once.
        """
        with self._lock:
            if self._highest is None:
                self._highest = max(int(block.max()) for block in self._levels.blocks())
            return self._highest

    def read(self, plane: Sequence[int], y0: int, x0: int, y1: int, x1: int) -> NDArray[Any]:
        """The labels of a box of one plane, as one write left them, never half of it.

        Parameters
        ----------
        plane : sequence of int
            One index for each of `axes` before y.
        y0, x0, y1, x1 : int
            Half-open, in pixels of level 0.

        Returns
        -------
        ndarray
            (y1 - y0, x1 - x0), `dtype`.

        Raises
        ------
        HQSAMError
            If the box is outside the labels, or a chunk is damaged.
        """
        at, box = self._check_box(plane, (y0, x0, y1, x1))
        with self._lock:
            return self._levels.read(0, at, box)

    def write(
        self,
        plane: Sequence[int],
        y0: int,
        x0: int,
        pixels: NDArray[Any],
        where: NDArray[np.bool_] | None = None,
    ) -> Change:
        """Write labels into a box of one plane, and into the coarser levels above it.

        If the disk refuses, what was written of them is taken back as far as it lets; the caller
        still has the pixels and can try again.

        Parameters
        ----------
        plane : sequence of int
            One index for each of `axes` before y.
        y0, x0 : int
            Where the first pixel goes.
        pixels : ndarray of int or bool
            (h, w).
        where : ndarray of bool, optional
            (h, w): the pixels to write; all without it.

        Returns
        -------
        Change
            What is different now, with `undo` and `redo`.

        Raises
        ------
        HQSAMError
            If they do not lie within the labels, a label does not fit the dtype, or the disk
            refuses.
        """
        if pixels.ndim != 2 or pixels.dtype.kind not in "bui":
            raise HQSAMError(
                f"{self.name}: labels are written as 2-D whole numbers, not {pixels.ndim}-D "
                f"{pixels.dtype}; convert them"
            )
        if where is not None and where.shape != pixels.shape:
            raise HQSAMError(f"{self.name}: where {where.shape} must have the shape of the pixels")
        h, w = pixels.shape
        at, box = self._check_box(plane, (y0, x0, y0 + h, x0 + w))
        if pixels.size == 0:
            return Change(self, at, [], box)
        chosen: Any = True if where is None else where
        largest = int(pixels.max(where=chosen, initial=0))
        self._check_label(int(pixels.min(where=chosen, initial=0)), largest)

        patches: list[Patch] = []
        with self._lock:
            if self._highest is not None and largest > self._highest:
                self._commit_highest(largest)
            try:
                for part in self._levels.parts(box):
                    here = slices(part, box)
                    allowed = True if where is None else where[here]
                    patch = self._edit(at, part, _copy(pixels[here], allowed))
                    patches += [patch] if patch else []
            except BaseException:
                with suppress(HQSAMError):
                    Change(self, at, patches, box).undo()
                raise
        return Change(self, at, patches, box)

    def fill(self, plane: Sequence[int], y0: int, x0: int, pixels: NDArray[Any]) -> None:
        """Write labels (h, w) where there are none yet, without a way back.

        Quicker than `write` for copying into a new store, by blocks of whole chunks. `highest` is
        left as it is.

        Raises
        ------
        HQSAMError
            If they do not lie within the labels, or the disk refuses.
        """
        h, w = pixels.shape
        at, box = self._check_box(plane, (y0, x0, y0 + h, x0 + w))
        if pixels.any():
            with self._lock:
                self._levels.write(at, box, pixels)

    def rebuild(self) -> None:
        """Make the coarser levels and `highest` again from level 0, whatever state they are in.

        It reads all of level 0. A damaged chunk of a coarser level is replaced.
        """
        with self._lock:
            self._levels.rebuild()
            # the largest label reaches the coarsest level
            blocks = self._levels.blocks(len(self.levels) - 1)
            self._commit_highest(max(int(block.max()) for block in blocks))

    def apply(self, plane: Plane, patch: Patch, *, back: bool) -> None:
        """Do a patch again, or take it back; for `Change`."""
        with self._lock:
            self._edit(plane, patch.box, lambda labels: patch.apply(labels, back=back))

    def __repr__(self) -> str:
        sizes = ", ".join(f"{a}={n}" for a, n in zip(self.axes, self.shape, strict=True))
        return f"<LabelStore {self.path.name!r}: {sizes}, {self.dtype}>"

    def _edit(self, plane: Plane, box: Box, edit: Callable[[NDArray[Any]], None]) -> Patch | None:
        """Let `edit` change the labels of a box in place; what it changed."""
        outer = self._levels.whole_chunks(box)
        block = self._levels.read(0, plane, outer)
        inner = block[slices(box, outer)]
        before = inner.copy()
        edit(inner)
        patch = Patch.between(before, inner, box[:2])
        if patch is None:
            return None
        touched = self._levels.whole_chunks(patch.box)
        changed = block[slices(touched, outer)]
        try:
            self._levels.write(plane, touched, changed)
        except BaseException:
            inner[...] = before
            with suppress(HQSAMError):
                self._levels.write(plane, touched, changed)
            raise
        return patch

    def _commit_highest(self, label: int) -> None:
        with disk(self.name, "written"):
            self._levels.group.attrs[OURS] = {"highest": label}
        self._highest = label

    def _check_box(self, plane: Sequence[int], box: Sequence[int]) -> tuple[Plane, Box]:
        indices = tuple(operator.index(i) for i in plane)
        y0, x0, y1, x1 = (operator.index(i) for i in box)
        *lengths, height, width = self.shape
        pairs = list(zip(indices, lengths, strict=False))
        if len(indices) != len(lengths) or not all(0 <= i < n for i, n in pairs):
            raise HQSAMError(
                f"{self.name}: there is no plane {indices}; give one index within "
                f'{tuple(lengths)} for each of the axes "{self.axes[:-2]}"'
            )
        if not (0 <= y0 <= y1 <= height and 0 <= x0 <= x1 <= width):
            raise HQSAMError(
                f"{self.name}: the box {y0},{x0},{y1},{x1} is outside the labels of "
                f"{height} x {width} pixels"
            )
        return indices, (y0, x0, y1, x1)

    def _check_label(self, smallest: int, largest: int) -> None:
        limit = int(np.iinfo(self.dtype).max)
        if smallest < 0:
            raise HQSAMError(f"{self.name}: labels are numbers from 0 up, but {smallest} occurs")
        if largest > limit:
            raise HQSAMError(
                f"{self.name}: label {largest:,} does not fit {self.dtype}, which holds up to "
                f"{limit:,}; renumber the labels, or write them to a store of uint32 or uint64"
            )


def _copy(pixels: NDArray[Any], where: Any) -> Callable[[NDArray[Any]], None]:
    return lambda labels: np.copyto(labels, pixels, where=where, casting="unsafe")
