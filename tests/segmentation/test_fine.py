"""Fine windows: thin and large objects get a boundary of full resolution."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from napari_hqsam.images.windows import Window, whole_plane
from napari_hqsam.segmentation import Mask, Prompts, Segmenter
from napari_hqsam.segmentation.fine import Blend, fine_windows, typical_width

from .fakes import LookingGlass


def looking(image: np.ndarray, size: int = 128) -> Segmenter:
    return Segmenter(image, model=LookingGlass(size), contrast_limits=(0, 255))  # type: ignore[arg-type]


def rough(data: np.ndarray, size: int = 128) -> Mask:
    """A mask found in a window that shows all of its plane."""
    window = whole_plane(data.shape, size)
    rows, columns = (np.flatnonzero(data.any(axis)) for axis in (1, 0))
    bbox = (rows[0], columns[0], rows[-1] + 1, columns[-1] + 1)
    logits = np.zeros((size // 4, size // 4), np.float32)
    return Mask(data[bbox[0] : bbox[2], bbox[1] : bbox[3]], bbox, (), 0.9, window, logits, None)


def tree(shape: tuple[int, int] = (500, 620), width: int = 5) -> np.ndarray:
    """A trunk with branches, `width` pixels wide."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    lines = [
        abs(x - 300),
        abs(y - 120 + 0.3 * x) / np.hypot(1, 0.3),
        abs(y - x * 0.5) / np.hypot(1, 0.5),
    ]
    return np.logical_or.reduce([d < width / 2 for d in lines]) & (y > 30) & (y < 470)


@pytest.mark.parametrize("width", [3, 6, 20])
def test_width_of_a_strip(width: int) -> None:
    mask = np.zeros((60, 300), bool)
    mask[20 : 20 + width, 10:290] = True
    assert typical_width(mask) == pytest.approx(width, rel=0.1)


def test_width_of_a_disc_is_about_its_radius() -> None:
    y, x = np.mgrid[:101, :101]
    assert typical_width(np.hypot(y - 50, x - 50) < 40) == pytest.approx(40, rel=0.15)


def test_small_compact_objects_are_left_alone() -> None:
    y, x = np.mgrid[:100, :100]
    assert fine_windows(rough(np.hypot(y - 50, x - 50) < 30), (100, 100)) == []


def test_a_thin_object_is_magnified_and_a_large_one_seen_at_1_to_1() -> None:
    thin = fine_windows(rough(tree(width=5)), (500, 620))
    assert {w.scale for w in thin} == {2}
    y, x = np.mgrid[:500, :620]
    large = fine_windows(rough(np.hypot(y - 250, x - 300) < 200), (500, 620))
    assert {w.scale for w in large} == {1}
    # only where its boundary is
    assert not any(w.contains([(250, 300)]) for w in large)


def test_each_pixel_of_the_boundary_is_well_inside_a_window() -> None:
    mask = tree()
    windows = fine_windows(rough(mask), mask.shape)
    for y, x in np.argwhere(mask):
        depth = max(
            min(
                y - oy + 1 if oy else 99,
                x - ox + 1 if ox else 99,
                oy + h - y if oy + h < mask.shape[0] else 99,
                ox + w - x if ox + w < mask.shape[1] else 99,
            )
            for (oy, ox), (h, w) in ((w.origin, w.shape) for w in windows)
            if oy <= y < oy + h and ox <= x < ox + w
        )
        assert depth >= 8


def test_neighbours_share_windows() -> None:
    mask = tree()
    left, right = mask.copy(), mask.copy()
    left[:, 340:], right[:, :280] = False, False
    assert set(fine_windows(rough(left), mask.shape)) & set(fine_windows(rough(right), mask.shape))


