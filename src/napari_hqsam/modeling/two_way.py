"""SAM's two-way transformer, exact, with less to compute for each position of the image.

A few tokens attend to thousands of positions, and these to the tokens. Instead of projecting every
position to a key, a value and a query (Kirillov et al., 2023, appendix A), the projections are
applied to the tokens: q · (W k) = (Wᵀ q) · k, and what is averaged may be projected afterwards.
With 8 tokens of 8 heads that halves the work; with more than 16 it would add to it.

In the first layer the image is as it was encoded, unless a prompt was added to it: what it is
projected to is then the same for all prompts, and `hoist` computes it once.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor


class Hoisted(NamedTuple):
    """What the first layer projects an image to, for prompts that are not added to it.

    Attributes
    ----------
    k, v : Tensor
        (heads, P, d), of the tokens' attention to the image.
    q : Tensor
        (heads, P, d), of the image's attention to the tokens.
    """

    k: Tensor
    v: Tensor
    q: Tensor


def hoist(transformer: Any, image: Tensor, image_pe: Tensor) -> Hoisted:
    """The projections of an image (1, P, C), its dense prompt included, in the first layer."""
    layer, placed = transformer.layers[0], image + image_pe
    to_image, to_tokens = layer.cross_attn_token_to_image, layer.cross_attn_image_to_token
    found = (to_image.k_proj(placed), to_image.v_proj(image), to_tokens.q_proj(placed))
    return Hoisted(*(_heads(x, to_image.num_heads)[0].contiguous() for x in found))


def transform(
    transformer: Any, image: Tensor, image_pe: Tensor, tokens: Tensor, hoisted: Hoisted | None
) -> tuple[Tensor, Tensor]:
    """Run SAM's two-way transformer.

    Parameters
    ----------
    transformer : nn.Module
        SAM's ``TwoWayTransformer``, whose weights are used.
    image : Tensor
        (N or 1, P, C), the image embedding with the dense prompt, position by position. One if
        all prompts have the same.
    image_pe : Tensor
        (1, P, C), the positional encoding of the positions.
    tokens : Tensor
        (N, T, C).
    hoisted : Hoisted or None
        From `hoist`, of `image`, if that is the same for all prompts.

    Returns
    -------
    queries : Tensor
        (N, T, C), what became of the tokens.
    image : Tensor
        (N, P, C), and of the image.
    """
    queries = tokens
    for layer in transformer.layers:
        to_image, to_tokens = layer.cross_attn_token_to_image, layer.cross_attn_image_to_token
        if layer.skip_first_layer_pe:
            queries = layer.self_attn(q=queries, k=queries, v=queries)
        else:
            q = queries + tokens
            queries = queries + layer.self_attn(q=q, k=q, v=queries)
        queries = layer.norm1(queries)
        first = hoisted if layer is transformer.layers[0] else None
        placed = image + image_pe if first is None else image
        seen = _tokens_to_image(to_image, queries + tokens, placed, image, first)
        queries = layer.norm2(queries + seen)
        queries = layer.norm3(queries + layer.mlp(queries))
        image = layer.norm4(
            _image_to_tokens(to_tokens, image, placed, queries + tokens, queries, first)
        )
    last = transformer.final_attn_token_to_image
    seen = _tokens_to_image(last, queries + tokens, image + image_pe, image, None)
    return transformer.norm_final_attn(queries + seen), image


def _tokens_to_image(
    attention: Any, q: Tensor, k: Tensor, v: Tensor, hoisted: Hoisted | None
) -> Tensor:
    """What tokens (N, T, C) see of positions, keys and values (N or 1, P, C) → (N, T, C)."""
    n, t, c = q.shape
    heads = attention.num_heads
    if hoisted is None and not _pays(attention, t):
        return attention(q=q, k=k, v=v)
    asked = _heads(attention.q_proj(q), heads) * (attention.internal_dim // heads) ** -0.5
    if hoisted is not None:
        weights = (_prompts_last(asked) @ hoisted.k.mT).softmax(-1)
        values = (weights @ hoisted.v).unflatten(1, (n, t)).transpose(0, 1)
        return attention.out_proj(values.transpose(1, 2).flatten(2))
    # The bias of the keys adds the same to all scores of a token: the softmax takes it out.
    asked = (asked @ _by_head(attention.k_proj.weight, heads)).reshape(n, heads * t, c)
    seen = _times(_times(asked, k.mT).softmax(-1), v).view(n, heads, t, c)
    values = seen @ _by_head(attention.v_proj.weight, heads).mT
    return attention.out_proj(values.transpose(1, 2).flatten(2) + attention.v_proj.bias)


def _image_to_tokens(
    attention: Any, image: Tensor, q: Tensor, k: Tensor, v: Tensor, hoisted: Hoisted | None
) -> Tensor:
    """The image and what its positions, queries (N or 1, P, C), see of tokens → (N, P, C)."""
    n, t, c = k.shape
    heads = attention.num_heads
    if hoisted is None and not _pays(attention, t):
        return image + attention(q=q, k=k, v=v)
    keys = _heads(attention.k_proj(k), heads) * (attention.internal_dim // heads) ** -0.5
    if hoisted is not None:
        scores = (_prompts_last(keys) @ hoisted.q.mT).unflatten(1, (n, t)).transpose(0, 1)
    else:
        asked = (keys @ _by_head(attention.q_proj.weight, heads)).reshape(n, heads * t, c)
        scores = _times(asked, q.mT).unflatten(1, (heads, t))
        scores = scores + (keys * attention.q_proj.bias.view(heads, 1, -1)).sum(-1, keepdim=True)
    weights = scores.softmax(2).flatten(1, 2)
    told = _heads(attention.v_proj(v), heads) @ _by_head(attention.out_proj.weight.T, heads)
    # The weights of a head add up to 1: its share of the bias may be added here.
    told = (told + attention.out_proj.bias / heads).reshape(n, heads * t, c)
    return torch.baddbmm(image, weights.mT, told)


def _pays(attention: Any, tokens: int) -> bool:
    """Whether it is less work to project the tokens than the positions."""
    return bool(tokens * attention.num_heads <= attention.internal_dim)


def _heads(x: Tensor, heads: int) -> Tensor:
    """(N, T, heads d) → (N, heads, T, d)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def _by_head(weight: Tensor, heads: int) -> Tensor:
    """(heads d, C) → (heads, d, C)."""
    return weight.unflatten(0, (heads, -1))


def _prompts_last(x: Tensor) -> Tensor:
    """(N, heads, T, d) → (heads, N T, d)."""
    return x.transpose(0, 1).flatten(1, 2)


def _times(a: Tensor, b: Tensor) -> Tensor:
    """(N, a, b) @ (N or 1, b, c); where the second is for all, in one product."""
    if len(b) < len(a):
        return (a.flatten(0, 1) @ b[0]).unflatten(0, a.shape[:2])
    return a @ b
