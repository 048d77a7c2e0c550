from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import napari_hqsam
from napari_hqsam.errors import HQSAMError
from napari_hqsam.session.header import FORMAT, Header
from napari_hqsam.session.journal import (
    Journal,
    count_steps,
    in_use,
    journals_folder,
    read_header,
    read_records,
    remove,
    snapshot_path,
)
from napari_hqsam.session.line import write_line

from .scene import IMAGE, SHAPE, header, memory, on_disk

DO = {"kind": "do", "what": "something"}


def fill(path: Path, count: int) -> list[int]:
    """A journal of so many steps; where each line ends."""
    labels = memory()
    journal = Journal.create(path, header(labels), labels)
    ends = [path.stat().st_size]
    for i in range(count):
        journal.append({**DO, "n": i})
        ends.append(path.stat().st_size)
    journal.close()
    return ends


def numbers(path: Path) -> list[int]:
    return [record["n"] for record in read_records(path)]


def test_what_was_appended_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    fill(path, 3)
    assert numbers(path) == [0, 1, 2]
    journal = Journal.open(path)
    journal.append({**DO, "n": np.int64(3), "x": np.float32(0.5)})
    journal.append({"kind": "saved", "n": 4})
    journal.close()
    assert numbers(path) == [0, 1, 2, 3, 4]
    assert count_steps(path) == 4
    for line in path.read_text().splitlines():
        assert set(json.loads(line)) == {"crc", "record"}


def test_the_header_says_what_it_is_about(tmp_path: Path) -> None:
    store = on_disk(tmp_path)
    about = header(
        store,
        model="micro",
        weights="abc",
        contrast=[(0, 255), (np.float32(1), 2), None],
        extra={"class": ["a"], "n": 3},
    )
    assert about.store == store.store.path
    assert about.start == "nothing"
    assert about.version == napari_hqsam.__version__
    journal = Journal.create(tmp_path / "a.journal", about, store)
    journal.append(DO)
    journal.close()
    found = read_header(tmp_path / "a.journal")
    assert found.to_json() == about.to_json()
    assert (found.image, found.shape, found.dtype) == (IMAGE, SHAPE, "uint16")
    assert found.contrast == ((0.0, 255.0), (1.0, 2.0), None)
    with pytest.raises(ValueError, match="axes 'yx'"):
        Header.of(store, IMAGE, "a", "yx")


def test_each_record_is_on_the_disk_when_append_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = memory()
    journal = Journal.create(tmp_path / "a.journal", header(labels), labels)
    synced: list[int] = []
    monkeypatch.setattr("os.fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_size))
    journal.append(DO)
    assert synced == [(tmp_path / "a.journal").stat().st_size]
    journal.close()


def test_a_torn_last_line_is_cut_wherever_it_is_torn(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    ends = fill(path, 3)
    whole = path.read_bytes()
    for length in range(ends[2], ends[3]):
        path.write_bytes(whole[:length])
        assert numbers(path) == [0, 1]
    journal = Journal.open(path)
    assert path.stat().st_size == ends[2]
    journal.append({**DO, "n": 9})
    journal.close()
    assert numbers(path) == [0, 1, 9]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.journal", "a.journal.lock"]


def test_a_flipped_bit_is_noticed_wherever_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    ends = fill(path, 3)
    whole = path.read_bytes()
    for at in range(ends[1], ends[2]):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << at % 8
        path.write_bytes(damaged)
        assert numbers(path) == [0]


def test_what_comes_after_a_damaged_line_is_kept_aside(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    ends = fill(path, 3)
    whole = bytearray(path.read_bytes())
    whole[ends[1] + 40] ^= 4
    path.write_bytes(whole)
    Journal.open(path).close()
    assert path.stat().st_size == ends[1]
    (kept,) = tmp_path.glob("*.damaged-*")
    assert kept.read_bytes() == whole[ends[1] :]


def test_a_line_that_is_missing_or_doubled_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    fill(path, 4)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], *lines[3:]]))
    assert numbers(path) == [0]
    path.write_bytes(b"".join([*lines[:3], lines[2], *lines[3:]]))
    assert numbers(path) == [0, 1]


