"""What goes to a GPU and comes back: nothing to do on a CPU; on a GPU beside its work."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import pytest
import torch

from napari_hqsam.embedding.transfer import fetching, ready_to_send
from napari_hqsam.modeling import TileFeatures

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def test_on_a_cpu_images_stay_and_features_are_rounded_at_once() -> None:
    image, features = torch.zeros(1, 3, 4, 4), TileFeatures(torch.full((2,), 0.1), None)
    assert ready_to_send(image, CPU) is image
    fetch = fetching(features, CPU)
    features.embedding.zero_()
    assert torch.equal(fetch().embedding, torch.full((2,), 0.1, dtype=torch.float16))


def test_images_for_a_gpu_are_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    pinned = torch.ones(2)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda _: pinned)
    assert ready_to_send(torch.zeros(2), CUDA) is pinned


@pytest.mark.parametrize("hq", [None, torch.full((1, 2), 1e6)])
def test_features_are_rounded_on_the_gpu_and_waited_for_on_another_stream(
    monkeypatch: pytest.MonkeyPatch, hq: torch.Tensor | None
) -> None:
    said: list[Any] = []

    class Stream:
        def __init__(self, device: torch.device | None = None) -> None:
            self.device = device

        def record_event(self) -> str:
            said.append("record")
            return "computed"

        def wait_event(self, event: str) -> None:
            said.append(("wait", event))

    @contextmanager
    def stream(_: Stream) -> Any:
        said.append("beside")
        yield
        said.append("back")

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", stream)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    fetch = fetching(TileFeatures(torch.full((1, 3), 0.1), hq), CUDA)
    assert said == ["record"]
    found = fetch()
    assert said == ["record", "beside", ("wait", "computed"), "back"]
    assert torch.equal(found.embedding, torch.full((1, 3), 0.1, dtype=torch.float16))
    if hq is None:
        assert found.hq is None
    else:
        assert found.hq.tolist() == [[65504, 65504]]
