"""`vit_tiny` and SAM's predictor against numbers of the official packages (README.md)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from napari_hqsam.modeling import HQSam, PromptBatch, TileFeatures, build

from . import recipe
from .models import fill
from .recipe import TOLERANCE

HERE = Path(__file__).parent
NETWORK = json.loads((HERE / "expected_vit_tiny.json").read_text())
PREDICTOR = json.loads((HERE / "expected_predictor.json").read_text())
ONE = torch.tensor([0])


@pytest.fixture(scope="module")
def model() -> HQSam:
    return fill(build("vit_tiny"))


@pytest.fixture(scope="module")
def encoded(model: HQSam) -> tuple[Tensor, Tensor]:
    pixels = torch.from_numpy(recipe.image(1024, 1024)).permute(2, 0, 1)[None]
    with torch.no_grad():
        return model.image_encoder(model.preprocess(pixels))


def prompt_batch(prompt: dict[str, list]) -> PromptBatch:
    return PromptBatch(
        points=torch.tensor([prompt["points"]]) if "points" in prompt else None,
        labels=torch.tensor([prompt["labels"]]) if "points" in prompt else None,
        boxes=torch.tensor([prompt["box"]]) if "box" in prompt else None,
        masks=torch.from_numpy(recipe.mask_logits(256))[None, None] if "mask" in prompt else None,
    )


def test_encoder(encoded: tuple[Tensor, Tensor], agree: Callable) -> None:
    for name, ours in zip(("embedding", "early"), encoded, strict=True):
        agree(f"vit_tiny, official, {name}", ours, NETWORK[name])


@pytest.mark.parametrize("prompt", NETWORK["prompts"])
def test_decoder(
    prompt: str, model: HQSam, encoded: tuple[Tensor, Tensor], agree: Callable
) -> None:
    features = TileFeatures(encoded[0], model.mask_decoder.hq_features(*encoded))
    batch = prompt_batch(recipe.prompts(1024)[prompt])
    decoded = {hq: model.decode(features, ONE, batch, hq=hq) for hq in (True, False)}
    for case, expected in NETWORK["prompts"][prompt].items():
        mode, kind = case.split()
        logits, iou = decoded[mode != "sam"].select(mode, kind == "multimask")
        expected_iou = torch.tensor([expected["iou"]])
        if mode == "sam" and kind == "multimask":  # theirs come unsorted
            logits, iou = decoded[False].sam[:, 1:], decoded[False].iou[:, 1:]
        if mode == "hq+sam":  # of several they return the best only
            logits, iou = logits[:, :1], iou[:, :1]
        agree(f"vit_tiny, official, {prompt}, {case}", logits, expected["logits"])
        torch.testing.assert_close(iou, expected_iou, atol=TOLERANCE, rtol=0)


class Predictor:
    """SAM's recipe around the network: resize, pad, map coordinates, bring masks back."""

    def __init__(self, model: HQSam, pixels: np.ndarray, resize: str) -> None:
        self.model = model
        self.original = h, w = pixels.shape[:2]
        scale = model.input_size / max(h, w)
        self.resized = int(h * scale + 0.5), int(w * scale + 0.5)
        if resize == "uint8":
            pixels = np.array(
                Image.fromarray(pixels).resize(self.resized[::-1], Image.Resampling.BILINEAR)
            )
        x = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
        if resize == "float":
            x = F.interpolate(x, self.resized, mode="bilinear", antialias=True)
        self.features = model.encode(model.preprocess(x))

    def to_model(self, xy: list) -> Tensor:
        """Integer coordinates are pixel centres, before and after."""
        scale = torch.tensor([self.resized[i] / self.original[i] for i in (1, 0)])
        return (torch.tensor(xy).reshape(1, -1, 2) + 0.5) * scale - 0.5

    def predict(self, case: dict[str, Any]) -> tuple[Tensor, float, np.ndarray]:
        prompt = case["prompt"]
        batch = PromptBatch(
            points=self.to_model(prompt["points"]) if "points" in prompt else None,
            labels=torch.tensor([prompt["labels"]]) if "points" in prompt else None,
            boxes=self.to_model(prompt["box"]).reshape(1, 4) if "box" in prompt else None,
        )
        logits, iou = self.model.decode(self.features, ONE, batch).select(
            "hq" if case.get("hq_token_only") else "hq+sam", case.get("multimask_output", False)
        )
        side = self.model.input_size
        full = F.interpolate(logits[:, :1], (side, side), mode="bilinear")
        full = full[..., : self.resized[0], : self.resized[1]]
        mask = F.interpolate(full, self.original, mode="bilinear")[0, 0] > 0
        return logits[0, 0], iou[0, 0].item(), mask.numpy()


