from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from napari_hqsam.benchmark.figures import Figure, Report
from napari_hqsam.benchmark.speed.auto import _masks, agreeing, measure_auto
from napari_hqsam.benchmark.speed.generator import StockGenerator
from napari_hqsam.benchmark.speed.stock import Stock
from napari_hqsam.benchmark.speed.windows import clicks, of_image, picture, windows
from napari_hqsam.modeling import HQSam
from napari_hqsam.segmentation.stitch import Instances


def by_name(report: Report) -> dict[str, Figure]:
    return {figure.name: figure for figure in report.figures}


def test_report(model: HQSam) -> None:
    bias = model.mask_decoder.iou_prediction_head.layers[-1].bias.clone()
    report = measure_auto(model, grid=8, rounds=1)
    found = by_name(report)
    assert report.setting["points per side"] == 8
    assert (report.setting["min iou"], report.setting["min stability"]) == (0.5, 0)
    ratio = found["a window, against as shipped"]
    assert (ratio.target, ratio.at_least) == (3, True)
    assert ratio.value > 0
    about = found["objects with an IoU of 0.9 with one as shipped"].about
    assert "as shipped" in about
    assert "random weights" in about
    assert torch.equal(model.mask_decoder.iou_prediction_head.layers[-1].bias, bias)


def test_hq_is_decoded_for_what_passes_only(model: HQSam, monkeypatch: pytest.MonkeyPatch) -> None:
    """And for all points as it is shipped."""
    counts = {"hq": 0, "sam": 0, "shipped": 0}
    decode, official = HQSam.decode, Stock.predict_masks

    def ours(self: HQSam, features: Any, index: Any, prompts: Any, *, hq: bool = True) -> Any:
        counts["hq" if hq else "sam"] += len(index)
        return decode(self, features, index, prompts, hq=hq)

    def theirs(self: Stock, *args: Any, hq: bool = True) -> Any:
        assert hq
        counts["shipped"] += len(args[2])
        return official(self, *args, hq=hq)

    monkeypatch.setattr(HQSam, "decode", ours)
    monkeypatch.setattr(Stock, "predict_masks", theirs)
    measure_auto(model, grid=8, rounds=1)
    # predicted IoUs of all clicks, then 16 clicks to warm up, then all
    assert counts["sam"] == 64 + 16 + 64
    assert counts["shipped"] == 16 + 64
    # and boxes: what of a twentieth of the masks is an object, and in either round 64 others
    assert 128 <= counts["hq"] <= 128 + 20


def test_filters_are_those_of_the_model(micro: HQSam, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(micro, "weights_sha256", "something")
    report = measure_auto(micro, grid=4, rounds=1, against=False)
    assert (report.setting["min iou"], report.setting["min stability"]) == (0.45, 0.2)
    assert list(by_name(report)) == ["a window"]


def test_the_generator_draws_the_masks_of_the_decoder(model: HQSam) -> None:
    """With all filters open: three masks for each point, sum of SAM's and the HQ one."""
    stock, pixels = Stock(model), picture(model.input_size)
    embedding, early = stock.encode(windows(model, 1))
    generator = StockGenerator(
        stock, embedding, early, points_per_side=2, min_iou=-9.0, min_stability=-1.0
    )
    generator._generator.box_nms_thresh = 1.0
    found = generator.generate(pixels)
    points = clicks(model, 2)
    points.points.add_(0.5)  # its grid has no pixel centres
    sam, hq, _ = stock.decode(embedding, early, of_image(points), points)
    assert hq is not None
    full = torch.nn.functional.interpolate(
        (sam[:, 1:] + hq), (model.input_size,) * 2, mode="bilinear"
    )
    expected = list((full > 0).flatten(0, 1).numpy())
    # what is the same is dropped; a pixel may be lost to rounding
    assert agreeing(found, expected, 0.999) == len(found) > 6


def test_agreeing() -> None:
    def square(side: int) -> np.ndarray:
        mask = np.zeros((40, 50), bool)
        mask[5 : 5 + side, 5 : 5 + side] = True
        return mask

    assert agreeing([square(20), square(30)], [square(20), square(10)]) == 1
    assert agreeing([square(20), square(20)], [square(20)]) == 2
    assert agreeing([square(20)], [square(18)], 0.8) == 1  # 324 of 400
    assert agreeing([square(20)], [square(18)]) == 0
    assert agreeing([], [square(1)]) == agreeing([square(1)], []) == 0


def test_masks_of_the_window() -> None:
    masks = [np.random.default_rng(i).random((12, 9)) > 0.5 for i in range(3)]
    places = [(0, 0, 12, 9), (8, 11, 20, 20), (3, 2, 15, 11)]
    found = Instances.of((), (0, 0, 20, 20), zip(masks, places, strict=True), np.ones(3))
    for (y0, x0, y1, x1), mask, shown in zip(places, masks, _masks(found), strict=True):
        expected = np.zeros((20, 20), bool)
        expected[y0:y1, x0:x1] = mask
        np.testing.assert_array_equal(shown, expected)