def test_too_many_windows_become_coarser_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = tree()
    all_of_them = fine_windows(rough(mask), mask.shape)
    monkeypatch.setattr("napari_hqsam.segmentation.fine._MOST_WINDOWS", len(all_of_them) - 1)
    fewer = fine_windows(rough(mask), mask.shape)
    assert 0 < len(fewer) < len(all_of_them)
    assert {w.scale for w in fewer} == {1}
    monkeypatch.setattr("napari_hqsam.segmentation.fine._MOST_WINDOWS", 0)
    assert fine_windows(rough(mask), mask.shape) == []


def test_a_blend_of_the_same_is_the_same() -> None:
    torch.manual_seed(0)
    logits = torch.randn(90, 120)
    blend = Blend(logits, (0, 0))
    for y, x in itertools.product((0, 30, 58), (0, 40, 88)):
        blend.add(logits[y : y + 32, x : x + 32], Window((), 0, (y, x), 32, (32, 32), 64))
    torch.testing.assert_close(blend.result(), logits)


def test_a_fine_window_wins_where_it_looks() -> None:
    blend = Blend(torch.full((90, 120), -1.0), (0, 0))
    blend.add(torch.full((32, 32), 1.0), Window((), 0, (20, 20), 32, (32, 32), 64))
    result = blend.result()
    assert result[36, 36] > 0.9
    assert (result[:20] == -1).all()
    # less so towards its edge
    assert (result[36, 19:30].diff() > 0).any()
    assert (result[36, 19:30].diff() >= 0).all()


@pytest.mark.parametrize("width", [8, 11, 15])
def test_a_thin_tree_that_was_shrunk_comes_back_in_full(width: int) -> None:
    truth = tree(width=width)
    image = np.where(truth, 255, 0).astype(np.uint8)
    seg = looking(image, 256)
    box = (30, 0, 469, 619)
    coarse = seg.predict(box=box, fine=False).full(truth.shape)
    fine = seg.predict(box=box, fine=True).full(truth.shape)

    def iou(mask: np.ndarray) -> float:
        return np.count_nonzero(mask & truth) / np.count_nonzero(mask | truth)

    assert iou(fine) > 0.8
    assert iou(fine) > iou(coarse) + 0.05
    many = seg.predict_many([Prompts(box=box)], fine=True)[0]
    np.testing.assert_array_equal(many.full(truth.shape), fine)


def test_clicks_reach_the_fine_windows_they_lie_in() -> None:
    truth = tree(width=11)
    seg = looking(np.where(truth, 255, 0).astype(np.uint8), 256)
    seg.predict(points=[(60, 300), (40, 10)], labels=[1, 0], box=(30, 0, 469, 619), fine=True)
    first, *rest = seg.model.batches
    assert first.points.shape == (1, 2, 2)
    assert first.masks is None
    assert all(batch.masks is not None and batch.boxes is None for batch in rest)
    heard = [batch for batch in rest if batch.points is not None]
    assert heard
    assert {tuple(batch.labels[0].tolist()) for batch in heard} <= {(1,), (0,), (1, 0)}
    assert any(1 in batch.labels for batch in heard)


def test_a_mask_of_nothing_has_no_fine_windows() -> None:
    seg = looking(np.zeros((500, 620), np.uint8))
    mask = seg.predict(box=(30, 0, 469, 619), fine=True)
    assert mask.area == 0


def test_the_windows_of_an_object_are_encoded_once() -> None:
    truth = tree(width=11)
    seg = looking(np.where(truth, 255, 0).astype(np.uint8), 256)
    seg.predict(box=(30, 0, 469, 619), fine=True)
    before = seg.model.encoded
    seg.predict(box=(31, 0, 469, 619), fine=True)
    assert seg.model.encoded == before


def test_nothing_grows_far_out_of_its_box() -> None:
    """A branch that leaves the box goes on in the fine windows, which do not show the box."""
    truth = tree(width=9)
    image = np.where(truth, 255, 0).astype(np.uint8)
    seg = looking(image, 256)
    box = (30, 0, 300, 619)
    fine = seg.predict(box=box, fine=True)
    assert fine.bbox[2] <= 300 + 1 + 0.05 * 270 + 1
    assert fine.area > 0.8 * truth[30:301].sum()
