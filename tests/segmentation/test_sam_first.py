"""SAM's mask before the HQ mask: only where that takes long."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_hqsam.images.windows import Window
from napari_hqsam.modeling import Decoded, PromptBatch, build
from napari_hqsam.segmentation import Prompts
from napari_hqsam.segmentation.decode import Prediction, decode
from napari_hqsam.segmentation.sam_first import SamFirst


def test_it_is_shown_once_the_last_one_took_long(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    shown: list[object] = []
    sam_first = SamFirst()
    sam_first.show = shown.append

    def take(seconds: float) -> int:
        with sam_first.decoding() as first:
            first("mask")  # type: ignore[arg-type]
            now[0] += seconds
        return len(shown)

    assert [take(s) for s in (0.2, 0.04, 0.2, 0.2)] == [0, 1, 1, 2]
    sam_first.show = None
    assert take(0.2) == 2


def test_it_is_what_sam_says_of_the_same_prompt() -> None:
    torch.manual_seed(0)
    model = build("micro", input_size=128).requires_grad_(False)
    window = Window((), 0, (0, 0), 128, (128, 128), 128)
    with torch.inference_mode():
        features = model.prepare(model.encode(torch.randn(1, 3, 128, 128)))
    early: list[Prediction] = []
    prompts = [Prompts(box=(20, 20, 90, 80))]
    (found,) = decode(model, features, window, prompts, [None], first=early.append)
    (shown,) = early
    assert shown.decoded.hq is None
    assert torch.equal(shown.decoded.sam, found.decoded.sam)
    assert np.array_equal(shown.mask("sam").data, found.mask("sam").data)


def test_a_model_without_hq_tells_nothing_early() -> None:
    model = build("micro", input_size=128, hq=False).requires_grad_(False)
    told: list[Decoded] = []
    with torch.inference_mode():
        features = model.encode(torch.randn(1, 3, 128, 128))
        only = torch.zeros(1, dtype=torch.long)
        box = PromptBatch(boxes=torch.tensor([[10.0, 10, 90, 80]]))
        model.decode(features, only, box, hq=False, first=told.append)
    assert not told
