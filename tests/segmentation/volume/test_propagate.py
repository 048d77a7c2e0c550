"""`Segmenter.propagate` on stacks of which all is known; the network sees what is bright."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_hqsam import Prompts
from napari_hqsam.embedding.features import Features
from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.store import LabelStore
from napari_hqsam.segmentation.volume import (
    Course,
    PropagateSettings,
    Propagation,
    SliceMask,
)
from napari_hqsam.segmentation.volume.seeds import seeds_of

from .stacks import SHAPE, disc, image_of, iou, rod, seed, segmenter


def test_an_object_is_followed_to_both_its_ends() -> None:
    truth = rod(3, 12, 40, 30, 12, drift=2)
    seg = segmenter(image_of(truth))
    job = seg.propagate([seed(seg, truth[7], (7,))])
    found = job.result() == 1
    assert iou(found, truth) > 0.75
    assert not found[:3].any()
    assert not found[13:].any()
    table = job.table
    assert table.position.tolist() == list(range(3, 13))
    assert np.isnan(table.score[table.position == 7]).all()
    assert table.score.dropna().between(0.5, 1).all()
    assert table.area.sum() == np.count_nonzero(found)
    at = table[table.position == 12].iloc[0]
    assert abs(at.x - (30 + 2 * 9)) < 1
    assert abs(at.y - 40) < 1


def test_objects_that_meet_keep_apart() -> None:
    left = rod(0, 15, 48, 30, 11, drift=1.2)
    right = rod(0, 15, 48, 84, 11, drift=-1.2)
    seg = segmenter(image_of(left | right))
    labels = seg.propagate([seed(seg, left[0], (0,)), seed(seg, right[0], (0,))]).result()
    for label, truth in ((1, left), (2, right)):
        assert iou(labels[:12] == label, truth[:12] & ~(left & right)[:12]) > 0.75
        assert (labels[15] == label).any()


def test_between_two_seeds_both_ways_are_gone(tmp_path: Path) -> None:
    truth = rod(2, 13, 40, 30, 12, drift=2)
    image = image_of(truth)
    image[8] = 0  # a lost slice
    seg = segmenter(image)
    seeds = {7: [seed(seg, truth[4], (4,)), seed(seg, truth[11], (11,))]}
    found = seg.propagate(seeds).result() == 7
    assert iou(found[8], truth[8]) > 0.75
    assert iou(found, truth) > 0.75


@pytest.mark.parametrize("gap", [False, True], ids=["one seed", "two seeds"])
def test_nothing_is_encoded_twice(monkeypatch: pytest.MonkeyPatch, gap: bool) -> None:
    made: Counter[Any] = Counter()
    make = Features._make

    def counted(self: Features, window: Any, *rest: Any) -> Any:
        if self.store is None or window not in self.store:
            made[window] += 1
        return make(self, window, *rest)

    monkeypatch.setattr(Features, "_make", counted)
    truth = rod(0, 15, 40, 30, 12, drift=2), rod(2, 14, 70, 90, 8)
    seg = segmenter(image_of(truth[0] | truth[1]))
    seeds = {
        1: [seed(seg, truth[0][z], (z,)) for z in ((3, 12) if gap else (3,))],
        2: [seed(seg, truth[1][3 if not gap else 9], (3 if not gap else 9,))],
    }
    made.clear()
    seg.features.cache.max_bytes = 1  # holds one window
    seg.propagate(seeds).result()
    assert max(made.values()) == 1
    # objects of one size share their windows
    assert len(made) <= 2 * len({window.plane for window in made})


def test_a_correction_is_followed_only_as_far_as_it_must() -> None:
    truth = rod(0, 15, 40, 40, 12)
    seg = segmenter(image_of(truth))
    first = seed(seg, truth[3], (3,))
    course, settings = Course.of(seg.source), PropagateSettings()
    known = {(1, m.position): m for masks in propagation_masks(seg, first) for m in masks}
    assert len(known) == 15

    def again(seeds: Any) -> list[int]:
        walk = Propagation(
            seg.features, 0, course, seeds, settings, lambda label, at: known.get((label, at))
        )
        return sorted(mask.position for masks in walk for mask in masks)

    own = propagation_seeds(seg, first)
    assert again(own) == []
    small = known[1, 9]
    upper = np.zeros_like(small.data)
    upper[: len(upper) // 2] = small.data[: len(upper) // 2]
    half = SliceMask.of(1, 9, upper, small.bbox, None)
    told = again({1: [*own[1], half]})
    assert told
    assert 9 not in told  # the user's own
    assert min(told) > 3
    assert len(told) < 12


def propagation_seeds(seg: Any, mask: Any) -> Any:
    return seeds_of([mask], seg.source, 0, None, lambda *_: [], lambda: 0)[1]


def propagation_masks(seg: Any, mask: Any) -> list[Any]:
    course = Course.of(seg.source)
    seeds = propagation_seeds(seg, mask)
    return list(Propagation(seg.features, 0, course, seeds, PropagateSettings()))


@pytest.mark.parametrize("missing", [(6,), (6, 7)], ids=["one slice", "two slices"])
def test_blank_slices_are_bridged(missing: tuple[int, ...]) -> None:
    truth = rod(0, 15, 40, 30, 12, drift=1)
    image = image_of(truth)
    image[list(missing)] = 0
    seg = segmenter(image)
    job = seg.propagate([seed(seg, truth[3], (3,))])
    found = job.result() == 1
    assert iou(found, truth) > 0.75
    table = job.table.set_index("position")
    assert (table.score[list(missing)] == 0).all()
    assert (table.score.drop([3, *missing]) > 0.5).all()


def test_an_object_that_is_gone_for_long_has_ended() -> None:
    truth = rod(0, 15, 40, 30, 12)
    image = image_of(truth)
    image[6:11] = 0
    seg = segmenter(image)
    found = seg.propagate([seed(seg, truth[3], (3,))]).result()
    assert found[5].any()
    assert not found[6:].any()


def test_doubled_slices_and_other_brightness_do_no_harm() -> None:
    truth = rod(0, 15, 40, 30, 12, drift=1)
    image = image_of(truth, brightness=248)
    image[5] = image[4]
    image[9:] = image[9:] // 8 * 7
    seg = segmenter(image)
    assert iou(seg.propagate([seed(seg, truth[3], (3,))]).result() == 1, truth) > 0.75


@pytest.mark.parametrize(
    ("options", "slices"),
    [
        ({"direction": "forward"}, range(7, 16)),
        ({"direction": "backward"}, range(8)),
        ({"start": 5, "stop": 10}, range(5, 10)),
        ({"stop": 10, "direction": "forward"}, range(7, 10)),
    ],
)
def test_range_and_direction(options: Any, slices: range) -> None:
    truth = rod(0, 15, 40, 30, 12)
    seg = segmenter(image_of(truth))
    found = seg.propagate([seed(seg, truth[7], (7,))], **options).result()
    assert np.flatnonzero(found.any(axis=(1, 2))).tolist() == list(slices)


def test_smoothing_makes_neighbours_more_alike() -> None:
    truth = np.zeros(SHAPE, dtype=bool)
    for z in range(SHAPE[0]):
        truth[z] = disc(45, 60, 14 + 2 * (z % 2))
    seg = segmenter(image_of(truth))
    mask = seed(seg, truth[7], (7,))
    rough, smooth = (
        np.count_nonzero(seg.propagate([mask], smooth=s).result(), axis=(1, 2)) for s in (0, 1.5)
    )
    assert (rough > 0).all()
    assert (smooth > 0).all()
    assert np.abs(np.diff(smooth))[:6].mean() < 0.5 * np.abs(np.diff(rough))[:6].mean()


def test_prompts_labels_and_time() -> None:
    truth = rod(0, 15, 40, 30, 12, drift=1)
    seg = segmenter(image_of(truth), axes="tyx")
    box = Prompts(box=(28, 23, 52, 47))
    by_prompts = seg.propagate({(5,): [(4, box)]}, axis="t").result()
    assert iou(by_prompts == 4, truth) > 0.75
    labels = np.zeros(SHAPE, np.uint16)
    labels[5] = 9 * truth[5]
    by_labels = seg.propagate(labels).result()
    assert iou(by_labels == 9, truth) > 0.75
    with pytest.raises(HQSAMError, match="no axis z"):
        seg.propagate(labels, axis="z")


def test_other_labels_keep_their_pixels() -> None:
    truth = rod(0, 15, 40, 30, 12)
    there = np.zeros(SHAPE, np.uint16)
    there[4:9, 36:44, 26:34] = 3
    seg = segmenter(image_of(truth))
    found = seg.propagate([seed(seg, truth[12], (12,))], labels=there).result()
    np.testing.assert_array_equal(found == 3, there == 3)
    assert iou(found == 4, truth & (there == 0)) > 0.75


class Killed(BaseException):
    """Nothing of ours catches it."""


@pytest.mark.parametrize("steps", [1, 4, 9, 14])
@pytest.mark.parametrize("gap", [False, True], ids=["one seed", "two seeds"])
def test_after_a_kill_it_goes_on_to_the_same_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int, gap: bool
) -> None:
    truth = rod(1, 14, 40, 30, 12, drift=1.5), rod(0, 12, 70, 90, 8)
    image = image_of(truth[0] | truth[1])
    image[10] = 0
    seg = segmenter(image)
    seeds = {
        1: [seed(seg, truth[0][6], (6,))],
        2: [seed(seg, truth[1][z], (z,)) for z in ((4, 9) if gap else (4,))],
    }
    whole = seg.propagate(seeds, out=tmp_path / "whole.zarr")
    expected = np.asarray(whole.result().levels[0])
    walk = Propagation.__iter__

    def cut_short(self: Propagation) -> Any:
        for i, masks in enumerate(walk(self)):
            if i == steps:
                raise Killed
            yield masks

    out = tmp_path / "cut.zarr"
    with monkeypatch.context() as patched:
        patched.setattr(Propagation, "__iter__", cut_short)
        with pytest.raises(Killed):
            seg.propagate(seeds, out=out).result()
    job = seg.propagate(seeds, out=out)
    store = job.result()
    assert isinstance(store, LabelStore)
    np.testing.assert_array_equal(np.asarray(store.levels[0]), expected)
    assert job.table.equals(whole.table)
    assert not (tmp_path / "cut.zarr.job").exists()


def test_a_stopped_job_keeps_what_it_has() -> None:
    truth = rod(0, 15, 40, 30, 12)
    seg = segmenter(image_of(truth))
    with seg.propagate([seed(seg, truth[3], (3,))]) as job:
        for progress in job:
            if progress.done == 5:
                break
    assert job.labels is not None
    slices = np.flatnonzero(job.labels.array.any(axis=(1, 2)))
    assert slices.tolist() == [3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("image", "axes", "given", "line"),
    [
        (np.zeros((40, 50), np.uint8), "yx", [], "no axis z or t"),
        (np.zeros((1, 40, 50), np.uint8), "zyx", [], "no axis z or t|single plane"),
        (np.zeros((3, 40, 50), np.uint8), "cyx", [], "no axis z or t"),
        (np.zeros((5, 40, 50), np.uint8), "zyx", [], "nothing to propagate"),
        (np.zeros((5, 40, 50), np.uint8), "zyx", np.zeros((5, 40, 50), int), "no label"),
        (np.zeros((5, 40, 50), np.uint8), "zyx", np.zeros((5, 40, 51), int), "do not fit"),
        (np.zeros((5, 40, 50), np.uint8), "zyx", np.zeros((5, 40, 50)), "whole numbers"),
    ],
)
def test_what_cannot_be_propagated(image: Any, axes: str, given: Any, line: str) -> None:
    seg = segmenter(image, axes)
    with pytest.raises(HQSAMError, match=line):
        seg.propagate(given)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"axis": "c"}, 'axis "c"'),
        ({"direction": "up"}, "direction"),
        ({"min_score": 2}, "min_score"),
        ({"smooth": -1}, "smooth"),
        ({"start": 5, "stop": 5}, "no slice"),
        ({"threshold": float("nan")}, "threshold"),
    ],
)
def test_options_out_of_range(options: Any, line: str) -> None:
    truth = rod(0, 15, 40, 30, 12)
    seg = segmenter(image_of(truth))
    with pytest.raises(HQSAMError, match=line):
        seg.propagate([seed(seg, truth[3], (3,))], **options)


def test_empty_masks_and_doubled_seeds_are_told_of() -> None:
    truth = rod(0, 15, 40, 30, 12)
    seg = segmenter(image_of(truth))
    empty = seg.predict(box=(70, 90, 80, 100), plane=(3,), threshold=50)
    with pytest.raises(HQSAMError, match="object 1, z = 3: the mask is empty"):
        seg.propagate([empty])
    mask = seed(seg, truth[3], (3,))
    with pytest.raises(HQSAMError, match="two masks on one slice"):
        seg.propagate({1: [mask, mask]})


def test_seeds_of_two_time_points_are_told_of() -> None:
    truth = np.stack([rod(0, 5, 40, 30, 12, n=6)] * 2)
    seg = segmenter(image_of(truth), axes="tzyx")
    both = {1: [seed(seg, truth[0, 2], (0, 2)), seed(seg, truth[1, 3], (1, 3))]}
    with pytest.raises(HQSAMError, match="differ along z alone"):
        seg.propagate(both)
    found = seg.propagate({1: both[1][1:]}).result()
    assert not found[0].any()
    assert iou(found[1] == 1, truth[1]) > 0.75
