"""Objects that were asked for: each once, under its number, in the window that shows it best."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images import open_image
from napari_hqsam.labels.frame import LabelFrame
from napari_hqsam.labels.label_array import MemoryLabels
from napari_hqsam.modeling import HQSam
from napari_hqsam.segmentation import Prompts
from napari_hqsam.segmentation.automatic import (
    Prompted,
    objects_from_boxes,
    objects_from_labels,
    objects_from_points,
)
from napari_hqsam.segmentation.stitch import Instances

from .fakes import Lamp, disc, discs, features_of

SHAPE = (200, 240)
PLACES = [(30.0, 30.0, 6.0), (60.0, 110.0, 7.0), (150.0, 60.0, 5.0), (120.0, 200.0, 6.0)]


def box_of(place: tuple[float, float, float]) -> Prompts:
    y, x, r = place
    return Prompts(box=(y - r, x - r, y + r, x + r))


def boxed() -> dict[tuple[int, ...], list[tuple[int, Prompts]]]:
    return {(): [(10 * i + 7, box_of(place)) for i, place in enumerate(PLACES)]}


def prompted(
    image: np.ndarray, objects: Any, model: Any = None, axes: str | None = None, **options: Any
) -> Prompted:
    features = features_of(image, model or Lamp(128), axes=axes)
    return Prompted(features, features.source.yx_shape(), 0, objects, **options)


def all_of(finder: Prompted, plane: tuple[int, ...] = ()) -> dict[int, np.ndarray]:
    """The mask of each label; fails if one is found twice."""
    masks: dict[int, np.ndarray] = {}
    for window in finder.windows([plane]):
        found = finder.find(window)
        for i, number in enumerate(found.ids.tolist()):
            assert number not in masks
            masks[number] = found.rows(i).dense((0, 0, *SHAPE))
    return masks


def same(one: Instances, other: Instances) -> bool:
    a, b = one.arrays(), other.arrays()
    return all(np.array_equal(a[name], b[name]) for name in a)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def test_each_object_keeps_its_number_and_is_decoded_once() -> None:
    model = Lamp(128)
    masks = all_of(prompted(discs(SHAPE, *PLACES), boxed(), model))
    assert sorted(masks) == [7, 17, 27, 37]
    for i, place in enumerate(PLACES):
        assert iou(masks[10 * i + 7], disc(SHAPE, *place)) > 0.85
    assert sum(n for n, _, _ in model.asked) == len(PLACES)


def test_only_windows_that_have_objects_are_looked_at() -> None:
    finder = prompted(discs(SHAPE, *PLACES), {(): boxed()[()][:1]})
    (window,) = finder.windows([()])
    assert window.origin == (0, 0)
    assert finder.windows([()], (190, 200, 195, 205)) == []
    assert finder.windows([()], (20, 20, 40, 40)) == [window]


def test_the_window_shows_the_object_whole_in_its_middle() -> None:
    box = (100, 100, 110, 112)  # spans less than a quarter of 64 pixels
    (window,) = prompted(np.zeros(SHAPE, np.uint8), {(): [(1, Prompts(box=box))]}).windows([()])
    assert window.side == 64
    assert window.contains([box[:2], box[2:]])
    assert window.origin == (96, 96) or window.origin == (48, 96)


def test_a_large_object_goes_to_a_larger_window() -> None:
    image = discs(SHAPE, (100, 120, 50))
    finder = prompted(image, {(): [(3, box_of((100, 120, 50)))]})
    (window,) = finder.windows([()])
    assert window.side == max(SHAPE)
    assert iou(all_of(finder)[3], disc(SHAPE, 100, 120, 50)) > 0.9


def test_a_window_has_the_same_objects_whatever_was_found_before() -> None:
    clicks = [(i + 1, Prompts(points=[place[:2]])) for i, place in enumerate(PLACES)]
    objects = {(): clicks + boxed()[()]}
    image = discs(SHAPE, *PLACES)
    one, other = prompted(image, objects), prompted(image, objects)
    windows = one.windows([()])
    assert len(windows) > 3
    forwards = [one.find(w) for w in windows]
    backwards = [other.find(w) for w in reversed(windows)]
    assert all(map(same, forwards, reversed(backwards)))
    # features at hand of other windows do not draw a click there
    assert all(same(one.find(w), before) for w, before in zip(windows, forwards, strict=True))


def test_a_click_is_looked_at_in_windows_for_the_diameter() -> None:
    image = discs(SHAPE, *PLACES)
    clicks = {(): [(i + 1, Prompts(points=[place[:2]])) for i, place in enumerate(PLACES)]}
    (plain, *_), (magnified, *_) = (
        prompted(image, clicks, diameter=d).windows([()]) for d in (None, 5)
    )
    assert (plain.side, magnified.side) == (128, 32)
    masks = all_of(prompted(image, clicks, diameter=12))
    for i, place in enumerate(PLACES):
        assert iou(masks[i + 1], disc(SHAPE, *place)) > 0.85


def test_objects_of_another_size_and_what_lies_outside_the_box_are_dropped() -> None:
    image = discs(SHAPE, *PLACES)
    image[26:34, 30:48] = 255  # the first disc has a handle
    loose = all_of(prompted(image, boxed()))[7]
    tight = all_of(prompted(image, boxed(), keep_to_box=True))[7]
    y, x = np.nonzero(tight)
    assert y.min() >= 24
    assert x.min() >= 24
    assert max(y.max(), x.max()) <= 36
    assert tight.sum() < loose.sum()
    areas = sorted(int(disc(SHAPE, *place).sum()) for place in PLACES)
    limits = {"min_size": (areas[0] + areas[1]) // 2, "max_size": (areas[2] + areas[3]) // 2}
    kept = all_of(prompted(discs(SHAPE, *PLACES), boxed(), **limits))
    assert sorted(kept) == [7, 37]


def test_mode_threshold_and_holes() -> None:
    model = Lamp(128)
    image = discs(SHAPE, PLACES[1])
    image[disc(SHAPE, *PLACES[1][:2], 2)] = 0
    one = {(): [(1, box_of(PLACES[1]))]}
    ring = all_of(prompted(image, one, model, mode="sam"))[1]
    assert not any(hq for _, _, hq in model.asked)
    full = all_of(prompted(image, one, fill_holes=True))[1]
    assert ring.sum() < full.sum()
    assert all_of(prompted(image, one, threshold=10.0))[1].sum() < ring.sum()


@pytest.mark.parametrize(
    ("objects", "options", "named"),
    [
        ({(): [(1, Prompts(points=[(300, 3)]))]}, {}, "point 300,3 is outside"),
        ({(): [(-1, Prompts(points=[(3, 3)]))]}, {}, "label -1"),
        ({(): [(2**64, Prompts(points=[(3, 3)]))]}, {}, "label 18446744073709551616"),
        ({(4,): []}, {}, "plane"),
        ({}, {"threshold": np.nan}, "threshold nan"),
        ({}, {"diameter": -2}, "diameter -2"),
        ({}, {"min_size": -2}, "min. size -2"),
        ({}, {"mode": "best"}, "mode 'best'"),
    ],
)
def test_what_cannot_be_is_named(objects: Any, options: Any, named: str) -> None:
    with pytest.raises(HQSAMError) as refused:
        prompted(np.zeros(SHAPE, np.uint8), objects, **options)
    assert named in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_largest_number_there_is_is_kept() -> None:
    masks = all_of(prompted(discs(SHAPE, PLACES[0]), {(): [(2**64 - 1, box_of(PLACES[0]))]}))
    assert list(masks) == [2**64 - 1]


def test_settings_tell_objects_apart(micro: HQSam) -> None:
    image = discs(SHAPE, *PLACES)

    def settings(objects: Any = None, **options: Any) -> dict[str, Any]:
        return prompted(image, objects or boxed(), micro, **options).settings

    first = settings()
    assert json.loads(json.dumps(first)) == first == settings()
    moved = boxed()
    moved[()][0] = (7, Prompts(box=(24, 24, 36, 37)))
    renumbered = boxed()
    renumbered[()][0] = (8, renumbered[()][0][1])
    for other in (moved, renumbered, {(): [(1, Prompts(mask=image > 0))]}):
        changed = settings(other)
        assert {name for name in first if changed[name] != first[name]} == {"objects"}
    for name, value in {
        "mode": "sam",
        "threshold": 1.0,
        "keep_to_box": True,
        "diameter": 9,
    }.items():
        assert settings(**{name: value})[name] == value != first[name]


# Labels, boxes and points as objects


def test_labels_become_boxes_of_their_numbers_across_blocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    labels = np.zeros(SHAPE, np.uint64)
    labels[disc(SHAPE, 60, 60, 20)] = 2**62 + 5
    labels[disc(SHAPE, 150, 100, 10)] = 4
    frame = LabelFrame.of(open_image(np.zeros(SHAPE, np.uint8)))
    monkeypatch.setattr("napari_hqsam.labels.find._SIDE", 50)
    found = objects_from_labels(MemoryLabels(labels), frame)
    assert [(n, p.box) for n, p in found[()]] == [
        (4, (140, 90, 160, 110)),
        (2**62 + 5, (40, 40, 80, 80)),
    ]
    part = objects_from_labels(MemoryLabels(labels), frame, region=(0, 0, 100, 60))
    assert [n for n, _ in part[()]] == [2**62 + 5]


def test_labels_of_a_volume_are_taken_plane_by_plane() -> None:
    image = np.zeros((3, *SHAPE), np.uint8)
    labels = np.zeros(image.shape, np.uint16)
    labels[0, 10:20, 30:50] = 9
    labels[2, 12:22, 30:50] = 9
    frame = LabelFrame.of(open_image(image, axes="zyx"))
    found = objects_from_labels(MemoryLabels(labels), frame)
    assert {p: [(n, q.box) for n, q in of] for p, of in found.items()} == {
        (0,): [(9, (10, 30, 19, 49))],
        (2,): [(9, (12, 30, 21, 49))],
    }
    assert list(objects_from_labels(MemoryLabels(labels), frame, [(1,), (2,)])) == [(2,)]


def test_refined_labels_are_those_of_the_label_image() -> None:
    image = discs(SHAPE, *PLACES)
    labels = np.zeros(SHAPE, np.int32)
    for i, (y, x, r) in enumerate(PLACES):
        labels[int(y - r) : int(y + r) + 1, int(x - r) : int(x + r) + 1] = i + 3
    frame = LabelFrame.of(open_image(image))
    masks = all_of(prompted(image, objects_from_labels(MemoryLabels(labels), frame)))
    assert sorted(masks) == [3, 4, 5, 6]
    assert all(iou(masks[i + 3], disc(SHAPE, *p)) > 0.85 for i, p in enumerate(PLACES))


def test_points_and_boxes_are_numbered_in_their_order() -> None:
    flat, deep = open_image(np.zeros(SHAPE)), open_image(np.zeros((3, *SHAPE)), axes="zyx")
    points = objects_from_points([(5, 6), (7, 8)], flat)
    assert [(n, p.points.tolist()) for n, p in points[()]] == [(1, [[5, 6]]), (2, [[7, 8]])]
    points = objects_from_points([(2, 5, 6), (0, 7, 8), (2, 1, 1)], deep)
    assert {p: [n for n, _ in of] for p, of in points.items()} == {(2,): [1, 3], (0,): [2]}
    boxes = objects_from_boxes(np.array([(1, 5, 6, 9, 9)]), deep)
    assert [(n, p.box) for n, p in boxes[(1,)]] == [(1, (5, 6, 9, 9))]


@pytest.mark.parametrize(
    ("make", "values", "named"),
    [
        (objects_from_points, [(5, 6)], "3 columns, z, y, x"),
        (objects_from_boxes, [(5, 6, 7, 8)], "5 columns, z, y0, x0, y1, x1"),
        (objects_from_points, [(0, np.nan, 6)], "points"),
        (objects_from_points, "here", "points"),
        (objects_from_points, [(3, 5, 6)], "plane"),
    ],
)
def test_arrays_of_another_shape_are_refused(make: Any, values: Any, named: str) -> None:
    source = open_image(np.zeros((3, *SHAPE)), axes="zyx")
    with pytest.raises(HQSAMError, match=named):
        make(values, source)
