"""Damage costs the window that it befell, and a disk that refuses costs nothing."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from napari_hqsam.embedding.mark import window_name
from napari_hqsam.embedding.store import EmbeddingStore, StoreUnavailable
from napari_hqsam.images.windows import Window

from .tiny import WINDOWS, contents, features, fill, open_store

VICTIM = WINDOWS[2]
NAME = window_name(VICTIM)


@pytest.fixture
def store(tmp_path: Path) -> EmbeddingStore:
    """A store of five windows."""
    store = open_store(tmp_path / "store")
    fill(store, WINDOWS[:5])
    return store


def chunk(store: EmbeddingStore, array: str) -> Path:
    return store.run.chunk(array, NAME)


def flip(path: Path, where: float) -> None:
    data = bytearray(path.read_bytes())
    data[int(where * (len(data) - 5))] ^= 4
    path.write_bytes(data)


def truncate(path: Path, to: int) -> None:
    os.truncate(path, to)


def edit_mark(store: EmbeddingStore, edit: Callable[[dict], object]) -> None:
    mark = json.loads(store.run.mark(NAME).read_bytes())
    edit(mark)
    store.run.mark(NAME).write_text(json.dumps(mark))


DAMAGE = {
    "embedding deleted": lambda s: chunk(s, "embedding").unlink(),
    "hq deleted": lambda s: chunk(s, "hq").unlink(),
    "first bit flipped": lambda s: flip(chunk(s, "embedding"), 0),
    "bit flipped": lambda s: flip(chunk(s, "hq"), 0.4),
    "last bit flipped": lambda s: flip(chunk(s, "hq"), 1),
    "cut off": lambda s: truncate(chunk(s, "hq"), 1000),
    "checksum cut off": lambda s: truncate(chunk(s, "embedding"), 256 * 16 * 2),
    "emptied": lambda s: truncate(chunk(s, "embedding"), 0),
    "longer": lambda s: chunk(s, "hq").write_bytes(chunk(s, "hq").read_bytes() + b"\0"),
    "of another window": lambda s: chunk(s, "hq").write_bytes(
        s.run.chunk("hq", window_name(WINDOWS[0])).read_bytes()
    ),
    "mark emptied": lambda s: truncate(s.run.mark(NAME), 0),
    "mark cut off": lambda s: truncate(s.run.mark(NAME), 50),
    "mark no JSON": lambda s: s.run.mark(NAME).write_bytes(b"\xff\xfe\0"),
    "mark of another window": lambda s: edit_mark(s, lambda m: m.update(window="p0")),
    "mark without checksums": lambda s: edit_mark(s, lambda m: m.pop("checksums")),
    "mark of one array": lambda s: edit_mark(s, lambda m: m["checksums"].pop("hq")),
    "mark with another checksum": lambda s: edit_mark(s, lambda m: m["checksums"].update(hq=1)),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_window_alone_is_computed_again(
    store: EmbeddingStore, damage: Callable[[EmbeddingStore], object]
) -> None:
    sound = contents(store)
    damage(store)
    assert store.read(VICTIM) is None
    assert VICTIM not in store
    assert VICTIM not in set(store.windows())
    for window in WINDOWS[:5]:
        assert (store.read(window) is None) is (window == VICTIM)
    fill(store, WINDOWS[:5])
    assert store.read(VICTIM) is not None
    assert contents(store) == sound


@pytest.mark.parametrize("damage", ["hq deleted", "cut off", "emptied"])
def test_a_chunk_that_is_gone_or_cut_off_shows_without_reading(
    store: EmbeddingStore, damage: str
) -> None:
    """A resumed job asks only what is there."""
    DAMAGE[damage](store)
    assert VICTIM not in store


def test_a_window_is_discarded(store: EmbeddingStore) -> None:
    store.discard(VICTIM)
    assert VICTIM not in store
    assert store.read(VICTIM) is None
    store.discard(VICTIM)
    assert len(set(store.windows())) == 4


def test_other_features_for_a_window_replace_the_first(store: EmbeddingStore) -> None:
    """The image was edited: same window, other pixels."""
    store.write(VICTIM, features(VICTIM, seed=1), "edited")
    found = store.read(VICTIM)
    assert found.pixels_hash == "edited"
    assert torch.equal(found.features.hq, store.round(features(VICTIM, seed=1)).hq)


def test_a_replacement_cut_short_never_mixes_old_and_new(
    store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace, calls = os.replace, []

    def second_fails(old: Path, new: Path) -> None:
        calls.append(new)
        if len(calls) == 2:
            raise OSError(errno.EIO, "Input/output error")
        replace(old, new)

    monkeypatch.setattr(os, "replace", second_fails)
    with pytest.raises(StoreUnavailable):
        store.write(VICTIM, features(VICTIM, seed=1), "edited")
    assert len(calls) == 2
    assert VICTIM not in store
    assert store.read(VICTIM) is None


def test_a_window_rewritten_while_it_is_read_is_not_discarded(
    store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process puts new features between our look at the mark and that at the data."""
    read_mark, other = type(store.run).read_mark, open_store(store.path)

    def then_rewrite(run, name: str):
        mark = read_mark(run, name)
        monkeypatch.undo()
        other.write(VICTIM, features(VICTIM, seed=1), "newer")
        return mark

    monkeypatch.setattr(type(store.run), "read_mark", then_rewrite)
    assert store.read(VICTIM) is None
    assert store.read(VICTIM).pixels_hash == "newer"


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (errno.ENOSPC, "No space left on device"),
        (errno.EROFS, "Read-only file system"),
        (errno.EACCES, "Permission denied"),
    ],
)
@pytest.mark.parametrize("step", [0, 1, 2])
def test_a_disk_that_refuses_gets_a_message_and_nothing_is_marked(
    store: EmbeddingStore,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    text: str,
    step: int,
) -> None:
    """At the first array, at the second, at the mark."""
    sound, window, left = contents(store), WINDOWS[7], step
    fsync = os.fsync

    def refuse(descriptor: int) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(code, text)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StoreUnavailable, match=text) as error:
        store.write(window, features(window), "")
    assert "\n" not in str(error.value)
    assert str(store.path) in str(error.value)
    monkeypatch.undo()
    assert window not in store
    assert store.read(window) is None
    assert not any((store.path / "tmp").iterdir())
    assert sound.items() <= contents(store).items()
    store.write(window, features(window), "")  # there is room again
    assert window in store


