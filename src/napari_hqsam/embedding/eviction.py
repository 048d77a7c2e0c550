"""How much a store takes, and bringing it back to a budget."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_hqsam.embedding.layout import (
    CHUNK_PREFIX,
    LOCK,
    MARKS,
    Run,
    on_disk,
    read_root,
    runs,
)
from napari_hqsam.embedding.mark import MARK_SUFFIX
from napari_hqsam.errors import HQSAMError
from napari_hqsam.storage import PARTIAL, exclusive, remove_leftovers

# A younger chunk without a mark may be about to get one.
_ORPHAN_SECONDS = 3600


@dataclass(frozen=True)
class RunStatus:
    """What a store holds for one model and one look.

    Attributes
    ----------
    digest : str
        Name of its folder.
    key : dict
        What its windows have in common (`run_key`); among others ``model``, ``input_size`` and
        ``intensity``.
    windows : int
    bytes : int
    """

    digest: str
    key: dict[str, Any]
    windows: int
    bytes: int


@dataclass(frozen=True)
class StoreStatus:
    """What a store holds.

    Attributes
    ----------
    path : pathlib.Path
    image : dict
        The fingerprint of its image.
    runs : tuple of RunStatus
    """

    path: Path
    image: dict[str, Any]
    runs: tuple[RunStatus, ...]

    @property
    def windows(self) -> int:
        """Number of windows in all runs."""
        return sum(run.windows for run in self.runs)

    @property
    def bytes(self) -> int:
        """Bytes on disk, those of windows that were never finished included."""
        return sum(run.bytes for run in self.runs)


@dataclass(frozen=True)
class Freed:
    """What `prune` deleted.

    Attributes
    ----------
    windows : int
    bytes : int
    """

    windows: int
    bytes: int


def status(path: str | os.PathLike[str]) -> StoreStatus:
    """What the store at `path` holds; only names and sizes of files are read.

    Raises
    ------
    HQSAMError
        If there is no store, or one that this version cannot read.
    """
    folder, image = _open(path)
    found = []
    with on_disk(folder):
        for run in runs(folder):
            marks = _files(run.folder / MARKS)
            chunks = [entry for array in run.array_names for entry in _files(run.folder / array)]
            taken = sum(_size(entry) for entry in (*marks, *chunks))
            done = sum(entry.name.endswith(MARK_SUFFIX) for entry in marks)
            found.append(RunStatus(run.digest, run.key, done, taken))
    return StoreStatus(folder, image, tuple(found))


def prune(path: str | os.PathLike[str], max_bytes: int) -> Freed:
    """Delete windows, those not used for longest first, until a store keeps to a budget.

    Whoever is reading or filling the store at the same time goes on: a window that is deleted
    counts as not stored. What was left unfinished more than an hour ago is deleted as well.

    Parameters
    ----------
    path : path
        A store.
    max_bytes : int
        Budget in bytes for all models and looks together.

    Raises
    ------
    HQSAMError
        If there is no store, or another process is pruning it.
    StoreUnavailable
        If it may not be written.
    """
    if max_bytes < 0:
        raise HQSAMError(f"a budget of {max_bytes} bytes: give 0 or more")
    folder, _ = _open(path)
    with on_disk(folder), exclusive(folder / LOCK, str(folder)):
        before = status(folder)
        excess = before.bytes - max_bytes - sum(_sweep(run) for run in runs(folder))
        windows = 0
        for _, run, name in sorted(_uses(folder), key=lambda use: use[0]):
            if excess <= 0:
                break
            # the mark first: what has none does not exist
            for file in (run.mark(name), *(run.chunk(array, name) for array in run.array_names)):
                excess -= _delete(file)
            windows += 1
        return Freed(windows, before.bytes - max_bytes - excess)


def uses(path: str | os.PathLike[str]) -> Iterator[tuple[float, int]]:
    """When each window of a store was used last (seconds since 1970), and the bytes it takes."""
    folder, _ = _open(path)
    with on_disk(folder):
        for used, run, name in _uses(folder):
            with suppress(OSError):  # deleted meanwhile
                chunks = sum(run.chunk_bytes(array) for array in run.array_names)
                yield used, chunks + run.mark(name).stat().st_size


def _open(path: str | os.PathLike[str]) -> tuple[Path, dict[str, Any]]:
    folder = Path(path).expanduser().absolute()
    with on_disk(folder):
        image = read_root(folder)
    if image is None:
        raise HQSAMError(f"{folder}: there is no embedding store; check the path")
    return folder, image


def _uses(folder: Path) -> Iterator[tuple[float, Run, str]]:
    """When each window was used last, its run, and its name."""
    for run in runs(folder):
        for entry in _files(run.folder / MARKS):
            if entry.name.endswith(MARK_SUFFIX):
                with suppress(OSError):
                    yield entry.stat().st_mtime, run, entry.name.removesuffix(MARK_SUFFIX)


def _sweep(run: Run) -> int:
    """Delete what belongs to no window: the bytes that this frees."""
    remove_leftovers(run.scratch)
    marks = [entry.name.removesuffix(MARK_SUFFIX) for entry in _files(run.folder / MARKS)]
    freed, now = 0, time.time()
    for array in run.array_names:
        marked = {run.chunk(array, name).name for name in marks}
        for entry in _files(run.folder / array):
            ours = entry.name.startswith(CHUNK_PREFIX) or entry.name.endswith(PARTIAL)
            if ours and entry.name not in marked:
                with suppress(OSError):
                    if now - entry.stat().st_mtime > _ORPHAN_SECONDS:
                        freed += _delete(Path(entry.path))
    return freed


def _files(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if entry.is_file()]
    except FileNotFoundError:
        return []


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except OSError:  # deleted by another process
        return 0


def _delete(file: Path) -> int:
    """Delete a file; the bytes that this frees."""
    try:
        size = file.stat().st_size
        file.unlink()
    except FileNotFoundError:
        return 0
    return size
