"""How far boundaries moved, against distance transforms of whole planes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from napari_hqsam.errors import HQSAMError
from napari_hqsam.evaluation import movement as module
from napari_hqsam.evaluation.movement import movement
from napari_hqsam.images import open_image
from napari_hqsam.labels.frame import LabelFrame
from napari_hqsam.labels.store import LabelStore


def frame_of(labels: NDArray[Any], **options: Any) -> LabelFrame:
    image = np.zeros(labels.shape, np.uint8)
    return LabelFrame.of(open_image(image, axes="tzyx"[-image.ndim :], **options))


def boundary(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of the mask with a neighbour outside it, one at a time."""
    found = np.zeros_like(mask)
    padded = np.pad(mask, 1)
    for y, x in np.argwhere(mask):
        cross = padded[y : y + 3, x + 1].all() and padded[y + 1, x : x + 3].all()
        found[y, x] = not cross
    return found


def distances(
    before: NDArray[np.bool_], after: NDArray[np.bool_], steps: tuple[float, float] = (1, 1)
) -> list[NDArray[Any]]:
    old, new = boundary(before), boundary(after)
    return [
        distance_transform_edt(~new, sampling=steps)[old],
        distance_transform_edt(~old, sampling=steps)[new],
    ]


def square(y: int, x: int, side: int, label: int = 1, shape: Any = (60, 80)) -> NDArray[Any]:
    labels = np.zeros(shape, np.uint32)
    labels[y : y + side, x : x + side] = label
    return labels


def test_a_square_that_grew_by_two_pixels() -> None:
    before, after = square(20, 20, 10, label=7), square(18, 18, 14, label=7)
    (row,) = movement(before, after, frame_of(before)).itertuples()
    assert (row.label, row.area_before, row.area_after) == (7, 100, 196)
    assert row.iou == pytest.approx(100 / 196)
    assert (row.y0, row.x0, row.y1, row.x1) == (18, 18, 32, 32)
    inward, outward = distances(before > 0, after > 0)
    assert row.moved_mean == pytest.approx((inward.mean() + outward.mean()) / 2)
    assert row.moved_max == pytest.approx(8**0.5)  # a corner
    assert (row.y, row.x) in [(18, 18), (18, 31), (31, 18), (31, 31)]


LABELS = hnp.arrays(np.uint16, (9, 11), elements=st.integers(0, 3))


