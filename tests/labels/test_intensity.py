from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images import ImageSource, open_image
from napari_hqsam.labels import intensity
from napari_hqsam.labels.find import objects_in
from napari_hqsam.labels.grid import Grid
from napari_hqsam.labels.intensity import Region, intensities

RNG = np.random.default_rng(0)


def regions_of(labels: np.ndarray, grid: Grid) -> list[Region]:
    return [
        Region(obj.id, mask, *grid.at(mask.plane))
        for obj in objects_in(labels)
        for mask in obj.masks
    ]


def check(labels: np.ndarray, image: ImageSource, pixels: np.ndarray) -> None:
    """The intensities are those that numpy finds in pixels (channels, *labels.shape)."""
    grid = Grid.of(image)
    found = intensities(regions_of(labels, grid), grid, image)
    assert set(found) == set(np.unique(labels)) - {0}
    for number, values in found.items():
        expected = pixels[:, labels == number].astype(float)
        columns = values.columns()
        np.testing.assert_allclose(columns["mean"], expected.mean(axis=1))
        np.testing.assert_allclose(columns["std"], expected.std(axis=1), atol=1e-9)
        np.testing.assert_array_equal(columns["min"], expected.min(axis=1))
        np.testing.assert_array_equal(columns["max"], expected.max(axis=1))
        np.testing.assert_allclose(columns["integrated"], expected.sum(axis=1))


@pytest.mark.parametrize(("cell", "side"), [(1024, 2048), (7, 5), (30, 11)])
def test_every_pixel_of_each_channel_counts_once(
    monkeypatch: pytest.MonkeyPatch, cell: int, side: int
) -> None:
    monkeypatch.setattr(intensity, "_CELL", cell)
    monkeypatch.setattr(intensity, "_SIDE", side)
    labels = RNG.integers(0, 6, (40, 50))
    labels[2:30, 3:40] = 9
    pixels = RNG.integers(0, 60_000, (5, 40, 50)).astype(np.uint16)
    check(labels, open_image(pixels, axes="cyx"), pixels)
    stack = RNG.integers(0, 4, (2, 3, 12, 13))
    pixels = RNG.normal(1e6, 1, (2, 3, 12, 13, 2))
    check(stack, open_image(pixels, axes="tzyxc"), np.moveaxis(pixels, -1, 0))
    # planes in another order than those of the labels
    turned = open_image(np.ascontiguousarray(np.swapaxes(pixels, 0, 1)), axes="ztyxc")
    check(stack, turned, np.moveaxis(pixels, -1, 0))


class Watched:
    """An array that remembers what was read of it."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels, self.shape, self.dtype = pixels, pixels.shape, pixels.dtype
        self.read = 0

    def __getitem__(self, index: Any) -> np.ndarray:
        part = self.pixels[index]
        self.read += part.size
        return part


def test_only_the_boxes_of_the_masks_are_read() -> None:
    labels = np.zeros((3000, 3000), np.uint8)
    labels[10:20, 10:20], labels[2900:2950, 1500:1600] = 1, 2
    array = Watched(np.ones((3000, 3000), np.uint8))
    image = open_image(array, axes="yx")
    array.read = 0
    intensities(regions_of(labels, Grid.of(image)), Grid.of(image), image)
    assert array.read == 100 + 5000


def test_nan_and_infinity_do_not_count() -> None:
    pixels = np.array([[1.0, np.nan, 3.0, np.inf], [np.nan, -np.inf, np.nan, np.nan]])
    labels = np.array([[1, 1, 1, 1], [2, 2, 2, 2]])
    image = open_image(pixels, axes="yx")
    found = intensities(regions_of(labels, Grid.of(image)), Grid.of(image), image)
    first, second = (found[n].columns() for n in (1, 2))
    assert (first["mean"][0], first["std"][0], first["max"][0]) == (2, 1, 3)
    assert np.isnan([second[name][0] for name in second]).all()


def test_the_opacity_of_a_photograph_is_no_channel() -> None:
    image = open_image(np.zeros((5, 6, 4), np.uint8), axes="yxc")
    assert intensity.measured_channels(image) == [0, 1, 2]
    assert intensity.measured_channels(open_image(np.zeros((4, 5, 6)), axes="cyx")) == [0, 1, 2, 3]


@pytest.mark.parametrize(("axes", "shape"), [("yx", (8, 10)), ("zyx", (2, 8, 9))])
def test_an_image_of_another_size_is_refused(axes: str, shape: tuple[int, ...]) -> None:
    labels = np.ones((8, 9), int)
    image = open_image(np.zeros(shape), axes=axes)
    with pytest.raises(HQSAMError, match=r"image: has .*, but the labels y 8, x 9"):
        intensities(regions_of(labels, Grid("yx", (8, 9))), Grid("yx", (8, 9)), image)
