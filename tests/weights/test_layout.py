"""Files of transformers' SamHQModel, against that model itself."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from napari_hqsam.modeling.hq_sam import PromptBatch
from napari_hqsam.modeling.variants import build_vit
from napari_hqsam.weights import read_checkpoint
from napari_hqsam.weights.layout import HQ_PREFIXES, from_transformers, unwrap

SIZE, PATCHES = 64, 4


@pytest.fixture(scope="module")
def theirs():
    from transformers import SamHQConfig, SamHQModel

    config = SamHQConfig(
        vision_config={
            "hidden_size": 768,
            "num_hidden_layers": 3,
            "num_attention_heads": 2,
            "image_size": SIZE,
            "global_attn_indexes": [1, 2],
        },
        prompt_encoder_config={"image_size": SIZE, "image_embedding_size": PATCHES},
        mask_decoder_config={"vit_dim": 768, "layer_norm_eps": 1e-5},
    )
    torch.manual_seed(0)
    model = SamHQModel(config).eval()
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.normal_(std=0.03)
            if tensor.ndim == 1:
                tensor.add_(1)
    return model


def test_the_converted_file_computes_the_same(theirs, tmp_path: Path) -> None:
    theirs.save_pretrained(tmp_path)
    checkpoint = read_checkpoint(tmp_path / "model.safetensors")
    assert (checkpoint.kind, checkpoint.variant, checkpoint.has_hq) == (
        "transformers",
        "vit_b",
        True,
    )
    ours = build_vit("vit_b", width=768, depth=3, heads=2, global_blocks=(1, 2), input_size=SIZE)
    ours.load_state_dict(checkpoint.state, strict=True)

    image = torch.randn(1, 3, SIZE, SIZE)
    points = torch.tensor([[[20.0, 30.0], [50.0, 10.0]]])
    labels = torch.tensor([[1, 0]])
    with torch.no_grad():
        expected = theirs(
            pixel_values=image,
            input_points=points[:, None],
            input_labels=labels[:, None],
            multimask_output=False,
        ).pred_masks[0, 0]
        decoded = ours.decode(ours.encode(image), torch.tensor([0]), PromptBatch(points, labels))
        logits, _ = decoded.select("hq+sam")
    assert expected.std() > 0.01
    torch.testing.assert_close(
        logits[0], expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item()
    )


def test_no_name_is_left_untranslated(theirs) -> None:
    ours = build_vit(
        "vit_b", width=768, depth=3, heads=2, global_blocks=(1, 2), input_size=SIZE
    ).state_dict()
    assert {from_transformers(name) for name in theirs.state_dict()} == set(ours)


def test_names_are_translated_in_one_pass() -> None:
    for theirs, ours in {
        "mask_decoder.output_hypernetworks_mlps.3.layers.0.weight":
            "mask_decoder.output_hypernetworks_mlps.3.layers.1.weight",
        "mask_decoder.iou_prediction_head.proj_in.weight":
            "mask_decoder.iou_prediction_head.layers.0.weight",
        "mask_decoder.transformer.layers.0.layer_norm4.bias":
            "mask_decoder.transformer.layers.0.norm4.bias",
        "mask_decoder.mask_tokens.weight": "mask_decoder.mask_tokens.weight",
        "mask_decoder.mask_norm.bias": "mask_decoder.embedding_maskfeature.1.bias",
        "prompt_encoder.mask_embed.layer_norm2.bias": "prompt_encoder.mask_downscaling.4.bias",
        "prompt_encoder.not_a_point_embed.weight": "prompt_encoder.not_a_point_embed.weight",
    }.items():  # fmt: skip
        assert from_transformers(theirs) == ours


def test_official_names_stay_as_they_are() -> None:
    model = build_vit("vit_b", width=768, depth=2, heads=2, global_blocks=(0, 1), input_size=SIZE)
    state = model.state_dict()
    assert unwrap(state).keys() == state.keys()
    assert sum(name.startswith(HQ_PREFIXES) for name in state) == 25


def test_wrappers_and_constants_are_taken_off() -> None:
    names = [
        "module.a.weight",
        "module._orig_mod.b",
        "sam.c",
        "d.sam.e",
        "pixel_mean",
        "module.pixel_std",
    ]
    assert list(unwrap(dict.fromkeys(names, 0))) == ["a.weight", "b", "c", "d.sam.e"]