@settings(deadline=None, max_examples=60)
@given(before=LABELS, after=LABELS, side=st.sampled_from([3, 4, 2048]))
def test_any_labels_have_the_distances_of_distance_transforms(
    before: NDArray[Any], after: NDArray[Any], side: int
) -> None:
    """However they are cut into blocks; pixels are twice as high as wide."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_SIDE", side)
        patch.setattr(module, "_CELL", side)
        table = movement(before, after, frame_of(before, scale=(0.5, 0.25), units="um"))
    assert table["label"].tolist() == np.setdiff1d(np.union1d(before, after), [0]).tolist()
    for row in table.itertuples():
        old, new = before == row.label, after == row.label
        assert (row.area_before, row.area_after) == (old.sum(), new.sum())
        assert row.iou == pytest.approx((old & new).sum() / (old | new).sum())
        if not (old.any() and new.any()):
            assert np.isnan([row.moved_mean, row.moved_p95, row.moved_max_um]).all()
            continue
        for steps, unit in (((1, 1), ""), ((0.5, 0.25), "_um")):
            there = distances(old, new, steps)
            found = [getattr(row, f"moved_{name}{unit}") for name in ("mean", "p95", "max")]
            wanted = [np.mean([d.mean() for d in there])]
            wanted += [np.mean([np.percentile(d, 95) for d in there]), max(map(np.max, there))]
            np.testing.assert_allclose(found, wanted)
        here = max(distance_transform_edt(~boundary(m))[row.y, row.x] for m in (old, new))
        assert here == pytest.approx(row.moved_max)


def test_lost_and_new_labels_are_listed() -> None:
    before = square(5, 5, 4).astype(np.uint64) * 2**40
    after = square(20, 30, 5, label=9)
    table = movement(before, after, frame_of(before))
    assert table["label"].tolist() == [9, 2**40]
    assert table["area_before"].tolist() == [0, 16]
    assert table["area_after"].tolist() == [25, 0]
    assert table["iou"].tolist() == [0, 0]
    assert table["moved_mean"].isna().all()


def test_what_has_not_moved_is_zero() -> None:
    labels = square(5, 5, 4) + square(5, 9, 6, label=2)
    table = movement(labels, labels.copy(), frame_of(labels))
    assert table["moved_max"].tolist() == [0, 0]
    assert table["iou"].tolist() == [1, 1]
    assert "moved_mean_um" not in table


def test_no_labels_make_no_rows() -> None:
    labels = np.zeros((20, 30), np.uint8)
    table = movement(labels, labels, frame_of(labels))
    assert len(table) == 0
    assert "moved_mean" in table


def test_each_plane_has_its_rows() -> None:
    before = np.zeros((2, 3, 30, 40), np.uint8)
    before[1, 2, 5:15, 5:15] = before[0, 1, 5:15, 5:15] = 4
    after = before.copy()
    after[1, 2, 5:15, 15] = 4
    frame = frame_of(before)
    table = movement(before, after, frame)
    assert table[["label", "t", "z", "moved_max"]].to_numpy().tolist() == [
        [4, 0, 1, 0],
        [4, 1, 2, 1],
    ]
    only = movement(before, after, frame, planes=[(1, 2)])
    assert only[["label", "t", "z"]].to_numpy().tolist() == [[4, 1, 2]]


def test_only_what_is_refined_in_a_region_counts() -> None:
    """Its middle was there before; where it is now does not matter, unless it is new."""
    before = square(5, 5, 9) + square(5, 40, 9, label=2) + square(40, 8, 4, label=3)
    after = square(5, 5, 9) + square(5, 17, 9, label=2) + square(30, 5, 4, label=4)
    frame = frame_of(before)

    def labels(region: Any) -> list[int]:
        return movement(before, after, frame, region=region)["label"].tolist()

    assert labels((0, 0, 60, 22)) == [1, 3, 4]
    assert labels((0, 0, 9, 9)) == []
    assert labels((9, 9, 10, 10)) == [1]
    assert labels([(0, 30), (0, 79), (59, 79)]) == [2]


class Watched:
    """A plane of labels too large to be made, empty but for two squares; keeps what was read."""

    shape, dtype, ndim = (20_000, 30_000), np.dtype(np.uint32), 2

    def __init__(self, grown: int) -> None:
        self.grown = grown
        self.largest = 0

    def __getitem__(self, index: tuple[slice, slice]) -> NDArray[Any]:
        ys, xs = index
        pixels = np.zeros((ys.stop - ys.start, xs.stop - xs.start), self.dtype)
        self.largest = max(self.largest, pixels.size)
        for label, (y, x, side) in {1: (2040, 4090, 20), 2: (12_000, 20_000, 3000)}.items():
            a, b = (max(0, at - self.grown - s.start) for at, s in ((y, ys), (x, xs)))
            c, d = (max(0, at + side + self.grown - s.start) for at, s in ((y, ys), (x, xs)))
            pixels[a:c, b:d] = label
        return pixels


def test_of_a_plane_larger_than_memory_only_blocks_are_read() -> None:
    before, after = Watched(0), Watched(3)
    told = []
    frame = LabelFrame.of(open_image(before, axes="yx"))
    table = movement(before, after, frame, progress=lambda *given: told.append(given))
    assert table["area_after"].tolist() == [26**2, 3006**2]
    assert table["moved_max"].tolist() == pytest.approx([18**0.5] * 2)
    assert max(before.largest, after.largest) <= 2050**2
    assert told[-1][0] == told[-1][1]
    assert [t[0] for t in told] == sorted(t[0] for t in told)


def test_labels_on_disk(tmp_path: Any) -> None:
    labels = square(20, 20, 10)
    store = LabelStore.create(tmp_path / "a.zarr", labels.shape, axes="yx")
    store.write((), 0, 0, square(21, 20, 10))
    table = movement(labels, store, frame_of(labels))
    assert table["moved_max"].tolist() == [1]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.zeros((60, 80), np.float32), "labels are whole numbers"),
        (np.full((60, 80), -1, np.int16), "labels are numbers from 0 up"),
        (np.zeros((60, 81), np.uint8), "do not fit the image"),
    ],
)
def test_what_are_no_labels_of_the_image(wrong: NDArray[Any], message: str) -> None:
    labels = square(5, 5, 4)
    with pytest.raises(HQSAMError, match=message):
        movement(labels, wrong, frame_of(labels))
