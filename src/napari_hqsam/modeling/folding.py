"""A convolution and its batch norm as one convolution, which is what they are once trained."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from napari_hqsam.modeling.onednn import NONE, Activation, conv_layer


def conv_norm(conv: nn.Conv2d, norm: nn.BatchNorm2d, x: Tensor, then: Activation = NONE) -> Tensor:
    """``then(norm(conv(x)))``; in one pass over `x` unless the norm is being trained.

    The weights are folded at each call: that is thousands of times less work than to use them, and
    they can never be stale.
    """
    if norm.training:
        return then(norm(conv(x)))
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    weight = conv.weight * scale[:, None, None, None]
    bias = norm.bias - norm.running_mean * scale
    return conv_layer(conv, weight, bias, x, then)
