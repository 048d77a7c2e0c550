"""Where features come from: memory, the store, the encoder; and who waits for whom."""

from __future__ import annotations

import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_hqsam.embedding.features import Features, Stopped
from napari_hqsam.embedding.store import EmbeddingStore, StoreUnavailable
from napari_hqsam.errors import HQSAMError
from napari_hqsam.images import IntensityMapping, open_image
from napari_hqsam.images.windows import Window, grid
from napari_hqsam.modeling import HQSam, build

WAIT = 30
ALL = (0, 0, 100, 120)
WINDOWS = grid((100, 120), 64)
MAPPING = IntensityMapping.from_limits((0, 255))


@pytest.fixture(scope="module")
def model() -> HQSam:
    torch.manual_seed(0)
    return build("micro", input_size=64).eval()


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (100, 120)).astype(np.uint8)


@pytest.fixture
def counted(model: HQSam, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often the encoder ran."""
    calls: list[int] = []
    encode = model.encode

    def counting(*args: object) -> object:
        calls.append(1)
        return encode(*args)

    monkeypatch.setattr(model, "encode", counting)
    return calls


def make(model: HQSam, image: np.ndarray, store: Path | None = None) -> Features:
    source = open_image(image)
    kept = None if store is None else EmbeddingStore.open(store, source, MAPPING, model)
    return Features(model, source, MAPPING, kept)


def test_a_window_is_encoded_once_and_found_again_on_disk(
    model: HQSam, image: np.ndarray, counted: list[int], tmp_path: Path
) -> None:
    first = make(model, image, tmp_path / "s").get(WINDOWS[1])
    again = make(model, image, tmp_path / "s")
    assert WINDOWS[1] in again
    assert WINDOWS[0] not in again
    second = again.get(WINDOWS[1])
    assert len(counted) == 1
    # the first click equals the second, bit by bit
    assert torch.equal(first.embedding, second.embedding)
    assert torch.equal(first.hq, second.hq)


def test_without_a_store_features_are_exact(model: HQSam, image: np.ndarray) -> None:
    features = make(model, image).get(WINDOWS[0])
    assert not torch.equal(features.embedding, features.embedding.half().float())


def test_an_image_edited_in_place_is_noticed(
    model: HQSam, image: np.ndarray, counted: list[int], tmp_path: Path
) -> None:
    before = make(model, image, tmp_path / "s").get(WINDOWS[0]).embedding
    image[10:20, 10:20] ^= 255
    after = make(model, image, tmp_path / "s").get(WINDOWS[0]).embedding
    assert len(counted) == 2
    assert not torch.equal(before, after)
    assert torch.equal(after, make(model, image, tmp_path / "s").get(WINDOWS[0]).embedding)
    assert len(counted) == 2


def test_a_full_disk_warns_once_and_memory_serves(
    model: HQSam, image: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = make(model, image, tmp_path / "s")

    def full(*args: object) -> None:
        raise StoreUnavailable("s: the disk is full")

    monkeypatch.setattr(features.store, "write", full)
    with pytest.warns(UserWarning, match="the disk is full; going on in memory"):
        features.get(WINDOWS[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        features.get(WINDOWS[1])
    assert WINDOWS[0] in features
    assert list(make(model, image, tmp_path / "s").offered((), ALL)) == []
    with pytest.raises(HQSAMError, match="free some space"):
        features.store_one(WINDOWS[2])


def test_prepared_windows_are_offered_and_clicked_ones_are_not(
    model: HQSam, image: np.ndarray, tmp_path: Path
) -> None:
    features = make(model, image, tmp_path / "s")
    features.get(WINDOWS[0])
    assert list(features.offered((), ALL)) == []
    features.prepare(WINDOWS[1])
    assert list(features.offered((), ALL)) == [WINDOWS[1]]
    assert list(features.offered((3,), ALL)) == []
    # what lies in the store was prepared by somebody
    assert set(make(model, image, tmp_path / "s").offered((), ALL)) == {WINDOWS[0], WINDOWS[1]}


def test_windows_elsewhere_are_not_looked_for_on_the_disk(
    model: HQSam, image: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plane may have very many, and it is asked for them at each click."""
    features = make(model, image, tmp_path / "s")
    for window in WINDOWS:
        features.prepare(window)
    looked: list[Window] = []
    there = Features.__contains__

    def watched(self: Features, window: Window) -> bool:
        looked.append(window)
        return there(self, window)

    monkeypatch.setattr(Features, "__contains__", watched)
    found = list(features.offered((), (0, 0, 10, 10)))
    assert found == looked == [w for w in WINDOWS if w.origin == (0, 0)]


def test_windows_dropped_from_memory_are_no_longer_offered(model: HQSam, image: np.ndarray) -> None:
    features = make(model, image)
    features.cache.max_bytes = 1
    features.prepare(WINDOWS[0])
    features.prepare(WINDOWS[1])
    assert list(features.offered((), ALL)) == [WINDOWS[1]]


def test_background_encoding_waits_between_blocks_for_urgent_work(
    model: HQSam, image: np.ndarray
) -> None:
    features, steps = make(model, image), []
    wait = features.gate.wait
    inside = threading.Event()

    def watched() -> None:
        steps.append(1)
        inside.set()
        wait()

    features.gate.wait = watched  # type: ignore[method-assign]
    with ThreadPoolExecutor(1) as pool:
        with features.gate.urgent():
            background = pool.submit(features.prepare, WINDOWS[0])
            assert inside.wait(WAIT)
            # a click on another window does not wait for the background
            features.get(WINDOWS[1])
            assert not background.done()
        background.result(WAIT)
    assert len(steps) > 5
    assert WINDOWS[0] in features


def test_a_stopped_window_is_not_there_and_can_be_asked_for_again(
    model: HQSam, image: np.ndarray, tmp_path: Path
) -> None:
    features = make(model, image, tmp_path / "s")
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) == 4

    with pytest.raises(Stopped):
        features.prepare(WINDOWS[0], stop)
    assert WINDOWS[0] not in features
    features.get(WINDOWS[0])
    assert WINDOWS[0] in features


def test_a_window_of_another_size_is_not_mistaken(model: HQSam, image: np.ndarray) -> None:
    features = make(model, image)
    features.prepare(WINDOWS[0])
    assert Window((), 0, (0, 0), 128, (100, 120), 64) not in features
