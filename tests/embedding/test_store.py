"""What is stored is there again, for the image and the weights that it was made of only."""

from __future__ import annotations

import json
import os
import shutil
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr

from napari_hqsam.embedding.layout import FORMAT, array_shapes
from napari_hqsam.embedding.mark import slot, window_name
from napari_hqsam.embedding.store import EmbeddingStore, StoreUnavailable, window_bytes
from napari_hqsam.errors import HQSAMError
from napari_hqsam.images import IntensityMapping
from napari_hqsam.images.windows import Window
from napari_hqsam.modeling import TileFeatures

from .tiny import MAPPING, WINDOWS, S, features, image, model, open_store


def equal(a: TileFeatures, b: TileFeatures) -> bool:
    return all(
        torch.equal(x, y) if x is not None and y is not None else x is y
        for x, y in zip(a, b, strict=True)
    )


def test_features_come_back_as_they_were_rounded(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    for window in WINDOWS:
        assert window not in store
        assert store.read(window) is None
        store.write(window, features(window), window_name(window))
    for window in WINDOWS:  # from another process, as it were
        found = open_store(tmp_path / "store").read(window)
        assert found is not None
        assert found.pixels_hash == window_name(window)
        assert found.features.embedding.dtype == torch.float32
        assert equal(found.features, store.round(features(window)))
        assert window in store
    assert set(store.windows()) == set(WINDOWS)


def test_rounding_twice_is_rounding_once(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    once = store.round(features(WINDOWS[0]))
    assert equal(store.round(once), once)
    assert equal(once, TileFeatures(*(t.half().float() for t in features(WINDOWS[0]))))
    store.write(WINDOWS[0], once, "")
    assert equal(store.read(WINDOWS[0]).features, once)


def test_numbers_beyond_float16_stay_finite(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    large = TileFeatures(*(t * 1e6 for t in features(WINDOWS[0])))
    rounded = store.round(large)
    assert torch.isfinite(rounded.embedding).all()
    assert rounded.hq.max() == torch.finfo(torch.float16).max


@pytest.mark.parametrize("value", [0.0, float("nan")])
def test_features_that_are_all_alike_are_stored(tmp_path: Path, value: float) -> None:
    """Zeros are what zarr gives for a chunk that is missing."""
    store = open_store(tmp_path)
    store.write(
        WINDOWS[3], TileFeatures(*(torch.full_like(t, value) for t in features(WINDOWS[3]))), ""
    )
    assert WINDOWS[3] in store
    np.testing.assert_array_equal(store.read(WINDOWS[3]).features.hq, value)


def test_features_computed_for_inference_are_taken(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    with torch.inference_mode():
        made = TileFeatures(*(t + 0 for t in features(WINDOWS[0])))
    store.write(WINDOWS[0], made, "")
    assert equal(store.read(WINDOWS[0]).features, store.round(features(WINDOWS[0])))


def test_any_zarr_library_reads_it(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    window = WINDOWS[4]
    store.write(window, features(window), "")
    group = zarr.open_group(store.run.folder, mode="r")
    for name, given in zip(("embedding", "hq"), features(window), strict=True):
        array = group[name]
        assert array.dtype == np.float16
        where = slot(window_name(window))
        np.testing.assert_array_equal(array[where], given[0].half())
        assert not array[where - 1].any()
    # and notices damage by itself
    chunk = store.run.chunk("hq", window_name(window))
    chunk.write_bytes(chunk.read_bytes()[:-1] + b"?")
    with pytest.raises(ValueError, match="checksum"):
        group["hq"][slot(window_name(window))]
    assert zarr.open_group(tmp_path, mode="r").attrs["napari_hqsam_embeddings"]["version"] == FORMAT


def test_plain_sam_has_no_hq_features(tmp_path: Path) -> None:
    store = EmbeddingStore.open(tmp_path, image(), MAPPING, model(hq=False))
    store.write(WINDOWS[0], features(WINDOWS[0], hq=False), "x")
    assert store.read(WINDOWS[0]).features.hq is None
    assert sorted(p.name for p in store.run.folder.iterdir() if p.is_dir()) == [
        "embedding",
        "marks",
    ]


def test_features_of_another_form_are_refused(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    twice = TileFeatures(*(torch.cat([t, t]) for t in features(WINDOWS[0])))
    for wrong in (twice, features(WINDOWS[0], hq=False)):
        with pytest.raises(ValueError, match="shapes"):
            store.write(WINDOWS[0], wrong, "")
    with pytest.raises(ValueError, match="not for a model of 64"):
        store.read(Window((0,), 0, (0, 0), 64, (64, 40), 128))
    assert not list(store.windows())


@pytest.mark.parametrize(
    "other",
    [
        {"mapping": IntensityMapping.from_limits((0, 999))},
        {"source": image().displaying("z", "x")},
        {"network": model(encoder=1.5)},
        {"network": model(head=2.5)},
        {"network": model(hq=False)},
    ],
    ids=["intensity", "another view", "other weights", "HQ head retrained", "plain SAM"],
)
def test_what_was_made_otherwise_is_made_anew_and_both_are_kept(tmp_path: Path, other) -> None:
    first, window = open_store(tmp_path), WINDOWS[0]
    first.write(window, features(window), "")
    network = other.get("network", model())
    second = EmbeddingStore.open(
        tmp_path, other.get("source", image()), other.get("mapping", MAPPING), network
    )
    assert window not in second
    assert second.read(window) is None
    second.write(window, features(window, seed=1, hq=network.has_hq), "")
    assert equal(first.read(window).features, first.round(features(window)))
    assert [run.windows for run in first.status().runs] == [1, 1]


def test_a_window_of_another_place_or_size_is_another_window(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.write(Window((0,), 0, (0, 16), 64, (64, 64), S), features(WINDOWS[0]), "")
    for other in [
        Window((1,), 0, (0, 16), 64, (64, 64), S),
        Window((0,), 1, (0, 16), 64, (64, 64), S),
        Window((0,), 0, (0, 24), 64, (64, 64), S),
        Window((0,), 0, (0, 16), 128, (64, 64), S),
    ]:
        assert other not in store
        assert store.read(other) is None


def test_windows_that_share_a_slot_are_not_mistaken_for_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_hqsam.embedding.layout.slot", lambda name: 7)
    store, (a, b) = open_store(tmp_path), WINDOWS[:2]
    store.write(a, features(a), "a")
    store.write(b, features(b), "b")
    assert store.read(a) is None
    assert equal(store.read(b).features, store.round(features(b)))


def test_it_can_be_carried_elsewhere(tmp_path: Path) -> None:
    store = open_store(tmp_path / "here" / "store")
    store.write(WINDOWS[0], features(WINDOWS[0]), "x")
    shutil.move(tmp_path / "here", tmp_path / "there")
    moved = open_store(tmp_path / "there" / "store")
    assert moved.read(WINDOWS[0]).pixels_hash == "x"
    assert not any(
        str(tmp_path).encode() in f.read_bytes() for f in moved.path.rglob("*") if f.is_file()
    )


@pytest.mark.parametrize("other", [image((6, 64, 89)), image(dtype="int16")])
def test_the_store_of_another_image_is_refused(tmp_path: Path, other) -> None:
    store = open_store(tmp_path)
    store.write(WINDOWS[0], features(WINDOWS[0]), "")
    with pytest.raises(HQSAMError, match=r"another image \(6 × 64 × 88, uint16\)") as error:
        EmbeddingStore.open(tmp_path, other, MAPPING, model())
    assert "\n" not in str(error.value)
    assert str(tmp_path) in str(error.value)
    assert store.read(WINDOWS[0]) is not None


def _set(path: Path, **changes: object) -> None:
    group = json.loads(path.read_bytes())
    group["attributes"]["napari_hqsam_embeddings"].update(changes)
    path.write_text(json.dumps(group))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda s: _set(s.path / "zarr.json", version=FORMAT + 1), "newer napari-hqsam"),
        (lambda s: _set(s.path / "zarr.json", version="x"), "damaged"),
        (lambda s: _set(s.path / "zarr.json", image=3), "damaged"),
        (lambda s: _set(s.path / "zarr.json", image={"shape": 3, "dtype": 1}), "damaged"),
        (lambda s: (s.path / "zarr.json").write_text("{"), "damaged"),
        (lambda s: (s.path / "zarr.json").write_bytes(b"\xff"), "damaged"),
        (lambda s: (s.path / "zarr.json").write_text("[]"), "damaged"),
        (lambda s: (s.path / "zarr.json").write_text("{}"), "no embedding store"),
        (lambda s: (s.path / "zarr.json").unlink(), "no embedding store"),
        (lambda s: (s.run.folder / "zarr.json").write_text(""), "damaged"),
        (lambda s: _set(s.run.folder / "zarr.json", key={}), "damaged"),
        (lambda s: (s.run.folder / "hq" / "zarr.json").write_text("{}"), "damaged"),
        (lambda s: (s.run.folder / "hq" / "zarr.json").unlink(), "damaged"),
    ],
)
def test_metadata_that_cannot_be_understood_are_left_alone(
    tmp_path: Path, harm, message: str
) -> None:
    store = open_store(tmp_path)
    store.write(WINDOWS[0], features(WINDOWS[0]), "")
    harm(store)
    before = {f: f.read_bytes() for f in tmp_path.rglob("*") if f.is_file()}
    with pytest.raises(HQSAMError, match=message) as error:
        open_store(tmp_path)
    assert "\n" not in str(error.value)
    assert str(tmp_path) in str(error.value)
    assert {f: f.read_bytes() for f in tmp_path.rglob("*") if f.is_file()} == before


def test_a_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("x")
    with pytest.raises(HQSAMError, match="not empty and no embedding store"):
        open_store(tmp_path)
    with pytest.raises(HQSAMError, match="this is a file"):
        open_store(tmp_path / "thesis.txt")
    zarr.create_group(tmp_path / "labels.zarr", attributes={"ome": {}})
    with pytest.raises(HQSAMError, match="zarr is no embedding store"):
        open_store(tmp_path / "labels.zarr")
    with pytest.raises(HQSAMError, match="a folder on a disk"):
        open_store("s3://bucket/store")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["labels.zarr", "thesis.txt"]


def test_none_is_made_unless_wanted(tmp_path: Path) -> None:
    with pytest.raises(HQSAMError, match="there is no embedding store"):
        EmbeddingStore.open(tmp_path / "x", image(), MAPPING, model(), create=False)
    assert not (tmp_path / "x").exists()
    open_store(tmp_path / "x")
    EmbeddingStore.open(tmp_path / "x", image(), MAPPING, model(), create=False)


def test_reading_changes_nothing_on_disk(tmp_path: Path) -> None:
    """So that a read-only disk serves."""
    store = open_store(tmp_path)
    store.write(WINDOWS[0], features(WINDOWS[0]), "")
    before = {f: f.stat().st_mtime_ns for f in tmp_path.rglob("*")}
    other = EmbeddingStore.open(tmp_path, image(), MAPPING, model(encoder=5))
    assert other.read(WINDOWS[0]) is None
    assert list(other.windows()) == []
    assert open_store(tmp_path).read(WINDOWS[0]) is not None
    assert {f: f.stat().st_mtime_ns for f in tmp_path.rglob("*")} == before


def test_use_is_noted_once_a_minute(tmp_path: Path) -> None:
    store, window = open_store(tmp_path), WINDOWS[0]
    store.write(window, features(window), "")
    mark = store.run.mark(window_name(window))
    for age, noted in ((30, False), (90, True)):
        then = time.time() - age
        os.utime(mark, (then, then))
        store.read(window)
        assert (mark.stat().st_mtime > then + 1) is noted


def test_use_that_cannot_be_noted_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, window = open_store(tmp_path), WINDOWS[0]
    store.write(window, features(window), "")
    os.utime(store.run.mark(window_name(window)), (0, 0))

    def refuse(*args: object) -> None:
        raise PermissionError("read-only file system")

    monkeypatch.setattr(os, "utime", refuse)
    assert store.read(window) is not None


def test_space_is_known_before(tmp_path: Path) -> None:
    assert window_bytes(1024) == 6 << 20
    assert window_bytes(512) == 3 << 19
    assert window_bytes(512, hq=False) == 1 << 19
    assert array_shapes(512)["hq"] == (32, 128, 128)
    store = open_store(tmp_path)
    for window in WINDOWS[:4]:
        store.write(window, features(window), "")
    taken = store.status().bytes
    assert 4 * window_bytes(S) < taken < 4 * (window_bytes(S) + 500) + 3000


def test_it_is_silent(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store = open_store(tmp_path)
        store.write(WINDOWS[0], features(WINDOWS[0]), "")
        store.read(WINDOWS[0])
    assert issubclass(StoreUnavailable, HQSAMError)
