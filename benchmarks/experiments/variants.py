"""The variants of the ablation study: one class each, to be read beside the paper's tables.

All start from the same SAM: a variant says which tokens enter the decoder (`tokens`), which mask
is learnt and which is the answer (`forward`), and which tensors learn (`learns`).
Tables are those of HQ-SAM (arXiv 2306.01567).
"""

from __future__ import annotations

from copy import deepcopy
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_hqsam.modeling.efficientnet import compress_early_feature
from napari_hqsam.modeling.mask_decoder_hq import MaskDecoderHQ
from napari_hqsam.modeling.variants import HQ_PREFIXES

_HQ = tuple(prefix.removeprefix("mask_decoder.") for prefix in HQ_PREFIXES)


class Inputs(NamedTuple):
    """What a decoder is given for N objects, each with the features of its own window."""

    embedding: Tensor  # (N, 256, S/16, S/16)
    early: Tensor  # (N, 24, S/4, S/4)
    image_pe: Tensor  # (1, 256, S/16, S/16)
    sparse: Tensor  # (N, T, 256)
    dense: Tensor  # (N, 256, S/16, S/16)


class Sam(MaskDecoderHQ):
    """SAM as it is: nothing learns.

    Parameters
    ----------
    base : MaskDecoderHQ
        SAM's tensors are taken from it. Those that HQ-SAM adds are drawn anew.
    seed : int
    """

    title = "SAM"
    learns: tuple[str, ...] = ()
    # The loss is taken in the boundary region only.
    boundary_loss = False
    # The masks learnt from are coarsened first.
    coarse_masks = False

    def __init__(self, base: MaskDecoderHQ, seed: int = 0) -> None:
        torch.manual_seed(seed)
        dim = base.transformer_dim
        super().__init__(
            transformer_dim=dim,
            transformer=deepcopy(base.transformer),
            compress_vit_feat=compress_early_feature(dim),
        )
        sam = {k: v for k, v in base.state_dict().items() if not k.startswith(_HQ)}
        self.load_state_dict(sam, strict=False)

    def tokens(self) -> list[Tensor]:
        """Tokens in front of the prompt's: the IoU token, four output tokens, a variant's own."""
        return [self.iou_token.weight, self.mask_tokens.weight]

    def transform(self, x: Inputs) -> tuple[Tensor, Tensor]:
        """Tokens (N, T, 256) and mask features (N, 32, S/4, S/4), as SAM makes them."""
        n = len(x.embedding)
        tokens = torch.cat([torch.cat(self.tokens()).expand(n, -1, -1), x.sparse], dim=1)
        pe = x.image_pe.expand(n, -1, -1, -1)
        out, src = self.transformer(x.embedding + x.dense, pe, tokens)
        return out, self.output_upscaling(src.transpose(1, 2).reshape(x.embedding.shape))

    def sam_mask(self, out: Tensor, mask_features: Tensor) -> Tensor:
        """Logits (N, 1, S/4, S/4) of SAM's single mask."""
        return _dot(self.output_hypernetworks_mlps[0](out[:, 1]), mask_features)

    def forward(self, x: Inputs) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Logits (N, 1, S/4, S/4) of the mask that is learnt, and of the answer."""
        mask = self.sam_mask(*self.transform(x))
        return mask, mask


class ContextToken(Sam):
    """Table 2: three learnable tokens in the decoder's input; SAM's mask is read out."""

    title = "SAM + Context Token"
    learns = ("context",)

    def __init__(self, base: MaskDecoderHQ, seed: int = 0) -> None:
        super().__init__(base, seed)
        self.context = nn.Embedding(3, base.transformer_dim)

    def tokens(self) -> list[Tensor]:
        return [*super().tokens(), self.context.weight]


class HQToken(Sam):
    """Table 2: the HQ token and its MLP, applied to SAM's mask features; the sum is the answer."""

    title = "HQ token on mask features only"
    learns: tuple[str, ...] = ("hf_token", "hf_mlp")

    def hq_token(self) -> Tensor:
        return self.hf_token.weight

    def tokens(self) -> list[Tensor]:
        return [*super().tokens(), self.hq_token()]

    def features(self, mask_features: Tensor, x: Inputs) -> Tensor:
        """What the HQ token's vector is multiplied with, (N, 32, S/4, S/4)."""
        return mask_features

    def forward(self, x: Inputs) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        out, mask_features = self.transform(x)
        hq_vector = self.hf_mlp(out[:, 1 + self.num_mask_tokens])
        hq = _dot(hq_vector, self.features(mask_features, x))
        return hq, self.sam_mask(out, mask_features) + hq


