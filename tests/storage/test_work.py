"""What a job has committed is there after any end of the process, whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from napari_hqsam.errors import HQSAMError
from napari_hqsam.storage.work import Work, begun

SETTINGS = {"method": "grid", "finder": {"diameter": 12.5, "planes": ((0,), (1,))}}
KEYS = ["find/p0_y0", "../../etc/passwd", "a" * 3000, "", "CON", "con", "\udc80", "ä / \\ : *"]


def arrays(n: int = 3) -> dict[str, np.ndarray]:
    return {"ids": np.arange(n, dtype=np.uint64) + 2**40, "none": np.empty((0, 4)), "x": np.eye(n)}


def records(folder: Path) -> list[Path]:
    return sorted(p for p in (folder / "records").rglob("*") if p.is_file())


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(
        a[k].dtype == b[k].dtype and np.array_equal(a[k], b[k]) for k in a
    )


@pytest.mark.parametrize("on_disk", [True, False])
def test_any_key_keeps_its_arrays(tmp_path: Path, on_disk: bool) -> None:
    folder = tmp_path / "out.job" if on_disk else None
    work = Work.open(folder, SETTINGS)
    for n, key in enumerate(KEYS):
        assert key not in work
        work.write(key, arrays(n))
    work.mark("done")
    if on_disk:
        assert [p.name for p in tmp_path.iterdir()] == ["out.job"]
        work = Work.open(folder, SETTINGS)  # as after a kill
    assert all(key in work for key in [*KEYS, "done"])
    assert all(same(work.read(key), arrays(n)) for n, key in enumerate(KEYS))
    assert work.read("done") == {}
    assert "else" not in work
    with pytest.raises(KeyError):
        work.read("else")


def test_writing_again_replaces(tmp_path: Path) -> None:
    work = Work.open(tmp_path / "job", SETTINGS)
    for n in (50, 2):
        work.write("a", arrays(n))
        assert same(work.read("a"), arrays(n))
        assert work.bytes == sum(p.stat().st_size for p in records(tmp_path / "job"))
    assert Work.open(tmp_path / "job", SETTINGS).bytes == work.bytes > 0
    assert Work.open(None, SETTINGS).bytes == 0


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "gone"])
def test_a_damaged_record_is_as_if_it_were_not_there(tmp_path: Path, damage: str) -> None:
    work = Work.open(tmp_path / "job", SETTINGS)
    work.write("a", arrays())
    (path,) = records(tmp_path / "job")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    whole = path.read_bytes()
    path.write_bytes({"cut": whole[:-7], "flipped": bytes(data)}.get(damage, b""))
    if damage == "gone":
        path.unlink()
    with pytest.raises(KeyError):  # even where it was known to be there
        work.read("a")
    again = Work.open(tmp_path / "job", SETTINGS)
    assert "a" not in again
    again.write("a", arrays())
    assert same(again.read("a"), arrays())


def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    folder = tmp_path / "out.zarr.job"
    Work.open(folder, SETTINGS).mark("a")
    other = {**SETTINGS, "finder": {"diameter": 14, "planes": [[0], [1]]}}
    with pytest.raises(HQSAMError, match=r"out\.zarr\.job.*finder\.diameter: 12\.5 then, 14 now"):
        Work.open(folder, other)
    with pytest.raises(HQSAMError, match="extra: null then, 1 now"):
        Work.open(folder, {**SETTINGS, "extra": 1})
    with pytest.raises(HQSAMError, match="method"):
        Work.open(folder, {"finder": SETTINGS["finder"]})
    assert "a" in Work.open(folder, SETTINGS)
    assert "a" not in Work.open(folder, other, restart=True)
    assert "a" not in Work.open(folder, other)


def test_numpy_and_paths_are_settings_as_well(tmp_path: Path) -> None:
    given = {"a": np.float32(0.5), "b": np.arange(2), "c": tmp_path}
    Work.open(tmp_path / "job", given)
    Work.open(tmp_path / "job", {"a": 0.5, "b": [0, 1], "c": str(tmp_path)})


@pytest.mark.parametrize("text", [b"", b"{}", b'{"format": 1', b'{"format": 1, "settings": 3}'])
def test_a_damaged_description_is_not_gone_on_with(tmp_path: Path, text: bytes) -> None:
    Work.open(tmp_path / "job", SETTINGS).mark("a")
    (tmp_path / "job" / "job.json").write_bytes(text)
    with pytest.raises(HQSAMError, match=r"job\.json: damaged"):
        Work.open(tmp_path / "job", SETTINGS)
    assert "a" not in Work.open(tmp_path / "job", SETTINGS, restart=True)


def test_a_later_format_is_not_touched(tmp_path: Path) -> None:
    Work.open(tmp_path / "job", SETTINGS)
    (tmp_path / "job" / "job.json").write_text('{"format": 99, "settings": {}}')
    with pytest.raises(HQSAMError, match="another version"):
        Work.open(tmp_path / "job", SETTINGS)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "cat.png").write_bytes(b"meow")
    for restart in (False, True):
        with pytest.raises(HQSAMError, match="holds no job"):
            Work.open(folder, SETTINGS, restart=restart)
    assert [p.name for p in folder.iterdir()] == ["cat.png"]


def test_a_removal_that_is_cut_short_leaves_no_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "job"
    work = Work.open(folder, SETTINGS)
    work.mark("a")
    with monkeypatch.context() as patched:
        patched.setattr("shutil.rmtree", lambda *args, **options: None)
        work.remove()
    assert records(folder)
    assert not begun(folder)
    assert "a" not in Work.open(folder, SETTINGS)  # begins from nothing
    assert begun(folder)
    Work.open(folder, SETTINGS).remove()
    assert not folder.exists()


def test_a_full_disk_is_one_line_and_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Work.open(tmp_path / "job", SETTINGS)
    work.write("a", arrays(2))

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        for key in ("a", "b"):
            with pytest.raises(HQSAMError, match="No space left on device") as error:
                work.write(key, arrays())
            assert "\n" not in str(error.value)
    assert same(work.read("a"), arrays(2))
    assert "b" not in work
    assert work.bytes == sum(p.stat().st_size for p in records(tmp_path / "job"))
    assert not list((tmp_path / "job" / "tmp").iterdir())


def test_pickles_are_neither_written_nor_read(tmp_path: Path) -> None:
    work = Work.open(tmp_path / "job", SETTINGS)
    with pytest.raises(ValueError, match="allow_pickle"):
        work.write("a", {"a": np.array([object()])})
    assert "a" not in work


def test_thousands_of_records_are_spread_over_folders(tmp_path: Path) -> None:
    work = Work.open(tmp_path / "job", SETTINGS)
    for n in range(600):
        work.mark(f"window {n}")
    fullest = max(len(list(p.iterdir())) for p in (tmp_path / "job" / "records").iterdir())
    assert fullest < 20
    assert all(f"window {n}" in Work.open(tmp_path / "job", SETTINGS) for n in (0, 599))
