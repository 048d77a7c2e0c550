from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from napari_hqsam.benchmark import automatic
from napari_hqsam.benchmark.automatic import WATERSHED, measure_automatic
from napari_hqsam.benchmark.held_out import median_diameter
from napari_hqsam.benchmark.other_tools import cellpose, stardist, threshold_watershed
from napari_hqsam.evaluation.data import LabelledPlane
from napari_hqsam.modeling import HQSam
from napari_hqsam.segmentation import Segmenter


def discs(*middles: tuple[int, int], radius: int = 10, side: int = 96) -> np.ndarray:
    y, x = np.ogrid[:side, :side]
    labels = np.zeros((side, side), np.uint16)
    for number, (cy, cx) in enumerate(middles, start=1):
        labels[(y - cy) ** 2 + (x - cx) ** 2 <= radius**2] = number
    return labels


def plane_of(labels: np.ndarray, *, dark: bool = False) -> LabelledPlane:
    noise = np.random.default_rng(0).integers(0, 20, labels.shape)
    image = np.where((labels > 0) != dark, 180, 40) + noise
    return LabelledPlane("one", image.astype(np.uint8), labels)


@pytest.mark.parametrize("dark", [False, True])
def test_a_watershed_splits_what_touches_whichever_side_is_brighter(dark: bool) -> None:
    truth = discs((30, 30), (30, 48), (70, 60))
    found = threshold_watershed(plane_of(truth, dark=dark).image, 20)
    assert len(np.unique(found)) == 4
    assert found[30, 28] != found[30, 50]


def test_a_watershed_of_nothing_finds_nothing() -> None:
    assert not threshold_watershed(np.full((32, 32, 3), 7, np.uint8), 10).any()


def test_the_diameter_is_that_of_a_typical_object() -> None:
    truth = discs((30, 30), (30, 70), (70, 60)).astype(np.uint32)
    truth[truth == 2] = 4_000_000_000
    truth[90:, 90:] = 5  # one of another size
    assert median_diameter([plane_of(truth)]) == pytest.approx(20, abs=0.6)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """In place of `segment_all`, what is found by each method."""
    given: dict[str, Any] = {}

    def segment_all(self: Segmenter, prompts: str, *, diameter: float) -> Any:
        given["diameter"] = diameter
        return SimpleNamespace(result=lambda: given[prompts])

    monkeypatch.setattr(Segmenter, "segment_all", segment_all, raising=False)
    return given


def test_methods_stand_beside_each_other(small: HQSam, found: dict[str, Any]) -> None:
    truth = discs((20, 20), (20, 60), (60, 20), (60, 60))
    found["grid"] = truth.astype(np.uint64)
    found["threshold"] = np.where(truth <= 2, truth, 0)
    found["threshold"][80:90, 80:90] = 3  # not one of them
    figures, table = measure_automatic(small, {"set": [plane_of(truth)]})
    rows = {row[1]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    assert list(rows) == ["grid", "threshold", WATERSHED, "Cellpose", "StarDist"]
    assert (rows["grid"]["AP50"], rows["grid"]["mean AP"]) == (1, 1)
    assert rows["threshold"]["recall"] == 0.5
    assert rows["threshold"]["precision"] == pytest.approx(2 / 3)
    assert 0.4 < rows["threshold"]["AP50"] < 0.6
    assert rows[WATERSHED]["AP50"] == 1
    assert rows["Cellpose"]["note"] == "not installed"
    assert rows["Cellpose"]["AP50"] is None
    assert found["diameter"] == pytest.approx(20, abs=0.6)
    assert figures[0].value == 0  # the best of its own against the watershed


def test_other_tools_are_used_where_they_are_with_their_weights(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, small: HQSam, found: dict[str, Any]
) -> None:
    truth = discs((20, 20), (20, 60))

    class Model:
        def __init__(self, *args: Any, **options: Any) -> None:
            self.options = options

        def eval(self, image: Any, diameter: float) -> Any:
            assert self.options["pretrained_model"] == str(tmp_path / "cyto3")
            return truth, None, None

        def predict_instances(self, image: Any) -> Any:
            assert self.options == {"name": "there", "basedir": str(folder)}
            return truth, {}

    folder = tmp_path / "models" / "StarDist2D" / "2D_versatile_fluo"
    modules = {
        "cellpose.models": {"MODEL_DIR": tmp_path, "CellposeModel": Model},
        "csbdeep.utils": {"normalize": lambda image, low, high: image},
        "stardist.models": {"StarDist2D": Model},
    }
    for name, content in modules.items():
        module = ModuleType(name)
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name.partition(".")[0], ModuleType(name))
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert cellpose() is None  # nothing is downloaded
    assert stardist() is None
    (tmp_path / "cyto3").touch()
    (folder / "there").mkdir(parents=True)
    (folder / "there" / "config.json").touch()
    found["grid"] = found["threshold"] = np.zeros_like(truth)
    _, table = automatic.measure_automatic(small, {"set": [plane_of(truth)]})
    rows = {row[1]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    assert (rows["Cellpose"]["AP50"], rows["StarDist"]["AP50"]) == (1, 1)
    assert rows["grid"]["AP50"] == 0