class HQTokenTimesOutputToken(HQToken):
    """Table 2: the HQ token is multiplied with SAM's output token to give a new token.

    The paper says "scaled dot product", its first author that the product of the two is a new
    token (SysCV/sam-hq, discussion 120): it is taken element by element.
    """

    title = "HQ token × output token, mask features only"

    def hq_token(self) -> Tensor:
        return self.hf_token.weight * self.mask_tokens.weight[:1]


class HQTokenBoundaryLoss(HQToken):
    """Table 2: the HQ token learns from the boundary region only."""

    title = "HQ token with boundary loss, mask features only"
    boundary_loss = True


class FusionConv(HQToken):
    """Table 3: the mask features pass the fusion convolutions; no feature of the encoder."""

    title = "HQ features without early, without final"
    learns = (*HQToken.learns, "embedding_maskfeature")

    def features(self, mask_features: Tensor, x: Inputs) -> Tensor:
        return self.embedding_maskfeature(mask_features)


class WithoutEarly(FusionConv):
    """Table 3: mask features and the encoder's final feature."""

    title = "HQ features without early"
    learns = (*FusionConv.learns, "embedding_encoder")

    def features(self, mask_features: Tensor, x: Inputs) -> Tensor:
        return super().features(mask_features, x) + self.embedding_encoder(x.embedding)


class WithoutFinal(FusionConv):
    """Table 3: mask features and the encoder's early feature."""

    title = "HQ features without final"
    learns = (*FusionConv.learns, "compress_vit_feat")

    def features(self, mask_features: Tensor, x: Inputs) -> Tensor:
        return super().features(mask_features, x) + self.compress_vit_feat(x.early)


class HQSam(FusionConv):
    """All of HQ-SAM: its 25 tensors learn."""

    title = "HQ-SAM"
    learns = _HQ

    def features(self, mask_features: Tensor, x: Inputs) -> Tensor:
        return super().features(mask_features, x) + self.hq_features(x.embedding, x.early)


class CoarseMasks(HQSam):
    """Table 15: HQ-SAM learns from masks that are not fine."""

    title = "HQ-SAM trained on coarse masks"
    coarse_masks = True


class FineTunedDecoder(Sam):
    """Table 4: nothing is added, SAM's mask decoder learns (all that its single mask uses)."""

    title = "Fine-tuning SAM's mask decoder"
    learns = (
        "transformer",
        "iou_token",
        "mask_tokens",
        "output_upscaling",
        "output_hypernetworks_mlps.0",
    )


class FineTunedToken(Sam):
    """Table 4: nothing is added, SAM's output token and its MLP learn."""

    title = "Fine-tuning SAM's output token"
    learns = ("output_token", "output_hypernetworks_mlps.0")

    def __init__(self, base: MaskDecoderHQ, seed: int = 0) -> None:
        super().__init__(base, seed)
        self.output_token = nn.Parameter(self.mask_tokens.weight[:1].detach().clone())

    def tokens(self) -> list[Tensor]:
        return [self.iou_token.weight, self.output_token, self.mask_tokens.weight[1:]]


VARIANTS: dict[str, type[Sam]] = {
    "sam": Sam,
    "context-token": ContextToken,
    "hq-token": HQToken,
    "hq-token-x-output-token": HQTokenTimesOutputToken,
    "hq-token-boundary-loss": HQTokenBoundaryLoss,
    "without-either": FusionConv,
    "without-early": WithoutEarly,
    "without-final": WithoutFinal,
    "hq-sam": HQSam,
    "fine-tuned-decoder": FineTunedDecoder,
    "fine-tuned-token": FineTunedToken,
    "coarse-masks": CoarseMasks,
}


def boundary_band(masks: Tensor, width: int) -> Tensor:
    """1 within `width` pixels of an edge of (N, 1, S, S) masks, on either side."""
    side = 2 * width + 1
    return F.max_pool2d(masks, side, 1, width) + F.max_pool2d(-masks, side, 1, width)


def coarsened(masks: Tensor) -> Tensor:
    """Masks (N, S, S) as hurried annotators draw them: on a grid of 8 pixels, a little wide."""
    share = F.avg_pool2d(masks[:, None], 8)
    coarse = F.interpolate((share > 0.25).float(), scale_factor=8.0, mode="bilinear")[:, 0]
    coarse = (coarse > 0.5).float()
    lost = coarse.flatten(1).sum(1) == 0
    return torch.where(lost[:, None, None], masks, coarse)


def _dot(vectors: Tensor, features: Tensor) -> Tensor:
    return torch.einsum("nc,nchw->nhw", vectors, features)[:, None]
