"""Layers as a CPU computes them fastest: by oneDNN, with what follows them in the same pass.

In float32 `F.linear` calls MKL, which uses all vector units on Intel's processors only; and an
activation of its own takes a large tensor through memory once more. oneDNN fuses the two. Its
functions are those that ``torch.compile`` makes of such layers; where they are missing, and where
gradients are asked for, the layers are torch's own.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

_NAMES = ("_linear_pointwise", "_reorder_linear_weight", "_convolution_pointwise")


class Activation(NamedTuple):
    """What follows a layer: oneDNN's name of it, its numbers and its way."""

    name: str = "none"
    numbers: tuple[float, ...] = ()
    way: str = ""

    def __call__(self, x: Tensor) -> Tensor:
        if self == GELU:
            return F.gelu(x)
        return F.relu6(x) if self == RELU6 else x


NONE = Activation()
GELU = Activation("gelu", (), "none")
RELU6 = Activation("hardtanh", (0.0, 6.0))


class Linear:
    """A linear layer of tokens (..., C), made ready once for many calls.

    Parameters
    ----------
    weight : Tensor
        (C', C).
    bias : Tensor or None
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self.weight, self.bias = weight, bias
        self._packed: Tensor | None = None
        if _fits(weight):  # laid out once as oneDNN wants it; else it would do so at every call
            self._packed = torch.ops.mkldnn._reorder_linear_weight(weight)

    @classmethod
    def of(cls, layer: Any, device_type: str) -> Linear:
        """That of a module; under autocast in its lower precision."""
        if not torch.is_autocast_enabled(device_type):
            return cls(layer.weight, layer.bias)
        low = torch.get_autocast_dtype(device_type)
        return cls(layer.weight.to(low), None if layer.bias is None else layer.bias.to(low))

    def __call__(self, x: Tensor, then: Activation = NONE) -> Tensor:
        """Tokens (..., C) → (..., C'), in the precision of the weight."""
        x = x.to(self.weight.dtype)
        if self._packed is None or needs_gradient(x):
            return then(F.linear(x, self.weight, self.bias))
        return torch.ops.mkldnn._linear_pointwise(x, self._packed, self.bias, *then)


def conv_layer(
    layer: Any, weight: Tensor, bias: Tensor, x: Tensor, then: Activation = NONE
) -> Tensor:
    """The convolution `layer` of an image (B, C, H, W) with other weights, and what follows."""
    if not _fits(x, weight) or torch.is_autocast_enabled(x.device.type):
        form = (layer.stride, layer.padding, layer.dilation, layer.groups)
        return then(F.conv2d(x, weight, bias, *form))
    form = (layer.padding, layer.stride, layer.dilation, layer.groups)
    return torch.ops.mkldnn._convolution_pointwise(x, weight, bias, *form, *then)


def needs_gradient(*tensors: Tensor) -> bool:
    """Whether what is computed with them is to be differentiable."""
    return torch.is_grad_enabled() and any(x.requires_grad for x in tensors)


def _fits(*tensors: Tensor) -> bool:
    """Whether oneDNN computes with tensors like these here."""
    if torch.compiler.is_compiling() or needs_gradient(*tensors):
        return False
    return all(x.device.type == "cpu" and x.dtype in _precisions() for x in tensors)


@cache
def _precisions() -> tuple[torch.dtype, ...]:
    if not torch.backends.mkldnn.is_available():
        return ()
    if not all(hasattr(torch.ops.mkldnn, name) for name in _NAMES):
        return ()
    low = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return (torch.float32, torch.bfloat16) if low else (torch.float32,)
