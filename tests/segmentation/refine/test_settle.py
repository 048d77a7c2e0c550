"""Where a boundary settles between where it was drawn and where the network sees it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.draw import disk
from skimage.morphology import convex_hull_image

from napari_hqsam.segmentation.refine.settle import Shift, depth, settled


def round_mask(
    radius: float, at: tuple[float, float] = (40, 40), size: int = 80
) -> NDArray[np.bool_]:
    mask = np.zeros((size, size), bool)
    mask[disk(at, radius, shape=mask.shape)] = True
    return mask


def logits(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    return np.where(mask, 4, -4).astype(np.float32)


@pytest.mark.parametrize("radius", [12, 17, 23, 27])
def test_a_boundary_moves_to_where_it_is_seen(radius: float) -> None:
    old, seen = round_mask(20), round_mask(radius)
    new = settled(old, logits(seen), band=10)
    assert (new ^ seen).sum() < 0.1 * (old ^ seen).sum()


@pytest.mark.parametrize("by", [-4, 3])
@pytest.mark.parametrize("to", [(0, 0), (2, -3)])
def test_how_much_wider_and_where_to_a_boundary_is_as_a_whole(
    by: float, to: tuple[int, int]
) -> None:
    there = np.add((40, 40), to)
    shift = Shift.between(depth(round_mask(20)), depth(round_mask(20 + by, (there[0], there[1]))))
    np.testing.assert_allclose(shift.parts, [-by, to[0], to[1]], atol=0.4)


def test_a_dent_of_its_own_is_no_shift() -> None:
    dented = round_mask(20)
    dented[30:50, 20:28] = False
    assert Shift.between(depth(round_mask(20)), depth(dented)).size < 0.6


def test_what_is_too_thin_for_the_network_to_see_stays() -> None:
    old = round_mask(10, (40, 20))
    seen = old.copy()
    old[39:42, 20:70] = True
    new = settled(old, logits(seen), band=8, pixel=2)
    np.testing.assert_array_equal(new, old)
    assert not settled(old, logits(seen), band=8, pixel=0.5)[40, 60]


def test_where_the_network_contradicts_itself_labels_stay() -> None:
    old, seen = round_mask(20), round_mask(25)
    answers = [logits(seen), logits(round_mask(18))]
    np.testing.assert_array_equal(settled(old, logits(seen), 8, answers=answers), old)
    agreeing = settled(old, logits(seen), 8, answers=[logits(seen), logits(round_mask(22))])
    assert agreeing.sum() > 1.4 * old.sum()


def test_where_the_network_is_not_sure_labels_stay() -> None:
    old, seen = round_mask(20), round_mask(23)
    np.testing.assert_array_equal(settled(old, np.where(seen, 0.5, -0.5), band=8), old)


@pytest.mark.parametrize(("radius", "limit"), [(35, 28), (8, 12)])
def test_a_boundary_moves_no_further_than_the_band(radius: float, limit: float) -> None:
    old = round_mask(20)
    new = settled(old, logits(round_mask(radius)), band=8)
    far = round_mask(limit + 1) if radius > 20 else round_mask(limit - 1)
    assert not (new & ~far).any() if radius > 20 else (new & far).sum() == far.sum()
    assert abs(int(new.sum()) - int(round_mask(limit).sum())) < 0.1 * new.sum()


def test_a_boundary_that_was_right_stays() -> None:
    old = round_mask(20)
    rough = round_mask(20)
    rough[40, 60:62] = True  # a tooth of the network's own
    rough[39, 20] = False
    np.testing.assert_array_equal(settled(old, logits(rough), band=8), old)


def test_of_a_boundary_that_was_right_a_wrong_part_is_mended() -> None:
    seen = round_mask(20)
    seen[34:46, 20:32] = False  # a bay
    old = convex_hull_image(seen)
    new = settled(old, logits(seen), band=20)
    bay = old & ~seen
    assert (new & bay).sum() < 0.2 * bay.sum()
    assert (new ^ seen).sum() < 0.05 * seen.sum()


def test_other_objects_in_the_band_are_not_taken_in() -> None:
    old, other = round_mask(12, (40, 30)), round_mask(4, (40, 50))
    new = settled(old, logits(old | other), band=14)
    assert not (new & other).any()


def test_an_object_that_is_not_seen_stays() -> None:
    old = round_mask(6)
    np.testing.assert_array_equal(settled(old, logits(np.zeros_like(old)), band=8), old)


@pytest.mark.parametrize("thin", [0, 30])
def test_thin_parts_grow_beyond_the_band_if_they_may(thin: float) -> None:
    seen = round_mask(10, (40, 20))
    seen[39:42, 20:55] = True  # a neurite of 3 pixels that the labels lack
    seen |= round_mask(9, (60, 58))  # thick, and beyond the band
    new = settled(round_mask(10, (40, 20)), logits(seen), band=6, thin=thin)
    assert new[40, 35:39].all() == (thin > 0)
    assert new[40, 50] == (thin > 0)
    assert not new[60, 58]


def test_the_edge_of_the_plane_is_no_boundary() -> None:
    old = np.zeros((40, 40), bool)
    old[:, :20] = True
    seen = np.zeros_like(old)
    seen[:, :25] = True
    np.testing.assert_array_equal(settled(old, logits(seen), band=8), seen)
    assert settled(old, logits(~old), band=3)[:, :15].all()
