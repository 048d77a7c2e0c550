"""`napari-hqsam benchmark encode | click | auto`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from napari_hqsam.modeling import HQSam, build


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> HQSam:
    """A small network with random weights, in place of every model that is measured."""
    torch.manual_seed(0)
    model = build("micro", input_size=64).requires_grad_(False)
    monkeypatch.setattr("napari_hqsam.benchmark.models.timing_model", lambda *args: model)
    monkeypatch.setattr("napari_hqsam.benchmark.speed.peak._CPU_SHAPES", ((64, 64, 64),))
    monkeypatch.setattr("napari_hqsam.benchmark.speed.click._PER_SIDE", 2)
    return model


@pytest.mark.parametrize(
    ("words", "figure"),
    [
        (("encode", "--precision", "float32"), "encode, float32, against as shipped"),
        (("click",), "a click, against the official way"),
        (("auto", "--grid", 4), "a window, against as shipped"),
    ],
)
def test_a_table_json_and_a_plot(
    words: tuple[str, ...], figure: str, command: Any, small: HQSam, tmp_path: Path
) -> None:
    found = command("benchmark", *words, "--rounds", 1, "-o", tmp_path)
    assert found.status == 0, found.err
    assert "model: micro, random weights: speed only" in found.out
    assert "method: in turn" in found.out
    assert any(line.startswith(figure) for line in found.out.splitlines())
    report = json.loads((tmp_path / f"benchmark-{words[0]}.json").read_text())
    assert figure in {f["name"] for f in report["figures"]}
    assert report["setting"]["cpu"]
    with Image.open(tmp_path / f"benchmark-{words[0]}.png") as plot:
        assert plot.width > 500


def test_against_nothing(command: Any, small: HQSam, tmp_path: Path) -> None:
    few = ("--rounds", 1, "--precision", "bfloat16", "--side", 0, "--batch", 2)
    found = command("benchmark", "encode", "--against", "nothing", *few, "-o", tmp_path)
    assert found.status == 0, found.err
    assert "against:" not in found.out
    assert "as shipped" not in {line.partition("  ")[0] for line in found.out.splitlines()}
    assert not (tmp_path / "benchmark-encode.png").exists()  # there is no ratio


@pytest.mark.parametrize("name", ["encode", "click", "auto"])
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--against", "micro-sam"), "--against micro-sam: choose segment-anything or nothing"),
        (("--rounds", "0"), "--rounds"),
        (("--model", "nonsense"), "nonsense"),
        (("--device", "abacus"), "abacus"),
    ],
)
def test_bad_input_is_one_line(
    name: str, words: tuple[str, ...], message: str, command: Any
) -> None:
    assert message in command("benchmark", name, *words).error


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("encode", "--precision", "float8"), "--precision float8: choose float32 or bfloat16"),
        (("encode", "--batch", "0"), "--batch"),
        (("encode", "--work", "nowhere at all"), "there is no such folder"),
        (("auto", "--grid", "0"), "--grid"),
    ],
)
def test_bad_options_are_one_line(words: tuple[str, ...], message: str, command: Any) -> None:
    assert message in command("benchmark", *words).error
