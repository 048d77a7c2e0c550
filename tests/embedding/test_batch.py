"""How many windows at once: what fits, counted without a GPU."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from napari_hqsam.embedding import batch
from napari_hqsam.embedding.batch import automatic_batch, check_batch, peak_bytes, release
from napari_hqsam.errors import HQSAMError

GB = 1 << 30


def on_gpu(monkeypatch: pytest.MonkeyPatch, one: int, free: int) -> Any:
    monkeypatch.setattr(batch, "peak_bytes", lambda _: one)
    monkeypatch.setattr(batch, "_free_bytes", lambda _: free)
    return SimpleNamespace(device=torch.device("cuda"))


@pytest.mark.parametrize(
    ("one", "free", "expected"), [(1, 10, 7), (3, 10, 2), (9, 10, 1), (30, 10, 1), (1, 1000, 16)]
)
def test_as_many_as_fit_into_a_share_of_what_is_free(
    monkeypatch: pytest.MonkeyPatch, one: int, free: int, expected: int
) -> None:
    assert automatic_batch(on_gpu(monkeypatch, one * GB, free * GB)) == expected


def test_one_if_not_even_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_much(_: Any) -> int:
        raise torch.OutOfMemoryError

    model = on_gpu(monkeypatch, 1, 1)
    monkeypatch.setattr(batch, "peak_bytes", too_much)
    assert automatic_batch(model) == 1


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_one_where_nothing_is_measured(device: str) -> None:
    assert automatic_batch(SimpleNamespace(device=torch.device(device))) == 1  # type: ignore[arg-type]


def test_the_peak_counts_from_what_was_held_before(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[torch.Size] = []
    peaks = {"reset_peak_memory_stats": None, "memory_allocated": 5, "max_memory_allocated": 12}
    for name, value in peaks.items():
        monkeypatch.setattr(torch.cuda, name, lambda _, value=value: value)
    model: Any = SimpleNamespace(
        device=torch.device("meta"), input_size=64, encode=lambda x: shapes.append(x.shape)
    )
    assert peak_bytes(model, 3) == 7
    assert shapes == [(3, 3, 64, 64)]


def test_what_this_process_holds_without_need_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    held = {"memory_reserved": 9, "memory_allocated": 4, "mem_get_info": (100, 1000)}
    for name, value in held.items():
        monkeypatch.setattr(torch.cuda, name, lambda _, value=value: value)
    assert batch._free_bytes(torch.device("cuda")) == 105


def test_only_a_gpu_has_something_to_release(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: calls.append(1))
    release(torch.device("cpu"))
    assert calls == []
    release(torch.device("cuda"))
    assert calls == [1]


@pytest.mark.parametrize("value", [0, -3, 1.5, "16", "all", None])
def test_neither_a_number_nor_auto(value: object) -> None:
    with pytest.raises(HQSAMError, match="give a whole number of windows from 1 up, or auto"):
        check_batch(value)
    check_batch(1)
    check_batch("auto")
