from __future__ import annotations

from pathlib import Path

import pytest

from napari_hqsam.benchmark.large import _labelling, measure_large
from napari_hqsam.benchmark.pictures import Place
from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.change import Change
from napari_hqsam.modeling import HQSam


def test_every_figure_is_there_with_its_target(small: HQSam, tmp_path: Path) -> None:
    report = measure_large(small, tmp_path, size=128, rounds=1)
    names = [figure.name for figure in report.figures]
    assert len(set(names)) == len(names)
    held = {figure.name for figure in report.figures if figure.target is not None}
    for image in ("plane", "stack xy", "stack xz"):
        for what in (
            "open",
            "first box on a cold place",
            "box on an encoded window",
            "the same while others are encoded",
            "memory above the model's",
        ):
            assert f"{image}: {what}" in held
    assert report.setting["stack"] == "128 x 128 x 128"
    memory = [f.value for f in report.figures if "memory" in f.name]
    assert len(memory) == 5
    assert all(-1 < gigabytes < 1.5 for gigabytes in memory)
    left = [f for f in report.figures if "nothing is left" in f.name]
    assert [f.met for f in left] == [True, True]


def test_labels_that_undo_leaves_behind_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Change, "undo", lambda self: None)
    place = Place((), (10, 20, 30, 50))
    *_, left = _labelling("labels", tmp_path / "labels.zarr", (64, 96), [place])
    assert left.name == "labels: nothing is left after undo"
    assert left.met is False


def test_a_plane_too_small_is_refused(small: HQSam, tmp_path: Path) -> None:
    with pytest.raises(HQSAMError, match="size 100: micro needs 128 pixels"):
        measure_large(small, tmp_path, size=100)
