from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from napari_hqsam.cli.label_image import LabelImage
from napari_hqsam.errors import HQSAMError
from napari_hqsam.images import open_image
from napari_hqsam.images.windows import Window
from napari_hqsam.labels import pixels, tiff
from napari_hqsam.labels.store import LabelStore
from napari_hqsam.segmentation import Mask


def a_mask(y0: int, x0: int, data: np.ndarray) -> Mask:
    h, w = data.shape
    window = Window((), 0, (0, 0), 64, (64, 64), 64)
    nothing = np.zeros((16, 16), np.float32)
    return Mask(data, (y0, x0, y0 + h, x0 + w), (), 0.9, window, nothing, None)


DISC = np.hypot(*np.mgrid[-15:16, -15:16]) < 15


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
def test_large_labels_are_those_that_small_ones_would_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: bool, suffix: str
) -> None:
    if large:
        monkeypatch.setattr(pixels, "MEMORY_BYTES", 100)
        monkeypatch.setattr(tiff, "MEMORY_BYTES", 100)
    stack = np.zeros((3, 2, 90, 80), np.uint8)  # planes in the order of the image, z before t
    source = open_image(stack, axes="ztyx", scale=(2, 1, 0.5, 0.25), units="µm")
    target = tmp_path / f"l{suffix}"
    truth = np.zeros((2, 3, 90, 80), int)
    with LabelImage(source, target, highest=3) as labels:
        assert labels.axes == "tzyx"
        assert labels.draw(a_mask(10, 20, DISC), 1, (2, 1)) == DISC.sum()
        truth[1, 2, 10:41, 20:51][DISC] = 1
        rest = DISC & (truth[1, 2, 20:51, 30:61] == 0)
        assert labels.draw(a_mask(20, 30, DISC), 2, (2, 1)) == rest.sum()
        truth[1, 2, 20:51, 30:61][rest] = 2
        assert labels.draw(a_mask(10, 20, DISC[5:9, 5:9]), 3, (0, 0)) == 16
        truth[0, 0, 10:14, 20:24] = 3
        assert labels.draw(a_mask(15, 25, DISC[8:12, 8:12]), 3, (2, 1)) == 0
        assert labels.draw(a_mask(15, 25, np.zeros((0, 0), bool)), 3, (2, 1)) == 0
        assert labels.write() == target
        assert labels.describe() == "t 2, z 3, y 90, x 80; uint16"
    assert os.listdir(tmp_path) == [target.name]
    with open_image(target) as written:
        assert written.dtype == np.uint16
        assert written.axes == "tzyx"
        assert written.scale[1:] == pytest.approx((2, 0.5, 0.25))
        for t, z in np.ndindex(2, 3):
            np.testing.assert_array_equal(written.read((t, z), 0, 0, 90, 80)[..., 0], truth[t, z])


def test_labels_of_a_huge_plane_are_not_in_memory(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "huge.zarr", mode="w")
    plane = group.create_array("0", shape=(100_000, 100_000), chunks=(1024, 1024), dtype="u2")
    target = tmp_path / "l.zarr"
    tracemalloc.start()
    try:
        with LabelImage(open_image(plane, axes="yx"), target, highest=70_000) as labels:
            assert labels.draw(a_mask(60_000, 70_000, DISC), 70_000, ()) == DISC.sum()
            labels.write()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 50e6
    store = LabelStore.open(target)
    assert (store.shape, store.dtype) == ((100_000, 100_000), np.uint32)
    np.testing.assert_array_equal(
        store.read((), 60_000, 70_000, 60_031, 70_031), DISC * np.uint32(70_000)
    )
    assert sorted(os.listdir(tmp_path)) == ["huge.zarr", "l.zarr"]


def test_older_labels_stay_until_the_new_ones_are_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixels, "MEMORY_BYTES", 100)
    source, target = open_image(np.zeros((90, 80), "u1"), axes="yx"), tmp_path / "l.zarr"
    for value in (4, 5):
        with LabelImage(source, target, highest=9) as labels:
            labels.draw(a_mask(5, 5, DISC), value, ())
            labels.write()
    with (  # noqa: PT012
        pytest.raises(KeyboardInterrupt),
        LabelImage(source, target, highest=9) as labels,
    ):
        labels.draw(a_mask(5, 5, DISC), 6, ())
        raise KeyboardInterrupt
    assert int(LabelStore.open(target).levels[0][...].max()) == 5
    assert os.listdir(tmp_path) == ["l.zarr"]


def test_a_png_of_a_huge_image_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixels, "MEMORY_BYTES", 100)
    source = open_image(np.zeros((90, 80), "u1"), axes="yx")
    with pytest.raises(HQSAMError, match="too large for a PNG"):
        LabelImage(source, tmp_path / "l.png", highest=2)
    assert os.listdir(tmp_path) == []


def test_segment_keeps_large_labels_on_disk(
    command, model, image, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = [["segment", image, "-o", tmp_path / f"{n}.tif", "--box", "10,20,39,59"] for n in "ab"]
    assert command(*calls[0]).status == 0
    monkeypatch.setattr(pixels, "MEMORY_BYTES", 100)
    monkeypatch.setattr(tiff, "MEMORY_BYTES", 100)
    done = command(*calls[1])
    assert (done.status, done.err) == (0, "")
    np.testing.assert_array_equal(
        tifffile.imread(tmp_path / "a.tif"), tifffile.imread(tmp_path / "b.tif")
    )
    assert sorted(os.listdir(tmp_path)) == ["a.tif", "an image.tif", "b.tif"]
