from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from napari_hqsam.modeling import Decoded, PromptBatch, TileFeatures


class BrightInBox:
    """Stands in for HQSam: a mask is what is bright, within the box if there is one.

    A negative click on it makes the mask smaller by its upper half.

    Attributes
    ----------
    seconds : float
        How long an encode takes.
    encoded, decoded : int
        How often each was asked for.
    """

    has_hq = True
    refines_parts = trusts_boxes = False
    device = torch.device("cpu")
    input_size = 256

    def __init__(self) -> None:
        self.seconds = self.hq_seconds = 0.0
        self.encoded = self.decoded = 0

    def preprocess(self, pixels: Tensor) -> Tensor:
        h, w = pixels.shape[-2:]
        return F.pad(pixels / 127.5 - 1, (0, self.input_size - w, 0, self.input_size - h), value=-1)

    def encode(self, images: Tensor, between: Callable[[], None] = lambda: None) -> TileFeatures:
        self.encoded += 1
        end = time.monotonic() + self.seconds
        while time.monotonic() < end:
            between()
            time.sleep(0.01)
        brightness = F.avg_pool2d(images[:, :1], 4)
        return TileFeatures(F.avg_pool2d(brightness, 4), brightness)

    def prepare(self, features: TileFeatures) -> TileFeatures:
        return features

    def decode(
        self,
        features: TileFeatures,
        image_index: Tensor,
        prompts: PromptBatch,
        *,
        hq: bool = True,
        first: Callable[[Decoded], None] | None = None,
    ) -> Decoded:
        self.decoded += 1
        logits = features.hq.index_select(0, image_index).clone()
        grid = torch.arange(self.input_size // 4) * 4 + 1.5
        if prompts.boxes is not None:
            x0, y0, x1, y1 = (v[:, None] for v in prompts.boxes.T)
            x = torch.minimum(grid - x0, x1 - grid)[:, None, :]
            y = torch.minimum(grid - y0, y1 - grid)[:, :, None]
            logits = torch.minimum(logits, (torch.minimum(x, y) + 0.5)[:, None])
        if prompts.labels is not None:
            for n in range(len(logits)):
                for (_, y), label in zip(prompts.points[n], prompts.labels[n], strict=True):
                    if label == 0:
                        logits[n, :, grid <= y] = -1
        n = len(image_index)
        scores = torch.full((n, 4), 0.9)
        sam = (logits / 2).expand(-1, 4, -1, -1)
        if first is not None:
            first(Decoded(sam, None, scores))
            time.sleep(self.hq_seconds)
        return Decoded(sam, logits / 2 if hq else None, scores)


@pytest.fixture(autouse=True)
def user_folder(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """What users have set and made is left alone: settings, labels and journals go here."""
    from napari import settings

    folder = tmp_path_factory.mktemp("user")
    monkeypatch.setenv("NAPARI_HQSAM_DATA", str(folder / "data"))
    monkeypatch.setattr(settings, "_CFG_PATH", str(folder / "settings.yaml"))
    monkeypatch.setenv("NAPARI_CONFIG", str(folder / "settings.yaml"))  # of a napari that is run
    settings._clear_plugin_settings_cache()
    yield folder
    settings._clear_plugin_settings_cache()


@pytest.fixture
def viewer(make_napari_viewer: Any) -> Any:
    return make_napari_viewer()


@pytest.fixture
def dock(viewer: Any) -> Iterator[Any]:
    """The Annotate dock in the window."""
    _, widget = viewer.window.add_plugin_dock_widget("napari-hqsam", "Annotate")
    yield widget
    widget.shut_down()


@pytest.fixture
def warned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the dock warns of."""
    lines: list[str] = []
    monkeypatch.setattr("napari_hqsam.plugin.annotate.widget.show_warning", lines.append)
    return lines


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> BrightInBox:
    """The model that the dock loads, under whatever name."""
    fake = BrightInBox()
    monkeypatch.setattr("napari_hqsam.weights.load_model", lambda *_args, **_kwargs: fake)
    return fake


@pytest.fixture
def until(qtbot: Any) -> Iterator[Callable[..., None]]:
    """Let the window live until a condition holds."""

    def wait(condition: Callable[[], bool], timeout: int = 20_000) -> None:
        qtbot.waitUntil(condition, timeout=timeout)

    return wait
