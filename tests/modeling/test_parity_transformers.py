"""HQ-SAM on plain ViTs against `transformers`, on random weights in the official layout.

transformers 4.53.3 only: from 4.54 on its SamHQ decoder is wrong. It knows no TinyViT.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import SamConfig, SamHQConfig, SamHQModel, SamModel
from transformers.models.sam_hq.modeling_sam_hq import SamHQPreTrainedModel

from napari_hqsam.modeling import HQSam, Mode, PromptBatch, TileFeatures, build

from . import recipe
from .models import SMALL_VIT, fill, small_vit
from .recipe import TOLERANCE

# Names of the official layout on the left, those of transformers on the right.
_NAMES = {
    "image_encoder": "vision_encoder",
    "patch_embed.proj": "patch_embed.projection",
    "blocks": "layers",
    **{f"norm{i}": f"layer_norm{i}" for i in (1, 2, 3, 4)},
    "norm_final_attn": "layer_norm_final_attn",
    "neck.0": "neck.conv1",
    "neck.1": "neck.layer_norm1",
    "neck.2": "neck.conv2",
    "neck.3": "neck.layer_norm2",
    "pe_layer.positional_encoding_gaussian_matrix": "shared_embedding.positional_embedding",
    "point_embeddings": "point_embed",
    "mask_downscaling.0": "mask_embed.conv1",
    "mask_downscaling.1": "mask_embed.layer_norm1",
    "mask_downscaling.3": "mask_embed.conv2",
    "mask_downscaling.4": "mask_embed.layer_norm2",
    "mask_downscaling.6": "mask_embed.conv3",
    "output_upscaling.0": "upscale_conv1",
    "output_upscaling.1": "upscale_layer_norm",
    "output_upscaling.3": "upscale_conv2",
    "hf_token": "hq_token",
    "compress_vit_feat.0": "compress_vit_conv1",
    "compress_vit_feat.1": "compress_vit_norm",
    "compress_vit_feat.3": "compress_vit_conv2",
    "embedding_encoder.0": "encoder_conv1",
    "embedding_encoder.1": "encoder_norm",
    "embedding_encoder.3": "encoder_conv2",
    "embedding_maskfeature.0": "mask_conv1",
    "embedding_maskfeature.1": "mask_norm",
    "embedding_maskfeature.3": "mask_conv2",
}
_MLPS = {
    "iou_prediction_head": "iou_prediction_head",
    "hf_mlp": "hq_mask_mlp",
    **{f"output_hypernetworks_mlps.{i}": f"output_hypernetworks_mlps.{i}" for i in range(4)},
}
for _ours, _theirs in _MLPS.items():
    for _i, _layer in enumerate(("proj_in", "layers.0", "proj_out")):
        _NAMES[f"{_ours}.layers.{_i}"] = f"{_theirs}.{_layer}"
_PATTERN = re.compile(
    r"(?<![^.])(" + "|".join(sorted(map(re.escape, _NAMES), key=len, reverse=True)) + r")(?![^.])"
)


def to_transformers(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors under the names of transformers."""
    renamed = {_PATTERN.sub(lambda m: _NAMES[m[0]], key): value for key, value in state.items()}
    positional = renamed["prompt_encoder.shared_embedding.positional_embedding"]
    return renamed | {"shared_image_embedding.positional_embedding": positional}


def oracle(
    model: HQSam, *, width: int, depth: int, heads: int, global_blocks: tuple[int, ...]
) -> SamHQPreTrainedModel:
    """The model of transformers with the dimensions and the weights of `model`."""
    vision = {
        "hidden_size": width,
        "num_hidden_layers": depth,
        "num_attention_heads": heads,
        "global_attn_indexes": list(global_blocks),
        "image_size": model.input_size,
        "window_size": 14,
    }
    decoder = {"layer_norm_eps": 1e-5} | ({"vit_dim": width} if model.has_hq else {})
    config_class, model_class = (SamHQConfig, SamHQModel) if model.has_hq else (SamConfig, SamModel)
    config = config_class(
        vision_config=vision,
        prompt_encoder_config={"image_size": model.input_size},
        mask_decoder_config=decoder,
    )
    theirs = model_class(config).eval()
    theirs.load_state_dict(to_transformers(model.state_dict()), strict=True)
    return theirs


