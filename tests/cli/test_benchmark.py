"""`napari-hqsam benchmark`: a table with targets, and JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from napari_hqsam.modeling import HQSam, build


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> HQSam:
    """A small network with random weights, in place of every model that is measured."""
    torch.manual_seed(0)
    model = build("micro", input_size=64).requires_grad_(False)
    monkeypatch.setattr("napari_hqsam.benchmark.models.timing_model", lambda *args: model)
    return model


def test_figures_stand_beside_their_targets(command: Any, small: HQSam, tmp_path: Path) -> None:
    few = ("--windows", 4, "--rounds", 1, "--kills", 0)
    (tmp_path / "work").mkdir()
    found = command("benchmark", "store", *few, "-o", tmp_path / "out", "--work", tmp_path / "work")
    assert found.status == 0, found.err
    assert "model: micro, random weights: speed only" in found.out
    (line,) = (x for x in found.out.splitlines() if x.startswith("encoding into a store"))
    assert " 1.1 " in line
    assert "met" in line or "missed" in line
    report = json.loads((tmp_path / "out" / "benchmark-store.json").read_text())
    assert report["benchmark"] == "store"
    assert {f["name"] for f in report["figures"]} >= {"a window read back", "a stored window"}
    assert list((tmp_path / "work").iterdir()) == []  # nothing is left behind


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Missing command; see napari-hqsam benchmark --help"),
        (("store", "--model", "nonsense"), "nonsense"),
        (("store", "--windows", "0"), "--windows"),
        (("large", "--size", "100", "--device", "cpu"), "size 100"),
        (("large", "--size", "5000", "--work", "{missing}"), "there is no such folder"),
        (("seams", "{missing}", "--device", "cpu"), "no data set"),
    ],
)
def test_bad_input_is_one_line(
    command: Any, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    words = [word.format(missing=tmp_path / "missing") for word in arguments]
    assert message in command("benchmark", *words).error


def test_weights_that_are_not_here_are_random_and_the_same_everywhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from dataclasses import replace

    from napari_hqsam import weights
    from napari_hqsam.benchmark.models import is_random, timing_model

    missing = replace(weights.model_info("micro"), url="https://nowhere.invalid/a", file_name="a")
    monkeypatch.setattr(weights, "model_info", lambda name: missing)
    state = torch.get_rng_state()
    one, other = timing_model("micro", "cpu"), timing_model("micro", "cpu")
    assert is_random(one)
    assert torch.equal(torch.get_rng_state(), state)
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
