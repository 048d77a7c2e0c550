"""One folder for the embeddings of all images, with one budget."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from napari_hqsam.embedding.folder import folder_status, prune_folder, store_path, stores_in
from napari_hqsam.embedding.mark import window_name
from napari_hqsam.embedding.store import EmbeddingStore
from napari_hqsam.errors import HQSAMError
from napari_hqsam.images import ImageSource
from napari_hqsam.images.windows import Window
from napari_hqsam.storage import exclusive

from .tiny import MAPPING, WINDOWS, features, image, model


def store(folder: Path, name: str, source: ImageSource | None = None) -> EmbeddingStore:
    source = source or image()
    return EmbeddingStore.open(store_path(folder, source, name), source, MAPPING, model())


def write(into: EmbeddingStore, window: Window, used: int) -> None:
    into.write(window, features(window), "pixels")
    os.utime(into.run.mark(window_name(window)), (used, used))


@pytest.fixture
def two(tmp_path: Path) -> tuple[EmbeddingStore, EmbeddingStore]:
    """Windows 0, 2, 4 of the first were used at 0, 2, 4, and 1, 3, 5 of the other at 1, 3, 5."""
    both = store(tmp_path, "a"), store(tmp_path, "b")
    for i in range(6):
        write(both[i % 2], WINDOWS[i], i)
    return both


def test_an_image_finds_its_store_again_and_others_have_their_own(tmp_path: Path) -> None:
    path = store_path(tmp_path, image(), "DAPI: z/stack 1")
    assert path == store_path(tmp_path, image(), "DAPI: z/stack 1")
    assert path.parent == tmp_path
    others = [
        store_path(tmp_path, image(), "GFP"),
        store_path(tmp_path, image((64, 88)), "DAPI: z/stack 1"),
        store_path(tmp_path, image(), "../.."),
    ]
    assert len({path, *others}) == 4
    assert {p.parent for p in others} == {tmp_path}


def test_what_the_stores_take_together(two: tuple, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("not a store")
    (tmp_path / "a folder").mkdir()
    found = folder_status(tmp_path)
    assert (found.stores, found.windows) == (2, 6)
    assert found.bytes == sum(each.status().bytes for each in two)
    assert folder_status(two[0].path).windows == 3  # a store by itself is such a folder, too
    assert folder_status(tmp_path / "none").bytes == 0


def test_those_not_used_for_longest_go_first_whatever_the_store(two: tuple, tmp_path: Path) -> None:
    before = folder_status(tmp_path).bytes
    budget = before * 2 // 3 + 5000  # the arrays have metadata, too
    freed = prune_folder(tmp_path, budget)
    assert freed.windows == 2
    assert [w for each in two for w in each.windows() if w in WINDOWS[:2]] == []
    assert folder_status(tmp_path).windows == 4
    assert folder_status(tmp_path).bytes == before - freed.bytes <= budget
    # all of one store before one window of the other
    write(two[0], WINDOWS[2], 1)
    write(two[0], WINDOWS[4], 1)
    assert prune_folder(tmp_path, before // 3 + 5000).windows == 2
    assert set(two[1].windows()) == {WINDOWS[3], WINDOWS[5]}


def test_what_keeps_to_the_budget_is_left_alone(two: tuple, tmp_path: Path) -> None:
    assert prune_folder(tmp_path, folder_status(tmp_path).bytes).windows == 0
    assert prune_folder(tmp_path, 0).windows == 6
    with pytest.raises(HQSAMError, match="budget of -1"):
        prune_folder(tmp_path, -1)


def test_a_store_in_use_does_not_keep_the_others(
    two: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = two[0].path
    monkeypatch.setattr(
        "napari_hqsam.embedding.eviction.exclusive",
        lambda path, what: exclusive(path, what, timeout=0.01),
    )
    with (
        exclusive(held / "lock", "the test"),
        pytest.raises(HQSAMError, match="another process is at work"),
    ):
        prune_folder(tmp_path, 0)
    assert [folder_status(each.path).windows for each in two] == [3, 0]


def test_it_stops_when_told(two: tuple, tmp_path: Path) -> None:
    def stop() -> None:
        raise KeyError("stop")

    for of in (folder_status, lambda *a: prune_folder(a[0], 0, a[1])):
        with pytest.raises(KeyError):
            of(tmp_path, stop)
    assert folder_status(tmp_path).windows == 6
    assert len(stores_in(tmp_path)) == 2
