"""Bare background is left out; whatever might be an object is not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_hqsam.images import IntensityMapping, open_image
from napari_hqsam.images.windows import grid
from napari_hqsam.segmentation.tissue import Tissue

SIDE = 64
SHAPE = (512, 640)


def ground(level: float, noise: float, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(level, noise, SHAPE)


def nucleus(y: int, x: int, radius: int = 5) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The pixels of a disc."""
    ys, xs = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    inside = np.hypot(ys, xs) <= radius
    return y + ys[inside], x + xs[inside]


def crowd(image: NDArray[np.float64], value: float) -> NDArray[np.float64]:
    """Objects in the left third of an image."""
    for y, x in np.random.default_rng(1).integers((5, 5), (507, 180), (150, 2)).tolist():
        image[nucleus(y, x)] = value
    return image


def tissue_of(image: NDArray[np.float64]) -> Tissue:
    source = open_image(image.clip(0, 255).astype(np.uint8))
    return Tissue(source, IntensityMapping.choose(source, (0, 255)), 0)


def left_out(tissue: Tissue, side: int = SIDE) -> list[tuple[int, int]]:
    return [w.origin for w in grid(SHAPE, side) if w not in tissue]


def shows(origin: tuple[int, int], y: float, x: float) -> bool:
    return bool(0 <= y - origin[0] < SIDE and 0 <= x - origin[1] < SIDE)


@pytest.mark.parametrize("noise", [0, 2, 6])
@pytest.mark.parametrize(("level", "value"), [(20, 160), (235, 90)])
def test_empty_windows_are_left_out_and_only_those(
    level: float, value: float, noise: float
) -> None:
    image = crowd(ground(level, noise), value)
    without = left_out(tissue_of(image))
    clean = crowd(np.full(SHAPE, level), value)
    assert len(without) >= 0.8 * sum(w.origin[1] > 190 for w in grid(SHAPE, SIDE))
    for y, x in without:
        assert (clean[y : y + SIDE, x : x + SIDE] == level).all()


@pytest.mark.parametrize(("level", "value", "noise"), [(20, 160, 3), (235, 90, 3), (20, 160, 0)])
def test_a_faint_object_is_not_left_out(level: float, value: float, noise: float) -> None:
    image = crowd(ground(level, noise), value)
    sign = 1 if value > level else -1
    # about as far above the ground as its noise: a pixel of it says nothing
    image[nucleus(300, 500)] += sign * max(1.5 * noise, 3)
    without = left_out(tissue_of(image))
    assert len(without) > 20
    assert not any(shows(origin, 300, 500) for origin in without)


def test_a_faint_dark_object_on_bright_ground_of_colour_is_not_left_out() -> None:
    grey = crowd(ground(235, 2), 120)
    image = np.repeat(grey[:, :, None], 3, axis=2)
    image[(*nucleus(300, 500), 1)] -= 6  # a pale stain takes away green alone
    source = open_image(image.clip(0, 255).astype(np.uint8))
    tissue = Tissue(source, IntensityMapping.choose(source), 0)
    without = left_out(tissue)
    assert len(without) > 20
    assert not any(shows(origin, 300, 500) for origin in without)


def test_where_nothing_clearly_is_background_nothing_is_left_out() -> None:
    rng = np.random.default_rng(2)
    texture = rng.uniform(0, 255, (64, 80)).repeat(8, axis=0).repeat(8, axis=1)
    assert left_out(tissue_of(texture)) == []
    slope = np.linspace(0, 255, SHAPE[1]) + np.zeros(SHAPE)
    assert left_out(tissue_of(slope)) == []


def test_flat_areas_of_several_colours_are_no_background() -> None:
    image = ground(0, 2)
    for i, level in enumerate((20, 80, 140, 200)):
        image[:, i * 160 : (i + 1) * 160] += level
    assert left_out(tissue_of(image)) == []


def test_a_flat_object_as_large_as_a_window_is_not_left_out() -> None:
    image = ground(20, 2)
    image[192:320, 192:320] += 100
    without = left_out(tissue_of(image))
    assert len(without) > 20
    assert not any(192 <= y <= 320 - SIDE and 192 <= x <= 320 - SIDE for y, x in without)


def test_windows_of_every_size_are_judged() -> None:
    tissue = tissue_of(crowd(ground(20, 3), 160))
    assert left_out(tissue, 32)
    assert left_out(tissue, 128)
    assert left_out(tissue, 640) == []  # it shows everything


def test_no_more_of_a_large_image_is_read_than_a_sample_and_the_window() -> None:
    read = 0

    class Counted:
        shape, dtype, ndim = (40_000, 40_000), np.dtype(np.uint8), 2

        def __getitem__(self, index: tuple[slice, ...]) -> NDArray[np.uint8]:
            nonlocal read
            shape = [len(range(n)[s]) for n, s in zip(self.shape, index, strict=True)]
            read += int(np.prod(shape))
            return np.full(shape, 20, np.uint8)

    source = open_image(Counted(), axes="yx")
    tissue = Tissue(source, IntensityMapping.choose(source, (0, 255)), 0)
    window = grid(SHAPE, SIDE)[0]
    assert window not in tissue
    assert read < 5_000_000
