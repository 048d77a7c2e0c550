"""How commands load their model."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_hqsam.cli.models import load
from napari_hqsam.errors import HQSAMError


@pytest.fixture
def files(image: Path, stack: Path, tmp_path: Path) -> dict[str, Path]:
    labels = np.zeros((96, 128), np.uint16)
    labels[20:60, 20:70] = 1
    masks = tmp_path / "set" / "masks" / "a.tif"
    for path in (masks, tmp_path / "set" / "images" / "a.tif"):
        path.parent.mkdir(parents=True)
        tifffile.imwrite(path, labels)
    return {
        "IMAGE": image,
        "STACK": stack,
        "LABELS": masks,
        "SET": tmp_path / "set",
        "OUT": tmp_path / "out.tif",
        "FOLDER": tmp_path / "folder",
    }


@pytest.mark.parametrize(
    "call",
    [
        "segment IMAGE -o OUT --box 1,1,9,9",
        "auto IMAGE -o OUT",
        "refine IMAGE LABELS -o OUT",
        "propagate STACK -o OUT --box 1,1,9,9 --plane 0",
        "embed IMAGE --store FOLDER",
        "evaluate SET -o FOLDER",
    ],
    ids=lambda call: call.split()[0],
)
def test_precision_and_compiling_are_the_users_choice(
    call: str, files: dict[str, Path], command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[object, object]] = []

    def stand_in(*_: object, **options: object) -> None:
        asked.append((options["precision"], options["compile"]))
        raise HQSAMError("far enough")

    monkeypatch.setattr("napari_hqsam.weights.load_model", stand_in)
    words = [files.get(word, word) for word in call.split()]
    assert command(*words).error == "far enough"
    assert command(*words, "--precision", "bfloat16", "--compile").error == "far enough"
    assert asked == [("auto", False), ("bfloat16", True)]


def test_what_is_not_compiled_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded = SimpleNamespace(compiled=SimpleNamespace(), graphed=SimpleNamespace())
    monkeypatch.setattr("napari_hqsam.weights.load_model", lambda *_, **__: loaded)
    model: Any = load("micro", compile=True)
    for part in (model.compiled, model.graphed):
        part.tell("torch.compile is not used")
        assert capsys.readouterr().err == "napari-hqsam: warning: torch.compile is not used\n"
