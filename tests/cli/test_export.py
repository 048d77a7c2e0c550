from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
from roifile import roiread
from skimage.measure import label

from napari_hqsam.images import open_image
from napari_hqsam.labels.export import write_labels

from .conftest import Command

LABELS = label(np.random.default_rng(0).random((96, 128)) < 0.55, connectivity=1)
N = int(LABELS.max())


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """Labels of `image`, with its pixel size."""
    return write_labels(tmp_path / "my labels.tif", LABELS, scale=(0.25, 0.5), units="um")


@pytest.mark.parametrize("suffix", [".geojson", ".json"])
def test_annotations_and_back_are_the_same_labels(
    command: Command, labels: Path, image: Path, tmp_path: Path, suffix: str
) -> None:
    target = tmp_path / f"cells{suffix}"
    done = command("export", labels, "-o", target, "--image", image, "--class", "nucleus")
    assert (done.status, done.err) == (0, "")
    assert done.out == f"{target}: {N} object(s)\n"
    back = tmp_path / "back.tif"
    done = command("export", target, "--like", image, "-o", back)
    assert (done.status, done.err) == (0, "")
    np.testing.assert_array_equal(tifffile.imread(back), LABELS)
    with open_image(back) as source:
        assert source.scale == pytest.approx((0.25, 0.5))
    # from one to the other, of one class
    other = tmp_path / ("b.json" if suffix == ".geojson" else "b.geojson")
    assert command("export", target, "--like", image, "-o", other, "--class", "nucleus").status == 0
    assert "nucleus" in other.read_text()
    wrong = command("export", target, "--like", image, "-o", tmp_path / "c.csv", "--class", "cell")
    assert wrong.error == f"--class cell: cells{suffix} has the classes 'nucleus'"


def test_measurements_with_intensities(
    command: Command, labels: Path, image: Path, tmp_path: Path
) -> None:
    target = tmp_path / "a.csv"
    done = command("export", labels, "-o", target, "--image", image, "--class", "cell")
    assert (done.status, done.err) == (0, "")
    table = pd.read_csv(target)
    pixels = tifffile.imread(image)
    assert table["label"].tolist() == list(range(1, N + 1))
    assert set(table["class"]) == {"cell"}
    sizes = np.bincount(LABELS.ravel())[1:]
    np.testing.assert_allclose(table["area_um2"], sizes * 0.125)
    np.testing.assert_allclose(
        table["integrated_c0"], np.bincount(LABELS.ravel(), pixels.ravel())[1:]
    )
    plain = tmp_path / "b.csv"
    assert command("export", labels, "-o", plain).status == 0
    assert "mean_c0" not in pd.read_csv(plain)


def test_rois(command: Command, labels: Path, tmp_path: Path) -> None:
    target = tmp_path / "a.zip"
    assert command("export", labels, "-o", target).status == 0
    assert [roi.name for roi in roiread(target)] == [str(n) for n in range(1, N + 1)]


@pytest.mark.parametrize("suffix", [".zarr", ".png", ".tiff"])
def test_labels_in_another_format(
    command: Command, labels: Path, tmp_path: Path, suffix: str
) -> None:
    target = tmp_path / f"a{suffix}"
    done = command("export", labels, "-o", target)
    assert (done.status, done.err, done.out) == (0, "", f"{target}: y 96, x 128\n")
    with open_image(target) as source:
        np.testing.assert_array_equal(source.read((), 0, 0, 96, 128)[..., 0], LABELS)
    again = tmp_path / "again.csv"
    assert command("export", target, "-o", again).status == 0
    assert len(pd.read_csv(again)) == N


def test_a_stack_whose_planes_are_in_another_order(command: Command, tmp_path: Path) -> None:
    stack = np.zeros((4, 2, 20, 30), np.uint16)  # z, t
    stack[1:3, 1, 5:9, 5:9] = 6
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, stack, metadata={"axes": "ZTYX"}, ome=True)
    assert command("export", path, "-o", tmp_path / "a.csv").status == 0
    table = pd.read_csv(tmp_path / "a.csv")
    assert table[["label", "t", "planes", "bbox_z0_px"]].to_numpy().tolist() == [[6, 1, 2, 1]]
    assert command("export", path, "-o", tmp_path / "a.geojson").status == 0
    back = command("export", tmp_path / "a.geojson", "--like", path, "-o", tmp_path / "b.zarr")
    assert (back.status, back.err) == (0, "")
    with open_image(tmp_path / "b.zarr") as source:
        assert source.axes == "tzyx"
        for t, z in np.ndindex(2, 4):
            np.testing.assert_array_equal(source.read((t, z), 0, 0, 20, 30)[..., 0], stack[z, t])


