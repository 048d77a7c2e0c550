"""Average precision on rankings that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_hqsam.errors import HQSAMError
from napari_hqsam.evaluation.detection import (
    THRESHOLDS,
    Cutout,
    average_precision,
    cutouts,
    similarity,
)
from napari_hqsam.evaluation.metrics import boundary_iou, mask_iou


def box(y0: int, x0: int, y1: int, x1: int) -> Cutout:
    return Cutout(np.ones((y1 - y0, x1 - x0), dtype=bool), (y0, x0, y1, x1))


def full(cutout: Cutout, shape: tuple[int, int]) -> np.ndarray:
    out = np.zeros(shape, dtype=bool)
    y0, x0, y1, x1 = cutout.bbox
    out[y0:y1, x0:x1] = cutout.data
    return out


def test_similarity_of_boxes() -> None:
    truth = [box(0, 0, 10, 10), box(20, 20, 30, 30)]
    predicted = [box(0, 5, 10, 15), box(20, 20, 30, 30), box(40, 40, 45, 45)]
    pairs = similarity(predicted=predicted, truth=truth)
    assert pairs.tolist() == [[50 / 150, 0], [0, 1], [0, 0]]
    # Frames of 1 pixel, 36 each; they share two rows of 5, and each side only with the inside.
    pairs = similarity(predicted=predicted, truth=truth, width=1)
    assert pairs.tolist() == [[10 / 62, 0], [0, 1], [0, 0]]


def test_a_pair_has_the_lesser_of_both() -> None:
    solid, smaller = box(5, 5, 15, 15), box(6, 6, 14, 14)
    hollow = np.ones((10, 10), dtype=bool)
    hollow[1:-1, 1:-1] = False
    truth = [Cutout(hollow, solid.bbox), smaller]
    # The hollow square has the solid one's boundary, the smaller one shares none of it.
    assert similarity(predicted=[solid], truth=truth).tolist() == [[0.36, 0.64]]
    assert boundary_iou(full(solid, (20, 20)), full(truth[0], (20, 20)), 1) == 1
    assert similarity(predicted=[solid], truth=truth, width=1).tolist() == [[0.36, 0]]


def test_the_matrix_is_what_each_pair_gives() -> None:
    rng = np.random.default_rng(0)
    shape = (60, 70)
    truth, predicted = (
        [gaussian_filter(rng.standard_normal(shape), 4) > cut for _ in range(3)]
        for cut in (0.05, 0.0)
    )
    empty = np.zeros(shape, dtype=bool)
    pairs = similarity(predicted=[*predicted, empty], truth=[*truth, empty], width=2)
    assert pairs.shape == (4, 4)
    for i, p in enumerate(predicted):
        for j, t in enumerate(truth):
            assert pairs[i, j] == min(mask_iou(t, p), boundary_iou(t, p, 2))
    assert pairs[:3, :3].min() > 0
    assert not pairs[3].any()
    assert not pairs[:, 3].any()


def test_a_box_need_not_be_tight() -> None:
    loose = Cutout(np.pad(np.ones((10, 10), dtype=bool), 3), (17, 17, 33, 33))
    assert similarity(predicted=[loose], truth=[box(20, 20, 30, 30)], width=2).tolist() == [[1]]


def test_nothing_to_compare() -> None:
    empty = Cutout(np.zeros((4, 4), dtype=bool), (3, 3, 7, 7))
    for width in (None, 2):
        pairs = similarity(predicted=[empty], truth=[box(0, 0, 9, 9), empty], width=width)
        assert pairs.tolist() == [[0, 0]]
    assert similarity(predicted=[], truth=[box(0, 0, 2, 2)]).shape == (0, 1)
    assert similarity(predicted=[box(0, 0, 2, 2)], truth=[], width=2).shape == (1, 0)


def test_objects_are_cut_out_of_labels() -> None:
    labels = np.zeros((20, 30), dtype=np.uint64)
    labels[2:5, 3:9] = 2**40
    labels[4, 3] = 7
    seven, large = cutouts(labels)
    assert seven.bbox == (4, 3, 5, 4)
    assert large.bbox == (2, 3, 5, 9)
    assert np.count_nonzero(large.data) == 17
    assert len(cutouts(np.full((4, 4), 3))) == 1
    filled = np.array([[2**40, 2**40], [7, 2**40]])
    assert [c.bbox for c in cutouts(filled)] == [(1, 0, 2, 1), (0, 0, 2, 2)]
    assert cutouts(np.zeros((4, 4), dtype=int)) == []


def test_perfect_and_useless_predictions() -> None:
    assert average_precision([(np.eye(3), [0.9, 0.8, 0.7])]) == 1
    assert average_precision([(np.zeros((3, 3)), [0.9, 0.8, 0.7])]) == 0
    assert average_precision([(np.zeros((0, 3)), [])]) == 0
    assert np.isnan(average_precision([(np.zeros((2, 0)), [0.9, 0.8])]))
    assert np.isnan(average_precision([]))


def test_thresholds_are_reached_by_equality() -> None:
    assert THRESHOLDS == (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
    assert average_precision([([[0.75]], [1])]) == pytest.approx(6 / 10)
    assert average_precision([([[0.749]], [1])]) == pytest.approx(5 / 10)


def test_false_positives_cost_by_their_rank() -> None:
    hit, miss = [1.0, 0.0], [0.0, 0.0]
    # One of two objects: precision 1 up to recall 0.5, which 51 of 101 levels do not exceed.
    assert average_precision([([hit, miss], [0.9, 0.1])]) == pytest.approx(51 / 101)
    assert average_precision([([hit, miss], [0.1, 0.9])]) == pytest.approx(51 / 101 / 2)


def test_precision_is_the_best_at_higher_recall() -> None:
    # In order: hit, miss, hit, hit of 4 objects. Precision 1, 1/2, 2/3, 3/4 → 1, 3/4, 3/4, 3/4;
    # recalls 0 … 0.25 are 26 levels, up to 0.75 another 50, the rest is never reached.
    pairs = np.zeros((4, 4))
    pairs[0, 0] = pairs[2, 1] = pairs[3, 2] = 1
    found = average_precision([(pairs, [0.9, 0.8, 0.7, 0.6])])
    assert found == pytest.approx((26 * 1 + 50 * 0.75) / 101)


def test_an_object_is_found_once() -> None:
    # The surer prediction takes the object, though the other fits better.
    twice = ([[0.6], [0.9]], [0.9, 0.8])
    assert average_precision([twice], thresholds=(0.5,)) == 1
    # At 0.75 only the second is good enough: precision 1/2.
    assert average_precision([twice], thresholds=(0.75,)) == 0.5


@pytest.mark.parametrize(
    "pairs",
    [
        [[0.6, 0.7], [0.6, 0.0]],  # the first takes the most similar object, the second the other
        [[0.7, 0.6], [0.0, 0.6]],
        [[0.6, 0.7], [0.6, 0.8]],  # an object that is taken is passed over for the next
        [[0.6, 0.6], [0.6, 0.0]],  # of equals the last is taken, as COCO does
    ],
)
def test_each_prediction_takes_the_most_similar_object(pairs: list[list[float]]) -> None:
    assert average_precision([(pairs, [0.9, 0.8])], thresholds=(0.5,)) == 1


def test_images_share_one_ranking() -> None:
    good, bad = ([[1.0]], [0.5]), ([[0.0]], [0.9])
    # In order: a miss at 0.9, the hit at 0.5; one of two objects, at precision 1/2.
    assert average_precision([good, bad]) == pytest.approx(51 / 101 / 2)
    # An image without objects adds false positives only.
    nothing = (np.zeros((1, 0)), [0.9])
    assert average_precision([good, nothing]) == pytest.approx(0.5)


def test_confidences_must_belong_to_the_rows() -> None:
    with pytest.raises(HQSAMError, match=r"\(2, 1\) with confidences of shape \(1,\)"):
        average_precision([([[0.5], [0.6]], [0.9])])


def crowded_scene(image: int) -> tuple[list[np.ndarray], list[np.ndarray], list[float]]:
    """Discs (truth, predicted) that are displaced, resized, doubled, missed or made up."""
    y, x = np.mgrid[:120, :160]
    truth, predicted, confidence = [], [], []
    for i in range(12):
        cy, cx, r = 20 + 36 * (i // 4), 20 + 38 * (i % 4), 9 + (i * 5 + image) % 8
        truth.append((y - cy) ** 2 + (x - cx) ** 2 < r * r)
        for k in range((i * 7 + image * 3) % 4):
            dy, dx, grown = (i + image) % 4 - k, (3 * i + k) % 4 - 1, (i + k + image) % 3 - 1
            predicted.append((y - cy - dy) ** 2 + (x - cx - dx) ** 2 < (r + grown) ** 2)
            confidence.append(((5 * i + 3 * k + image) % 9) / 10)  # many are equal
    return truth, predicted, confidence


@pytest.mark.parametrize(
    ("width", "ap", "ap50", "ap75"),
    [
        (None, 0.41179206464331397, 0.6855887925360026, 0.4139352981591704),
        (4, 0.11072465897455341, 0.3512968273835119, 0.020102010201020103),
        (2, 0.010189018901890189, 0.020102010201020103, 0.0059405940594059415),
    ],
)
def test_the_figures_of_pycocotools(width: int | None, ap: float, ap50: float, ap75: float) -> None:
    # Recorded with pycocotools 2.0.11 (maxDets 1000; for AP_B with the lesser of both IoUs, the
    # boundaries being OpenCV's erosions by 2 % and 1 % of the diagonal of 200 pixels).
    images = []
    for image in range(4):
        truth, predicted, confidence = crowded_scene(image)
        images.append((similarity(predicted=predicted, truth=truth, width=width), confidence))
    assert average_precision(images) == pytest.approx(ap, abs=1e-9)
    assert average_precision(images, (0.5,)) == pytest.approx(ap50, abs=1e-9)
    assert average_precision(images, (0.75,)) == pytest.approx(ap75, abs=1e-9)
