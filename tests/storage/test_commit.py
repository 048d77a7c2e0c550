"""Files are there complete or not at all."""

from __future__ import annotations

import errno
import os
import stat
import time
from pathlib import Path

import pytest

from napari_hqsam.storage import PARTIAL, remove_leftovers, write_bytes, write_mark

BOTH = pytest.mark.parametrize("write", [write_bytes, write_mark])


@BOTH
def test_a_file_is_written_and_replaced(tmp_path: Path, write) -> None:
    for data in (b"first, and longer", b"second", b""):
        write(tmp_path / "file", data)
        assert (tmp_path / "file").read_bytes() == data
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@BOTH
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write, step: str
) -> None:
    write(tmp_path / "file", b"before")

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path / "file", b"after")
    monkeypatch.undo()
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"file": b"before"}


@BOTH
def test_a_file_is_under_its_name_only_when_its_data_are_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write
) -> None:
    events = []
    fsync, replace = os.fsync, os.replace

    def note_fsync(descriptor: int) -> None:
        status = os.fstat(descriptor)
        events.append("folder" if stat.S_ISDIR(status.st_mode) else f"{status.st_size} bytes")
        fsync(descriptor)

    def note_replace(old: Path, new: Path) -> None:
        events.append("rename")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    write(tmp_path / "file", b"12345")
    assert events[:2] == ["5 bytes", "rename"]
    if write is write_mark and os.name != "nt":  # Windows cannot wait for a folder
        assert events[2:] == ["folder"]


def test_others_may_read_the_file_as_far_as_the_umask_allows(tmp_path: Path) -> None:
    write_bytes(tmp_path / "ours", b"")
    (tmp_path / "usual").write_bytes(b"")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_leftovers_go_when_they_are_old(tmp_path: Path) -> None:
    for name in (f"old{PARTIAL}", f"young{PARTIAL}", "old"):
        (tmp_path / name).write_bytes(b"x")
    for name in (f"old{PARTIAL}", "old"):
        os.utime(tmp_path / name, (time.time() - 7200,) * 2)
    remove_leftovers(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {f"young{PARTIAL}", "old"}
    remove_leftovers(tmp_path / "nowhere")
