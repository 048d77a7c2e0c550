"""Objects by a threshold: one for the image, bright or dark, on uneven ground."""

from __future__ import annotations

import numpy as np
import pytest

from napari_hqsam.images import IntensityMapping, open_image
from napari_hqsam.images.windows import Window, grid
from napari_hqsam.segmentation.automatic import Foreground

from .fakes import disc, discs

SHAPE = (128, 160)
PLACES = [(30.0, 30.0, 10.0), (30.0, 110.0, 12.0), (90.0, 50.0, 9.0), (100.0, 120.0, 11.0)]


def foreground(image: np.ndarray, diameter: float | None = 20, size: int = 256) -> Foreground:
    source = open_image(image)
    return Foreground(source, IntensityMapping.choose(source, (0, 255)), 0, size, diameter)


def all_of(image: np.ndarray, size: int = 256) -> Window:
    return Window((), 0, (0, 0), max(image.shape), image.shape, size)


def middles(image: np.ndarray, diameter: float | None = 20) -> np.ndarray:
    _, centres = foreground(image, diameter).boxes(all_of(image))
    return centres[np.lexsort(centres.T)]


def expected() -> np.ndarray:
    centres = np.array(PLACES)[:, :2]
    return centres[np.lexsort(centres.T)]


@pytest.mark.parametrize(("low", "high"), [(20, 200), (220, 60), (100, 112), (250, 235)])
def test_bright_and_dark_objects_are_found_faint_ones_too(low: int, high: int) -> None:
    image = discs(SHAPE, *PLACES, low=low, high=high)
    np.testing.assert_allclose(middles(image), expected(), atol=2)


def test_boxes_name_model_pixels() -> None:
    image = discs(SHAPE, (40, 50, 10))
    boxes, _ = foreground(image).boxes(all_of(image))
    np.testing.assert_allclose(boxes / (256 / 160), [(30, 40, 51, 61)], atol=1)


def test_uneven_illumination_hides_no_object() -> None:
    ramp = np.linspace(0, 150, SHAPE[1])
    image = (ramp + np.where(discs(SHAPE, *PLACES) > 0, 60, 0)).astype(np.uint8)
    np.testing.assert_allclose(middles(image), expected(), atol=3)


def test_objects_that_touch_are_parted() -> None:
    image = discs(SHAPE, (60, 50, 12), (60, 72, 12))
    np.testing.assert_allclose(middles(image), [(60, 50), (60, 72)], atol=3)


def test_specks_are_no_objects() -> None:
    image = discs(SHAPE, *PLACES, (64, 80, 2))
    assert len(middles(image)) == len(PLACES)


@pytest.mark.parametrize("value", [0, 90])
def test_where_nothing_stands_out_there_are_no_objects(value: int) -> None:
    assert len(middles(np.full(SHAPE, value, np.uint8))) == 0


def test_the_diameter_is_estimated_from_the_foreground() -> None:
    image = discs(SHAPE, *PLACES, (64, 80, 1), (5, 5, 1), (120, 5, 1))
    assert 18 < foreground(image, None).diameter < 26


def test_the_threshold_is_that_of_the_image_wherever_one_looks() -> None:
    rng = np.random.default_rng(0)
    image = np.zeros((640, 640), np.uint8)
    for y, x in rng.integers(20, 620, (60, 2)).tolist():
        image[disc(image.shape, y, x, 8)] = 150
    image[600:, 600:] = 255  # one window with something else
    source = open_image(image)
    mapping = IntensityMapping.choose(source, (0, 255))
    windows = grid(image.shape, 64)
    assert len(windows) > 128  # more than are read
    one, other = (Foreground(source, mapping, 0, 64, 16) for _ in range(2))
    first = [one.objects(w) for w in windows]
    backwards = [other.objects(w) for w in reversed(windows)]
    for labels, again in zip(first, reversed(backwards), strict=True):
        np.testing.assert_array_equal(labels, again)


def test_a_few_objects_in_a_large_empty_image_set_the_threshold() -> None:
    image = np.random.default_rng(0).normal(30, 3, (1200, 1200)).clip(0, 255).astype(np.uint8)
    image[disc(image.shape, 300, 700, 8)] = 140
    window = Window((), 0, (272, 672), 64, (64, 64), 64)
    boxes, _ = foreground(image, 16, 64).boxes(window)
    assert len(boxes) == 1
    empty = Window((), 0, (900, 100), 64, (64, 64), 64)
    assert len(foreground(image, 16, 64).boxes(empty)[0]) == 0


def test_the_threshold_is_made_where_there_is_contrast_not_from_the_haze_elsewhere() -> None:
    image = np.full((1200, 1200), 30, np.uint8)
    for y in range(20, 1200, 40):
        for x in range(20, 1200, 40):
            patch = image[y - 10 : y + 11, x - 10 : x + 11]
            patch[disc(patch.shape, 10, 10, 8)] = 150 if y > 850 and x > 850 else 40
    shown = foreground(image, 16, 64)
    objects, haze = (Window((), 0, (at, at), 64, (64, 64), 64) for at in (970, 410))
    assert len(shown.boxes(objects)[0]) > 0
    assert len(shown.boxes(haze)[0]) == 0
