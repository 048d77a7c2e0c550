"""HQ-SAM's mask decoder: SAM's, plus the HQ output token and the fused HQ features."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_hqsam.modeling.onednn import GELU, Linear
from napari_hqsam.modeling.sam import MLP, LayerNorm2d, MaskDecoder
from napari_hqsam.modeling.two_way import Hoisted, transform

# Positions of the masks at a time, on a CPU: 64 channels of them are 4 MB.
_POSITIONS = 1 << 14


def compress_vit_feature(width: int, dim: int = 256) -> nn.Sequential:
    """Early ViT feature (B, width, S/16, S/16) → (B, dim/8, S/4, S/4)."""
    return nn.Sequential(
        nn.ConvTranspose2d(width, dim, kernel_size=2, stride=2),
        LayerNorm2d(dim),
        nn.GELU(),
        nn.ConvTranspose2d(dim, dim // 8, kernel_size=2, stride=2),
    )


class MaskDecoderHQ(MaskDecoder):  # type: ignore[misc, valid-type]
    """Decode prompts into SAM's four masks and the HQ mask.

    Parameters
    ----------
    transformer_dim : int
        Width of the decoder, 256.
    transformer : nn.Module
        SAM's two-way transformer.
    compress_vit_feat : nn.Module or None
        Brings the encoder's early feature to (B, 32, S/4, S/4). None leaves out everything that
        HQ-SAM adds: the decoder is then SAM's, key for key.

    Notes
    -----
    Names of the added modules are those of the official checkpoints (HQ-SAM, section 3.2).
    The official decoder recomputes the HQ features at every click although they depend on the
    image alone; here `hq_features` computes them and `forward` takes them.
    """

    def __init__(
        self,
        *,
        transformer_dim: int,
        transformer: nn.Module,
        compress_vit_feat: nn.Module | None,
    ) -> None:
        super().__init__(transformer_dim=transformer_dim, transformer=transformer)
        dim = transformer_dim
        self.has_hq = compress_vit_feat is not None
        if not self.has_hq:
            return
        assert compress_vit_feat is not None
        self.hf_token = nn.Embedding(1, dim)
        self.hf_mlp = MLP(dim, dim, dim // 8, 3)
        self.compress_vit_feat = compress_vit_feat
        self.embedding_encoder = nn.Sequential(
            nn.ConvTranspose2d(dim, dim // 4, kernel_size=2, stride=2),
            LayerNorm2d(dim // 4),
            nn.GELU(),
            nn.ConvTranspose2d(dim // 4, dim // 8, kernel_size=2, stride=2),
        )
        self.embedding_maskfeature = nn.Sequential(
            nn.Conv2d(dim // 8, dim // 4, kernel_size=3, padding=1),
            LayerNorm2d(dim // 4),
            nn.GELU(),
            nn.Conv2d(dim // 4, dim // 8, kernel_size=3, padding=1),
        )

    def hq_features(self, embedding: Tensor, early: Tensor) -> Tensor:
        """Fuse the image embedding with the early feature; once per image.

        Parameters
        ----------
        embedding : Tensor
            (B, 256, S/16, S/16).
        early : Tensor
            The encoder's early feature, in the shape that `compress_vit_feat` takes.

        Returns
        -------
        Tensor
            (B, 32, S/4, S/4).
        """
        return self.embedding_encoder(embedding) + self.compress_vit_feat(early)

    def forward(
        self,
        image: Tensor,
        image_pe: Tensor,
        sparse: Tensor,
        hq_features: Tensor | None,
        hoisted: Hoisted | None = None,
        first: Callable[[Tensor, Tensor], None] | None = None,
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """Decode N prompts.

        Parameters
        ----------
        image : Tensor
            (N or 1, P, 256), the image embedding with the dense prompt embedding, P = (S/16)²
            positions row by row; one if all prompts have the same.
        image_pe : Tensor
            (1, P, 256), positional encoding of the image.
        sparse : Tensor
            (N, T, 256), tokens of the points and boxes.
        hq_features : Tensor or None
            (N or 1, 32, 4h, 4w) from `hq_features`. None drops the HQ token: exact SAM.
        hoisted : Hoisted, optional
            What the transformer's first layer makes of `image`, if that is one for all prompts.
        first : callable, optional
            Called with `sam` and `iou` once they are there, before the HQ mask is made.

        Returns
        -------
        sam : Tensor
            (N, 4, 4h, 4w), logits of SAM's masks; 0 is the single mask, 1-3 the candidates.
        hq : Tensor or None
            (N, 1, 4h, 4w), logits of the HQ token.
        iou : Tensor
            (N, 4), predicted IoU of SAM's masks.
        """
        n, side = len(sparse), math.isqrt(image.shape[1])
        own = [self.iou_token.weight, self.mask_tokens.weight]
        if hq_features is not None:
            own.append(self.hf_token.weight)
        tokens = torch.cat([torch.cat(own).expand(n, -1, -1), sparse], dim=1)

        out, image = transform(self.transformer, image, image_pe, tokens, hoisted)
        upscaled = self._upscaled(image.unflatten(1, (side, side)))
        hyper = torch.stack(
            [mlp(out[:, 1 + i]) for i, mlp in enumerate(self.output_hypernetworks_mlps)], dim=1
        )
        sam = (hyper @ upscaled.flatten(1, 2).mT).unflatten(-1, upscaled.shape[1:3])
        iou = self.iou_prediction_head(out[:, 0])
        if hq_features is None:
            return sam, None, iou
        if first is not None:
            first(sam, iou)
        hq_vector = self.hf_mlp(out[:, 1 + self.num_mask_tokens])
        return sam, self._hq_mask(upscaled, hq_features, hq_vector), iou

    def _upscaled(self, image: Tensor) -> Tensor:
        """SAM's two transposed convolutions: (N, h, w, 256) → (N, 4h, 4w, 32)."""
        first, norm, activation, second, _ = self.output_upscaling  # the last is GELU
        n, h, w, _ = image.shape
        out = image.new_empty((n, 4 * h, 4 * w, second.out_channels))
        once, twice = _product(first), _product(second)
        for i, top, bottom in _parts(image, _POSITIONS // 16):
            x = _doubled(once(image[i, top:bottom])).flatten(3, 4).flatten(1, 2)
            x = activation(norm(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))
            part = out[i, 4 * top : 4 * bottom]
            part.unflatten(1, (-1, 2)).unflatten(3, (-1, 2)).copy_(_doubled(twice(x, GELU)))
        return out

    def _hq_mask(self, upscaled: Tensor, hq_features: Tensor, hq_vector: Tensor) -> Tensor:
        """The HQ token's mask: (N, H, W, 32), (N or 1, 32, H, W), (N, 32) → (N, 1, H, W).

        Its last convolution, to 32 channels that are then weighted and summed, is made with
        weights that are summed before.
        """
        *before, convolution = self.embedding_maskfeature
        last: Any = convolution
        h, w = upscaled.shape[1:3]
        out = hq_vector[:, None] @ hq_features.flatten(2)
        out = (out + (hq_vector @ last.bias)[:, None, None]).unflatten(-1, (h, w))
        taps = torch.einsum("nc,ciyx->nyxi", hq_vector, last.weight).flatten(1, 2).flip(1)
        own = torch.empty_like(out)
        for i, top, bottom in _parts(upscaled, _POSITIONS):
            # each of the two convolutions needs one more row above and below
            above, below = min(top, 2), min(h - bottom, 2)
            x = upscaled[i, top - above : bottom + below].permute(0, 3, 1, 2)
            for layer in before:
                x = layer(x)
            x = x[:, :, above > 1 : x.shape[2] - (below > 1)]
            # what each position adds to those around it, and the sums of that
            around = taps[i] @ x.permute(0, 2, 3, 1).flatten(1, 2).mT
            shape = x.shape[2:]
            mask = F.fold(around, shape, last.kernel_size, padding=last.padding)
            own[i, :, top:bottom] = mask[:, :, min(above, 1) : shape[0] - min(below, 1)]
        return out + own


def _parts(x: Tensor, positions: int) -> Iterator[tuple[slice, int, int]]:
    """Prompts and rows (first, end) of (N, h, w, C): so many positions of one fit a CPU's cache."""
    n, h, w, _ = x.shape
    if x.device.type != "cpu" or x.requires_grad:
        yield slice(n), 0, h
        return
    step = max(1, positions // w)
    for i, top in product(range(n), range(0, h, step)):
        yield slice(i, i + 1), top, min(top + step, h)


def _product(layer: Any) -> Linear:
    """A transposed convolution, 2 × 2 with stride 2, as a product: no two positions overlap."""
    return Linear(layer.weight.permute(2, 3, 1, 0).flatten(0, 2), layer.bias.repeat(4))


def _doubled(x: Tensor) -> Tensor:
    """What `_product` gives, (N, h, w, 4 C), with its positions in order: (N, h, 2, w, 2, C)."""
    return x.unflatten(-1, (2, 2, -1)).transpose(2, 3)
