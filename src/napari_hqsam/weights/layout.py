"""Tensor names: those of the official HQ-SAM files, and how other files spell them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeVar

from napari_hqsam.modeling.variants import HQ_PREFIXES

_T = TypeVar("_T")

# Wrappers put their own name in front: DataParallel, torch.compile, micro-sam's trainer.
_WRAPPERS = re.compile(r"(?:module\.|_orig_mod\.|sam\.)*")
# Normalisation constants that some files carry; they are the model's, not the weights'.
_DROPPED = ("pixel_mean", "pixel_std")


def has_hq(names: Iterable[str]) -> bool:
    """Whether there is any of HQ-SAM's own tensors among `names`."""
    return any(name.startswith(HQ_PREFIXES) for name in names)


def unwrap(state: dict[str, _T]) -> dict[str, _T]:
    """The same tensors without wrappers' prefixes and without normalisation constants."""
    bare = {_WRAPPERS.sub("", name, count=1): value for name, value in state.items()}
    return {name: value for name, value in bare.items() if name not in _DROPPED}


def _mlp(theirs: str, ours: str) -> dict[str, str]:
    steps = ("proj_in", "layers.0", "proj_out")
    return {f"{theirs}.{step}": f"{ours}.layers.{i}" for i, step in enumerate(steps)}


def _sequential(theirs: str, ours: str, modules: dict[str, int]) -> dict[str, str]:
    return {f"{theirs}{name}": f"{ours}.{i}" for name, i in modules.items()}


_PE = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
# Parts of the names in transformers' SamModel and SamHQModel → parts of the official names.
_FROM_TRANSFORMERS: dict[str, str] = {
    "shared_image_embedding.positional_embedding": _PE,
    "prompt_encoder.shared_embedding.positional_embedding": _PE,
    "vision_encoder": "image_encoder",
    "vision_encoder.layers": "image_encoder.blocks",
    "patch_embed.projection": "patch_embed.proj",
    **_sequential("neck.", "neck", {"conv1": 0, "layer_norm1": 1, "conv2": 2, "layer_norm2": 3}),
    "point_embed": "point_embeddings",
    **_sequential(
        "mask_embed.",
        "mask_downscaling",
        {"conv1": 0, "layer_norm1": 1, "conv2": 3, "layer_norm2": 4, "conv3": 6},
    ),
    **{f"layer_norm{i}": f"norm{i}" for i in (1, 2, 3, 4)},
    "layer_norm_final_attn": "norm_final_attn",
    **_sequential("upscale_", "output_upscaling", {"conv1": 0, "layer_norm": 1, "conv2": 3}),
    **_sequential("compress_vit_", "compress_vit_feat", {"conv1": 0, "norm": 1, "conv2": 3}),
    **_sequential("encoder_", "embedding_encoder", {"conv1": 0, "norm": 1, "conv2": 3}),
    **_sequential("mask_", "embedding_maskfeature", {"conv1": 0, "norm": 1, "conv2": 3}),
    "hq_token": "hf_token",
    **_mlp("hq_mask_mlp", "hf_mlp"),
    **_mlp("iou_prediction_head", "iou_prediction_head"),
    **{
        theirs: ours
        for i in range(4)
        for theirs, ours in _mlp(*[f"output_hypernetworks_mlps.{i}"] * 2).items()
    },
}
# Whole dotted parts only; the longest alternative first.
_PARTS = re.compile(
    r"(?<![^.])(?:{})(?![^.])".format(
        "|".join(re.escape(part) for part in sorted(_FROM_TRANSFORMERS, key=len, reverse=True))
    )
)


def from_transformers(name: str) -> str:
    """The official name of a tensor of transformers' SamHQModel (or SamModel).

    One pass: what has been replaced is not looked at again, so ``layers.0`` that stands for the
    middle of an MLP and ``layers.0`` of the transformer do not meet.

    Examples
    --------
    >>> from_transformers("mask_decoder.hq_mask_mlp.proj_out.bias")
    'mask_decoder.hf_mlp.layers.2.bias'
    """
    return _PARTS.sub(lambda part: _FROM_TRANSFORMERS[part[0]], name)
