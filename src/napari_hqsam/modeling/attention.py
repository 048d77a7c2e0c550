"""The attention of SAM's ViT, exact, without its large temporary tensors.

SAM adds to the score of a query and a key a bias for their distance along y and one for that along
x (Li et al., "MViTv2", CVPR 2022); both are products of the query with learnt vectors. Taken
literally that fills, at 1024² pixels, a tensor of 4096 × 4096 scores for each head three times.
"""

from __future__ import annotations

from itertools import product
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

# Queries at a time, in bfloat16 and in float32: their scores are 4 and 16 MB.
_QUERIES, _FUSED_QUERIES = 512, 1024


class Linear(NamedTuple):
    """A linear layer of tokens (B, H, W, C)."""

    weight: Tensor
    bias: Tensor | None

    @classmethod
    def of(cls, layer: Any, device_type: str) -> Linear:
        """That of a module; under autocast in its lower precision, cast once for many calls."""
        if not torch.is_autocast_enabled(device_type):
            return cls(layer.weight, layer.bias)
        low = torch.get_autocast_dtype(device_type)
        return cls(layer.weight.to(low), None if layer.bias is None else layer.bias.to(low))

    def __call__(self, x: Tensor) -> Tensor:
        """`F.linear`; on a CPU, in float32, as a 1 × 1 convolution.

        oneDNN's convolution uses all of the CPU's vector units, where MKL's product, which
        `F.linear` calls in float32, does so on Intel's processors only.
        """
        if x.device.type != "cpu" or self.weight.dtype != torch.float32:
            return F.linear(x.to(self.weight.dtype), *self)
        # a channels-last image is the tokens as they lie in memory
        image = x.permute(0, 3, 1, 2)
        found = F.conv2d(image, self.weight[:, :, None, None], self.bias)
        return found.permute(0, 2, 3, 1)


def window_attention(attention: Any, qkv: Tensor, side: int) -> Tensor:
    """Attention within windows of side × side tokens.

    Parameters
    ----------
    attention : nn.Module
        SAM's ``Attention``, whose learnt vectors are used.
    qkv : Tensor
        (B, H, W, 3 C) from its first linear layer.
    side : int

    Returns
    -------
    Tensor
        (B, H, W, C), before its last linear layer.

    Notes
    -----
    Where a window reaches beyond the image SAM pads its tokens with zeros, and these take part:
    their queries, keys and values are the bias of the linear layer. They are filled in as such.
    """
    b, h, w, wide = qkv.shape
    down, right = -h % side, -w % side
    if down or right:
        bias = attention.qkv.bias
        fill = qkv.new_zeros(wide) if bias is None else bias.to(qkv.dtype)
        padded = fill.expand(b, h + down, w + right, -1).clone()
        padded[:, :h, :w] = qkv
        qkv = padded
    rows, columns, heads = (h + down) // side, (w + right) // side, attention.num_heads
    qkv = qkv.view(b, rows, side, columns, side, 3, heads, -1).permute(5, 0, 1, 3, 6, 2, 4, 7)
    q, k, v = qkv.reshape(3, b * rows * columns, heads, side * side, -1).unbind()
    along_y, along_x = _biases(attention, q, (side, side))
    bias = (along_y[..., :, None] + along_x[..., None, :]).flatten(-2).flatten(2, 3)
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    out = out.view(b, rows, columns, heads, side, side, -1).permute(0, 1, 4, 2, 5, 3, 6)
    return out.reshape(b, h + down, w + right, -1)[:, :h, :w].contiguous()


def global_attention(attention: Any, qkv: Tensor) -> Tensor:
    """Attention of all tokens to all tokens.

    Parameters
    ----------
    attention : nn.Module
        SAM's ``Attention``, whose learnt vectors are used.
    qkv : Tensor
        (3, B, heads, H, W, d) from its first linear layer.

    Returns
    -------
    Tensor
        (B, H, W, C), before its last linear layer.
    """
    h, w = qkv.shape[3:5]
    q, k, v = qkv.flatten(3, 4).unbind()
    along_y, along_x = _biases(attention, q, (h, w))
    if q.device.type == "cpu":
        out = _blockwise(q, k, v, along_y.flatten(2, 3), along_x.flatten(2, 3))
    else:
        out = _augmented(q, k, v, along_y.flatten(2, 3), along_x.flatten(2, 3))
    return out.transpose(1, 2).reshape(q.shape[0], h, w, -1)


def _biases(attention: Any, q: Tensor, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The biases (B, heads, h, w, h) and (B, heads, h, w, w) of queries (B, heads, h w, d).

    Views of what each query has with all the 2 h - 1 distances: of one row of queries its keys
    are that row's h neighbours in memory, one further to the left than those of the row above.
    """
    h, w = shape
    along_y, along_x = (
        (q.reshape(-1, q.shape[-1]) @ vectors.flip(0).T.to(q.dtype)).view(*q.shape[:2], h, w, -1)
        for vectors in (attention.rel_pos_h, attention.rel_pos_w)
    )
    y, x = list(along_y.stride()), list(along_x.stride())
    y[2] -= 1
    x[3] -= 1
    return (
        along_y.as_strided((*q.shape[:2], h, w, h), y, h - 1),
        along_x.as_strided((*q.shape[:2], h, w, w), x, w - 1),
    )


def _blockwise(q: Tensor, k: Tensor, v: Tensor, along_y: Tensor, along_x: Tensor) -> Tensor:
    """Some queries of a head at a time: their scores fit into a CPU's cache.

    In float32 the fused kernel is the faster one; in bfloat16, for which it has no fast product,
    plain products are.
    """
    fused = q.dtype == torch.float32
    step = _FUSED_QUERIES if fused else _QUERIES
    scale = q.shape[-1] ** -0.5
    out = torch.empty_like(q)
    for image, head in product(*map(range, q.shape[:2])):
        keys, values = k[image, head], v[image, head]
        for start in range(0, q.shape[2], step):
            at = (image, head, slice(start, start + step))
            bias = (along_y[at][:, :, None] + along_x[at][:, None]).flatten(1)
            if fused:
                out[at] = F.scaled_dot_product_attention(
                    q[at][None, None], keys[None, None], values[None, None], attn_mask=bias
                )[0, 0]
            else:
                out[at] = torch.addmm(bias, q[at], keys.T, alpha=scale).softmax(-1) @ values
    return out


def _augmented(q: Tensor, k: Tensor, v: Tensor, along_y: Tensor, along_x: Tensor) -> Tensor:
    """The biases as further channels of the queries: no tensor of all scores is ever made.

    A query's biases, times a key that has a one at its row and one at its column, are the bias of
    the two. The scores can then be left to a fused kernel.
    """
    h, w = along_y.shape[-1], along_x.shape[-1]
    scale = q.shape[-1] ** -0.5
    rows = torch.eye(h, dtype=k.dtype, device=k.device).repeat_interleave(w, dim=0)
    columns = torch.eye(w, dtype=k.dtype, device=k.device).repeat(h, 1)
    places = torch.cat([rows, columns], dim=1).expand(*k.shape[:2], -1, -1)
    wide = F.pad(v, (0, h + w))  # the fused kernels take one width
    out = F.scaled_dot_product_attention(
        torch.cat([q * scale, along_y, along_x], dim=-1),
        torch.cat([k, places], dim=-1),
        wide,
        scale=1.0,
    )
    return out[..., : v.shape[-1]]
