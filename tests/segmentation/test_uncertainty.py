"""How much SAM's and the HQ token's boundaries differ."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_hqsam.images.windows import whole_plane
from napari_hqsam.modeling import HQSam
from napari_hqsam.segmentation import Mask, Segmenter
from napari_hqsam.segmentation.uncertainty import boundary_uncertainty


def disc(radius: float, shift: float = 0.0) -> np.ndarray:
    y, x = np.mgrid[:64, :64]
    return (radius - np.hypot(y - 32, x - 32 - shift)).astype(np.float32)


def mask_of(sam: np.ndarray, hq: np.ndarray | None) -> Mask:
    window = whole_plane((256, 256), 256)
    return Mask(np.ones((1, 1), bool), (0, 0, 1, 1), (), 0.9, window, sam, hq)


def uncertainty(sam: np.ndarray, hq: np.ndarray) -> float:
    found = boundary_uncertainty(mask_of(sam, hq))
    assert found is not None
    return found


def test_the_same_boundary_is_certain_and_another_one_is_not() -> None:
    assert uncertainty(disc(20), disc(20)) == 0
    assert uncertainty(disc(20), 5 * disc(20)) == 0  # surer, but of the same
    assert uncertainty(disc(20), disc(10)) == 1
    assert uncertainty(disc(20), disc(20) - 99) == 1  # HQ sees nothing
    assert uncertainty(disc(5) - 99, disc(20) - 99) == 0  # neither sees anything


def test_it_grows_with_the_distance_of_the_boundaries() -> None:
    found = [uncertainty(disc(20), disc(20, shift)) for shift in (0, 0.5, 1, 2, 4)]
    assert found == sorted(found)
    assert found[1] > 0.02
    assert found[2] < 0.6 < found[4] < 1
    assert uncertainty(disc(20), disc(21)) == pytest.approx(uncertainty(disc(21), disc(20)))


def test_the_inside_of_a_large_object_does_not_hide_it() -> None:
    """As it does in the IoU of the masks."""
    small, large = uncertainty(disc(8), disc(9)), uncertainty(disc(28), disc(29))
    assert abs(small - large) < 0.1


def test_what_is_cut_by_the_window_has_a_boundary_there_in_both() -> None:
    everything = np.ones((64, 64), np.float32)
    assert uncertainty(everything, everything) == 0
    half = everything.copy()
    half[:, 32:] = -1
    assert 0.3 < uncertainty(everything, half) < 0.8


def test_it_depends_on_neither_mode_nor_threshold(micro: HQSam) -> None:
    image = np.random.default_rng(0).integers(0, 256, (150, 200), np.uint8)
    seg = Segmenter(image, model=micro)
    masks = [
        seg.predict(box=(20, 30, 90, 120), mode=mode, threshold=threshold)
        for mode in ("hq+sam", "hq")
        for threshold in (0.0, 1.0)
    ]
    found = {boundary_uncertainty(mask) for mask in masks}
    assert len(found) == 1
    assert 0 < found.pop() <= 1


def test_without_hq_nothing_can_be_said() -> None:
    assert boundary_uncertainty(replace(mask_of(disc(20), disc(20)), low_res_hq=None)) is None
