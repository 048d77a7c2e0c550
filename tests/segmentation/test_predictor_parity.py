"""The Segmenter on a whole plane against the official predictor.

The same table as in tests/modeling (see its README), by the road that users take: reading,
resizing, window, prompts, decoder, mask.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_hqsam.modeling import build
from napari_hqsam.segmentation import Mask, Segmenter

from ..modeling import recipe
from ..modeling.models import fill

TABLE = json.loads((Path(__file__).parents[1] / "modeling" / "expected_predictor.json").read_text())


@pytest.fixture(scope="module")
def model() -> Any:
    return fill(build("vit_tiny"))


@pytest.fixture(autouse=True)
def _one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """The official predictor does not look again, magnified, at the small thing that it found."""
    monkeypatch.setattr("napari_hqsam.segmentation.viewing.Viewing.better", lambda *_, closer: None)


@pytest.fixture(scope="module", params=[(600, 850), (333, 200)], ids=str)
def segmenter(request: pytest.FixtureRequest, model: Any) -> Segmenter:
    return Segmenter(recipe.image(*request.param), model=model)


def ask(segmenter: Segmenter, case: dict[str, Any]) -> tuple[Mask, Any]:
    prompt = case["prompt"]
    given: dict[str, Any] = {}
    if "points" in prompt:
        given |= {"points": [(y, x) for x, y in prompt["points"]], "labels": prompt["labels"]}
    if "box" in prompt:
        # The official predictor was told where the corners are; our box names the pixels that it
        # covers, the outermost of which reach half a pixel further, less half a model pixel.
        height, width = segmenter.plane_shape
        reach = (1 - max(height, width) / segmenter.model.input_size) / 2
        x0, y0, x1, y1 = prompt["box"]
        given["box"] = (y0 + reach, x0 + reach, y1 - reach, x1 - reach)
    hq_only = case.get("hq_token_only", False)
    multimask = case.get("multimask_output", False)
    found = segmenter.predict(**given, mode="hq" if hq_only else "hq+sam", multimask=multimask)
    mask = found[0] if multimask else found
    return mask, mask.low_res_hq if hq_only else mask.low_res_sam + mask.low_res_hq


def test_equals_the_official_predictor(segmenter: Segmenter) -> None:
    # "float" is torch's own resize, not rounded to 8 bits, as the Segmenter does it
    cases = [
        c for c in TABLE if tuple(c["image"]) == segmenter.plane_shape and c["resize"] == "float"
    ]
    assert len(cases) == 5
    for case in cases:
        mask, low_res = ask(segmenter, case)
        assert mask.window.shape == segmenter.plane_shape
        difference = recipe.difference(torch.from_numpy(low_res), case["low_res"])
        assert difference <= recipe.TOLERANCE
        assert mask.score == pytest.approx(case["iou"], abs=recipe.TOLERANCE)
        # a pixel whose logit is 0 to rounding may fall on either side
        assert abs(mask.area - case["area"]) <= 2
        assert list(mask.bbox) == case["bbox"]
        full = mask.full(segmenter.plane_shape)
        rows = full.sum(axis=1)[:: len(full) // 16]
        assert np.abs(rows - case["rows"]).max() <= 1
    assert len(segmenter.features.cache) == 1


def test_with_8_bit_resizing_it_is_as_good_as_equal(segmenter: Segmenter) -> None:
    """`set_image` rounds the resized picture to 8 bits; the Segmenter does not."""
    for case in TABLE:
        if tuple(case["image"]) != segmenter.plane_shape or case["resize"] != "uint8":
            continue
        mask, low_res = ask(segmenter, case)
        assert recipe.difference(torch.from_numpy(low_res), case["low_res"]) < 2e-3
        assert mask.area == pytest.approx(case["area"], rel=2e-3)
