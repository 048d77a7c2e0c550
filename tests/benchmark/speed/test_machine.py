from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from napari_hqsam.benchmark.speed import machine
from napari_hqsam.benchmark.speed.peak import Matmul
from napari_hqsam.modeling import HQSam


def test_the_cpu_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nmodel\t\t: 17\nmodel name\t: Some CPU: 2 GHz\n")
    monkeypatch.setattr(machine, "_CPUINFO", info)
    assert machine.cpu_name() == "Some CPU: 2 GHz"
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "none")
    assert machine.cpu_name()


def test_the_setting(vit: HQSam) -> None:
    found = machine.setting(vit, 3, "another")
    assert found["model"] == "vit_b, random weights: speed only"
    assert (found["against"], found["rounds"]) == ("another", 3)
    assert found["torch"] == torch.__version__
    assert "in turn" in str(found["method"])
    assert "medians" in str(found["method"])
    assert "against" not in machine.setting(vit, 3, None)


def test_a_gpu_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    gpu = torch.device("cuda:1")
    machine.finisher(gpu)()
    machine.finisher(torch.device("cpu"))()
    assert waited == [gpu]


def test_memory_of_a_run() -> None:
    def run() -> None:
        np.full(40_000_000, 1, np.uint8).sum()

    assert 38e6 < machine.working_bytes(run, torch.device("cpu")) < 200e6


def test_memory_of_a_run_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    held = {"now": 100, "peak": 0}

    def run() -> None:
        held["peak"] = held["now"] + 40

    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _: held.update(peak=0))
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: held["now"])
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: held["peak"])
    assert machine.working_bytes(run, torch.device("cuda")) == 40


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_fastest_product_is_taken(precision: str) -> None:
    waited: list[int] = []
    product = Matmul(
        torch.device("cpu"),
        precision,  # type: ignore[arg-type]
        lambda: waited.append(1),
        shapes=((8, 8, 8), (256, 256, 256)),
    )
    assert product.flop == 2 * 256**3  # of the small one the calls take all the time
    assert product.name.endswith("256 × 256 × 256")
    assert len(waited) == 2 * 2 * 4  # shapes, forms, and a first run before three
    product()


def test_both_forms_are_the_same_product(monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_hqsam.benchmark.speed import peak

    a, b = torch.randn(12, 8), torch.randn(5, 8)
    tokens = peak._convolution(a, b).permute(0, 2, 3, 1).reshape(12, 5)
    torch.testing.assert_close(tokens, peak._product(a, b))
