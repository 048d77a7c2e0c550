"""The cache of features: its budget, its order, and its threads."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from napari_hqsam.embedding import FeatureCache
from napari_hqsam.images.windows import Window
from napari_hqsam.modeling import TileFeatures

WINDOWS = [Window((z,), 0, (0, 0), 64, (64, 64), 64) for z in range(6)]
EACH = 4 * (256 + 32 * 4)  # bytes of the features below
WAIT = 30


def features(window: Window) -> TileFeatures:
    z = float(window.plane[0])
    return TileFeatures(torch.full((1, 256, 1, 1), z), torch.full((1, 32, 2, 2), z))


def test_a_window_is_encoded_once() -> None:
    cache, encoded = FeatureCache(), []

    def encode(window: Window) -> TileFeatures:
        encoded.append(window)
        return features(window)

    first = cache.get(WINDOWS[2], encode)
    assert cache.get(WINDOWS[2], encode) is first
    # an equal window, not the same object
    assert cache.get(Window((2,), 0, (0, 0), 64, (64, 64), 64), encode) is first
    assert encoded == [WINDOWS[2]]
    assert first.embedding[0, 0, 0, 0] == 2


def test_budget_drops_what_was_used_longest_ago() -> None:
    cache = FeatureCache(max_bytes=3 * EACH)
    for window in WINDOWS[:3]:
        cache.get(window, features)
    cache.get(WINDOWS[0], features)  # used again
    cache.get(WINDOWS[3], features)
    assert [w in cache for w in WINDOWS[:4]] == [True, False, True, True]
    assert len(cache) == 3


def test_the_window_asked_for_last_stays_even_beyond_the_budget() -> None:
    cache = FeatureCache(max_bytes=EACH - 1)
    for window in WINDOWS:
        cache.get(window, features)
        assert window in cache
        assert len(cache) == 1


def test_features_of_plain_sam_are_counted() -> None:
    cache = FeatureCache(max_bytes=2 * 4 * 256)
    for window in WINDOWS[:3]:
        cache.get(window, lambda w: TileFeatures(features(w).embedding, None))
    assert len(cache) == 2


def test_an_encoder_that_fails_leaves_the_cache_usable() -> None:
    cache = FeatureCache()
    with pytest.raises(RuntimeError, match="no memory"):
        cache.get(WINDOWS[0], _fail)
    assert WINDOWS[0] not in cache
    assert cache.get(WINDOWS[0], features).embedding[0, 0, 0, 0] == 0


def _fail(window: Window) -> TileFeatures:
    raise RuntimeError("no memory")


def test_two_threads_that_ask_for_one_window_encode_it_once() -> None:
    cache = FeatureCache()
    encoded, inside, go_on = [], threading.Event(), threading.Event()

    def encode(window: Window) -> TileFeatures:
        encoded.append(window)
        inside.set()
        assert go_on.wait(WAIT)
        return features(window)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(cache.get, WINDOWS[1], encode)
        assert inside.wait(WAIT)
        second = pool.submit(cache.get, WINDOWS[1], encode)
        go_on.set()
        assert first.result(WAIT) is second.result(WAIT)
    assert encoded == [WINDOWS[1]]


def test_a_window_that_is_here_is_not_waited_for() -> None:
    cache = FeatureCache()
    here = cache.get(WINDOWS[0], features)
    inside, go_on = threading.Event(), threading.Event()

    def slow(window: Window) -> TileFeatures:
        inside.set()
        assert go_on.wait(WAIT)
        return features(window)

    with ThreadPoolExecutor(1) as pool:
        encoding = pool.submit(cache.get, WINDOWS[1], slow)
        try:
            assert inside.wait(WAIT)
            assert cache.get(WINDOWS[0], _fail) is here
            assert WINDOWS[1] not in cache
            assert len(cache) == 1
        finally:
            go_on.set()
        encoding.result(WAIT)
    assert WINDOWS[1] in cache


def test_many_threads_keep_the_budget() -> None:
    cache = FeatureCache(max_bytes=3 * EACH)

    def ask(i: int) -> bool:
        window = WINDOWS[i * 7 % 6]
        found = cache.get(window, features)
        return bool((found.embedding == window.plane[0]).all()) and len(cache) <= 3

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(400)))
    assert len(cache) == 3
