"""A store keeps to its budget by giving up what was not used for longest."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from napari_hqsam.embedding.eviction import prune, status
from napari_hqsam.embedding.mark import window_name
from napari_hqsam.embedding.store import EmbeddingStore
from napari_hqsam.errors import HQSAMError
from napari_hqsam.images.windows import Window
from napari_hqsam.storage import exclusive

from .tiny import MAPPING, WINDOWS, features, image, model, open_store


def other_run(path: Path) -> EmbeddingStore:
    return EmbeddingStore.open(path, image(), MAPPING, model(encoder=9))


def put(store: EmbeddingStore, window: Window, age: float) -> None:
    store.write(window, features(window), "")
    mark = store.run.mark(window_name(window))
    os.utime(mark, (time.time() - age,) * 2)


def each(store: EmbeddingStore) -> int:
    """Bytes of a window, chunks and mark, by the only one that is there."""
    (run,) = (r for r in store.status().runs if r.windows)
    metadata = [f for f in store.run.folder.rglob("zarr.json") if f.parent != store.run.folder]
    return run.bytes - sum(f.stat().st_size for f in metadata)


def files(path: Path) -> list[Path]:
    return [f for f in path.rglob("*") if f.is_file() and ("c." in f.name or "marks" in f.parts)]


def test_status_tells_the_runs_apart(tmp_path: Path) -> None:
    first, second = open_store(tmp_path), other_run(tmp_path)
    assert first.status().runs == ()
    for window in WINDOWS[:3]:
        first.write(window, features(window), "")
    second.write(WINDOWS[0], features(WINDOWS[0]), "")
    found = status(tmp_path)
    assert found == first.status()
    assert {run.digest: run.windows for run in found.runs} == {
        first.run.digest: 3,
        second.run.digest: 1,
    }
    assert found.windows == 4
    assert found.image == {"shape": [6, 64, 88], "dtype": "uint16"}
    assert found.bytes == sum(run.bytes for run in found.runs)
    assert all(run.key["model"] == "micro" for run in found.runs)
    on_disk = sum(f.stat().st_size for f in files(tmp_path))
    assert on_disk <= found.bytes < on_disk + 5000


def test_the_windows_used_last_stay_whatever_their_run(tmp_path: Path) -> None:
    first, second = open_store(tmp_path), other_run(tmp_path)
    put(first, WINDOWS[0], age=500)
    one = each(first)
    put(second, WINDOWS[1], age=400)
    put(first, WINDOWS[2], age=300)
    put(second, WINDOWS[3], age=200)
    put(first, WINDOWS[4], age=100)
    first.read(WINDOWS[0])  # used again
    total = first.status().bytes
    freed = first.prune(total - 2 * one + 10)
    assert freed.windows == 2
    assert set(first.windows()) == {WINDOWS[0], WINDOWS[4]}
    assert set(second.windows()) == {WINDOWS[3]}
    assert first.status().bytes == total - freed.bytes
    assert all(first.read(window) is not None for window in first.windows())
    assert len(files(tmp_path)) == 3 * 3


def test_a_store_within_its_budget_is_left_alone(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    put(store, WINDOWS[0], age=10_000)
    before = files(tmp_path)
    freed = prune(tmp_path, store.status().bytes)
    assert (freed.windows, freed.bytes) == (0, 0)
    assert files(tmp_path) == before


def test_no_budget_empties_it_and_it_goes_on(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    for window in WINDOWS[:3]:
        put(store, window, age=10)
    assert prune(tmp_path, 0).windows == 3
    assert files(tmp_path) == []
    store.write(WINDOWS[0], features(WINDOWS[0]), "")
    assert store.read(WINDOWS[0]) is not None


def test_the_mark_goes_before_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed half-way, eviction leaves no mark without its data."""
    store = open_store(tmp_path)
    put(store, WINDOWS[0], age=10)
    unlink = Path.unlink

    def only_once(path: Path, missing_ok: bool = False) -> None:
        unlink(path, missing_ok)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "unlink", only_once)
    with pytest.raises(KeyboardInterrupt):
        store.prune(0)
    assert list(store.windows()) == []
    assert len(files(tmp_path)) == 2


def test_what_was_never_finished_is_deleted_once_it_is_old(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    for window in WINDOWS[:3]:
        put(store, window, age=10)
    for window, age in ((WINDOWS[0], 7200), (WINDOWS[1], 10)):  # killed before their marks
        store.discard(window)
        for array in store.run.array_names:
            os.utime(store.run.chunk(array, window_name(window)), (time.time() - age,) * 2)
    stray = store.run.folder / "hq" / "c.1.0.0.0.partial"
    stray.write_bytes(b"x" * 100)
    os.utime(stray, (0, 0))
    total = store.status().bytes
    freed = store.prune(10**9)
    assert freed.windows == 0
    assert freed.bytes > 100
    assert store.status().bytes == total - freed.bytes
    assert not stray.exists()
    there = [store.run.chunk("hq", window_name(window)).exists() for window in WINDOWS[:3]]
    assert there == [False, True, True]
    assert store.read(WINDOWS[2]) is not None


def test_one_process_prunes_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(tmp_path)
    put(store, WINDOWS[0], age=10)
    monkeypatch.setattr(exclusive.__wrapped__, "__defaults__", (0.05,))
    with exclusive(tmp_path / "lock", "it"), pytest.raises(HQSAMError, match="another process"):
        store.prune(0)
    assert WINDOWS[0] in store
    assert store.prune(0).windows == 1


def test_what_is_no_store_has_no_status(tmp_path: Path) -> None:
    for ask in (status, lambda path: prune(path, 0)):
        with pytest.raises(HQSAMError, match="no embedding store"):
            ask(tmp_path / "nowhere")
        with pytest.raises(HQSAMError, match="no embedding store"):
            ask(tmp_path)
    open_store(tmp_path)
    with pytest.raises(HQSAMError, match="0 or more"):
        prune(tmp_path, -1)
    assert status(tmp_path).windows == 0


def test_a_damaged_run_is_left_out(tmp_path: Path) -> None:
    first, second = open_store(tmp_path), other_run(tmp_path)
    put(first, WINDOWS[0], age=10)
    put(second, WINDOWS[0], age=10)
    (second.run.folder / "zarr.json").write_text("{")
    assert status(tmp_path).windows == 1
    assert prune(tmp_path, 0).windows == 1
    assert second.run.mark(window_name(WINDOWS[0])).exists()