def squares(path: Path, *corners: tuple[float, float], **properties: Any) -> Path:
    features = [
        {
            "type": "Feature",
            "properties": properties,
            "geometry": {
                "type": "Polygon",
                "coordinates": [[[x, y], [x + 10, y], [x + 10, y + 10], [x, y + 10]]],
            },
        }
        for x, y in corners
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def test_what_overlaps_or_is_cut_is_told(command: Command, image: Path, tmp_path: Path) -> None:
    path = squares(tmp_path / "a.geojson", (0, 0), (5, 0), (40, 40), (123, 50))
    done = command("export", path, "--like", image, "-o", tmp_path / "a.tif")
    assert done.status == 0
    first, second = done.err.splitlines()
    assert first.startswith(f"napari-hqsam: warning: {path}: 1 features reach beyond an image.tif")
    assert second.endswith("a.tif: 1 object(s) overlap others, which keep 50 of their pixels")
    written = tifffile.imread(tmp_path / "a.tif")
    assert np.bincount(written.ravel())[1:].tolist() == [100, 50, 100, 50]


def test_a_sidecar_keeps_the_command(
    command: Command, labels: Path, image: Path, tmp_path: Path
) -> None:
    words = ["export", labels, "-o", tmp_path / "a.geojson", "--image", image, "--class", "my cell"]
    assert command(*words, "--detections").status == 0
    about = json.loads((tmp_path / "a.geojson.json").read_text())
    assert about["image"]["name"] == image.name
    assert shlex.split(about["command"]) == [
        "napari-hqsam", *(str(word) for word in words), "--detections"
    ]  # fmt: skip
    first = (tmp_path / "a.geojson").read_bytes()
    assert b'"objectType":"detection"' in first
    assert command(*shlex.split(about["command"])[1:], "--overwrite").status == 0
    assert (tmp_path / "a.geojson").read_bytes() == first


def test_nothing_is_replaced_unasked(command: Command, labels: Path, tmp_path: Path) -> None:
    target = tmp_path / "a.csv"
    target.write_text("mine")
    done = command("export", labels, "-o", target)
    assert done.error == f"{target}: exists already; add --overwrite, or give another name"
    assert target.read_text() == "mine"
    assert command("export", labels, "-o", target, "--overwrite").status == 0
    assert len(pd.read_csv(target)) == N


def test_bad_input_is_told_in_one_line(
    command: Command, labels: Path, image: Path, stack: Path, tmp_path: Path
) -> None:
    annotations = squares(tmp_path / "a.geojson", (0, 0))
    photograph = tmp_path / "photo.png"
    from PIL import Image

    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(photograph)
    real = tmp_path / "real.tif"
    tifffile.imwrite(real, np.zeros((9, 9), np.float32))
    out = tmp_path / "out.csv"
    before = sorted(tmp_path.iterdir())
    for words, message in [
        ([annotations, "-o", out], "which image is it of? Give it with --like"),
        ([labels, "-o", out, "--like", image], "--like: is for .json and .geojson"),
        ([labels, "-o", tmp_path / "a.xlsx"], "give a name that ends in .geojson, .json, .zip"),
        ([labels, "-o", labels, "--overwrite"], "is what is read"),
        ([labels, "-o", tmp_path / "missing" / "a.csv"], "there is no folder"),
        ([tmp_path / "none.tif", "-o", out], "no such file"),
        ([labels, "-o", out, "--image", stack], "has z 5, y 64, x 80, but the labels y 96, x 128"),
        ([photograph, "-o", out], "photo.png: is no label image (uint8, 3 channel(s))"),
        ([real, "-o", out], "real.tif: is no label image (float32, 1 channel(s))"),
        ([image, "-o", out, "--axes", "cyx"], "letter(s)"),
        ([tmp_path / "none.json", "-o", out, "--like", image], "cannot be read"),
    ]:
        assert message in command("export", *words).error
    assert sorted(tmp_path.iterdir()) == before


def test_negative_labels_are_refused(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "bad.tif"
    tifffile.imwrite(path, np.array([[1, -2]], np.int16))
    assert "bad.tif: labels: they are numbers from 0 up, but -2 occurs" in (
        command("export", path, "-o", tmp_path / "a.csv").error
    )
