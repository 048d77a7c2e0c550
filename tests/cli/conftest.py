from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from torch import Tensor
from torch.nn import functional as F

from napari_hqsam.cli import main
from napari_hqsam.modeling import Decoded, PromptBatch, TileFeatures
from napari_hqsam.modeling.hq_sam import check_mode


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """The models here are too small for more; threads would only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@dataclass
class Result:
    status: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line of an error, of which there must be no more."""
        assert self.status == 2, (self.status, self.out, self.err)
        assert self.err.startswith("napari-hqsam: ")
        assert self.err.count("\n") == 1
        assert self.err.endswith("\n")
        return self.err.removeprefix("napari-hqsam: ").rstrip("\n")


Command = Callable[..., Result]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    def run(*arguments: object) -> Result:
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        return Result(status, *capsys.readouterr())

    return run


class BoxModel:
    """Stands in for HQSam: its mask is the box, or a disc around the first point.

    Attributes
    ----------
    batches : list of PromptBatch
        What it was asked.
    """

    has_hq = True
    refines_parts = trusts_boxes = False
    device = torch.device("cpu")
    precision = "float32"
    input_size = 256
    radius = 20

    def __init__(self) -> None:
        self.batches: list[PromptBatch] = []

    def preprocess(self, pixels: Tensor) -> Tensor:
        h, w = pixels.shape[-2:]
        return F.pad(pixels, (0, self.input_size - w, 0, self.input_size - h))

    def encode(self, images: Tensor, between: object = None) -> TileFeatures:
        return TileFeatures(torch.zeros(1, 1, 16, 16), torch.zeros(1, 1, 64, 64))

    def prepare(self, features: TileFeatures) -> TileFeatures:
        return features

    def decode(
        self, features: TileFeatures, image_index: Tensor, prompts: PromptBatch, *, hq: bool = True
    ) -> Decoded:
        check_mode("hq+sam" if hq else "sam", has_hq=True)
        self.batches.append(prompts)
        grid = torch.arange(self.input_size // 4) * 4 + 1.5
        if prompts.boxes is not None:
            x0, y0, x1, y1 = (v[:, None] for v in prompts.boxes.T)
            x = torch.minimum(grid - x0, x1 - grid)[:, None, :]
            y = torch.minimum(grid - y0, y1 - grid)[:, :, None]
            inside = torch.minimum(x, y) + 0.5
        else:
            assert prompts.points is not None
            x, y = prompts.points[:, 0].T
            squares = (grid - x[:, None])[:, None] ** 2 + (grid - y[:, None])[:, :, None] ** 2
            inside = self.radius - squares.sqrt()
        half = inside[:, None] / 2
        return Decoded(
            half.repeat(1, 4, 1, 1), half if hq else None, half.new_full((len(x), 4), 0.9)
        )


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> BoxModel:
    """The stand-in, in place of every model that is loaded."""
    model = BoxModel()
    monkeypatch.setattr("napari_hqsam.weights.load_model", lambda *args, **options: model)
    return model


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading a model is a failure: what is wrong can be told before."""

    def load(*args: object, **options: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("napari_hqsam.weights.load_model", load)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A plane of 96 x 128 pixels of 0.25 x 0.5 µm, as Fiji saves it."""
    path = tmp_path / "an image.tif"
    pixels = np.random.default_rng(0).integers(0, 4000, (96, 128), np.uint16)
    tifffile.imwrite(
        path, pixels, imagej=True, resolution=(1 / 0.5, 1 / 0.25), metadata={"unit": "micron"}
    )
    return path


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """Five planes of 64 x 80 pixels, 2 µm apart, pixels of 0.5 µm."""
    path = tmp_path / "stack.tif"
    pixels = np.random.default_rng(0).integers(0, 255, (5, 64, 80), np.uint8)
    metadata = {"axes": "ZYX", "unit": "um", "spacing": 2.0}
    tifffile.imwrite(path, pixels, imagej=True, resolution=(2.0, 2.0), metadata=metadata)
    return path
