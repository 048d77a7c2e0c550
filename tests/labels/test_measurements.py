from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images import open_image
from napari_hqsam.labels import measurements
from napari_hqsam.labels.find import objects_in
from napari_hqsam.labels.grid import Grid
from napari_hqsam.labels.measurements import measure, write_csv
from napari_hqsam.session.record import ObjectRecord

from .pictures import an_object


def test_a_plane_in_micrometres() -> None:
    labels = np.zeros((30, 40), int)
    labels[10:20, 4:8] = 5
    image = open_image(np.arange(2400).reshape(2, 30, 40), axes="cyx")
    (obj,) = objects_in(labels)
    record = ObjectRecord(5, obj.masks, "cell", 0.9, "accepted", uncertainty=0.125)
    table = measure([record], Grid("yx", (30, 40), (500.0, 0.25), ("nm", "um")), image)
    assert list(table.columns) == [
        "label", "class", "status", "score", "uncertainty",
        "area_um2", "centroid_y_um", "centroid_x_um",
        "bbox_y0_px", "bbox_x0_px", "bbox_y1_px", "bbox_x1_px",
        "perimeter_um", "circularity", "eccentricity", "feret_max_um", "solidity",
        "skeleton_length_um", "skeleton_branches", "skeleton_ends",
        *(f"{name}_c{c}" for c in (0, 1) for name in ("mean", "min", "max", "std", "integrated")),
    ]  # fmt: skip
    row = table.loc[0]
    assert (row["label"], row["class"], row["status"]) == (5, "cell", "accepted")
    assert (row["score"], row["uncertainty"]) == (0.9, 0.125)
    assert row["area_um2"] == pytest.approx(5 * 1)
    assert (row["centroid_y_um"], row["centroid_x_um"]) == pytest.approx((14.5 * 0.5, 5.5 * 0.25))
    assert row["bbox_y0_px":"bbox_x1_px"].tolist() == [10, 4, 20, 8]
    assert row["feret_max_um"] == pytest.approx(math.hypot(5, 1))
    assert row["solidity"] == pytest.approx(1)
    assert row["perimeter_um"] == pytest.approx(12, rel=0.1)
    assert 3 < row["skeleton_length_um"] < 5
    assert (row["skeleton_branches"], row["skeleton_ends"]) == (1, 2)
    assert row["mean_c1"] == row["mean_c0"] + 1200
    assert table["label"].dtype.kind == "i"


def test_without_a_pixel_size_all_is_in_pixels() -> None:
    table = measure([an_object(np.ones((3, 4)))], Grid("yx", (9, 9), (1.0, 1.0), ("pixel", "um")))
    assert table["area_px2"].item() == 12
    assert not [name for name in table.columns if "um" in name]
    assert {"score", "uncertainty", "t"}.isdisjoint(table.columns)


def test_a_stack_has_a_row_for_each_object_and_time_point() -> None:
    labels = np.zeros((2, 6, 20, 20), int)
    labels[0, 1:5, 3:9, 3:9] = 1
    labels[1, 2, 3:9, 3:9] = 1
    labels[0, 0, 12:14, 12:14] = labels[0, 5, 12:14, 12:14] = 2
    grid = Grid("tzyx", labels.shape, (10, 2, 0.5, 0.5), ("s", "um", "um", "um"))
    pixels = np.random.default_rng(0).integers(0, 99, labels.shape)
    table = measure(objects_in(labels), grid, open_image(pixels, axes="tzyx"))
    assert table[["label", "t", "planes"]].to_numpy().tolist() == [[1, 0, 4], [1, 1, 1], [2, 0, 2]]
    assert table["volume_um3"].tolist() == [4 * 2 * 9, 2 * 9, 4.0]
    assert np.isnan(table["area_um2"]).tolist() == [True, False, True]
    assert table["area_um2"][1] == 9
    assert table["centroid_z_um"].tolist() == [5, 4, 5]
    first = table.loc[0, "bbox_z0_px":"bbox_x1_px"]
    assert first.tolist() == [1, 3, 3, 5, 9, 9]
    assert table["feret_max_um"][0] == pytest.approx(math.sqrt(8**2 + 3**2 + 3**2))
    assert table["feret_max_um"][1] == pytest.approx(math.hypot(3, 3))
    assert table["solidity"].tolist() == pytest.approx([1, 1, 4 / 12])
    assert table["mean_c0"].tolist() == pytest.approx(
        [pixels[t][labels[t] == n].mean() for n, t in ((1, 0), (1, 1), (2, 0))]
    )


def test_a_skeleton_runs_through_the_planes() -> None:
    labels = np.zeros((12, 7, 7), int)
    labels[:, 2:5, 2:5] = 1
    table = measure(objects_in(labels), Grid("zyx", labels.shape, (3.0, 1.0, 1.0), ("um",) * 3))
    assert table["skeleton_length_um"][0] == pytest.approx(33, abs=6)
    flat = measure(
        objects_in(labels), Grid("tyx", labels.shape, (3.0, 1.0, 1.0), ("s", "um", "um"))
    )
    assert len(flat) == 12
    assert flat["t"].tolist() == list(range(12))
    assert "volume_um3" not in flat


def test_objects_too_large_for_a_skeleton_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurements, "LARGEST", 50)
    objects = [an_object(np.ones((2, 9)), 1), an_object(np.ones((9, 9)), 2)]
    with pytest.warns(UserWarning, match=r"1 object\(s\) are too large"):
        table = measure(objects, Grid("yx", (9, 9)))
    assert table["skeleton_branches"].isna().tolist() == [False, True]
    assert "skeleton_ends" not in measure(objects, Grid("yx", (9, 9)), skeleton=False)


def test_objects_without_pixels_have_no_row() -> None:
    empty = replace(an_object(np.zeros((2, 2))), score=0.5)
    image = open_image(np.zeros((9, 9)), axes="yx")
    table = measure([empty], Grid("yx", (9, 9)), image)
    assert len(table) == 0
    assert "mean_c0" in table


def test_all_that_takes_long_is_told() -> None:
    told: list[tuple[int, int, str]] = []
    objects = [an_object(np.ones((3, 9)), n) for n in (1, 2)]
    image = open_image(np.zeros((9, 9)), axes="yx")
    measure(objects, Grid("yx", (9, 9)), image, progress=lambda *now: told.append(now))
    done = {doing: (n, total) for n, total, doing in told}
    assert len(done) >= 4
    assert all(0 <= n <= total for n, total in done.values())
    assert any("first time takes" in doing for doing in done)


def test_csv(tmp_path: Path) -> None:
    objects = [an_object(np.ones((3, 9)), 1, class_name='µ, "quoted"'), an_object(np.eye(4), 2)]
    table = measure(objects, Grid("yx", (9, 9)))
    path = write_csv(tmp_path / "a.csv", table)
    pd.testing.assert_frame_equal(
        pd.read_csv(path, keep_default_na=False), table, check_dtype=False
    )
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(HQSAMError, match=r"must end in \.csv"):
        write_csv(tmp_path / "a.xls", table)
