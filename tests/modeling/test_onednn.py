"""Layers computed by oneDNN, beside torch's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_hqsam.modeling import onednn
from napari_hqsam.modeling.onednn import GELU, NONE, RELU6, Activation, Linear, conv_layer

PLAIN = {NONE: lambda x: x, GELU: F.gelu, RELU6: F.relu6}


@pytest.fixture(params=["with oneDNN", "gradients", "without oneDNN"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if request.param == "without oneDNN":
        monkeypatch.setattr(onednn, "_precisions", lambda: ())
    with torch.set_grad_enabled(request.param == "gradients"):
        yield str(request.param)


def drawn(path: str, *shape: int) -> Tensor:
    torch.manual_seed(0)
    return (4 * torch.randn(shape)).requires_grad_(path == "gradients")


@pytest.mark.parametrize("then", [NONE, GELU, RELU6])
@pytest.mark.parametrize("biased", [True, False])
def test_linear(path: str, then: Activation, biased: bool) -> None:
    layer = nn.Linear(48, 20, bias=biased).requires_grad_(path == "gradients")
    x = drawn(path, 2, 6, 5, 48)
    found = Linear.of(layer, "cpu")
    assert torch.allclose(found(x, then), PLAIN[then](layer(x)), atol=1e-5)
    turned = x.transpose(1, 2)  # memory of another order
    assert torch.allclose(found(turned, then), PLAIN[then](layer(turned)), atol=1e-5)
    assert found(x[0, 0], then).shape == (5, 20)


@pytest.mark.parametrize("then", [NONE, GELU])
def test_linear_of_the_lower_precision(path: str, then: Activation) -> None:
    layer, x = nn.Linear(48, 20), drawn(path, 6, 5, 48)
    with torch.autocast("cpu", torch.bfloat16):
        low = Linear.of(layer, "cpu")
        found = low(x, then)
    assert low.weight.dtype == found.dtype == torch.bfloat16
    expected = PLAIN[then](layer(x))
    assert (found - expected).norm() < 0.01 * expected.norm()


@pytest.mark.parametrize("then", [NONE, GELU, RELU6])
@pytest.mark.parametrize("form", [{"padding": 1}, {"stride": 2}, {"padding": 1, "groups": 8}])
def test_convolution(path: str, then: Activation, form: dict[str, int]) -> None:
    layer, x = nn.Conv2d(8, 16, 3, **form), drawn(path, 2, 8, 9, 7)  # type: ignore[arg-type]
    layer.requires_grad_(path == "gradients")
    bias = layer.bias
    assert bias is not None
    found = conv_layer(layer, layer.weight, bias, x, then)
    assert torch.allclose(found, PLAIN[then](layer(x)), atol=1e-5)


@torch.enable_grad()
def test_gradients_go_through() -> None:
    layer, x = nn.Linear(48, 20), drawn("gradients", 5, 48)
    with torch.no_grad():
        ready = Linear(layer.weight.detach(), layer.bias)
    for of in (x, layer.weight):
        (expected,) = torch.autograd.grad(F.gelu(layer(x)).square().sum(), of)
        (found,) = torch.autograd.grad(Linear.of(layer, "cpu")(x, GELU).square().sum(), of)
        assert torch.allclose(found, expected)
    (expected,) = torch.autograd.grad(layer(x).square().sum(), x)
    (found,) = torch.autograd.grad(ready(x).square().sum(), x)
    assert torch.allclose(found, expected)


@torch.no_grad()
def test_what_is_fast_here_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """That the functions, which torch does not promise, are there: else only time would tell."""
    assert torch.float32 in onednn._precisions()
    monkeypatch.setattr(F, "linear", None)
    monkeypatch.setattr(F, "conv2d", None)
    layer = nn.Linear(48, 20).requires_grad_(False)
    assert Linear.of(layer, "cpu")(torch.ones(3, 48)).shape == (3, 20)
    weight, bias = torch.ones(4, 2, 1, 1), torch.zeros(4)
    assert conv_layer(nn.Conv2d(2, 4, 1), weight, bias, torch.ones(1, 2, 3, 3)).shape[1] == 4
