"""The journal of a session: every step on disk before it is in the labels.

One JSON object a line, the first one the `Header`. The lines have checksums, so that what a power
cut has torn or a disk has damaged is noticed; there the journal ends.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.label_array import LabelArray
from napari_hqsam.session.header import FORMAT, Header
from napari_hqsam.session.line import read_line, whole_lines, write_line
from napari_hqsam.session.start import copy_all, write_snapshot
from napari_hqsam.storage import write_mark

SUFFIX = ".journal"
TURNS = ("do", "undo", "redo")
"""The kinds of records that are steps."""

_STEPS = tuple(b'{"kind":"%s"' % kind.encode() for kind in TURNS)
_LONGEST_HEADER = 2**22


def journals_folder() -> Path:
    """Where journals are kept that have no other place: in the user's data folder."""
    from napari_hqsam.weights import data_dir

    return data_dir() / "journals"


class Journal:
    """A journal that this process writes; made by `create` or `open`.

    A record is a mapping with a ``"kind"``: the steps ``"do"`` (an `Action`), ``"undo"`` and
    ``"redo"``; ``"revoke"``, the step before was refused by the labels; ``"saved"``.

    Attributes
    ----------
    path : pathlib.Path
    header : Header
    """

    def __init__(self, path: Path, header: Header, lock: ExitStack) -> None:
        self.path, self.header = path, header
        self._lock = lock
        self._waiting: list[bytes] = []
        self._end = self._crc = self._steps = 0
        for body, end, crc in whole_lines(path):
            self._end, self._crc = end, crc
            self._steps += _is_step(body)
        self._file = path.open("r+b", buffering=0)

    @classmethod
    def create(cls, place: Path | None, header: Header, labels: LabelArray | None = None) -> Self:
        """Begin one.

        Parameters
        ----------
        place : pathlib.Path or None
            A file ``.journal``, or a folder; by default that of the image in `journals_folder`.
        header : Header
        labels : LabelArray, optional
            Those that the header is of; kept beside the journal if they are lost otherwise.

        Raises
        ------
        HQSAMError
            If it cannot be made there. A file that is there is left alone.
        """
        path = place or journals_folder() / header.image.key
        if path.suffix != SUFFIX:
            moment = datetime.now().strftime("%Y-%m-%d %H.%M.%S")
            path = path / f"{moment} {secrets.token_hex(2)}{SUFFIX}"
        if header.start == "snapshot" and labels is None:
            raise ValueError("the labels that the session begins with are needed")
        with ExitStack() as lock:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                lock.enter_context(_locked(path))
                if path.exists():
                    raise HQSAMError(f"{path}: exists already; choose another name for the journal")
                if header.start == "snapshot" and labels is not None:
                    write_snapshot(snapshot_path(path), copy_all(labels))
                write_mark(path, write_line({"kind": "begin", **header.to_json()}, 0)[0])
                journal = cls(path, header, lock.pop_all())
            except OSError as error:
                raise HQSAMError(
                    f"{path}: the journal cannot be written ({error.strerror or error}); choose "
                    "another folder for it"
                ) from error
        return journal

    @classmethod
    def open(cls, path: Path) -> Self:
        """Go on with one. What is torn or damaged at its end is cut off.

        If more than the last line is cut, it is kept beside the journal.

        Raises
        ------
        HQSAMError
            If another process writes it, or it is no journal that this version can read.
        """
        header = read_header(path)
        with ExitStack() as lock:
            try:
                lock.enter_context(_locked(path))
                journal = cls(path, header, lock.pop_all())
            except OSError as error:
                raise HQSAMError(_unreadable(path, error)) from error
            with ExitStack() as failed:
                failed.callback(journal.close)
                journal._cut()
                failed.pop_all()
        return journal

    def append(self, record: Mapping[str, Any]) -> None:
        """Add a record, and wait until it is on the disk.

        Raises
        ------
        OSError
            If the disk refuses. The record is kept, and comes before the next one.
        """
        line, self._crc = write_line(record, self._crc)
        self._steps += record["kind"] in TURNS
        self._waiting.append(line)
        self.flush()

    def flush(self) -> None:
        """Write the records that the disk had refused.

        Raises
        ------
        OSError
            If it still does.
        """
        if not self._waiting:
            return
        data = b"".join(self._waiting)
        self._file.seek(self._end)  # over what a failure has left of the same records
        left = memoryview(data)
        while left:
            left = left[self._file.write(left) :]
        os.fsync(self._file.fileno())
        self._end += len(data)
        self._waiting.clear()

    def close(self) -> None:
        """Let it go. One without a single step is deleted.

        Raises
        ------
        OSError
            If the disk refuses what was not written yet; it is lost.
        """
        if self._file.closed:
            return
        try:
            self.flush()
        finally:
            self._file.close()
            self._lock.close()
            if not self._steps:
                remove(self.path)

    def _cut(self) -> None:
        """Bring the file to its last whole line."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._end)
                rest = file.read()
            if rest.count(b"\n") > 1:
                write_mark(self.path.with_name(f"{self.path.name}.damaged-{self._end}"), rest)
            if rest:
                self._file.truncate(self._end)
                os.fsync(self._file.fileno())
        except OSError as error:
            raise HQSAMError(_unreadable(self.path, error)) from error


def read_header(path: Path) -> Header:
    """The header of a journal.

    Raises
    ------
    HQSAMError
        If it is missing, damaged, or of a later version.
    """
    try:
        with path.open("rb") as file:
            body = read_line(file.readline(_LONGEST_HEADER), 0)
    except OSError as error:
        raise HQSAMError(_unreadable(path, error)) from error
    try:
        saved = json.loads(body or b"")
        version = saved["format"]
        if version <= FORMAT:
            return Header.from_json(saved)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
        raise HQSAMError(
            f"{path}: is no journal of napari-hqsam, or its first line is damaged; give another "
            "file, or restore it from a backup"
        ) from None
    raise HQSAMError(
        f"{path}: is a journal of a later napari-hqsam ({saved.get('version')}); update this one "
        "to read it"
    )


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a journal after its header, up to the first line that is torn or damaged.

    Raises
    ------
    HQSAMError
        If it cannot be read.
    """
    try:
        for i, (body, _, _) in enumerate(whole_lines(path)):
            if i:
                yield json.loads(body)
    except OSError as error:
        raise HQSAMError(_unreadable(path, error)) from error


