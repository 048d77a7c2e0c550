"""Metrics on cases that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import binary_erosion, gaussian_filter

from napari_hqsam.errors import HQSAMError
from napari_hqsam.evaluation.metrics import (
    Band,
    biou_recall,
    boundary_iou,
    boundary_region,
    boundary_width,
    extent,
    mask_iou,
)


def square(start: int, stop: int, size: int = 20) -> np.ndarray:
    mask = np.zeros((size, size), dtype=bool)
    mask[start:stop, start:stop] = True
    return mask


def blobs(shape: tuple[int, int], seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(shape)
    return gaussian_filter(noise, 3, mode="constant") > 0.02


def peeled(mask: np.ndarray, width: int) -> np.ndarray:
    """The boundary region as the definition says it: pad by a zero, erode, crop, subtract."""
    padded = np.pad(mask, 1)
    for _ in range(width):
        padded = binary_erosion(padded, np.ones((3, 3), dtype=bool))
    return mask & ~padded[1:-1, 1:-1]


def test_iou_of_shifted_squares() -> None:
    a = square(2, 12)
    b = np.roll(a, 5, axis=1)
    assert mask_iou(a, b) == 50 / 150
    assert mask_iou(a, a) == 1
    assert mask_iou(a, ~a) == 0


def test_empty_masks_agree() -> None:
    empty = np.zeros((5, 5), dtype=bool)
    assert mask_iou(empty, empty) == 1
    assert boundary_iou(empty, empty, 2) == 1
    assert mask_iou(empty, ~empty) == 0
    assert boundary_iou(empty, ~empty, 2) == boundary_iou(~empty, empty, 2) == 0


@pytest.mark.parametrize("compare", [mask_iou, lambda a, b: boundary_iou(a, b, 1)])
def test_masks_that_cannot_be_compared(compare) -> None:  # type: ignore[no-untyped-def]
    mask = square(2, 12)
    with pytest.raises(HQSAMError, match=r"\(20, 20\) and \(1, 20\)"):
        compare(mask, mask[:1])
    with pytest.raises(HQSAMError, match="uint8"):
        compare(mask, mask.astype(np.uint8))


@pytest.mark.parametrize("width", [1, 2, 3])
def test_the_boundary_region_is_a_frame(width: int) -> None:
    frame = boundary_region(square(5, 15), width)
    assert np.count_nonzero(frame) == 100 - (10 - 2 * width) ** 2
    smallest_with_a_core = boundary_region(square(3, 4 + 2 * width), width)
    assert np.count_nonzero(smallest_with_a_core) == (2 * width + 1) ** 2 - 1


def test_the_edge_of_the_image_is_a_boundary() -> None:
    full = np.ones((10, 10), dtype=bool)
    assert np.count_nonzero(boundary_region(full, 1)) == 36


def test_a_thin_object_is_all_boundary() -> None:
    line = np.zeros((9, 9), dtype=bool)
    line[4] = True
    assert (boundary_region(line, 2) == line).all()


@pytest.mark.parametrize("width", [1, 2, 5, 40])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_boundary_region_is_what_erosions_leave(width: int, seed: int) -> None:
    mask = blobs((50, 70), seed)
    assert (boundary_region(mask, width) == peeled(mask, width)).all()


def test_boundary_iou_is_harsher_than_iou() -> None:
    a, b = square(2, 18), square(3, 17)
    assert mask_iou(a, b) == 196 / 256
    # Frames of 1 pixel, one inside the other, share nothing.
    assert boundary_iou(a, b, 1) == 0
    # Of 2 pixels: 256 - 144 and 196 - 100; they share the ring from 3 to 17 without 4 to 16.
    assert boundary_iou(a, b, 2) == (196 - 144) / (112 + 96 - 52)


@pytest.mark.parametrize("width", [1, 2, 9])
def test_a_part_that_holds_both_masks_gives_the_same_figure(width: int) -> None:
    a, b = np.zeros((60, 80), dtype=bool), np.zeros((60, 80), dtype=bool)
    a[:25, 30:55] = blobs((25, 25), 2)  # up to the image's upper edge
    b[:25, 30:55] = blobs((25, 25), 2) ^ (blobs((25, 25), 3) & blobs((25, 25), 4))
    figure = mask_iou(peeled(a, width), peeled(b, width))
    assert 0.1 < figure < 0.99
    part = extent(a | b)
    assert part is not None
    assert part[0].start == 0
    for where in (np.s_[:, :], np.s_[:30, 20:70], part):
        assert boundary_iou(a[where], b[where], width) == figure


def test_a_mask_at_the_image_edge_has_a_boundary_there() -> None:
    inside, cut = np.zeros((30, 30), dtype=bool), np.zeros((30, 30), dtype=bool)
    inside[0:10, 5:25] = True
    cut[2:10, 5:25] = True
    # Frames of 1 pixel: 56 and 52 pixels. They share the bottom row (20) and 7 rows of two sides.
    assert boundary_iou(inside, cut, 1) == 34 / (56 + 52 - 34)


def test_the_papers_width() -> None:
    assert boundary_width((300, 400)) == 10
    assert boundary_width((300, 400), 0.01) == 5
    assert boundary_width((3, 4)) == 1
    assert boundary_width((75, 100)) == 2  # 2.5, to the even number


@pytest.mark.parametrize(
    ("text", "band", "name"),
    [
        ("2px", Band(2, "px"), "2 px"),
        ("2%", Band(0.02, "ratio"), "2 %"),
        ("0.5um", Band(0.5, "um"), "0.5 µm"),
        (" 0.5 \u00b5m ", Band(0.5, "um"), "0.5 µm"),  # the micro sign
        ("0.5 \u03bcm", Band(0.5, "um"), "0.5 µm"),  # the Greek letter
        ("1.5 %", Band(0.015, "ratio"), "1.5 %"),
    ],
)
def test_a_band_is_read_and_named(text: str, band: Band, name: str) -> None:
    assert Band.parse(text) == band
    assert band.name == name
    assert Band.parse(band.name) == band


@pytest.mark.parametrize(
    "text", ["", "2", "px", "-2px", "0%", "2 nm", "1.2.3px", "nan px", "2px 1", "1e999px"]
)
def test_a_band_that_cannot_be_read(text: str) -> None:
    with pytest.raises(HQSAMError, match="write it as '2px'") as error:
        Band.parse(text)
    assert "\n" not in str(error.value)


def test_a_band_that_cannot_be() -> None:
    with pytest.raises(HQSAMError, match="above 0"):
        Band(0, "px")
    with pytest.raises(HQSAMError, match="above 0"):
        Band(float("nan"), "ratio")
    with pytest.raises(HQSAMError, match="'nm'"):
        Band(2, "nm")  # type: ignore[arg-type]


def test_the_width_of_a_band() -> None:
    assert Band(0.02, "ratio").width((300, 400)) == 10
    assert Band(0.01, "ratio").width((300, 400), pixel_size=0.1) == 5
    assert Band(0.01, "ratio").width((3, 4)) == 1
    assert Band(2, "px").width((300, 400)) == 2
    assert Band(0.2, "px").width((300, 400)) == 1
    assert Band(0.5, "um").width((300, 400), pixel_size=0.1) == 5
    assert Band(0.5, "um").width((300, 400), pixel_size=7.0) == 1
    for size in (None, 0.0, float("nan")):
        with pytest.raises(HQSAMError, match=r"0\.5 µm: give the pixel size"):
            Band(0.5, "um").width((300, 400), size)


def test_the_recall_curve_counts_what_is_above() -> None:
    curve = biou_recall(iter([0.5, 0.65, 0.95, 0.1]))
    assert curve.tolist() == [0.5, 0.5, 0.25, 0.25, 0.25]
    assert biou_recall([0.5, 0.51], thresholds=(0.5,)).tolist() == [0.5]
    assert np.isnan(biou_recall([])).all()
    assert len(biou_recall([])) == 5


def test_the_extent_is_tight() -> None:
    mask = np.zeros((10, 20), dtype=bool)
    assert extent(mask) is None
    mask[3, 7] = mask[5, 19] = True
    assert extent(mask) == (slice(3, 6), slice(7, 20))