@pytest.mark.parametrize("steps", range(12))
def test_killed_between_any_two_steps_it_resumes_to_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """Of the first window, for which the run has to be made as well."""

    class Killed(BaseException):
        pass

    left = steps

    def mortal(do: Callable) -> Callable:
        def step(*args: object, **options: object) -> object:
            nonlocal left
            left -= 1
            if left < 0:  # nor does the dead clean up
                raise Killed
            return do(*args, **options)

        return step

    store = open_store(tmp_path / "killed")
    with monkeypatch.context() as patch:
        for name in ("fsync", "replace"):
            patch.setattr(os, name, mortal(getattr(os, name)))
        patch.setattr(Path, "unlink", mortal(Path.unlink))
        with pytest.raises(Killed):
            fill(store, WINDOWS[:2])
    again = open_store(tmp_path / "killed")
    assert all(again.read(window) is not None for window in again.windows())
    fill(again, WINDOWS[:2])
    whole = open_store(tmp_path / "whole")
    fill(whole, WINDOWS[:2])
    assert contents(again) == contents(whole)


def test_where_no_folder_can_be_made_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreUnavailable, match="choose another folder"):
        open_store(tmp_path / "file" / "store")


def test_a_store_deleted_meanwhile_gets_a_message(store: EmbeddingStore) -> None:
    os.rename(store.path, store.path.with_name("elsewhere"))
    with pytest.raises(StoreUnavailable):
        store.write(WINDOWS[7], features(WINDOWS[7]), "")
    assert store.read(VICTIM) is None
    assert VICTIM not in store
    assert list(store.windows()) == []


def test_data_that_cannot_be_read_now_are_not_given_up(
    store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network disk stumbles, or a colleague may not read."""
    read = Path.read_bytes

    def stumble(path: Path) -> bytes:
        if path.name.startswith("c."):
            raise PermissionError(errno.EACCES, "Permission denied")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", stumble)
    assert store.read(VICTIM) is None
    monkeypatch.undo()
    assert store.read(VICTIM) is not None


def test_leftovers_of_killed_processes_are_passed_over_and_cleaned(store: EmbeddingStore) -> None:
    old, young = store.path / "tmp" / "1-a.partial", store.path / "tmp" / "2-b.partial"
    stray = store.run.folder / "hq" / f"{chunk(store, 'hq').name}.partial"
    in_marks = store.run.folder / "marks" / f"{NAME}.json.partial"
    for path in (old, young, stray, in_marks):
        path.write_bytes(b"half a file")
    os.utime(old, (time.time() - 7200,) * 2)

    again = open_store(store.path)
    assert set(again.windows()) == set(WINDOWS[:5])
    assert all(again.read(window) is not None for window in WINDOWS[:5])
    again.write(WINDOWS[7], features(WINDOWS[7]), "")
    assert not old.exists()
    assert young.exists()  # perhaps another process is writing it


def test_a_chunk_without_a_mark_does_not_exist(store: EmbeddingStore) -> None:
    store.run.mark(NAME).unlink()
    assert chunk(store, "hq").exists()
    assert VICTIM not in store
    assert store.read(VICTIM) is None


def test_a_run_half_made_is_made_whole(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.write(WINDOWS[0], features(WINDOWS[0]), "")
    (store.run.folder / "zarr.json").unlink()
    (store.run.folder / "hq" / "zarr.json").unlink()
    again = open_store(tmp_path)
    again.write(WINDOWS[1], features(WINDOWS[1]), "")
    assert set(open_store(tmp_path).windows()) == {WINDOWS[0], WINDOWS[1]}


def test_a_window_over_the_edge_and_a_plane_without_axes(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    window = Window((), 0, (0, 0), 64, (1, 1), 64)
    store.write(window, features(window), "")
    assert list(store.windows()) == [window]
    assert window in store