def test_a_journal_of_a_later_version_is_told_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    about = {"kind": "begin", **header(memory()).to_json(), "format": FORMAT + 1, "version": "9.9"}
    path.write_bytes(write_line(about, 0)[0])
    before = path.read_bytes()
    for read in (read_header, Journal.open):
        with pytest.raises(HQSAMError, match=r"later napari-hqsam \(9.9\); update this one") as e:
            read(path)
        assert "\n" not in str(e.value)
    with pytest.raises(HQSAMError, match="exists already"):
        Journal.create(path, header(memory()))
    assert path.read_bytes() == before
    assert not in_use(path)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n",
        b"\x00" * 100,
        b"II*\x00",
        b'{"crc":"00000000","record":{}}\n',
        write_line({"format": 1}, 0)[0],
        write_line({"format": None}, 0)[0],
        write_line([1], 0)[0],  # type: ignore[arg-type]
        write_line({**header(memory()).to_json(), "labels": {}}, 0)[0],
        write_line({**header(memory()).to_json(), "image": {"shape": "x"}}, 0)[0],
        write_line(header(memory()).to_json(), 0)[0][:-1],
    ],
)
def test_what_is_no_journal_is_told_and_left_alone(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "a.journal"
    path.write_bytes(text)
    for read in (read_header, Journal.open):
        with pytest.raises(HQSAMError, match="is no journal of napari-hqsam, or its first line"):
            read(path)
    assert path.read_bytes() == text


def test_a_missing_journal_or_a_folder_is_told(tmp_path: Path) -> None:
    for path in (tmp_path / "no.journal", tmp_path):
        with pytest.raises(HQSAMError, match=rf"^{path}: the journal cannot be opened"):
            Journal.open(path)


def test_one_process_writes_a_journal(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    journal = Journal.create(path, header(memory()))
    journal.append(DO)
    assert in_use(path)
    with pytest.raises(HQSAMError, match="another window works in this journal"):
        Journal.open(path)
    journal.close()
    assert not in_use(path)
    journal = Journal.open(path)
    assert in_use(path)
    journal.close()


def test_it_may_be_opened_in_one_thread_and_closed_in_another(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    fill(path, 1)
    with ThreadPoolExecutor(1) as pool:
        journal = pool.submit(Journal.open, path).result()
    journal.append({**DO, "n": 1})
    assert in_use(path)
    journal.close()
    assert not in_use(path)


def test_a_failed_open_holds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.journal"
    ends = fill(path, 2)
    path.write_bytes(path.read_bytes()[: ends[2] - 1])

    def full_disk(*args: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full_disk)
        with pytest.raises(HQSAMError, match="No space left on device"):
            Journal.open(path)
    assert not in_use(path)
    Journal.open(path).close()


def test_a_journal_without_a_step_leaves_nothing_behind(tmp_path: Path) -> None:
    labels = memory()
    labels.array[0, 0, 0] = 3
    journal = Journal.create(tmp_path, header(labels), labels)
    assert snapshot_path(journal.path).is_file()
    journal.append({"kind": "saved"})
    journal.close()
    assert list(tmp_path.iterdir()) == []


def test_it_is_made_where_there_is_no_other_and_never_over_one(tmp_path: Path) -> None:
    two = [Journal.create(tmp_path / "new" / "folder", header(memory())) for _ in range(2)]
    assert two[0].path != two[1].path
    assert {j.path.parent for j in two} == {tmp_path / "new" / "folder"}
    for journal in two:
        journal.close()
    (tmp_path / "file").write_text("")
    with pytest.raises(HQSAMError, match=r"cannot be written .* choose another folder"):
        Journal.create(tmp_path / "file" / "a.journal", header(memory()))


def test_by_default_it_lies_with_the_users_data_by_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAPARI_HQSAM_DATA", str(tmp_path / "data"))
    assert journals_folder() == tmp_path / "data" / "journals"
    journal = Journal.create(None, header(memory()))
    journal.append(DO)
    journal.close()
    assert journal.path.parent == tmp_path / "data" / "journals" / IMAGE.key
    remove(journal.path)
    assert list(journal.path.parent.iterdir()) == []
