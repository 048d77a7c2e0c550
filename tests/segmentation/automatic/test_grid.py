"""Clicks on a grid: where they are, and what is kept of their masks."""

from __future__ import annotations

import numpy as np
import pytest

from napari_hqsam.images.windows import Window, whole_plane
from napari_hqsam.segmentation.automatic.grid import (
    Filters,
    grid_candidates,
    grid_points,
    points_per_side,
    seed_scores,
)

from .fakes import Lamp, discs, features_of

SHAPE = (128, 128)
LOOSE = Filters(0.0, 0.0, 0.5)


def test_points_are_at_equal_distances_and_inside() -> None:
    points = grid_points(Window((), 0, (10, 20), 64, (64, 40), 64), 8)
    assert len(points) == 8 * 5
    assert points.min(axis=0).tolist() == [13.5, 23.5]
    assert points.max(axis=0).tolist() == [69.5, 55.5]


def test_a_strip_narrower_than_a_step_has_a_row_of_points() -> None:
    points = grid_points(Window((), 0, (0, 0), 64, (2, 64), 64), 8)
    assert len(points) == 8
    assert set(points[:, 0]) == {0.5}


@pytest.mark.parametrize(("diameter", "count"), [(64, 8), (40, 13), (2, 32), (1000, 8)])
def test_two_points_are_on_a_diameter(diameter: float, count: int) -> None:
    assert points_per_side(diameter, 256, 512) == count


def test_without_a_diameter_points_are_32_model_pixels_apart() -> None:
    assert points_per_side(None, 1024, 1024) == 32


def found_in(image: np.ndarray, filters: Filters, per_side: int = 8) -> tuple[Lamp, list]:
    model = Lamp()
    window = whole_plane(SHAPE, model.input_size)
    features = features_of(image, model).get(window)
    points = grid_points(window, per_side)
    found = grid_candidates(model, features, window, points, filters)  # type: ignore[arg-type]
    return model, found


def test_each_object_is_found_once_and_the_hq_branch_does_not_run() -> None:
    image = discs(SHAPE, (30, 30, 12), (90, 40, 15), (70, 100, 20))
    model, found = found_in(image, LOOSE)
    middles = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2 * 2  # low-res pixels are two wide
    order = np.argsort(middles[:, 1])
    np.testing.assert_allclose(middles[order], [(30, 30), (90, 40), (70, 100)], atol=2)
    assert model.count(boxes=False, hq=False) == 64
    assert sum(n for n, _, hq in model.asked if hq) == 0


def test_a_low_predicted_iou_and_an_unstable_mask_do_not_pass() -> None:
    image = discs(SHAPE, (30, 30, 12))
    assert len(found_in(image, Filters(0.95, 0, 0.5))[1]) == 0
    faint = discs(SHAPE, (30, 30, 12), low=60, high=165)
    assert len(found_in(faint, LOOSE)[1]) == 1
    assert len(found_in(faint, Filters(0, 0.5, 0.5))[1]) == 0


def test_what_fills_the_window_is_no_object() -> None:
    assert len(found_in(np.full(SHAPE, 255, np.uint8), LOOSE)[1]) == 0


def test_many_candidates_are_thinned_out_on_the_way_without_another_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = discs(SHAPE, (30, 30, 12), (90, 40, 15), (70, 100, 20))
    _, expected = found_in(image, LOOSE, 16)
    monkeypatch.setattr("napari_hqsam.segmentation.automatic.grid._MANY", 5)
    _, found = found_in(image, LOOSE, 16)
    np.testing.assert_array_equal(found.boxes, expected.boxes)


def test_a_seed_beside_every_mask_has_no_score() -> None:
    image = discs(SHAPE, (30, 30, 12))
    model = Lamp()
    window = whole_plane(SHAPE, model.input_size)
    features = features_of(image, model).get(window)
    seeds = np.array([(30.0, 30.0), (100.0, 100.0)])
    scores = seed_scores(model, features, window, seeds)  # type: ignore[arg-type]
    np.testing.assert_allclose(scores, [0.9, 0], atol=1e-6)
