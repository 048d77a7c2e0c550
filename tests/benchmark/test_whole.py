from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_hqsam.benchmark import whole
from napari_hqsam.benchmark.figures import Figure, Table
from napari_hqsam.benchmark.held_out import held_out, of_instances
from napari_hqsam.benchmark.whole import PARTS, measure_whole
from napari_hqsam.errors import HQSAMError
from napari_hqsam.modeling import HQSam


def blocks(*corners: tuple[int, int], side: int = 64) -> np.ndarray:
    labels = np.zeros((side, side), np.uint8)
    for number, (y, x) in enumerate(corners, start=1):
        labels[y : y + 8, x : x + 8] = number
    return labels


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Ten pictures of which two are held out; and a stack, of which that is a strip."""
    root = tmp_path / "data"
    for folder in ("images", "masks"):
        for name in ("cells", "stack"):
            (root / name / folder).mkdir(parents=True)
        for i in range(10):
            labels = blocks((4, 4), (30, 20 + i))
            labels[labels == 2] = i + 2
            Image.fromarray(labels).save(root / "cells" / folder / f"{i}.png")
        volume = np.stack([blocks((4, 50))] * 3)
        tifffile.imwrite(root / "stack" / folder / "a.tif", volume, photometric="minisblack")
    return root


def test_what_training_saw_is_left_out(data: Path) -> None:
    found = held_out(data, 8)
    assert list(found) == ["cells"]  # a strip shows nothing
    assert [plane.name for plane in found["cells"]] == ["2", "7"]
    assert len(held_out(data, 1)["cells"]) == 1
    assert list(of_instances(found)) == ["cells"]


def test_planes_come_in_turn_from_all_the_files(tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        volume = np.stack([blocks((4, 100), (40, 110), side=128)] * 6)
        for name in "ab":
            path = tmp_path / folder / f"{name}.tif"
            tifffile.imwrite(path, volume, photometric="minisblack")
    (found,) = held_out(tmp_path, 4).values()
    assert [plane.name for plane in found] == ["a_z0001", "b_z0001", "a_z0004", "b_z0004"]


def test_of_a_large_plane_the_part_with_the_most_objects_is_taken(data: Path) -> None:
    (found,) = held_out(data / "cells", 1, side=32).values()
    (plane,) = found
    assert plane.labels.shape == plane.image.shape == (32, 32)
    assert plane.labels.any()


def test_small_objects_need_no_large_part(tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        for i in range(5):
            labels = np.kron(blocks((4, 4), (30, 20)), np.ones((6, 6), np.uint8))
            few = blocks((4, 4), (300, 200), side=384)
            Image.fromarray(few).save(tmp_path / folder / f"{i}.png")
    (plane,) = held_out(tmp_path, 1)[tmp_path.name]
    assert plane.labels.shape == (256, 256)
    for folder in ("images", "masks"):
        Image.fromarray(labels).save(tmp_path / folder / "2.png")  # objects of 48 pixels
    (plane,) = held_out(tmp_path, 1)[tmp_path.name]
    assert plane.labels.shape == (384, 384)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Each part measures nothing, and notes that it was asked."""
    asked: list[str] = []

    def stand_in(name: str) -> Any:
        def measure(*args: Any, **options: Any) -> tuple[list[Figure], Table]:
            asked.append(name)
            return [Figure(name, 1.0)], Table(name, ("a", "b"), [("x", None)])

        return measure

    names = ("refinement", "automatic", "mosaic_seams", "linear")
    for name, part in zip(names, PARTS, strict=True):
        monkeypatch.setattr(whole, f"measure_{name}", stand_in(part))
    return asked


def test_each_part_has_its_figures_and_its_table(
    small: HQSam, data: Path, tmp_path: Path, measured: list[str]
) -> None:
    report = measure_whole(small, tmp_path, data, images=1)
    assert tuple(measured) == PARTS
    assert [f.name for f in report.figures] == [*PARTS]
    assert report.to_json()["tables"][0] == {"table": "refinement", "rows": [{"a": "x", "b": None}]}


def test_without_data_there_is_what_needs_none(
    small: HQSam, tmp_path: Path, measured: list[str]
) -> None:
    report = measure_whole(small, tmp_path)
    assert measured == ["seams", "linear"]
    assert "--data" in str(report.setting["data"])
    with pytest.raises(HQSAMError, match="automatic: it needs labelled images; give --data"):
        measure_whole(small, tmp_path, parts=["automatic"])


def test_one_part_can_be_measured_alone(
    small: HQSam, data: Path, tmp_path: Path, measured: list[str]
) -> None:
    measure_whole(small, tmp_path, data, parts=["automatic"])
    assert measured == ["automatic"]
