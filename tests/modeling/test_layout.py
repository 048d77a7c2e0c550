"""Keys, shapes and numbers of parameters are those of the official models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from napari_hqsam.modeling import VARIANTS, HQSam, build
from napari_hqsam.modeling.variants import hq_parameter_names

from . import recipe

OFFICIAL = json.loads((Path(__file__).parent / "expected_layout.json").read_text())
VITS = [variant for variant in VARIANTS if variant != "micro"]

# From the paper's checkpoints: early width, keys, added and total parameters.
PUBLISHED = {
    "vit_b": (768, 339, 1_071_104, 94_806_576),
    "vit_l": (1024, 507, 1_333_248, 313_676_080),
    "vit_h": (1280, 619, 1_595_392, 642_686_000),
    "vit_tiny": (160, 464, 448_512, 10_578_604),
}


def on_meta(variant: str, *, hq: bool = True) -> HQSam:
    with torch.device("meta"):
        return build(variant, hq=hq)


def count(model: HQSam) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("variant", VITS)
def test_keys_and_parameters_as_published(variant: str) -> None:
    _, keys, added, total = PUBLISHED[variant]
    model, plain = on_meta(variant), on_meta(variant, hq=False)
    assert (len(model.state_dict()), len(plain.state_dict())) == (keys, keys - 25)
    assert (count(model), count(model) - count(plain)) == (total, added)


@pytest.mark.parametrize("variant", VITS)
@pytest.mark.parametrize("kind", ["hq", "sam"])
def test_every_key_and_shape_as_in_the_official_packages(variant: str, kind: str) -> None:
    model = on_meta(variant, hq=kind == "hq")
    found = recipe.layout(model.state_dict()) | {"parameters": count(model)}
    assert found == OFFICIAL[f"{variant} {kind}"]


@pytest.mark.parametrize("variant", VITS)
def test_shapes_of_what_hq_sam_adds(variant: str) -> None:
    v = PUBLISHED[variant][0]
    expected = {"hf_token.weight": (1, 256)}
    weights = {
        "hf_mlp.layers.0": (256, 256),
        "hf_mlp.layers.1": (256, 256),
        "hf_mlp.layers.2": (32, 256),
        "compress_vit_feat.0": (v, 256, 2, 2),
        "compress_vit_feat.1": (256,),
        "compress_vit_feat.3": (256, 32, 2, 2),
        "embedding_encoder.0": (256, 64, 2, 2),
        "embedding_encoder.1": (64,),
        "embedding_encoder.3": (64, 32, 2, 2),
        "embedding_maskfeature.0": (64, 32, 3, 3),
        "embedding_maskfeature.1": (64,),
        "embedding_maskfeature.3": (32, 64, 3, 3),
    }
    biases = (256, 256, 32, 256, 256, 32, 64, 64, 32, 64, 64, 32)
    for (name, shape), bias in zip(weights.items(), biases, strict=True):
        expected |= {f"{name}.weight": shape, f"{name}.bias": (bias,)}
    assert len(expected) == 25

    state = on_meta(variant).state_dict()
    added = state.keys() - on_meta(variant, hq=False).state_dict().keys()
    assert {key: tuple(state[key].shape) for key in added} == {
        f"mask_decoder.{name}": shape for name, shape in expected.items()
    }


@pytest.mark.parametrize("variant", VARIANTS)
def test_trained_names_are_what_hq_sam_adds(variant: str) -> None:
    model, plain = on_meta(variant), on_meta(variant, hq=False)
    names = {name for name, _ in model.named_parameters()}
    assert hq_parameter_names(model) == names - {name for name, _ in plain.named_parameters()}
    assert hq_parameter_names(plain) == set()


def test_unknown_variant_is_named() -> None:
    with pytest.raises(ValueError, match=r"'vit_x' is unknown.*vit_tiny"):
        build("vit_x")


def test_layout_notices_a_changed_shape() -> None:
    state = on_meta("vit_b").state_dict()
    state["mask_decoder.hf_token.weight"] = torch.empty(2, 256)
    assert recipe.layout(state)["sha256"] != OFFICIAL["vit_b hq"]["sha256"]
