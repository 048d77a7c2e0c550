"""HQ-SAM's mask decoder: SAM's, plus the HQ output token and the fused HQ features."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from napari_hqsam.modeling.sam import MLP, LayerNorm2d, MaskDecoder


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
        embedding: Tensor,
        image_pe: Tensor,
        sparse: Tensor,
        dense: Tensor,
        hq_features: Tensor | None,
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """Decode N prompts, each with its own image embedding.

        Parameters
        ----------
        embedding : Tensor
            (N, 256, h, w), the image embedding of each prompt, h = w = S/16.
        image_pe : Tensor
            (1, 256, h, w), its positional encoding.
        sparse : Tensor
            (N, T, 256), tokens of the points and boxes.
        dense : Tensor
            (N, 256, h, w), the dense prompt embedding.
        hq_features : Tensor or None
            (N, 32, 4h, 4w) from `hq_features`. None drops the HQ token: exact SAM.

        Returns
        -------
        sam : Tensor
            (N, 4, 4h, 4w), logits of SAM's masks; 0 is the single mask, 1-3 the candidates.
        hq : Tensor or None
            (N, 1, 4h, 4w), logits of the HQ token.
        iou : Tensor
            (N, 4), predicted IoU of SAM's masks.
        """
        n, _, h, w = embedding.shape
        own = [self.iou_token.weight, self.mask_tokens.weight]
        if hq_features is not None:
            own.append(self.hf_token.weight)
        tokens = torch.cat([torch.cat(own).expand(n, -1, -1), sparse], dim=1)

        out, src = self.transformer(embedding + dense, image_pe.expand(n, -1, -1, -1), tokens)
        src = src.transpose(1, 2).reshape(n, -1, h, w)
        upscaled = self.output_upscaling(src)

        hyper = torch.stack(
            [mlp(out[:, 1 + i]) for i, mlp in enumerate(self.output_hypernetworks_mlps)], dim=1
        )
        sam = torch.einsum("nkc,nchw->nkhw", hyper, upscaled)
        iou = self.iou_prediction_head(out[:, 0])
        if hq_features is None:
            return sam, None, iou

        upscaled_hq = self.embedding_maskfeature(upscaled) + hq_features
        hq_vector = self.hf_mlp(out[:, 1 + self.num_mask_tokens])
        return sam, torch.einsum("nc,nchw->nhw", hq_vector, upscaled_hq)[:, None], iou
