"""The attention of the ViT, beside segment-anything's own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from napari_hqsam.modeling import attention
from napari_hqsam.modeling.sam import load_modeling

DIM, HEADS = 48, 3


def shipped(shape: tuple[int, int]) -> Any:
    """segment-anything's attention for a grid of tokens, with weights of a visible size."""
    torch.manual_seed(0)
    stock: Any = load_modeling("_segment_anything_as_shipped").image_encoder
    made = stock.Attention(DIM, num_heads=HEADS, use_rel_pos=True, input_size=shape)
    for parameter in made.parameters():
        parameter.data.normal_(0, 0.3)
    return made.requires_grad_(False)


def tokens(*shape: int) -> Tensor:
    return torch.randn(*shape, DIM, generator=torch.Generator().manual_seed(1))


def all_to_all(module: Any, x: Tensor) -> Tensor:
    qkv = module.qkv(x).unflatten(-1, (3, HEADS, -1)).permute(3, 0, 4, 1, 2, 5)
    return module.proj(attention.global_attention(module, qkv))


@pytest.mark.parametrize("path", ["_blockwise", "_augmented"])
@pytest.mark.parametrize("shape", [(8, 8), (5, 7)])
@pytest.mark.parametrize("batch", [1, 3])
def test_global(
    path: str, shape: tuple[int, int], batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, x = shipped(shape), tokens(batch, *shape)
    monkeypatch.setattr(attention, "_blockwise", getattr(attention, path))
    assert torch.allclose(all_to_all(module, x), module(x), atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_blocks_of_queries_may_be_any_number(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, x = shipped((6, 6)).to(dtype), tokens(1, 6, 6).to(dtype)
    whole = all_to_all(module, x)
    monkeypatch.setattr(attention, "_QUERIES", 7)
    monkeypatch.setattr(attention, "_FUSED_QUERIES", 7)
    tolerance = 1e-5 if dtype == torch.float32 else 0.02
    for other in (all_to_all(module, x), module(x)):
        assert (other - whole).norm() <= tolerance * whole.norm()


@pytest.mark.parametrize("shape", [(14, 14), (16, 10), (3, 15)])
def test_windows_with_and_without_padding(shape: tuple[int, int]) -> None:
    side = 7
    module, x = shipped((side, side)), tokens(2, *shape)
    stock: Any = load_modeling("_segment_anything_as_shipped").image_encoder
    parts, padded = stock.window_partition(x, side)
    expected = stock.window_unpartition(module(parts), side, padded, shape)
    found = module.proj(attention.window_attention(module, module.qkv(x), side))
    assert torch.allclose(found, expected, atol=1e-5)


@torch.enable_grad()
def test_gradients_are_those_of_the_plain_attention() -> None:
    module, x = shipped((5, 5)), tokens(1, 5, 5).requires_grad_()
    (expected,) = torch.autograd.grad(module(x).square().sum(), x)
    (found,) = torch.autograd.grad(all_to_all(module, x).square().sum(), x)
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-3)
