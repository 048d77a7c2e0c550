from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from napari_hqsam.benchmark.speed.stock import Stock
from napari_hqsam.modeling import HQSam, build
from napari_hqsam.modeling.variants import build_vit


@pytest.fixture(autouse=True)
def _no_grad() -> Iterator[None]:
    with torch.no_grad():
        yield


def drawn(model: HQSam) -> HQSam:
    """The model with random values in every tensor, also those that are begun with zeros."""
    generator = torch.Generator().manual_seed(1)
    for name, tensor in model.state_dict().items():
        if not tensor.is_floating_point() or "gaussian" in name:
            continue
        draws = torch.randn(tensor.shape, generator=generator)
        if tensor.ndim > 1:
            draws /= math.sqrt(math.prod(tensor.shape[1:]))
        elif name.endswith("running_var"):
            draws = 1 + 0.2 * draws.tanh()
        else:
            draws = 0.2 * draws + (1 if name.endswith("weight") else 0)
        tensor.copy_(draws)
    return model.requires_grad_(False)


def small_vit(size: int = 256, *, hq: bool = True) -> HQSam:
    """HQ-SAM as for `vit_b`, on a ViT that takes milliseconds."""
    model = build_vit(
        "vit_b", width=64, depth=4, heads=2, global_blocks=(1, 3), input_size=size, hq=hq
    )
    return drawn(model)


Agree = Callable[[Tensor | None, Tensor | None], None]


@pytest.fixture(scope="session")
def agree() -> Agree:
    """Assert that a tensor equals the plain one up to rounding."""

    def check(found: Tensor | None, plain: Tensor | None) -> None:
        assert found is not None
        assert plain is not None
        assert found.shape == plain.shape
        largest = float(plain.abs().max())
        assert largest > 1e-2
        assert float((found - plain).abs().max()) <= 2e-5 * largest

    return check


@pytest.fixture(scope="session")
def vit() -> HQSam:
    return small_vit(128)


@pytest.fixture(scope="session")
def micro() -> HQSam:
    return drawn(build("micro", input_size=128))


@pytest.fixture(scope="session", params=["vit", "micro"])
def model(request: pytest.FixtureRequest) -> HQSam:
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def stock(model: HQSam) -> Stock:
    return Stock(model)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds of a clock that only moves when it is moved."""
    now = [0.0]

    class Fake:
        @staticmethod
        def perf_counter() -> float:
            return now[0]

    monkeypatch.setattr("napari_hqsam.benchmark.clock.time", Fake)
    return now
