"""Files that are there complete or not at all, even after a power cut."""

from __future__ import annotations

import errno
import os
import secrets
import time
from contextlib import suppress
from pathlib import Path

PARTIAL = ".partial"
"""Suffix of a file that is still being written."""

# A younger one may be another process's, at work.
_LEFTOVER_SECONDS = 3600


def write_bytes(path: Path, data: bytes, *, scratch: Path | None = None) -> None:
    """Write a file under a temporary name, bring it to the disk, rename it to `path`.

    Whoever opens `path` finds what was there before or all of `data`, never a part. After a power
    cut the same is true, but the rename itself may be lost: see `write_mark`.

    Parameters
    ----------
    path : pathlib.Path
        A file there is replaced.
    data : bytes
    scratch : pathlib.Path, optional
        Folder on the same disk for the temporary file, so that what a killed process leaves is
        found in one place (`remove_leftovers`). By default the folder of `path`.

    Raises
    ------
    OSError
        If the disk is full, or may not be written; `path` is as it was.
    """
    partial = (scratch or path.parent) / f"{os.getpid()}-{secrets.token_hex(6)}{PARTIAL}"
    try:
        with partial.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise


def write_mark(path: Path, data: bytes, *, scratch: Path | None = None) -> None:
    """Write a file as `write_bytes` does, and bring its name to the disk as well: for marks."""
    write_bytes(path, data, scratch=scratch)
    _sync_folder(path.parent)


def remove_leftovers(folder: Path, older_than: float = _LEFTOVER_SECONDS) -> None:
    """Delete the temporary files that killed processes left in `folder`.

    Parameters
    ----------
    folder : pathlib.Path
    older_than : float
        Age in seconds from which a temporary file has no writer any more.
    """
    now = time.time()
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(PARTIAL):
                with suppress(OSError):  # another process cleans as well
                    if now - entry.stat().st_mtime > older_than:
                        os.unlink(entry.path)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows opens no folders; NTFS journals renames by itself
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):  # some network disks
            raise
    finally:
        os.close(descriptor)
