"""`napari-hqsam embed`, from the estimate to clicks that need no encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch

from napari_hqsam.modeling import HQSam, build


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> HQSam:
    """The real network with random weights, in place of every model that is loaded."""
    torch.manual_seed(0)
    model = build("micro", input_size=64).eval()
    model.refines_parts = model.trusts_boxes = False
    monkeypatch.setattr("napari_hqsam.weights.load_model", lambda *args, **options: model)
    return model


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "cells.tif"
    pixels = np.random.default_rng(0).integers(0, 60_000, (2, 90, 120)).astype(np.uint16)
    tifffile.imwrite(path, pixels, metadata={"axes": "ZYX"}, imagej=True)
    return path


def test_an_image_is_encoded_once(
    command: Any, small: HQSam, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "cells.embeddings"
    first = command("embed", image, "--store", store)
    assert first.status == 0, first.err
    assert first.out.startswith("12 windows, 0 there already; 12 to encode: 0.00 GB, about ")
    assert f"{store}: 12 windows" in first.out
    monkeypatch.setattr(small, "encode", _never)
    again = command("embed", image, "--store", store)
    assert again.out.startswith("12 windows, 12 there already; 0 to encode")
    # a box is answered without the encoder
    labels = tmp_path / "labels.tif"
    prompts = ("--plane", 1, "--box", "30,40,50,60")
    clicked = command("segment", image, "-o", labels, "--store", store, *prompts)
    assert clicked.status == 0, clicked.err
    elsewhere = command("segment", image, "-o", tmp_path / "b.tif", *prompts)
    assert "the encoder is not needed" in elsewhere.err


def _never(*args: object) -> None:
    raise AssertionError("the encoder is not needed")


def test_a_part_of_it(command: Any, small: HQSam, image: Path, tmp_path: Path) -> None:
    part = ("--plane", 1, "--region", "0,0,40,40", "--zoom-out", -1, "--zoom-out", 0)
    found = command("embed", image, "--store", tmp_path / "s", *part)
    assert found.out.startswith("6 windows,")


def test_an_estimate_encodes_nothing(
    command: Any, small: HQSam, image: Path, tmp_path: Path
) -> None:
    found = command("embed", image, "--store", tmp_path / "s", "--estimate")
    assert "12 to encode" in found.out
    assert "0 windows" in command("embed", "--status", "--store", tmp_path / "s").out


def test_pruning(command: Any, small: HQSam, image: Path, tmp_path: Path) -> None:
    command("embed", image, "--store", tmp_path / "s")
    found = command("embed", "--prune", 0.0001, "--status", "--store", tmp_path / "s")
    assert "windows deleted" in found.out
    held = int(found.out.splitlines()[-1].split(": ")[1].split()[0])
    assert 0 < held < 12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no IMAGE: give one to encode, or --status or --prune"),
        (("--status",), "there is no embedding store"),
        (("missing.tif",), "missing.tif"),
        (("{image}", "--plane", "7"), "z = 7 is outside"),
        (("{image}", "--region", "0,0,400,10"), "region 0,0,400,10"),
        (("{image}", "--overlap", "1"), "overlap 1.0"),
        (("{image}", "--zoom-out", "-9"), "octave -9"),
    ],
)
def test_bad_input_is_one_line(
    command: Any,
    small: HQSam,
    image: Path,
    tmp_path: Path,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    words = [a.format(image=image) for a in arguments]
    assert message in command("embed", "--store", tmp_path / "s", *words).error


def test_a_store_of_another_image_is_refused(
    command: Any, small: HQSam, image: Path, tmp_path: Path
) -> None:
    command("embed", image, "--store", tmp_path / "s")
    other = tmp_path / "other.tif"
    tifffile.imwrite(other, np.zeros((50, 60), np.uint8))
    assert "of another image" in command("embed", other, "--store", tmp_path / "s").error


def test_features_of_one_precision_are_not_taken_for_those_of_the_other(
    command: Any, small: HQSam, image: Path, tmp_path: Path
) -> None:
    store = tmp_path / "cells.embeddings"
    assert command("embed", image, "--store", store).status == 0
    small.precision = "bfloat16"
    again = command("embed", image, "--store", store)
    assert again.out.startswith("12 windows, 0 there already")
    table = [line.split()[:2] for line in again.out.splitlines() if line.startswith("micro")]
    assert sorted(table) == [["micro", "bfloat16"], ["micro", "float32"]]
    assert f"{store}: 24 windows" in again.out


def test_batches_fill_the_same_store(
    command: Any, small: HQSam, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode, batches = small.encode, []

    def counting(images: torch.Tensor, *rest: object) -> object:
        batches.append(len(images))
        return encode(images, *rest)

    monkeypatch.setattr(small, "encode", counting)
    store = tmp_path / "cells.embeddings"
    assert command("embed", image, "--store", store, "--plane", 0, "--batch", 4).status == 0
    assert batches == [4, 4, 4, 2]  # two for the estimate
    again = command("embed", image, "--store", store, "--batch", "auto")
    assert again.out.startswith("12 windows, 6 there already; 6 to encode")
    assert batches[4:] == [1] * 8


@pytest.mark.parametrize("batch", ["0", "-1", "2.5", "all", ""])
def test_a_batch_that_is_none(
    command: Any, small: HQSam, image: Path, tmp_path: Path, batch: str
) -> None:
    found = command("embed", image, "--store", tmp_path / "s", f"--batch={batch}")
    assert found.error == f"--batch {batch}: give a whole number from 1 up, or auto"
    assert not (tmp_path / "s").exists()


def test_an_estimate_survives_a_batch_too_large(
    command: Any, small: HQSam, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = small.encode

    def narrow(images: torch.Tensor, *rest: object) -> object:
        if len(images) > 3:
            raise torch.OutOfMemoryError
        return encode(images, *rest)

    monkeypatch.setattr(small, "encode", narrow)
    with pytest.warns(UserWarning, match="with 12 windows at once; going on with 3"):
        found = command("embed", image, "--store", tmp_path / "s", "--batch", 99)
    assert found.status == 0
    assert "12 to encode: 0.00 GB" in found.out
