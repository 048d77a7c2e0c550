from __future__ import annotations

from typing import Any

import pytest

from napari_hqsam.benchmark.figures import Figure, Report
from napari_hqsam.benchmark.speed import click
from napari_hqsam.benchmark.speed.click import measure_click
from napari_hqsam.benchmark.speed.stock import Stock
from napari_hqsam.modeling import HQSam, PreparedFeatures
from napari_hqsam.modeling.graphs import GraphedDecoder

from .conftest import small_vit


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(click, "_PER_SIDE", 2)


def by_name(report: Report) -> dict[str, Figure]:
    return {figure.name: figure for figure in report.figures}


def test_report(model: HQSam) -> None:
    found = by_name(measure_click(model, rounds=2))
    vit = model.variant == "vit_b"
    for kind in ("a click", "a box"):
        assert found[kind].target == (80 if vit else 50)
        assert found[f"{kind}, against the official way"].target == (2.5 if vit else None)
        assert f"{kind}, more than SAM alone" in found
    assert found["a click, by Segmenter.predict"].value > 0
    batch = found["4 clicks in a batch, against single clicks"]
    assert (batch.target, batch.at_least) == (2, True)
    assert found["4 clicks in a batch, against official single clicks"].target is None
    assert found["logits: difference"].target == 1e-3
    assert found["logits: difference"].met


def test_times(model: HQSam, clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that only the decoders move."""
    decode, official = HQSam.decode, Stock.decode

    def ours(self: HQSam, features: Any, index: Any, prompts: Any, *, hq: bool = True) -> Any:
        assert isinstance(features, PreparedFeatures)
        clock[0] += (2 if hq else 1) * (1 + 0.5 * (len(index) - 1))
        return decode(self, features, index, prompts, hq=hq)

    def theirs(self: Stock, e: Any, f: Any, index: Any, prompts: Any, *, hq: bool = True) -> Any:
        assert len(index) == 1
        assert hq
        clock[0] += 6
        return official(self, e, f, index, prompts, hq=hq)

    monkeypatch.setattr(HQSam, "decode", ours)
    monkeypatch.setattr(Stock, "decode", theirs)
    report = measure_click(model, rounds=4)
    found = by_name(report)
    assert found["a click"].value == found["a box"].value == 2000
    assert found["a click, more than SAM alone"].value == 1000
    assert found["a click, against the official way"].value == 3
    assert found["4 clicks in a batch, against single clicks"].value == pytest.approx(8 / 5)
    assert found["4 clicks in a batch, against official single clicks"].value == 24 / 5
    assert found["a click, by Segmenter.predict"].value == 2000
    assert [len(table.rows) for table in report.tables] == [4, 3]


def test_a_wrong_decoder_is_told(model: HQSam, monkeypatch: pytest.MonkeyPatch) -> None:
    decode = HQSam.decode

    def off(self: HQSam, *args: Any, hq: bool = True) -> Any:
        found = decode(self, *args, hq=hq)
        return found._replace(hq=None if found.hq is None else found.hq + 0.1)

    monkeypatch.setattr(HQSam, "decode", off)
    figure = by_name(measure_click(model, rounds=1))["logits: difference"]
    assert figure.value == pytest.approx(0.1, rel=1e-2)
    assert figure.met is False


def test_alone(model: HQSam) -> None:
    found = by_name(measure_click(model, rounds=1, against=False))
    assert not [name for name in found if "official" in name or "logits" in name]
    assert "4 clicks in a batch, against single clicks" in found


def test_plain_sam() -> None:
    found = by_name(measure_click(small_vit(hq=False), rounds=1))
    assert found["a click"].value > 0
    assert found["logits: difference"].met
    assert "a click, more than SAM alone" not in found


def test_a_gpu_also_replays_graphs(model: HQSam, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(click, "_is_cpu", lambda _: False)
    used: list[int] = []

    class Graphed(GraphedDecoder):
        def __call__(self, image: Any, image_pe: Any, sparse: Any, *rest: Any) -> Any:
            used.append(len(sparse))
            return super().__call__(image, image_pe, sparse, *rest)

    monkeypatch.setattr(click, "GraphedDecoder", Graphed)
    found = by_name(measure_click(model, rounds=2))
    assert found["a click, as a CUDA graph"].target == found["a click"].target == 5
    # timed, and compared: also that of the batch, which it hands on
    assert used == [1, 1, 1, 1, 1, 4]
    assert model.graphed is None
