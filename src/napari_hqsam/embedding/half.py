"""Between float32 and the float16 that features are stored in."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_PIECE = 1 << 14


def to_half(tensor: Tensor) -> Tensor:
    """Round to float16; what is beyond its range is brought to its ends."""
    if tensor.dtype == torch.float16:
        return tensor.detach()
    ends = torch.finfo(torch.float16)
    return _in_pieces(lambda t: t.clamp(ends.min, ends.max), tensor.detach(), torch.float16)


def to_single(tensor: Tensor) -> Tensor:
    """Convert to float32; from float16 it is exact."""
    return _in_pieces(lambda t: t, tensor, torch.float32)


def _in_pieces(function: Callable[[Tensor], Tensor], tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Apply an elementwise function in pieces so small that torch spends one thread on them.

    On a busy computer, and while another thread encodes it is one, several threads wait for each
    other: 30 ms for what takes one of them 0.2 ms.
    """
    if tensor.device.type != "cpu":
        return function(tensor).to(dtype)
    out = torch.empty(tensor.shape, dtype=dtype)
    pieces = zip(out.view(-1).split(_PIECE), tensor.reshape(-1).split(_PIECE), strict=True)
    for piece, of_tensor in pieces:
        piece.copy_(function(of_tensor))
    return out
