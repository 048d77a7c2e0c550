"""The network as its authors ship it: what it is to be faster than, and must agree with."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from napari_hqsam.benchmark.speed import eager
from napari_hqsam.benchmark.speed.shipped import shipped_modeling
from napari_hqsam.modeling import Decoded, HQSam, PromptBatch
from napari_hqsam.modeling.hq_sam import check_mode
from napari_hqsam.modeling.image_encoder import ViTImageEncoder
from napari_hqsam.modeling.sam import PromptEncoder


class Stock:
    """Segment-anything's modules, and HQ-SAM's decoder on them, with the weights of a model.

    Parameters
    ----------
    model : HQSam
        Its tensors are used, not copied: it has to stay on its device.

    Notes
    -----
    ViTs are encoded by ``ImageEncoderViT``; `micro` and `vit_tiny`, which segment-anything does
    not have, by the same network run eagerly (`eager`). Prompts are decoded in the official way:
    the image and its positional encoding are repeated for each prompt, and the HQ features are
    computed anew at each call.
    """

    def __init__(self, model: HQSam) -> None:
        self.model = model
        self._encoder = model.image_encoder
        if isinstance(model.image_encoder, ViTImageEncoder):
            self._encoder = _image_encoder(model.image_encoder)
        self.prompt_encoder = model.prompt_encoder
        if isinstance(model.prompt_encoder, PromptEncoder):
            self.prompt_encoder = _prompt_encoder(model.prompt_encoder)
        self._decoder = _mask_decoder(model.mask_decoder)

    @property
    def is_eager(self) -> bool:
        """Whether the encoder is one that segment-anything does not have."""
        return self._encoder is self.model.image_encoder

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Encode images (B, 3, S, S), normalised and padded, in float32.

        Returns
        -------
        embedding : Tensor
            (B, 256, S/16, S/16).
        early : Tensor
            The early feature, in the shape that the model's decoder takes.
        """
        encoder: Any = self._encoder
        if self.is_eager:
            return eager.encode(encoder, images)
        x = encoder.patch_embed(images) + encoder.pos_embed
        early = x
        for i, block in enumerate(encoder.blocks):
            x = block(x)
            if i == self.model.image_encoder.early_block:
                early = x
        return encoder.neck(x.permute(0, 3, 1, 2)), early.permute(0, 3, 1, 2)

    def hq_features(self, embedding: Tensor, early: Tensor) -> Tensor:
        """What HQ-SAM fuses, (B, 32, S/4, S/4)."""
        decoder = self.model.mask_decoder
        fused = eager.run(decoder.embedding_encoder, embedding)
        return fused + eager.run(decoder.compress_vit_feat, early)

    def decode(
        self,
        embedding: Tensor,
        early: Tensor,
        image_index: Tensor,
        prompts: PromptBatch,
        *,
        hq: bool = True,
    ) -> Decoded:
        """Decode N prompts on the images (0 to B - 1) that they belong to.

        Parameters
        ----------
        embedding, early : Tensor
            From `encode`, of B images.
        image_index : Tensor
            (N,) int64.
        prompts : PromptBatch
        hq : bool
            False leaves the HQ token out: SAM.
        """
        points = None if prompts.points is None else (prompts.points, prompts.labels)
        sparse, dense = self.prompt_encoder(points=points, boxes=prompts.boxes, masks=prompts.masks)
        image_pe = self.prompt_encoder.get_dense_pe()
        return self.predict_masks(embedding, early, image_index, image_pe, sparse, dense, hq=hq)

    def predict_masks(
        self,
        embedding: Tensor,
        early: Tensor,
        image_index: Tensor,
        image_pe: Tensor,
        sparse: Tensor,
        dense: Tensor,
        *,
        hq: bool = True,
    ) -> Decoded:
        """As `decode`, from the positions (1, 256, h, w) and what the prompt encoder gives."""
        if hq:
            check_mode("hq+sam", has_hq=self.model.has_hq)
        decoder, ours, n = self._decoder, self.model.mask_decoder, len(sparse)
        own = [decoder.iou_token.weight, decoder.mask_tokens.weight]
        if hq:
            own.append(ours.hf_token.weight)
        tokens = torch.cat([torch.cat(own).expand(n, -1, -1), sparse], dim=1)
        image = embedding.index_select(0, image_index) + dense
        out, image = decoder.transformer(image, image_pe.repeat_interleave(n, dim=0), tokens)
        upscaled = decoder.output_upscaling(image.mT.unflatten(2, embedding.shape[2:]))
        networks = enumerate(decoder.output_hypernetworks_mlps, 1)
        sam = _weighted(upscaled, torch.stack([mlp(out[:, i]) for i, mlp in networks], dim=1))
        iou = decoder.iou_prediction_head(out[:, 0])
        if not hq:
            return Decoded(sam, None, iou)
        features = self.hq_features(embedding, early)
        upscaled = eager.run(ours.embedding_maskfeature, upscaled)
        upscaled = upscaled + features.index_select(0, image_index)
        vector = ours.hf_mlp(out[:, 1 + decoder.num_mask_tokens])
        return Decoded(sam, _weighted(upscaled, vector[:, None]), iou)


def _weighted(features: Tensor, vectors: Tensor) -> Tensor:
    """Masks (N, K, h, w) of features (N, C, h, w) and vectors (N, K, C)."""
    return (vectors @ features.flatten(2)).unflatten(2, features.shape[2:])


def _image_encoder(ours: Any) -> Any:
    first, norm = ours.blocks[0], ours.blocks[0].norm1
    whole = [i for i, block in enumerate(ours.blocks) if not block.window_size]
    windows = {block.window_size for block in ours.blocks} - {0}
    with torch.device("meta"):
        plain = shipped_modeling().ImageEncoderViT(
            img_size=ours.img_size,
            embed_dim=norm.normalized_shape[0],
            depth=len(ours.blocks),
            num_heads=first.attn.num_heads,
            mlp_ratio=first.mlp.lin1.out_features / first.mlp.lin1.in_features,
            out_chans=ours.neck[0].out_channels,
            norm_layer=lambda dim: nn.LayerNorm(dim, eps=norm.eps),
            use_rel_pos=first.attn.use_rel_pos,
            window_size=max(windows, default=0),
            global_attn_indexes=tuple(whole),
        )
    return _sharing(plain, ours)


def _prompt_encoder(ours: Any) -> Any:
    with torch.device("meta"):
        plain = shipped_modeling().PromptEncoder(
            embed_dim=ours.embed_dim,
            image_embedding_size=ours.image_embedding_size,
            input_image_size=ours.input_image_size,
            mask_in_chans=ours.mask_downscaling[3].out_channels,
        )
    return _sharing(plain, ours)


def _mask_decoder(ours: Any) -> Any:
    """SAM's part of an HQ-SAM decoder."""
    shipped, layers = shipped_modeling(), ours.transformer
    with torch.device("meta"):
        transformer = shipped.TwoWayTransformer(
            depth=layers.depth,
            embedding_dim=layers.embedding_dim,
            num_heads=layers.num_heads,
            mlp_dim=layers.mlp_dim,
        )
        plain = shipped.MaskDecoder(transformer_dim=ours.transformer_dim, transformer=transformer)
    return _sharing(plain, ours)


def _sharing(plain: nn.Module, ours: nn.Module) -> nn.Module:
    """`plain`, which has no memory of its own yet, with the tensors of `ours`."""
    state = ours.state_dict()
    plain.load_state_dict({key: state[key] for key in plain.state_dict()}, assign=True)
    return plain.eval().requires_grad_(False)
