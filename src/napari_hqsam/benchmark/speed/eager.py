"""The networks of this project as they are written down: layer by layer, nothing folded or cut.

Batch norm follows its convolution, images lie as they come, all rows are computed at once. Weights
and layers are those of the model itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from napari_hqsam.benchmark.speed.shipped import shipped_modeling
from napari_hqsam.modeling import efficientnet, tiny_vit
from napari_hqsam.modeling.sam import LayerNorm2d


def run(module: Any, x: Tensor) -> Tensor:
    """``module(x)``, computed plainly."""
    if isinstance(module, nn.Sequential):  # also the convolutions with their batch norm
        for layer in module:
            x = run(layer, x)
        return x
    forward = _FORWARD.get(type(module))
    return module(x) if forward is None else forward(module, x)


def encode(encoder: Any, images: Tensor) -> tuple[Tensor, Tensor]:
    """The embedding and the early feature that the encoder of `micro` or `vit_tiny` gives."""
    if isinstance(encoder, tiny_vit.TinyViTImageEncoder):
        x = run(encoder.patch_embed.seq, images)
        early = _stage(encoder.layers[1], _stage(encoder.layers[0], x))
        x = _stage(encoder.layers[3], _stage(encoder.layers[2], early))
        return run(encoder.neck, x), early
    backbone = encoder.backbone
    x, found = run(backbone.stem, images), []
    for stage in backbone.stages:
        x = run(stage, x)
        found.append(x)
    f4, f8, f16, f32 = (found[i] for i in (1, 2, 4, 6))
    coarse = F.interpolate(encoder.from32(f32), scale_factor=2.0, mode="bilinear")
    return run(encoder.neck, encoder.from8(f8) + encoder.from16(f16) + coarse), f4


def _norm(norm: LayerNorm2d, x: Tensor) -> Tensor:
    shipped: Tensor = shipped_modeling().image_encoder.LayerNorm2d.forward(norm, x)
    return shipped


def _inverted_residual(block: efficientnet.InvertedResidual, x: Tensor) -> Tensor:
    y = run(block.project, run(block.depthwise, run(block.expand, x)))
    return x + y if block.skip else y


def _context(block: efficientnet.ContextBlock, x: Tensor) -> Tensor:
    return x + run(block.layers, x)


def _bottleneck(block: Any, x: Tensor) -> Tensor:
    x = F.gelu(run(block.conv1, x))
    return run(block.conv3, F.gelu(run(block.conv2, x)))


def _mb_conv(block: tiny_vit.MBConv, x: Tensor) -> Tensor:
    return F.gelu(x + _bottleneck(block, x))


def _stage(stage: Any, x: Tensor) -> Tensor:
    return run(stage.downsample, run(stage.blocks, x))


def _tiny_block(block: tiny_vit.TinyViTBlock, x: Tensor) -> Tensor:
    x = run(block.local_conv, x + _attend(block, x))
    tokens, mlp = x.permute(0, 2, 3, 1), block.mlp
    tokens = tokens + mlp.fc2(F.gelu(mlp.fc1(mlp.norm(tokens))))
    return tokens.permute(0, 3, 1, 2)


def _attend(block: tiny_vit.TinyViTBlock, x: Tensor) -> Tensor:
    """Attention within the windows of (B, C, H, W), which is padded with zeros to whole ones."""
    attention, side = block.attn, block.window
    b, dim, h, w = x.shape
    x = F.pad(x, (0, -w % side, 0, -h % side))
    rows, columns = x.shape[2] // side, x.shape[3] // side
    x = x.reshape(b, dim, rows, side, columns, side).permute(0, 2, 4, 3, 5, 1)
    x = attention.norm(x.reshape(-1, side * side, dim))
    qkv = attention.qkv(x).view(*x.shape[:2], attention.heads, 3, -1)
    q, k, v = qkv.permute(3, 0, 2, 1, 4).unbind()
    bias = attention.attention_biases[:, attention.attention_bias_idxs]
    x = F.scaled_dot_product_attention(q, k, v, attn_mask=bias[None])
    x = attention.proj(x.transpose(1, 2).flatten(2))
    x = x.view(b, rows, columns, side, side, dim).permute(0, 5, 1, 3, 2, 4)
    return x.reshape(b, dim, rows * side, columns * side)[:, :, :h, :w]


_FORWARD: dict[type, Callable[..., Tensor]] = {
    LayerNorm2d: _norm,
    efficientnet.InvertedResidual: _inverted_residual,
    efficientnet.ContextBlock: _context,
    tiny_vit.MBConv: _mb_conv,
    tiny_vit.PatchMerging: _bottleneck,
    tiny_vit.TinyViTBlock: _tiny_block,
}
