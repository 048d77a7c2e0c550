from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from napari_hqsam.benchmark.mosaic import lay_out
from napari_hqsam.benchmark.seams import kinds, measure_seams
from napari_hqsam.evaluation.data import LabelledPlane
from napari_hqsam.images.windows import grid
from napari_hqsam.modeling import HQSam
from napari_hqsam.segmentation import Segmenter


def tile(*boxes: tuple[int, int, int, int], shape: tuple[int, int] = (96, 96)) -> LabelledPlane:
    labels = np.zeros(shape, np.uint16)
    for number, (y0, x0, y1, x1) in enumerate(boxes, start=1):
        labels[y0:y1, x0:x1] = number
    return LabelledPlane("tile", (labels > 0).astype(np.uint16) * 900 + 100, labels)


def test_tiles_lie_side_by_side_with_their_objects() -> None:
    found = lay_out([tile((10, 10, 30, 40)), tile((5, 6, 20, 30)), tile((50, 50, 60, 60))], 2)
    assert found.image.shape == (192, 192, 3)
    assert [o.bbox for o in found.objects] == [
        (10, 10, 30, 40),
        (5, 102, 20, 126),
        (146, 50, 156, 60),
    ]
    for o in found.objects:
        y0, x0, y1, x1 = o.bbox
        assert found.image[y0:y1, x0:x1].min() == 255
        assert found.image[y0 - 2, x0 - 2].max() == 0


def test_an_object_that_its_tile_cuts_has_no_known_shape() -> None:
    assert lay_out([tile((0, 10, 30, 40), (50, 50, 60, 96))], 1).objects == []


def test_a_smaller_tile_is_continued_and_not_left_black() -> None:
    found = lay_out([tile((10, 10, 30, 40)), tile((4, 4, 36, 36), shape=(40, 40))], 2)
    assert found.image[90, 96 + 10].max() in (0, 255)
    assert found.image[:, 96:].mean() > 50


def test_objects_are_told_apart_by_how_windows_cut_them() -> None:
    mosaic = lay_out([tile(
        (40, 10, 56, 20),  # across the edge at y = 48
        (40, 40, 60, 60),  # across both
        (5, 5, 20, 20),  # across none
        (47, 80, 49, 82),  # too small
        (10, 70, 90, 74),  # longer than a window
    )], 1)  # fmt: skip
    windows = grid((96, 96), 48, overlap=0)
    found = kinds(mosaic, windows, 48)
    assert {kind: [o.bbox[:2] for o in objects] for kind, objects in found.items()} == {
        "larger than a window": [(10, 70)],
        "at corners": [(40, 40)],
        "at seams": [(40, 10)],
    }


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for folder in ("images", "masks"):
        (tmp_path / "set" / folder).mkdir(parents=True)
    for i in range(4):
        one = tile((36, 10, 60, 26), (8, 8, 24, 24))
        Image.fromarray(one.image).save(tmp_path / "set" / "images" / f"{i}.png")
        Image.fromarray(one.labels).save(tmp_path / "set" / "masks" / f"{i}.png")
    return tmp_path / "set"


def test_the_loss_is_that_of_the_windows_at_hand(
    small: HQSam, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def predict_many(self: Segmenter, prompts: list[Any]) -> list[Any]:
        """The box; with a store only its upper three quarters."""
        found = []
        for p in prompts:
            window = self.choose_window(p)
            if p.box is None:
                found.append(SimpleNamespace(data=np.zeros((0, 0), bool), bbox=(0, 0, 0, 0)))
            else:
                y0, x0, y1, x1 = (int(v) for v in p.box)
                h = y1 + 1 - y0 if self.features.store is None else (y1 + 1 - y0) * 3 // 4
                bbox = (y0, x0, y0 + h, x1 + 1)
                found.append(SimpleNamespace(data=np.ones((h, x1 + 1 - x0), bool), bbox=bbox))
            found[-1].window = window
        return found

    monkeypatch.setattr(Segmenter, "predict_many", predict_many)
    report = measure_seams(small, data, tmp_path / "work", tiles=2)
    boxes = {f.name: f for f in report.figures if f.name.endswith("box")}
    assert boxes
    assert all(f.value == pytest.approx(25) and f.met is False for f in boxes.values())
    clicks = [f for f in report.figures if f.name.endswith("click")]
    assert [f.value for f in clicks] == [0] * len(boxes)
    assert report.setting["images"] == 4


def test_the_real_thing(small: HQSam, data: Path, tmp_path: Path) -> None:
    report = measure_seams(small, data, tmp_path / "work", tiles=2, objects=2)
    assert all(-100 <= f.value <= 100 for f in report.figures)
    assert any("2 objects" in f.about for f in report.figures)