@dataclass
class Pair:
    """Both implementations, and what they made of the same images."""

    name: str
    ours: HQSam
    theirs: SamHQPreTrainedModel
    early: Tensor
    features: TileFeatures
    reference: dict[str, Any]

    @classmethod
    def of(cls, name: str, model: HQSam, images: Tensor, dimensions: dict[str, Any]) -> Pair:
        theirs = oracle(model, **dimensions)
        x = model.preprocess(images)
        with torch.no_grad():
            embedding, early = model.image_encoder(x)
            hq = model.mask_decoder.hq_features(embedding, early) if model.has_hq else None
            if model.has_hq:
                keys = ("image_embeddings", "intermediate_embeddings")
                values = theirs.get_image_embeddings(x, return_dict=False)
                reference = dict(zip(keys, values, strict=True))
            else:
                reference = {"image_embeddings": theirs.get_image_embeddings(x)}
        return cls(name, model, theirs, early, TileFeatures(embedding, hq), reference)

    def decode(
        self, points: Tensor | None, labels: Tensor | None, boxes: Tensor | None,
        masks: Tensor | None, **flags: bool,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Theirs: prompts (B images, P each), masks (B, 1, side, side) → logits (B * P, ...)."""
        out = self.theirs(
            **self.reference, input_points=points, input_labels=labels, input_boxes=boxes,
            input_masks=masks, **flags,
        )  # fmt: skip
        return out.pred_masks.flatten(0, 1), out.iou_scores.flatten(0, 1)


@pytest.fixture(scope="module")
def small(images: Tensor) -> Pair:
    return Pair.of("small vit", fill(small_vit()), images, SMALL_VIT)


@pytest.fixture(scope="module")
def small_sam(images: Tensor, small: Pair) -> Pair:
    """Plain SAM in transformers; ours stays HQ-SAM, which in mode "sam" must equal it."""
    plain = Pair.of("small vit", fill(small_vit(hq=False)), images, SMALL_VIT)
    return Pair(plain.name, small.ours, plain.theirs, small.early, small.features, plain.reference)


@pytest.fixture(scope="module")
def full() -> Pair:
    pixels = torch.from_numpy(recipe.image(1024, 1024)).permute(2, 0, 1)[None]
    dimensions = {"width": 768, "depth": 12, "heads": 12, "global_blocks": (2, 5, 8, 11)}
    return Pair.of("vit_b, 1024²", fill(build("vit_b")), pixels, dimensions)


PROMPTS = ("point", "points", "box", "points+box", "point+mask", "mask", "padded points")
OUTPUTS: dict[str, tuple[Mode, bool]] = {
    "hq+sam": ("hq+sam", False),
    "hq+sam multimask": ("hq+sam", True),
    "hq": ("hq", False),
}


def tensors(prompt: str, pair: Pair, per_image: int = 1) -> dict[str, Tensor | None]:
    """Prompts for transformers: B images × P prompts, each a little elsewhere."""
    size = pair.ours.input_size
    b, p = pair.features.embedding.shape[0], per_image
    known = recipe.prompts(size)
    spec = known["points"] if "points" in prompt else known.get(prompt, {})
    if prompt == "points+box":
        spec = known[prompt]
    shift = torch.arange(b * p).reshape(b, p, 1, 1) * size / 40.0
    points = labels = boxes = masks = None
    if "points" in spec:
        points = torch.tensor(spec["points"]) + shift
        labels = torch.tensor(spec["labels"]).expand(b, p, -1).clone()
    if "box" in spec:
        boxes = torch.tensor(spec["box"]) + shift[..., 0]
    if prompt == "padded points":
        labels[..., -1] = -1
    if "mask" in prompt:
        logits = torch.from_numpy(recipe.mask_logits(size // 4))
        masks = torch.stack([logits.roll(8 * i, dims=1) for i in range(b)])[:, None]
    return {"points": points, "labels": labels, "boxes": boxes, "masks": masks}


def batch(given: dict[str, Tensor | None]) -> PromptBatch:
    """The same prompts for our side: one row per prompt, image by image."""
    boxes, masks = given["boxes"], given["masks"]
    return PromptBatch(
        points=None if given["points"] is None else given["points"].flatten(0, 1),
        labels=None if given["labels"] is None else given["labels"].flatten(0, 1),
        boxes=None if boxes is None else boxes.flatten(0, 1),
        masks=masks,
    )


def rows(prompts: PromptBatch, order: Tensor) -> PromptBatch:
    fields = {k: v if v is None else v[order] for k, v in vars(prompts).items()}
    return PromptBatch(**fields)


def compare(pair: Pair, prompt: str, agree: Callable) -> None:
    """All HQ outputs for one prompt on each image of the pair."""
    given = tensors(prompt, pair)
    images = torch.arange(len(pair.features.embedding))
    decoded = pair.ours.decode(pair.features, images, batch(given))
    for output, (mode, multimask) in OUTPUTS.items():
        logits, iou = decoded.select(mode, multimask)
        expected, expected_iou = pair.decode(
            **given, multimask_output=multimask, hq_token_only=mode == "hq"
        )
        agree(f"{pair.name}, transformers, {prompt}, {output}", logits, expected)
        torch.testing.assert_close(iou, expected_iou, atol=TOLERANCE, rtol=0)


def test_encoder(small: Pair, agree: Callable) -> None:
    embedding = small.reference["image_embeddings"]
    early = small.reference["intermediate_embeddings"][0].permute(0, 3, 1, 2)
    agree("small vit, transformers, embedding", small.features.embedding, embedding)
    agree("small vit, transformers, early", small.early, early)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_batch_of_images(prompt: str, small: Pair, agree: Callable) -> None:
    compare(small, prompt, agree)


@pytest.mark.slow
@pytest.mark.timeout(900)  # two encodings of a ViT-B: minutes where the cores are busy
@pytest.mark.parametrize("prompt", ["points+box", "point+mask"])
def test_full_size(prompt: str, full: Pair, agree: Callable) -> None:
    compare(full, prompt, agree)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_exact_sam(prompt: str, small_sam: Pair, agree: Callable) -> None:
    given = tensors(prompt, small_sam)
    decoded = small_sam.ours.decode(small_sam.features, torch.arange(3), batch(given), hq=False)
    single, iou = small_sam.decode(**given, multimask_output=False)
    agree(f"small vit, transformers SAM, {prompt}, sam", decoded.select("sam")[0], single)
    torch.testing.assert_close(decoded.select("sam")[1], iou, atol=TOLERANCE, rtol=0)

    several, ious = small_sam.decode(**given, multimask_output=True)
    order = ious.argsort(dim=1, descending=True)
    logits, scores = decoded.select("sam", multimask=True)
    expected = several[torch.arange(3)[:, None], order]
    agree(f"small vit, transformers SAM, {prompt}, sam multimask", logits, expected)
    torch.testing.assert_close(scores, ious.gather(1, order), atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("prompt", ["points", "box", "points+box"])
def test_prompts_of_mixed_images(prompt: str, small: Pair, agree: Callable) -> None:
    """Two prompts on each of three images, in any order, decoded at once."""
    given = tensors(prompt, small, per_image=2)
    order = torch.tensor([3, 0, 5, 2, 1, 4])
    decoded = small.ours.decode(small.features, order // 2, rows(batch(given), order))
    for output, (mode, multimask) in OUTPUTS.items():
        expected, _ = small.decode(**given, multimask_output=multimask, hq_token_only=mode == "hq")
        case = f"small vit, transformers, {prompt} of mixed images, {output}"
        agree(case, decoded.select(mode, multimask)[0], expected[order])


class TestParityCouldFail:
    """The parts that an implementation could drop do change these outputs."""

    @pytest.fixture
    def prompts(self, small: Pair) -> PromptBatch:
        return batch(tensors("points+box", small))

    def change(self, a: Tensor, b: Tensor) -> float:
        return ((a - b).abs().max() / b.abs().max()).item()

    def test_early_feature(self, small: Pair, prompts: PromptBatch) -> None:
        embedding = small.features.embedding
        without = TileFeatures(embedding, small.ours.mask_decoder.embedding_encoder(embedding))
        a, b = (
            small.ours.decode(features, torch.arange(3), prompts).hq
            for features in (without, small.features)
        )
        assert self.change(a, b) > 1000 * TOLERANCE

    def test_hq_token(self, small: Pair, prompts: PromptBatch) -> None:
        a, b = (
            small.ours.decode(small.features, torch.arange(3), prompts, hq=hq).sam
            for hq in (False, True)
        )
        assert self.change(a, b) > 1000 * TOLERANCE

    def test_relative_positions(self, small: Pair, images: Tensor) -> None:
        flat = small_vit()
        state = small.ours.state_dict()
        flat.load_state_dict(
            {k: torch.zeros_like(v) if "rel_pos" in k else v for k, v in state.items()}
        )
        a = flat.encode(flat.preprocess(images)).embedding
        assert self.change(a, small.features.embedding) > 1000 * TOLERANCE

    def test_images_and_prompts_differ(self, small: Pair, prompts: PromptBatch) -> None:
        masks = small.ours.decode(small.features, torch.arange(3), prompts).select()[0]
        one_image = small.ours.decode(small.features, torch.tensor([0, 0, 0]), prompts).select()[0]
        assert self.change(one_image[1], masks[1]) > 1000 * TOLERANCE
        assert self.change(one_image[1], one_image[0]) > 1000 * TOLERANCE
        assert masks.std() > 0.3
