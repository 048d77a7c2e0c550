"""The attention of SAM's ViT, exact, without its large temporary tensors.

SAM adds to the score of a query and a key a bias for their distance along y and one for that along
x (Li et al., "MViTv2", CVPR 2022); both are products of the query with learnt vectors. Taken
literally that fills, at 1024² pixels, a tensor of 4096 × 4096 scores for each head three times.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_hqsam.modeling.onednn import needs_gradient

# Queries at a time, in bfloat16 and in float32: their scores are 2 and 16 MB.
_QUERIES, _FUSED_QUERIES = 256, 1024


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
    along_y, along_x = (
        x.flatten(2, 3) for x in _biases(q, _vectors(attention, q.dtype), (side, side))
    )
    if q.device.type == "cpu" and q.dtype != torch.float32:
        # here the fused kernel has no fast product
        q, k = _widened(q, k, along_y, along_x)
        out = (q @ k.mT).softmax(-1) @ v
    else:
        bias = along_y.reshape(-1, side, 1) + along_x.reshape(-1, 1, side)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.view(*q.shape[:3], -1))
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
    if q.device.type == "cpu" and not needs_gradient(q, attention.rel_pos_h):
        out = _blockwise(attention, q, k, v, (h, w))
    else:
        out = _augmented(attention, q, k, v, (h, w))
    return out.transpose(1, 2).reshape(q.shape[0], h, w, -1)


def _vectors(attention: Any, dtype: torch.dtype) -> Tensor:
    """(d, 2 h - 1 + 2 w - 1): the vectors of all distances along y and x, the furthest first."""
    return torch.cat([attention.rel_pos_h, attention.rel_pos_w]).flip(0).T.to(dtype)


def _biases(
    q: Tensor, vectors: Tensor, shape: tuple[int, int], top: int = 0
) -> tuple[Tensor, Tensor]:
    """The biases (..., n, w, h) and (..., n, w, w) of n rows of queries (..., n w, d) from `top`.

    Views of what each query has with all the distances: of one row of queries its keys are that
    row's h neighbours in memory, one further to the left than those of the row above.
    """
    h, w = shape
    found = (q @ vectors).unflatten(-2, (-1, w))
    y, x = list(found.stride()), list(found.stride())
    y[-3] -= 1
    x[-2] -= 1
    rows = found.shape[:-1]
    return (
        found.as_strided((*rows, h), y, 2 * w - 1 + h - 1 - top),
        found.as_strided((*rows, w), x, w - 1),
    )


def _blockwise(attention: Any, q: Tensor, k: Tensor, v: Tensor, shape: tuple[int, int]) -> Tensor:
    """Some rows of queries of a head at a time: their scores fit into a CPU's cache.

    In float32 the fused kernel is the faster one; in bfloat16, for which it has no fast product,
    plain products are.
    """
    h, w = shape
    fused = q.dtype == torch.float32
    rows = max(1, (_FUSED_QUERIES if fused else _QUERIES) // w)
    scale, vectors = q.shape[-1] ** -0.5, _vectors(attention, q.dtype).contiguous()
    out = torch.empty_like(q)
    # one memory for all blocks: to ask the system for it each time costs more than to fill it
    scores = q.new_empty(rows * w, h * w)
    weights = None if fused else torch.empty_like(scores)
    for image, head, top in product(range(len(q)), range(q.shape[1]), range(0, h, rows)):
        at = (image, head, slice(top * w, (top + rows) * w))
        queries, keys, values = q[at], k[image, head], v[image, head]
        along_y, along_x = _biases(queries, vectors, shape, top)
        bias = scores[: len(queries)]
        y, x = along_y.reshape(-1, h, 1), along_x.reshape(-1, 1, w)
        torch.add(y, x, out=bias.view(-1, h, w))
        if weights is None:
            out[at] = F.scaled_dot_product_attention(
                queries[None, None], keys[None, None], values[None, None], attn_mask=bias
            )[0, 0]
        else:
            torch.addmm(bias, queries, keys.T, alpha=scale, out=bias)
            torch.softmax(bias, -1, out=weights[: len(queries)])
            torch.mm(weights[: len(queries)], values, out=out[at])
    return out


def _augmented(attention: Any, q: Tensor, k: Tensor, v: Tensor, shape: tuple[int, int]) -> Tensor:
    """The scores left to a fused kernel: no tensor of all of them is ever made."""
    along_y, along_x = (x.flatten(2, 3) for x in _biases(q, _vectors(attention, q.dtype), shape))
    queries, keys = _widened(q, k, along_y, along_x)
    wide = F.pad(v, (0, queries.shape[-1] - v.shape[-1]))  # the fused kernels take one width
    out = F.scaled_dot_product_attention(queries, keys, wide, scale=1.0)
    return out[..., : v.shape[-1]]


def _widened(q: Tensor, k: Tensor, along_y: Tensor, along_x: Tensor) -> tuple[Tensor, Tensor]:
    """Queries and keys whose products are the scores, biases included.

    The biases are further channels of the queries. Times a key that has a one at its row and one
    at its column they are the bias of the two.
    """
    h, w = along_y.shape[-1], along_x.shape[-1]
    rows = torch.eye(h, dtype=k.dtype, device=k.device).repeat_interleave(w, dim=0)
    columns = torch.eye(w, dtype=k.dtype, device=k.device).repeat(h, 1)
    places = torch.cat([rows, columns], dim=1).expand(*k.shape[:2], -1, -1)
    queries = torch.cat([q * q.shape[-1] ** -0.5, along_y, along_x], dim=-1)
    return queries, torch.cat([k, places], dim=-1)
