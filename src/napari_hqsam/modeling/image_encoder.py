"""SAM's ViT image encoder, which also hands out the early feature that HQ-SAM fuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from napari_hqsam.modeling.attention import global_attention, window_attention
from napari_hqsam.modeling.onednn import GELU, Linear
from napari_hqsam.modeling.sam import ImageEncoderViT

# Rows of tokens at a time, on a CPU.
_ROWS = 16

Between = Callable[[], None]
"""Called between an encoder's blocks: it may wait there for more urgent work, or raise to stop."""


def uninterrupted() -> None:
    """Go on at once with the next block."""


class ViTImageEncoder(ImageEncoderViT):  # type: ignore[misc, valid-type]
    """SAM's ViT with the output of its first global-attention block.

    Parameters
    ----------
    early_block : int
        0-based index of the block whose output is the early feature: the first block with global
        attention (HQ-SAM, section 3.2).
    **kwargs
        As for ``segment_anything.modeling.ImageEncoderViT``.
    """

    def __init__(self, *, early_block: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.early_block = early_block

    def forward(self, images: Tensor, between: Between = uninterrupted) -> tuple[Tensor, Tensor]:
        """Encode images.

        Parameters
        ----------
        images : Tensor
            (B, 3, S, S), normalised and padded.
        between : callable
            Called after each block.

        Returns
        -------
        embedding : Tensor
            (B, 256, S/16, S/16).
        early : Tensor
            (B, V, S/16, S/16), V being the width of the ViT.
        """
        x = self.patch_embed(images)
        if self.pos_embed is not None:
            x = x + self.pos_embed
        early = x
        for i, block in enumerate(self.blocks):
            x = _run(block, x)
            if i == self.early_block:
                early = x.clone()  # the next block writes into it
            between()
        return self.neck(x.permute(0, 3, 1, 2)), early.permute(0, 3, 1, 2)


def _run(block: Any, x: Tensor) -> Tensor:
    """A transformer block on tokens (B, H, W, C), some rows of them at a time.

    Without gradients what it gives is written into `x`.
    """
    attention, mlp, window = block.attn, block.mlp, block.window_size
    into, out, widen, narrow = (
        Linear.of(layer, x.device.type)
        for layer in (attention.qkv, attention.proj, mlp.lin1, mlp.lin2)
    )

    def second_half(part: Tensor, seen: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            part = part + out(seen)
            return part + narrow(widen(block.norm2(part), GELU))
        part += out(seen)
        part += narrow(widen(block.norm2(part), GELU))
        return part

    strips = _strips(x, window or _ROWS)
    keys = (into(block.norm1(part)) for part in strips)
    if window:
        seen = [window_attention(attention, qkv, window) for qkv in keys]
    else:
        heads = [
            qkv.unflatten(-1, (3, attention.num_heads, -1)).permute(3, 0, 4, 1, 2, 5)
            for qkv in keys
        ]
        seen = _strips(global_attention(attention, _joined(heads, x, 3)), _ROWS)
    found = [second_half(*pair) for pair in zip(strips, seen, strict=True)]
    return _joined(found, x, 1) if torch.is_grad_enabled() else x


def _strips(x: Tensor, rows: int) -> list[Tensor]:
    """Rows of tokens (B, H, W, C) of one image each; a GPU takes all at once.

    What is computed of a strip stays in a CPU's cache. And memory that is larger is handed back
    to the system when it is freed, which costs more than to compute what it holds.
    """
    if x.device.type != "cpu":
        return [x]
    return [strip for image in x.split(1) for strip in image.split(rows, dim=1)]


def _joined(strips: list[Tensor], x: Tensor, dim: int) -> Tensor:
    """What `_strips` took apart of `x`: rows along axis `dim`, 1 of tokens and 3 of their heads."""
    each = len(strips) // x.shape[0] if len(strips) > 1 else 1
    images = [torch.cat(strips[i : i + each], dim) for i in range(0, len(strips), each)]
    return images[0] if len(images) == 1 else torch.cat(images, 0 if dim == 1 else 1)
