from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaozarrs
import zarr
from PIL import Image

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images import open_image
from napari_hqsam.images.files import open_file
from napari_hqsam.labels import export
from napari_hqsam.labels.export import write_labels

LABELS = np.random.default_rng(0).integers(0, 300, (40, 50), dtype=np.int64)
STACK = np.random.default_rng(1).integers(0, 300, (4, 40, 50), dtype=np.int64)


def refused(message: str, path: Path, *args: object, **options: object) -> None:
    """Writing gives one line that names the file and leaves nothing behind."""
    before = sorted(path.parent.iterdir()) if path.parent.is_dir() else []
    with pytest.raises(HQSAMError, match=message) as caught:
        write_labels(path, *args, **options)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert before == (sorted(path.parent.iterdir()) if path.parent.is_dir() else [])


def test_fiji_reads_the_calibration(tmp_path: Path) -> None:
    path = write_labels(tmp_path / "my labels.tif", LABELS, scale=(0.5, 0.25), units="µm")
    with tifffile.TiffFile(path) as tif:
        assert tif.is_imagej
        assert tif.imagej_metadata["unit"] == "micron"
        page = tif.pages[0]
        assert page.tags["XResolution"].value == (4, 1)
        assert page.tags["YResolution"].value == (2, 1)
        assert page.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        assert page.dtype == np.uint16
        np.testing.assert_array_equal(tif.asarray(), LABELS)
    assert os.listdir(tmp_path) == ["my labels.tif"]


def test_fiji_reads_a_stack(tmp_path: Path) -> None:
    path = write_labels(
        tmp_path / "a.tiff", STACK, scale=(2000, 500, 500), units=["nm"] * 3, axes="zyx"
    )
    with tifffile.TiffFile(path) as tif:
        about = tif.imagej_metadata
        assert (about["unit"], about["spacing"], about["slices"]) == ("micron", 2.0, 4)
        assert tif.series[0].axes == "ZYX"
        np.testing.assert_array_equal(tif.asarray(), STACK)


def test_fiji_reads_time(tmp_path: Path) -> None:
    scale, units = (2.5, 3, 0.5, 0.5), ("s", "µm", "µm", "µm")
    path = write_labels(tmp_path / "a.tif", STACK[:, None], scale=scale, units=units, axes="tzyx")
    with tifffile.TiffFile(path) as tif:
        about = tif.imagej_metadata
        assert (about["frames"], about["finterval"], about["spacing"]) == (4, 2.5, 3.0)


@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
@pytest.mark.parametrize("highest", [300, 70_000])
def test_scale_survives_a_round_trip(tmp_path: Path, suffix: str, highest: int) -> None:
    labels = STACK.copy()
    labels[0, 0, 0] = highest
    path = tmp_path / f"a{suffix}"
    write_labels(path, labels, scale=(2, 0.3, 0.21), units="um", axes="zyx")
    file = open_file(path)
    assert file.axes == "zyx"
    assert file.scale == pytest.approx((2, 0.3, 0.21), rel=1e-6)
    assert file.units == ("micrometer",) * 3
    with open_image(path) as source:
        assert source.dtype == (np.uint16 if highest == 300 else np.uint32)
        for z in range(4):
            np.testing.assert_array_equal(source.read((z,), 0, 0, 40, 50)[..., 0], labels[z])
    file.close()


