"""All objects of an image, window by window."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from napari_hqsam.embedding.features import Features
from napari_hqsam.errors import HQSAMError
from napari_hqsam.images import IntensityMapping, open_image
from napari_hqsam.modeling import HQSam, build
from napari_hqsam.segmentation.automatic import Automatic, AutomaticSettings
from napari_hqsam.segmentation.stitch import Instances
from napari_hqsam.weights import load_model

from .fakes import Lamp, disc, discs, features_of

SHAPE = (128, 160)
PLACES = [(30.0, 30.0, 10.0), (30.0, 110.0, 12.0), (90.0, 50.0, 9.0), (100.0, 120.0, 11.0)]
METHODS = ("grid", "threshold")


def automatic(image: np.ndarray, model: Any = None, **settings: Any) -> Automatic:
    options = {"diameter": 20, "min_iou": 0.5, "min_stability": 0.5} | settings
    features = features_of(image, model or Lamp())
    shape = features.source.yx_shape()
    return Automatic(features, shape, 0, AutomaticSettings(**options))


def found(finder: Automatic, plane: tuple[int, ...] = ()) -> list[Instances]:
    return [finder.find(window) for window in finder.windows([plane])]


def masks(finder: Automatic, shape: tuple[int, int] = SHAPE) -> list[np.ndarray]:
    """The masks of a plane that one window shows, in reading order."""
    (only,) = found(finder)
    return [
        only.rows(i).dense((0, 0, *shape))
        for i in sorted(range(len(only)), key=lambda i: tuple(only.boxes[i]))
    ]


def same(one: Instances, other: Instances) -> bool:
    a, b = one.arrays(), other.arrays()
    return all(np.array_equal(a[name], b[name]) for name in a)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize("method", METHODS)
def test_every_object_is_found_once_where_it_is(method: str) -> None:
    image = discs(SHAPE, *PLACES)
    got = masks(automatic(image, method=method, diameter=40))
    assert len(got) == len(PLACES)
    for place in PLACES:
        assert max(iou(mask, disc(SHAPE, *place)) for mask in got) > 0.9


@pytest.mark.parametrize("method", METHODS)
def test_the_hq_branch_runs_on_the_survivors_alone(method: str) -> None:
    model = Lamp()
    image = discs(SHAPE, *PLACES)
    finder = automatic(image, model, method=method, diameter=40)
    (only,) = found(finder)
    assert model.count(boxes=True, hq=True) == len(only) == len(PLACES)
    assert sum(n for n, _, hq in model.asked if hq) == len(PLACES)
    clicks = {"grid": 8 * 6, "threshold": len(PLACES)}[method]
    assert model.count(boxes=False, hq=False) == clicks


@pytest.mark.parametrize("method", METHODS)
def test_what_does_not_pass_the_filter_is_not_decoded_again(method: str) -> None:
    model = Lamp()
    finder = automatic(discs(SHAPE, *PLACES), model, method=method, diameter=40, min_iou=0.95)
    assert [len(i) for i in found(finder)] == [0]
    assert not any(hq for _, _, hq in model.asked)


@pytest.mark.parametrize("method", METHODS)
def test_a_window_has_the_same_objects_whatever_was_found_before(method: str) -> None:
    rng = np.random.default_rng(3)
    image = np.zeros((300, 300), np.uint8)
    for y, x, r in rng.integers((5, 5, 4), (295, 295, 11), (40, 3)).tolist():
        image[disc(image.shape, y, x, r)] = rng.integers(150, 255)
    one, other = (automatic(image, method=method, diameter=14) for _ in range(2))
    windows = one.windows([()])
    assert len(windows) > 4
    forwards = [one.find(w) for w in windows]
    backwards = [other.find(w) for w in reversed(windows)]
    assert sum(map(len, forwards)) > 20
    assert all(map(same, forwards, reversed(backwards)))


def test_windows_of_a_region_are_those_of_the_plane_that_meet_it() -> None:
    image = np.zeros((3, 300, 300), np.uint8)
    features = features_of(image, Lamp(64), axes="zyx")
    finder = Automatic(features, (300, 300), 0, AutomaticSettings(diameter=10))
    region = (100, 100, 110, 140)
    part = finder.windows([(2,)], region)
    assert part == [w for w in finder.windows([(2,)]) if w.meets(region)]
    assert 0 < len(part) < len(finder.windows([(2,)]))
    assert {w.plane for w in finder.windows([(0,), (2,)])} == {(0,), (2,)}


def test_objects_of_another_size_are_dropped() -> None:
    image = discs(SHAPE, (30, 30, 6), (80, 40, 12), (70, 120, 18))
    areas = [int(disc(SHAPE, 0, 0, r).sum()) * 4 for r in (6, 12, 18)]
    options = {"diameter": 40, "points_per_side": 32}
    every = masks(automatic(image, **options))
    assert len(every) == 3
    limits = {"min_size": (areas[0] + areas[1]) // 2, "max_size": (areas[1] + areas[2]) // 2}
    (kept,) = masks(automatic(image, **options, **limits))
    assert iou(kept, disc(SHAPE, 80, 40, 12)) > 0.9


def test_objects_at_the_edge_of_the_plane_are_dropped_not_those_at_a_windows() -> None:
    shape = (64, 220)
    image = discs(shape, (30, 2, 8), (30, 60, 8), (30, 213, 8))
    finder = automatic(image, diameter=16)
    inner_edges = {w.origin[1] for w in finder.windows([()])} | {
        w.origin[1] + w.shape[1] for w in finder.windows([()])
    }
    assert any(52 < x < 68 for x in inner_edges), "no window cuts the middle one"
    every = [tuple(box) for i in found(finder) for box in i.boxes.tolist()]
    inner = [
        tuple(box)
        for i in found(automatic(image, diameter=16, exclude_edges=True))
        for box in i.boxes.tolist()
    ]
    assert set(inner) == {b for b in every if b[1] > 0 and b[3] < shape[1]}
    assert len(inner) < len(every)
    assert any(b[1] in inner_edges or b[3] in inner_edges for b in inner)


def test_crops_find_what_is_too_small_for_the_window() -> None:
    shape = (256, 256)
    image = discs(shape, (100, 100, 30), (40, 200, 3.5))
    small = disc(shape, 40, 200, 3.5)

    def seen(crops: int) -> list[float]:
        finder = automatic(image, diameter=64, crops=crops, points_per_side=8)
        parts = (i.rows(k).dense((0, 0, *shape)) for i in found(finder) for k in range(len(i)))
        return [v for v in (iou(part, small) for part in parts) if v > 0]

    assert seen(0) == []
    assert max(seen(3)) > 0.8


def test_holes_are_filled_if_wanted() -> None:
    image = discs(SHAPE, (60, 60, 20))
    image[disc(SHAPE, 60, 60, 8)] = 0
    whole = disc(SHAPE, 60, 60, 20)
    (ring,) = masks(automatic(image, diameter=40))
    (full,) = masks(automatic(image, diameter=40, fill_holes=True))
    assert iou(ring, whole) < 0.9 < iou(full, whole)


def test_a_higher_threshold_makes_masks_smaller() -> None:
    y, x = np.mgrid[:128, :160]
    image = np.clip(255 - 4 * np.hypot(y - 60, x - 80), 0, 255).astype(np.uint8)
    (wide,) = masks(automatic(image, diameter=40))
    (narrow,) = masks(automatic(image, diameter=40, threshold=8.0))
    assert narrow.sum() < 0.7 * wide.sum()


def test_of_an_object_within_another_the_better_one_stays() -> None:
    (only,) = found(automatic(discs(SHAPE, *PLACES), diameter=40, max_overlap=1.0))
    assert len(only) == len(PLACES), "masks of one object that differ hide each other"


def test_a_plain_model_is_named_when_the_hq_branch_is_wanted(micro: HQSam) -> None:
    plain = build("vit_tiny", hq=False)
    with pytest.raises(HQSAMError, match="plain SAM"):
        automatic(np.zeros(SHAPE, np.uint8), plain)


def test_settings_say_all_that_the_objects_depend_on(micro: HQSam) -> None:
    image = discs(SHAPE, *PLACES)

    def settings(**options: Any) -> dict[str, Any]:
        return automatic(image, micro, **options).settings

    first = settings()
    assert json.loads(json.dumps(first)) == first == settings()
    for name, value in {
        "method": "threshold",
        "diameter": 21,
        "points_per_side": 9,
        "min_iou": 0.3,
        "min_stability": 0.1,
        "max_overlap": 0.4,
        "min_size": 3,
        "max_size": 999,
        "exclude_edges": True,
        "crops": 1,
        "mode": "sam",
        "threshold": 1.0,
        "fill_holes": True,
    }.items():
        assert settings(**{name: value})[name] == value != first[name]
    assert automatic(image[:, 5:], micro).settings["image"] != first["image"]
    source = open_image(image)
    darker = Features(micro, source, IntensityMapping.choose(source, (0, 100)))
    other = Automatic(darker, SHAPE, 0, AutomaticSettings(diameter=20))
    assert other.settings["intensity"] != first["intensity"]


@pytest.fixture(scope="module")
def embedded() -> HQSam:
    return load_model("micro", device="cpu")


@pytest.mark.parametrize("method", METHODS)
def test_the_embedded_model_finds_blurred_nuclei(method: str, embedded: HQSam) -> None:
    shape = (96, 120)
    places = [(24, 26, 9), (60, 40, 10), (30, 80, 11), (72, 92, 9)]
    image = gaussian_filter(discs(shape, *places, low=12, high=170).astype(float), 1.2)
    image += np.random.default_rng(0).normal(0, 3, shape)
    features = features_of(image.clip(0, 255).astype(np.uint8), embedded)
    settings = AutomaticSettings(method=method, diameter=20, points_per_side=8)  # type: ignore[arg-type]
    finder = Automatic(features, shape, 0, settings)
    windows = finder.windows([()])
    got = [finder.find(window) for window in windows]
    parts = [(i.rows(k).dense((0, 0, *shape))) for i in got for k in range(len(i))]
    for place in places:
        assert max(iou(part, disc(shape, *place)) for part in parts) > 0.75
    assert all(same(finder.find(w), before) for w, before in zip(windows, got, strict=True))


def test_a_decoder_that_was_trained_on_is_another_model() -> None:
    torch.manual_seed(0)
    model = build("micro", input_size=64)
    finder = automatic(np.zeros(SHAPE, np.uint8), model)
    before = finder.settings
    with torch.no_grad():
        model.mask_decoder.iou_token.weight += 1
    after = finder.settings
    assert {name for name in before if before[name] != after[name]} == {"decoder"}
