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


def test_tables_are_printed_below_the_figures_and_written(
    command: Any, monkeypatch: pytest.MonkeyPatch, small: HQSam, tmp_path: Path
) -> None:
    from napari_hqsam.benchmark import whole
    from napari_hqsam.benchmark.figures import Figure, Table

    def measure(*args: Any, **options: Any) -> tuple[list[Figure], Table]:
        rows = [("nuclei", 1234, 0.8125, 2048.0), ("axons", 7, None, 1.5)]
        return [Figure("a share", 97.0, "%", 98, at_least=True)], Table("sets", columns, rows)

    columns = ("set", "objects", "AP50", "ms")
    monkeypatch.setattr("napari_hqsam.weights.load_model", lambda *args, **options: small)
    monkeypatch.setattr(whole, "measure_linear", measure)
    found = command("benchmark", "whole", "--part", "linear", "-o", tmp_path)
    assert found.status == 0, found.err
    lines = found.out.splitlines()
    (line,) = (x for x in lines if x.startswith("a share"))
    assert "missed" in line
    table = lines[lines.index("sets") + 1 :]
    assert table[0].split() == [*columns]
    assert table[1].split() == ["nuclei", "1,234", "0.812", "2,048"]
    assert table[2].split() == ["axons", "7", "–", "1.5"]
    report = json.loads((tmp_path / "benchmark-whole.json").read_text())
    assert report["tables"][0]["rows"][1]["AP50"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Missing command; see napari-hqsam benchmark --help"),
        (("store", "--model", "nonsense"), "nonsense"),
        (("store", "--windows", "0"), "--windows"),
        (("large", "--size", "100", "--device", "cpu"), "size 100"),
        (("large", "--size", "5000", "--work", "{missing}"), "there is no such folder"),
        (("seams", "{missing}", "--device", "cpu"), "no data set"),
        (("whole", "--part", "nothing"), "--part nothing: choose refinement, automatic, seams or"),
        (("whole", "--part", "refinement"), "it needs labelled images; give --data DIR"),
        (("whole", "--data", "{missing}", "--device", "cpu"), "no data set"),
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