def test_more_labels_than_imagej_holds(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    write_labels(path, LABELS + 65_536, scale=(0.5, 0.25), units="µm")
    with tifffile.TiffFile(path) as tif:
        assert tif.is_ome
        assert not tif.is_imagej
        # for programs that read no OME-XML
        assert tif.pages[0].resolutionunit == tifffile.RESUNIT.CENTIMETER
        assert tif.pages[0].tags["XResolution"].value == (40_000, 1)
        np.testing.assert_array_equal(tif.asarray(), LABELS + 65_536)


def test_without_a_scale_no_size_is_claimed(tmp_path: Path) -> None:
    path = write_labels(tmp_path / "a.tif", LABELS)
    with tifffile.TiffFile(path) as tif:
        assert tif.imagej_metadata["unit"] == "pixel"
    assert open_file(path).scale is None
    file = open_file(write_labels(tmp_path / "b.tif", LABELS + 70_000))
    assert file.scale is None
    file.close()


def test_ome_zarr_is_valid(tmp_path: Path) -> None:
    path = write_labels(tmp_path / "a.zarr", STACK, scale=(2, 0.5, 0.5), units="µm", axes="zyx")
    document = json.loads((path / "zarr.json").read_text())
    image = yaozarrs.validate_ome_object(document["attributes"]).ome
    assert isinstance(image, yaozarrs.v05.LabelImage)
    assert [a.unit for a in image.multiscales[0].axes] == ["micrometer"] * 3
    array = zarr.open_group(path, mode="r")["0"]
    assert array.metadata.dimension_names == ("z", "y", "x")
    np.testing.assert_array_equal(array[...], STACK)
    assert open_file(path).is_labels
    assert os.listdir(tmp_path) == ["a.zarr"]


def test_png(tmp_path: Path) -> None:
    path = write_labels(tmp_path / "a.png", LABELS)
    with Image.open(path) as picture:
        np.testing.assert_array_equal(np.asarray(picture), LABELS)
    np.testing.assert_array_equal(open_file(path).levels[0], LABELS)


@pytest.mark.parametrize(
    ("labels", "dtype"),
    [
        (np.eye(9, dtype=bool), np.uint16),
        (np.full((9, 9), 65_535, ">u8"), np.uint16),
        (np.full((9, 9), 65_536, ">i4"), np.uint32),
        (np.zeros((1, 1), "i1"), np.uint16),
        (np.ones((1, 9), "u4"), np.uint16),
        ([[0, 1], [2, 3]], np.uint16),
    ],
)
def test_smallest_dtype(tmp_path: Path, labels: np.ndarray, dtype: type) -> None:
    written = tifffile.imread(write_labels(tmp_path / "a.tif", labels))
    assert written.dtype == dtype
    np.testing.assert_array_equal(written.reshape(np.shape(labels)), labels)


def test_labels_beyond_32_bits(tmp_path: Path) -> None:
    labels = np.full((9, 9), 2**40, "u8")
    path = write_labels(tmp_path / "a.zarr", labels)
    np.testing.assert_array_equal(zarr.open_group(path, mode="r")["0"][...], labels)
    refused("labels up to 4,294,967,295", tmp_path / "a.tif", labels)
    refused("labels up to 65,535", tmp_path / "a.png", labels)


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        (LABELS.astype(float), {}, "whole numbers"),
        (LABELS - 300, {}, "from 0 up"),
        (np.zeros((0, 9), int), {}, "no pixels"),
        (STACK, {}, 'axes "yx" do not fit labels of 3'),
        (LABELS, {"axes": "xy"}, "do not fit"),
        (LABELS, {"scale": (1, 1, 1)}, "one value per axis"),
        (LABELS, {"scale": (0, 1)}, "greater than 0"),
        (LABELS, {"scale": (1, 1), "units": ("µm",)}, "one value per axis"),
    ],
)
def test_labels_that_cannot_be_written(
    tmp_path: Path, labels: np.ndarray, options: dict, message: str
) -> None:
    refused(message, tmp_path / "a.tif", labels, **options)


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    refused("change the suffix", tmp_path / "a.jpg", LABELS)
    refused("there is no folder", tmp_path / "missing" / "a.tif", LABELS)
    (tmp_path / "file").write_text("")
    refused("there is no folder", tmp_path / "file" / "a.tif", LABELS)
    (tmp_path / "folder.tif").mkdir()
    refused("this is a folder", tmp_path / "folder.tif", LABELS)
    refused("one plane", tmp_path / "a.png", STACK, axes="zyx")
    refused("cannot be written", tmp_path / f"{'a' * 300}.tif", LABELS)


@pytest.mark.parametrize("suffix", [".tif", ".zarr", ".png"])
def test_an_older_file_is_replaced_or_stays_whole(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_labels(tmp_path / f"a{suffix}", LABELS)

    def full_disk(partial: Path, *rest: object) -> None:
        (partial.mkdir if suffix == ".zarr" else partial.touch)()
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setitem(export._WRITERS, suffix, full_disk)
        refused("No space left on device", path, LABELS + 1)
    np.testing.assert_array_equal(open_image(path).read((), 0, 0, 40, 50)[..., 0], LABELS)
    write_labels(path, LABELS + 1)
    np.testing.assert_array_equal(open_image(path).read((), 0, 0, 40, 50)[..., 0], LABELS + 1)
    assert os.listdir(tmp_path) == [path.name]


def test_another_zarr_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "image.zarr"
    zarr.create_array(path, data=LABELS)
    refused("is no label image", path, LABELS)
    np.testing.assert_array_equal(zarr.open_array(path, mode="r")[...], LABELS)
