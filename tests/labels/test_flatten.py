from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images import open_image
from napari_hqsam.labels import pixels, tiff
from napari_hqsam.labels.find import objects_in
from napari_hqsam.labels.flatten import flatten, write_flat
from napari_hqsam.labels.grid import Grid
from napari_hqsam.labels.label_array import MemoryLabels

from .pictures import an_object, grid_of, label_images


@settings(deadline=None, max_examples=40)
@given(label_images())
def test_objects_drawn_are_the_labels_that_they_are_of(labels: np.ndarray) -> None:
    drawn = np.zeros_like(labels)
    assert flatten(list(objects_in(labels)), MemoryLabels(drawn), grid_of(labels)) == {}
    np.testing.assert_array_equal(drawn, labels)


def test_the_first_of_two_that_overlap_keeps_the_pixels() -> None:
    labels = np.zeros((9, 9), np.uint8)
    objects = [
        an_object(np.ones((4, 4)), 3),
        an_object(np.ones((4, 4)), 1, 2, 2),
        an_object(np.ones((1, 1)), 2, 0, 0),
        an_object(np.ones((1, 1)), 4, 8, 8),
    ]
    assert flatten(objects, MemoryLabels(labels), Grid("yx", (9, 9))) == {1: 4, 2: 1}
    assert (labels[:4, :4] == 3).all()
    assert (labels == 1).sum() == 12
    assert labels[8, 8] == 4


def test_objects_beyond_the_labels_are_refused() -> None:
    labels = MemoryLabels(np.zeros((9, 9), np.uint8))
    with pytest.raises(HQSAMError, match="object 1: reaches beyond image of 9 x 9 pixels"):
        flatten([an_object(np.ones((4, 4)), 1, 6, 6)], labels, Grid("yx", (9, 9)))


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
def test_labels_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: bool, suffix: str
) -> None:
    if large:
        monkeypatch.setattr(pixels, "MEMORY_BYTES", 100)
        monkeypatch.setattr(tiff, "MEMORY_BYTES", 100)
    labels = np.random.default_rng(0).integers(0, 4, (2, 30, 40))
    labels[1, 3, 3] = 70_000
    grid = Grid("zyx", labels.shape, (2.0, 0.5, 0.25), ("um",) * 3)
    path = tmp_path / f"a{suffix}"
    assert write_flat(path, list(objects_in(labels)), grid) == {}
    assert list(tmp_path.iterdir()) == [path]
    with open_image(path) as image:
        assert image.dtype == np.uint32
        assert image.scale == pytest.approx((2, 0.5, 0.25))
        for z in range(2):
            np.testing.assert_array_equal(image.read((z,), 0, 0, 30, 40)[..., 0], labels[z])


def test_no_objects_are_empty_labels(tmp_path: Path) -> None:
    write_flat(tmp_path / "a.tif", [], Grid("yx", (5, 6)))
    assert not tifffile.imread(tmp_path / "a.tif").any()
