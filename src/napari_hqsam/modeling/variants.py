"""The models by name, and how each is put together."""

from __future__ import annotations

from functools import partial

from torch import nn

from napari_hqsam.errors import HQSAMError
from napari_hqsam.modeling.efficientnet import MicroImageEncoder, compress_early_feature
from napari_hqsam.modeling.hq_sam import HQSam
from napari_hqsam.modeling.image_encoder import ViTImageEncoder
from napari_hqsam.modeling.mask_decoder_hq import MaskDecoderHQ, compress_vit_feature
from napari_hqsam.modeling.prompt_encoder import PlanePromptEncoder
from napari_hqsam.modeling.sam import PromptEncoder, TwoWayTransformer

_DIM = 256
# SAM's normalisation of RGB in 0-255.
_SAM_PIXELS = {"pixel_mean": (123.675, 116.28, 103.53), "pixel_std": (58.395, 57.12, 57.375)}
# That of the ImageNet weights of EfficientNet-Lite.
_LITE_PIXELS = {"pixel_mean": (127.0, 127.0, 127.0), "pixel_std": (128.0, 128.0, 128.0)}

# width, depth, heads, blocks with global attention; the first of those gives the early feature.
_VIT = {
    "vit_b": (768, 12, 12, (2, 5, 8, 11)),
    "vit_l": (1024, 24, 16, (5, 11, 17, 23)),
    "vit_h": (1280, 32, 16, (7, 15, 23, 31)),
}
# What HQ-SAM adds to SAM: 25 tensors, all of the mask decoder.
HQ_PREFIXES = tuple(
    f"mask_decoder.{module}."
    for module in (
        "hf_token",
        "hf_mlp",
        "compress_vit_feat",
        "embedding_encoder",
        "embedding_maskfeature",
    )
)
VARIANTS = ("micro", "vit_tiny", *_VIT)


def build(variant: str, *, hq: bool = True, input_size: int | None = None) -> HQSam:
    """Put a model together, with random weights, in eval mode.

    Parameters
    ----------
    variant : {"micro", "vit_tiny", "vit_b", "vit_l", "vit_h"}
    hq : bool
        False leaves out everything that HQ-SAM adds to SAM.
    input_size : int, optional
        S in model pixels, a multiple of 32, for `micro`, whose layers take any size. The ViTs are
        made for 1024.

    Raises
    ------
    HQSAMError
        If the variant is unknown.
    """
    if variant == "micro" and (input_size or 32) % 32:
        raise HQSAMError(f"input size {input_size}: micro takes multiples of 32")
    if variant != "micro" and input_size not in (None, 1024):
        raise HQSAMError(f"input size {input_size}: {variant} is made for 1024")
    if variant == "micro":
        return _build_micro(input_size or 512, hq=hq)
    if variant == "vit_tiny":
        return _build_tiny(hq=hq)
    if variant not in _VIT:
        raise HQSAMError(f"model variant {variant!r} is unknown: use one of {', '.join(VARIANTS)}")
    width, depth, heads, global_blocks = _VIT[variant]
    return build_vit(
        variant, width=width, depth=depth, heads=heads, global_blocks=global_blocks, hq=hq
    )


def build_vit(
    variant: str,
    *,
    width: int,
    depth: int,
    heads: int,
    global_blocks: tuple[int, ...],
    input_size: int = 1024,
    hq: bool = True,
) -> HQSam:
    """Put together HQ-SAM on a plain ViT of any dimensions."""
    encoder = ViTImageEncoder(
        early_block=global_blocks[0],
        img_size=input_size,
        embed_dim=width,
        depth=depth,
        num_heads=heads,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        rel_pos_zero_init=True,
        window_size=14,
        global_attn_indexes=global_blocks,
    )
    return _sam(variant, encoder, compress_vit_feature(width) if hq else None, input_size)


def _build_tiny(*, hq: bool) -> HQSam:
    from napari_hqsam.modeling.tiny_vit import EARLY_WIDTH, TinyViTImageEncoder

    compress = compress_vit_feature(EARLY_WIDTH) if hq else None
    return _sam("vit_tiny", TinyViTImageEncoder(), compress, 1024)


def _build_micro(input_size: int, *, hq: bool) -> HQSam:
    model = HQSam(
        "micro",
        MicroImageEncoder(_DIM),
        PlanePromptEncoder(input_size, _DIM),
        _decoder(compress_early_feature(_DIM) if hq else None, mlp_dim=1024),
        input_size=input_size,
        **_LITE_PIXELS,
    )
    model.refines_parts = model.trusts_boxes = True
    return model.eval()


def _sam(variant: str, encoder: nn.Module, compress: nn.Module | None, input_size: int) -> HQSam:
    side = input_size // HQSam.embedding_stride
    prompt_encoder = PromptEncoder(
        embed_dim=_DIM,
        image_embedding_size=(side, side),
        input_image_size=(input_size, input_size),
        mask_in_chans=16,
    )
    decoder = _decoder(compress, mlp_dim=2048)
    return HQSam(
        variant, encoder, prompt_encoder, decoder, input_size=input_size, **_SAM_PIXELS
    ).eval()


def _decoder(compress: nn.Module | None, *, mlp_dim: int) -> MaskDecoderHQ:
    transformer = TwoWayTransformer(depth=2, embedding_dim=_DIM, num_heads=8, mlp_dim=mlp_dim)
    return MaskDecoderHQ(transformer_dim=_DIM, transformer=transformer, compress_vit_feat=compress)


def hq_parameter_names(model: HQSam) -> set[str]:
    """Names of the tensors that HQ-SAM adds to SAM: those that its training changes."""
    return {name for name, _ in model.named_parameters() if name.startswith(HQ_PREFIXES)}