@pytest.fixture(scope="module", params=[(600, 850), (333, 200)], ids=str)
def size(request: pytest.FixtureRequest) -> tuple[int, int]:
    return request.param


@pytest.fixture(scope="module", params=["uint8", "float"])
def resize(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def predictor(model: HQSam, size: tuple[int, int], resize: str) -> Predictor:
    with torch.no_grad():
        return Predictor(model, recipe.image(*size), resize)


@pytest.fixture(scope="module")
def cases(size: tuple[int, int], resize: str) -> list[dict[str, Any]]:
    cases = [c for c in PREDICTOR if tuple(c["image"]) == size and c["resize"] == resize]
    assert len(cases) == 5
    return cases if resize == "uint8" else cases[:1]  # "float" differs in the features only


def test_predictor(
    size: tuple[int, int], resize: str, predictor: Predictor, cases: list, agree: Callable
) -> None:
    for case in cases:
        logits, iou, mask = predictor.predict(case)
        kinds = " ".join(key for key in ("points", "box") if key in case["prompt"])
        flags = [key for key in ("multimask_output", "hq_token_only") if case.get(key)]
        agree(
            ", ".join(["vit_tiny, official predictor", f"{size}", resize, kinds, *flags]),
            logits,
            case["low_res"],
        )
        assert iou == pytest.approx(case["iou"], abs=TOLERANCE)
        # A pixel whose logit is 0 to rounding may fall on either side.
        assert abs(int(mask.sum()) - case["area"]) <= 2
        ys, xs = np.nonzero(mask)
        assert [ys.min(), xs.min(), ys.max() + 1, xs.max() + 1] == case["bbox"]
        rows = mask.sum(axis=1)[:: len(mask) // 16]
        assert np.abs(rows - case["rows"]).max() <= 1


def test_half_a_pixel_would_be_noticed(predictor: Predictor, cases: list) -> None:
    case = cases[0]
    (x, y), *_ = case["prompt"]["points"]
    shifted = case | {"prompt": {"points": [[x + 0.5, y]], "labels": [1]}}
    assert recipe.difference(predictor.predict(shifted)[0], case["low_res"]) > 10 * TOLERANCE


def test_biases_of_the_attention_follow_the_weights(model: HQSam) -> None:
    """In train and in eval mode, with nothing kept from before the weights were loaded."""
    attention = build("vit_tiny").image_encoder.layers[1].blocks[0].attn
    tokens = torch.from_numpy(recipe.weight("tokens", (2, 49, 128)).numpy())
    before = attention.eval()(tokens)
    attention.load_state_dict(
        attention.state_dict() | {"attention_biases": 3 * recipe.weight("biases", (4, 49))}
    )
    after = attention(tokens)
    assert (after - before).abs().max() > 1e-3
    torch.testing.assert_close(attention.train()(tokens), after)


def test_gradients_reach_the_attention_biases() -> None:
    encoder = build("vit_tiny").image_encoder
    with torch.enable_grad():
        embedding, early = encoder.train()(torch.rand(2, 3, 128, 128))
        (embedding.square().sum() + early.sum()).backward()
    assert embedding.shape == (2, 256, 8, 8)
    assert early.shape == (2, 160, 8, 8)
    missing = {name for name, p in encoder.named_parameters() if p.grad is None}
    assert missing == {f"{head}.{p}" for head in ("head", "norm_head") for p in ("weight", "bias")}
    assert encoder.layers[2].blocks[5].attn.attention_biases.grad.abs().max() > 0
