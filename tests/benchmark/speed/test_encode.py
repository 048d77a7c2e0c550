from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from napari_hqsam.benchmark.figures import Figure, Report
from napari_hqsam.benchmark.speed import encode, peak
from napari_hqsam.benchmark.speed.busy import measure_busy, write_plane
from napari_hqsam.benchmark.speed.encode import _TARGETS, encoder_flop, measure_encode
from napari_hqsam.benchmark.speed.machine import finisher
from napari_hqsam.benchmark.speed.parity import mask_ious
from napari_hqsam.benchmark.speed.stock import Stock
from napari_hqsam.modeling import HQSam


@pytest.fixture(autouse=True)
def _small_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peak, "_CPU_SHAPES", ((64, 64, 64),))


def by_name(report: Report) -> dict[str, Figure]:
    return {figure.name: figure for figure in report.figures}


def test_report(vit: HQSam, tmp_path: Path) -> None:
    report = measure_encode(vit, tmp_path, batch=2, rounds=2, side=160)
    found = by_name(report)
    assert report.setting["batch"] == 2
    assert str(report.setting["against"]).startswith("segment-anything 1")
    for precision, target in (("float32", 2.0), ("bfloat16", 4.0)):
        ratio = found[f"encode, {precision}, against as shipped"]
        assert (ratio.target, ratio.at_least) == (target, True)
        assert ratio.value > 0
        share = found[f"share of the matmul rate, {precision}"]
        assert share.value > 0
        assert "torch.utils.flop_counter" in share.about
        assert found[f"a window, {precision}"].unit == "s"
        assert found[f"memory beside the weights, {precision}"].value >= 0
    assert found["share of the matmul rate, float32"].target == 70
    assert found["logits, float32: difference"].met
    assert found["logits, bfloat16: difference"].target is None
    rounded = found["masks, bfloat16: mean, with the plain ones"]
    assert 0.5 < rounded.value <= 1
    assert rounded.target is None  # the weights are random
    busy = found["encoding, of the time of an image end to end"]
    assert "160 pixels square, 4 windows" in busy.about
    assert busy.target is None
    times, differences = report.tables
    assert times.columns == (
        "round",
        "as shipped",
        "float32",
        "bfloat16",
        "matmul float32",
        "matmul bfloat16",
    )
    assert len(times.rows) == 2
    exact, low = differences.rows
    assert exact[0] == "float32"
    assert exact[2] < 1e-5 < low[2]  # type: ignore[operator]
    assert exact[4] == pytest.approx(1, abs=1e-3)


def test_weights_that_are_known_are_held_to_the_masks(
    vit: HQSam, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vit, "weights_sha256", "something")
    report = measure_encode(vit, tmp_path, precisions=["bfloat16"], rounds=1, side=0)
    assert by_name(report)["masks, bfloat16: mean, with the plain ones"].target == 0.995


def test_nothing_to_be_held_against(micro: HQSam, tmp_path: Path) -> None:
    report = measure_encode(
        micro, tmp_path, precisions=["float32"], rounds=1, against=False, side=0
    )
    assert list(by_name(report)) == [
        "a window, float32",
        "share of the matmul rate, float32",
        "memory beside the weights, float32",
    ]
    assert by_name(report)["a window, float32"].target == 0.35
    assert not list(tmp_path.iterdir())
    assert "against" not in report.setting


