"""Which device is chosen, and what is said about it."""

from __future__ import annotations

import shutil

import pytest
import torch

from napari_hqsam.errors import HQSAMError
from napari_hqsam.modeling import choose_device, choose_precision, describe_device, list_devices


def computer(monkeypatch: pytest.MonkeyPatch, *, cuda: int = 0, mps: bool = False) -> None:
    """Let torch see this many GPUs."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _=None: "Some GPU")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(1, False, "cuda"), (1, True, "cuda"), (0, True, "mps"), (0, False, "cpu")],
)
def test_auto(monkeypatch: pytest.MonkeyPatch, cuda: int, mps: bool, expected: str) -> None:
    computer(monkeypatch, cuda=cuda, mps=mps)
    assert choose_device().type == expected


def test_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    computer(monkeypatch, cuda=2)
    assert [str(choose_device(name)) for name in ("cpu", "cuda", "cuda:1")] == [
        "cpu",
        "cuda",
        "cuda:1",
    ]


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "", "cuda 0"])
def test_unknown_names_are_named(name: str) -> None:
    with pytest.raises(HQSAMError, match=f"device '{name}' is unknown: use auto, cpu"):
        choose_device(name)


@pytest.mark.parametrize("name", ["cuda", "cuda:2", "mps", "meta", "xpu"])
def test_devices_that_are_not_here(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    computer(monkeypatch, cuda=2 if name == "cuda:2" else 0)
    with pytest.raises(HQSAMError, match=f"'{name}' cannot be used here .*--device auto"):
        choose_device(name)


@pytest.mark.parametrize(
    ("cuda", "mps", "driver", "build", "said"),
    [
        (1, False, True, "12.8", "GPU: Some GPU"),
        (0, True, False, None, "Metal"),
        (0, False, True, None, "this torch is CPU-only"),
        (0, False, True, "12.8", "check its driver"),
        (0, False, False, None, "no GPU found"),
    ],
)
def test_the_reason_is_given(
    monkeypatch: pytest.MonkeyPatch,
    cuda: int,
    mps: bool,
    driver: bool,
    build: str | None,
    said: str,
) -> None:
    computer(monkeypatch, cuda=cuda, mps=mps)
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/nvidia-smi" if driver else None)
    monkeypatch.setattr(torch.version, "cuda", build)
    assert said in describe_device()


@pytest.mark.parametrize(
    ("device", "made_for_it", "expected"),
    [
        ("cuda", True, "bfloat16"),
        ("cuda:1", True, "bfloat16"),
        ("cuda", False, "float32"),
        ("mps", True, "float32"),
        ("cpu", True, "float32"),
    ],
)
def test_precision_by_itself(
    monkeypatch: pytest.MonkeyPatch, device: str, made_for_it: bool, expected: str
) -> None:
    def supported(including_emulation: bool = True) -> bool:
        return made_for_it or including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert choose_precision("auto", torch.device(device)) == expected


def test_precision_by_name() -> None:
    assert choose_precision("float32", "cuda") == "float32"
    assert choose_precision("bfloat16", "cpu") == "bfloat16"
    for name in ("float16", "", "BF16"):
        with pytest.raises(HQSAMError, match=f"precision '{name}' is unknown: use auto, float32"):
            choose_precision(name)


def test_the_devices_that_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    computer(monkeypatch, cuda=2, mps=True)
    found = list_devices()
    assert [name for name, _ in found] == ["auto", "cuda:0", "cuda:1", "mps", "cpu"]
    assert [choose_device(name).type for name, _ in found[1:]] == ["cuda", "cuda", "mps", "cpu"]
    assert found[1][1] == "GPU: Some GPU"
    computer(monkeypatch)
    assert [name for name, _ in list_devices()] == ["auto", "cpu"]