def count_steps(path: Path) -> int:
    """How many steps a journal has, undone ones and undoing included.

    Raises
    ------
    HQSAMError
        If it cannot be read.
    """
    try:
        return sum(_is_step(body) for body, _, _ in whole_lines(path))
    except OSError as error:
        raise HQSAMError(_unreadable(path, error)) from error


def snapshot_path(path: Path) -> Path:
    """Where the labels are kept that a journal begins with."""
    return path.with_name(f"{path.name}.start.npz")


def remove(path: Path) -> None:
    """Delete a journal and what lies beside it; what the disk refuses stays."""
    for place in (snapshot_path(path), path, _lock_path(path)):
        with suppress(OSError):
            place.unlink(missing_ok=True)


def in_use(path: Path) -> bool:
    """Whether a living process writes that journal."""
    try:
        with _locked(path):
            return False
    except HQSAMError:
        return True


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a journal; the lock of a dead process stops nobody."""
    import filelock

    # it may be let go of by another thread than the one that took it
    lock = filelock.FileLock(_lock_path(path), timeout=0, thread_local=False)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise HQSAMError(f"{path}: another window works in this journal; close it first") from None
    except NotImplementedError:
        raise HQSAMError(f"{path}: this disk has no file locks; use a local disk") from None
    try:
        yield
    finally:
        lock.release()


def _lock_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def _is_step(body: bytes) -> bool:
    return body.startswith(_STEPS)


def _unreadable(path: Path, error: OSError) -> str:
    return f"{path}: the journal cannot be opened ({error.strerror or error}); give another file"