def test_speeds_and_shares(
    vit: HQSam, tmp_path: Path, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that only the encoders and the products move."""

    def moved(function: Any, took: float) -> Any:
        def run(*args: Any) -> Any:
            clock[0] += took
            return function(*args)

        return run

    monkeypatch.setattr(Stock, "encode", moved(Stock.encode, 6.0))
    monkeypatch.setattr(encode.Way, "encode", moved(encode.Way.encode, 4.0))
    monkeypatch.setattr(peak, "_product", moved(peak._product, 0.5))
    monkeypatch.setattr(peak, "_convolution", moved(peak._convolution, 0.25))
    monkeypatch.setattr(encode, "encoder_flop", lambda stock: 2 * 64**3)
    found = by_name(
        measure_encode(vit, tmp_path, precisions=["float32"], batch=2, rounds=3, side=0)
    )
    ratio = found["encode, float32, against as shipped"]
    assert ratio.value == 3  # two windows one by one, in 12 s
    assert "a window 2 against 6 s" in ratio.about
    assert found["a window, float32"].value == 2
    share = found["share of the matmul rate, float32"]
    assert share.value == pytest.approx(100 * (2 / 4) / (1 / 0.25))
    assert "1 × 1 convolution, 64 × 64 × 64" in share.about


def test_the_same_network_does_the_same(
    micro: HQSam, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The HQ features, which are a part of encoding, are fused by the eager one as well."""
    fused: list[int] = []
    features = Stock.hq_features

    def noted(self: Stock, *encoded: Any) -> Any:
        fused.append(len(encoded[0]))
        return features(self, *encoded)

    monkeypatch.setattr(Stock, "hq_features", noted)
    monkeypatch.setattr(encode, "_exactness", lambda *_: ([], encode.Table("none", ())))
    few = {"precisions": ["float32"], "batch": 2, "rounds": 1, "side": 0}
    report = measure_encode(micro, tmp_path, **few)  # type: ignore[arg-type]
    assert fused == [1] * 2 * 3  # to warm up, for the time, and for the memory
    assert str(report.setting["against"]).startswith("the same network, eager and contiguous")


def test_compiled(vit: HQSam, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has its own line; where it is of no use the report says why."""

    class Compiled:
        def __init__(self, encoder: Any) -> None:
            self.encoder = encoder
            self.tell: Any = None
            self.calls = 0

        def __call__(self, images: torch.Tensor, between: Any) -> Any:
            self.calls += 1
            made.append(self) if self not in made else None
            if torch.is_autocast_enabled("cpu"):
                self.tell("of no use")
            return self.encoder(images, between)

        def wait(self) -> None:
            assert self.calls == 1

    made: list[Compiled] = []
    monkeypatch.setattr(encode, "CompiledEncoder", Compiled)
    report = measure_encode(vit, tmp_path, compiled=True, batch=1, rounds=1, side=0)
    found = by_name(report)
    assert found["encode, float32 compiled, against as shipped"].value > 0
    assert found["logits, float32 compiled: difference"].met
    assert report.setting["bfloat16 compiled"] == "of no use"
    assert not [name for name in found if "bfloat16 compiled" in name]
    assert made[0].calls > 3
    assert (vit.compiled, vit.precision) == (None, "float32")


def test_what_is_counted(vit: HQSam) -> None:
    tokens, width, side, window = 8**2, 64, 8, 14
    padded = 14**2
    linear = {"global": tokens * 12 * width**2, "window": (4 * padded + 8 * tokens) * width**2}
    scores = {
        "global": 2 * tokens**2 * width + tokens * 2 * side * width,
        "window": 2 * padded * window**2 * width + padded * 2 * window * width,
    }
    blocks = 2 * sum(linear.values()) + 2 * sum(scores.values())
    ends = tokens * (3 * 16**2 * width + width * 256 + 256 * 256 * 9)
    assert encoder_flop(Stock(vit)) == 2 * (blocks + ends)


def test_every_row_of_the_targets_has_a_device() -> None:
    for variant in ("vit_b", "vit_l", "vit_h"):
        assert _TARGETS[variant, "bfloat16", "cuda"] == (8, 50, None)
    assert _TARGETS["vit_tiny", "float32 compiled", "cpu"][0] == 2


def test_busy_is_encoding_alone_of_the_whole(
    micro: HQSam, tmp_path: Path, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_hqsam.embedding.store import EmbeddingStore

    forward, write = micro.image_encoder.forward, EmbeddingStore.write

    def encoded(images: torch.Tensor, between: Any = lambda: None) -> Any:
        clock[0] += len(images)
        return forward(images, between)

    def written(*args: Any) -> Any:
        clock[0] += 3
        return write(*args)

    monkeypatch.setattr(micro.image_encoder, "forward", encoded)
    monkeypatch.setattr(EmbeddingStore, "write", written)
    figure = measure_busy(micro, tmp_path, rounds=2)
    assert figure.value == pytest.approx(25)
    assert "224 pixels square, 4 windows in float32: 16 s, their encoding 4 s" in figure.about


@pytest.mark.parametrize("side", [40, 100])
def test_a_plane_of_any_size(side: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import zarr

    monkeypatch.setattr("napari_hqsam.benchmark.speed.busy._TILE", 48)
    write_plane(tmp_path / "plane.zarr", side)
    pixels = zarr.open_array(tmp_path / "plane.zarr", mode="r")[...]
    assert pixels.shape == (side, side)  # type: ignore[union-attr]
    assert (pixels[-1] > 0).all()  # type: ignore[index]


def test_iou_of_masks() -> None:
    masks = torch.tensor([[[[1.0, 1, -1, -1]]], [[[-1.0, -1, -1, -1]]], [[[1.0, -1, -1, -1]]]])
    others = torch.tensor([[[[1.0, 1, 1, 1]]], [[[-1.0, -1, -1, -1]]], [[[-1.0, 1, -1, -1]]]])
    assert mask_ious(masks, others).tolist() == [0.5, 1, 0]


def test_a_cpu_is_not_waited_for() -> None:
    assert finisher(torch.device("cpu"))() is None
