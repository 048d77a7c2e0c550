from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from napari_hqsam.benchmark.speed import shipped
from napari_hqsam.benchmark.speed.shipped import (
    batched_nms,
    shipped_generator,
    shipped_modeling,
)
from napari_hqsam.modeling import sam


def others() -> dict[str, ModuleType]:
    packages = ("segment_anything", "torchvision")
    return {name: m for name, m in sys.modules.items() if name.partition(".")[0] in packages}


def test_the_classes_are_those_that_are_installed() -> None:
    modeling = shipped_modeling()
    assert modeling is shipped_modeling()
    assert modeling.image_encoder.LayerNorm2d is not sam.LayerNorm2d
    assert modeling.image_encoder.LayerNorm2d.__module__ == f"{modeling.__name__}.common"
    assert not issubclass(modeling.image_encoder.LayerNorm2d, sam.LayerNorm2d)


def test_what_others_have_imported_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    replaced = ModuleType("segment_anything")  # as another plugin may have it
    monkeypatch.setitem(sys.modules, "segment_anything", replaced)
    monkeypatch.setattr(shipped, "_has_torchvision", lambda: False)
    before = others()
    generator = shipped_generator()
    assert others() == before
    assert sys.modules["segment_anything"] is replaced
    assert generator.batched_nms is batched_nms
    assert generator.Sam is shipped_modeling().Sam


@pytest.mark.parametrize(
    "fault", ["RuntimeError('operator torchvision::nms does not exist')", "ImportError()"]
)
def test_a_torchvision_that_does_not_match_is_done_without(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text(f"raise {fault}\n")
    for name in others():
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    assert shipped_generator().batched_nms is batched_nms
    assert not others()


def test_a_torchvision_that_works_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "__init__.py": "",
        "ops/__init__.py": "",
        "ops/boxes.py": "batched_nms = box_area = 'theirs'\n",
        "transforms/__init__.py": "",
        "transforms/functional.py": "resize = to_pil_image = 'theirs'\n",
    }
    for name, text in files.items():
        path = tmp_path / "torchvision" / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
    for name in others():
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    try:
        assert shipped_generator().batched_nms == "theirs"
    finally:
        for name in others():
            del sys.modules[name]


def test_a_failed_import_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> ModuleType:
        raise ImportError(name)

    monkeypatch.setattr(shipped, "import_module", fail)
    before = others()
    with pytest.raises(ImportError):
        shipped_generator()
    assert others() == before


def test_nms() -> None:
    rng = np.random.default_rng(0)
    starts = rng.uniform(0, 20, (60, 2))
    boxes = np.concatenate([starts, starts + rng.uniform(2, 15, (60, 2))], axis=1)
    scores, classes = rng.permutation(60) / 60, rng.integers(0, 2, 60)
    kept: list[int] = []
    for i in np.argsort(-scores):
        if all(classes[i] != classes[j] or iou(boxes[i], boxes[j]) <= 0.4 for j in kept):
            kept.append(int(i))
    found = batched_nms(*map(torch.from_numpy, (boxes, scores, classes)), iou_threshold=0.4)
    assert found.tolist() == kept
    assert 5 < len(kept) < 50
    none = batched_nms(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0), 0.5)
    assert none.tolist() == []


def iou(a: np.ndarray, b: np.ndarray) -> float:
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    shared = (high - low).clip(0).prod()
    return shared / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - shared)


def test_pictures_are_resized_as_sam_does() -> None:
    pixels = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    resized = shipped._resize(shipped._to_pil_image(pixels), (8, 12))
    assert np.asarray(resized).shape == (8, 12, 3)
