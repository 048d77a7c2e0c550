"""What a long job has committed: each piece under a key, complete or not there at all."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.errors import HQSAMError
from napari_hqsam.storage.checksum import CRC_BYTES, crc32c
from napari_hqsam.storage.commit import remove_leftovers, write_bytes, write_mark

SETTINGS = "job.json"
LOCK = "lock"
"""Name of a lock file that users of the folder may keep in it."""

_RECORDS, _SCRATCH = "records", "tmp"
_FORMAT = 1


class Work:
    """Records of a job, in memory or in a folder that survives the end of the process.

    ::

        <folder>/job.json          what the job is; written first, and deleted first
        <folder>/records/ab/cd…    one file a record: npz and its CRC-32C
        <folder>/tmp/

    A record is one file, so that its checksum and its name commit it: one that is torn or damaged
    is as if it were not there. Several processes may write, as long as they write the same.

    Made by `open`.

    Attributes
    ----------
    folder : pathlib.Path or None
        None: in memory.
    bytes : int
        Size of the records in the folder.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.bytes = 0
        self._memory: dict[str, dict[str, NDArray[Any]]] = {}
        self._known: set[str] = set()

    @classmethod
    def open(
        cls, folder: Path | None, settings: Mapping[str, Any], *, restart: bool = False
    ) -> Work:
        """Begin a job, or go on with one.

        Parameters
        ----------
        folder : pathlib.Path, optional
            Made if it is not there; in memory without it.
        settings : mapping
            What the job is, in terms of JSON, numpy and paths: what was committed under others is
            not used.
        restart : bool
            Forget what the folder holds.

        Raises
        ------
        HQSAMError
            If the folder holds a job of other settings or something else, or the disk refuses.
        """
        work = cls(folder)
        if folder is None:
            return work
        with _on_disk(folder):
            if restart and begun(folder):
                work.remove()
            if begun(folder):
                _check(folder, json.loads(_json(settings)))
            else:
                _clear(folder)
                folder.mkdir(parents=True, exist_ok=True)
            for name in (_RECORDS, _SCRATCH):
                (folder / name).mkdir(exist_ok=True)
            if not begun(folder):
                text = _json({"format": _FORMAT, "settings": settings})
                write_mark(folder / SETTINGS, text.encode(), scratch=folder / _SCRATCH)
            remove_leftovers(folder / _SCRATCH)
            work.bytes = sum(f.stat().st_size for f in (folder / _RECORDS).glob("*/*"))
        return work

    def __contains__(self, key: str) -> bool:
        """Whether a record is there and whole; each is looked at once."""
        if self.folder is None:
            return key in self._memory
        if key not in self._known and self._whole(key) is not None:
            self._known.add(key)
        return key in self._known

    def write(self, key: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Commit arrays under a key.

        Raises
        ------
        HQSAMError
            If the disk refuses: it is full, or the folder is gone.
        """
        if self.folder is None:
            self._memory[key] = dict(arrays)
            return
        data = _packed(arrays)
        data += crc32c(data).to_bytes(CRC_BYTES, "little")
        path = self._path(key)
        with _on_disk(self.folder):
            before = path.stat().st_size if path.is_file() else 0
            path.parent.mkdir(exist_ok=True)
            # the file is its own mark: if a power cut takes its name away, it is computed again
            write_bytes(path, data, scratch=self.folder / _SCRATCH)
        self.bytes += len(data) - before
        self._known.add(key)

    def mark(self, key: str) -> None:
        """Commit that something is done, without arrays."""
        self.write(key, {})

    def read(self, key: str) -> dict[str, NDArray[Any]]:
        """The arrays of a key.

        Raises
        ------
        KeyError
            If there is no such record, or none that is whole.
        """
        if self.folder is None:
            return dict(self._memory[key])
        data = self._whole(key)
        if data is None:
            self._known.discard(key)
            raise KeyError(key)
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return dict(arrays)

    def remove(self) -> None:
        """Delete everything; nothing can be written after that.

        The settings go first: a process that ends in between leaves a folder without a job.
        """
        self._memory.clear()
        self._known.clear()
        self.bytes = 0
        if self.folder is not None:
            with _on_disk(self.folder):
                (self.folder / SETTINGS).unlink(missing_ok=True)
                shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, key: str) -> Path:
        assert self.folder is not None
        name = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        return self.folder / _RECORDS / name[:2] / name[2:]

    def _whole(self, key: str) -> bytes | None:
        """A record as it was packed; None if it is not there, or damaged."""
        path = self._path(key)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _refused(path, error) from error
        body, end = data[:-CRC_BYTES], data[-CRC_BYTES:]
        if len(end) < CRC_BYTES or crc32c(body) != int.from_bytes(end, "little"):
            return None
        return body


def begun(folder: Path) -> bool:
    """Whether a job was begun in a folder and not removed."""
    return (folder / SETTINGS).is_file()


def _packed(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Arrays as npz, without pickles; level 1 takes a tenth of the time of numpy's own."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.asanyarray(array), allow_pickle=False)
    return file.getvalue()


def _json(settings: Mapping[str, Any]) -> str:
    return json.dumps(
        settings, indent=1, default=lambda v: v.tolist() if hasattr(v, "tolist") else str(v)
    )


def _check(folder: Path, settings: dict[str, Any]) -> None:
    """Raise HQSAMError if the job of a folder has other settings."""
    try:
        stored = json.loads((folder / SETTINGS).read_bytes())
        version, there = stored["format"], dict(stored["settings"])
    except (ValueError, KeyError, TypeError):
        raise HQSAMError(
            f"{folder / SETTINGS}: damaged, so that the job cannot go on; begin it again with "
            "overwrite, or choose another output"
        ) from None
    if version != _FORMAT:
        raise HQSAMError(
            f"{folder}: the job was begun by another version of napari-hqsam (format {version}, "
            f"known here {_FORMAT}); finish it there, or begin again with overwrite"
        )
    for name, before, now in _differences(there, settings):
        raise HQSAMError(
            f"{folder}: this job was begun with other settings ({name}: {before} then, {now} now); "
            "give the same, begin again with overwrite, or choose another output"
        )


def _differences(
    before: Mapping[str, Any], now: Mapping[str, Any], within: str = ""
) -> Iterator[tuple[str, str, str]]:
    """What differs between two settings: its name, and both values as short JSON."""
    for name in [*now, *(n for n in before if n not in now)]:
        old, new = before.get(name), now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _differences(old, new, f"{within}{name}.")
        elif old != new or (name in before) != (name in now):
            yield f"{within}{name}", _short(old), _short(new)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _clear(folder: Path) -> None:
    """Delete what a removal that was cut short left; refuse a folder with anything else."""
    with suppress(FileNotFoundError):
        if any(entry.name not in (_RECORDS, _SCRATCH, LOCK) for entry in folder.iterdir()):
            raise HQSAMError(
                f"{folder}: the folder is not empty and holds no job; move it away, or choose "
                "another output"
            )
        shutil.rmtree(folder)


@contextmanager
def _on_disk(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _refused(folder, error) from error


def _refused(path: Path, error: OSError) -> HQSAMError:
    return HQSAMError(
        f"{path}: the job's records cannot be used ({error.strerror or error}); make sure that "
        "the folder is there, with space and permission, and begin the job again"
    )
