"""The Segmenter: which window, which prompts, which masks."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images import open_image
from napari_hqsam.images.windows import Window
from napari_hqsam.modeling import HQSam, TileFeatures, build
from napari_hqsam.segmentation import Mask, Prompts, Segmenter

from .fakes import IOU, LookingGlass

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (150, 200), np.uint8)


def bright_square(shape: tuple = (300, 400), at: tuple = (100, 200), side: int = 40) -> np.ndarray:
    image = np.zeros(shape, np.uint8)
    image[at[0] : at[0] + side, at[1] : at[1] + side] = 255
    return image


def looking(image: np.ndarray, size: int = 64, **options: Any) -> Segmenter:
    options = {"contrast_limits": (0, 255)} | options
    return Segmenter(image, model=LookingGlass(size), **options)  # type: ignore[arg-type]


def same(one: Mask, other: Mask, tolerance: float = 1e-5) -> bool:
    """Equal to rounding; a pixel whose logit is 0 to rounding may fall on either side."""
    if (one.window, one.plane) != (other.window, other.plane):
        return False
    close = np.allclose(one.low_res_sam, other.low_res_sam, atol=tolerance)
    if one.low_res_hq is not None:
        close &= np.allclose(one.low_res_hq, other.low_res_hq, atol=tolerance)
    shape = tuple(np.add(one.window.origin, one.window.shape))
    differing = int((one.full(shape) ^ other.full(shape)).sum())
    return bool(close) and differing <= 2 and abs(one.score - other.score) <= tolerance


# Windows


def test_a_click_on_a_small_plane_sees_all_of_it() -> None:
    seg = looking(NOISE, 256)
    assert seg.choose_window(Prompts(points=[(10, 10)])).shape == NOISE.shape


def test_a_click_on_a_large_plane_is_seen_at_1_to_1() -> None:
    window = looking(NOISE, 64).choose_window(Prompts(points=[(75, 120)]))
    assert (window.side, window.scale) == (64, 1)
    assert window.contains([(75, 120)])


def test_a_box_chooses_the_magnification() -> None:
    seg = looking(np.zeros((2000, 2000), np.uint8), 512)
    sides = [
        seg.choose_window(Prompts(box=(900, 900, 899 + d, 899 + d))).side
        for d in (4, 40, 41, 160, 161, 320, 321, 640)
    ]
    assert sides == [64, 64, 128, 256, 512, 512, 1024, 1024]


def test_a_negative_click_far_from_the_box_is_in_the_window() -> None:
    seg = looking(np.zeros((2000, 2000), np.uint8), 512)
    near = seg.choose_window(Prompts(box=(900, 900, 939, 939)))
    far = seg.choose_window(Prompts(points=[(700, 900)], labels=[0], box=(900, 900, 939, 939)))
    assert not near.contains([(700, 900)])
    assert far.contains([(700, 900), (939, 939)])


@pytest.mark.parametrize(
    "box", [(-50, -50, 30, 40), (140, 190, 400, 400), (-99, 50, 999, 60), (-9, -9, 999, 999)]
)
def test_a_box_over_the_edge_is_cut(box: tuple) -> None:
    seg = looking(NOISE, 64)
    mask = seg.predict(box=box)
    height, width = NOISE.shape
    assert all(
        o + n <= length
        for o, n, length in zip(mask.window.origin, mask.window.shape, (height, width), strict=True)
    )
    x0, y0, x1, y1 = seg.model.batches[-1].boxes[0].tolist()
    assert -0.5 <= x0 <= x1 <= 63.5
    assert -0.5 <= y0 <= y1 <= 63.5


# Corrections


def test_a_correction_keeps_its_window_and_gives_the_logits_back() -> None:
    seg = looking(bright_square())
    first = seg.predict(box=(100, 200, 139, 239))
    second = seg.predict(
        points=[(99, 199), (120, 220)], labels=[0, 1], box=(100, 200, 139, 239), previous=first
    )
    assert second.window == first.window
    assert len(seg.features.cache) == 1
    given = seg.model.batches[-1]
    assert given.labels.tolist() == [[0, 1]]
    np.testing.assert_array_equal(given.masks[0, 0], first.low_res_sam)


def test_a_click_alone_keeps_the_window_of_a_correction_too() -> None:
    """It would otherwise be seen at 1:1, and then perhaps magnified."""
    seg = looking(bright_square((900, 900), side=20))
    first = seg.predict(box=(100, 200, 119, 219))
    assert first.window.side == 64 // 2
    second = seg.predict(points=[(110, 210)], previous=first)
    assert second.window == first.window
    third = seg.predict(points=[(110, 210), (99, 215)], labels=[1, 0], previous=second)
    assert third.window == first.window


@pytest.mark.parametrize("mode", ["hq+sam", "hq", "sam"])
def test_the_logits_given_back_are_sams_own(mode: Any) -> None:
    seg = looking(bright_square())
    first = seg.predict(box=(100, 200, 139, 239))
    first = replace(first, low_res_hq=2 * first.low_res_hq)  # HQ's could not be told apart
    seg.predict(points=[(120, 220)], previous=first, mode=mode)
    np.testing.assert_array_equal(seg.model.batches[-1].masks[0, 0], first.low_res_sam)


def test_a_prompt_that_leaves_the_window_changes_it() -> None:
    seg = looking(bright_square((900, 900)))
    first = seg.predict(box=(100, 200, 139, 239))
    second = seg.predict(points=[(500, 600)], labels=[0], box=(100, 200, 139, 239), previous=first)
    assert second.window != first.window
    assert second.window.contains([(500, 600), (100, 200)])
    assert seg.model.batches[-1].masks is None  # the logits belong to the other window


@pytest.mark.parametrize("many", [False, True])
def test_a_negative_click_never_grows_a_mask(micro: HQSam, many: bool) -> None:
    """Though the network, which has not learnt anything, would."""
    seg = Segmenter(NOISE, model=micro)
    grown = 0
    for i in range(8):
        y, x = np.random.default_rng(i).uniform((20, 20), (130, 180))
        first = seg.predict(points=[(y, x)])
        cut = Prompts(points=[(y, x), (y, x + 9)], labels=[1, 0])
        if many:
            second = seg.predict_many([cut], previous=[first])[0]
        else:
            second = seg.predict(cut.points, cut.labels, previous=first)
        was, now = first.full(NOISE.shape), second.full(NOISE.shape)
        assert not (now & ~was).any()
        also = seg.predict(cut.points, [1, 1], previous=first).full(NOISE.shape)
        grown += bool((also & ~was).any())
    assert grown > 0


def test_a_previous_mask_of_another_plane_or_model_is_not_taken_up() -> None:
    stack = np.stack([bright_square()] * 2)
    seg = looking(stack, axes="zyx")
    box = (100, 200, 139, 239)
    first = seg.predict(box=box, plane=(0,))
    second = seg.predict(box=box, plane=(1,), previous=first)
    assert (second.plane, second.window.plane) == ((1,), (1,))
    assert seg.model.batches[-1].masks is None
    larger = looking(stack, 128, axes="zyx")
    third = larger.predict(box=box, plane=(0,), previous=first)
    assert third.window.input_size == 128
    assert larger.model.batches[-1].masks is None


def test_a_candidate_can_be_corrected() -> None:
    seg = looking(bright_square())
    candidates = seg.predict(box=(100, 200, 139, 239), multimask=True)
    seg.predict(points=[(120, 220)], previous=candidates[2])
    given = seg.model.batches[-1].masks[0, 0]
    np.testing.assert_array_equal(given, candidates[2].low_res_sam)


# Modes and candidates


def test_modes() -> None:
    seg = looking(bright_square())
    both, hq, sam = (seg.predict(box=(100, 200, 139, 239), mode=m) for m in ("hq+sam", "hq", "sam"))
    assert both.score == hq.score == sam.score == pytest.approx(IOU[0])
    assert sam.low_res_hq is None
    assert hq.low_res_hq is not None
    assert both.bbox == hq.bbox == sam.bbox == (100, 200, 140, 240)


def test_candidates_come_best_first_with_their_own_logits() -> None:
    seg = looking(bright_square())
    for mode in ("hq+sam", "sam"):
        masks = seg.predict(box=(100, 200, 139, 239), multimask=True, mode=mode)
        assert [m.score for m in masks] == pytest.approx([0.9, 0.7, 0.6])
        # candidate 1 is the largest, 3 the smallest
        assert masks[2].area >= masks[0].area >= masks[1].area
        highest = [float(m.low_res_sam.max()) for m in masks]
        assert highest[2] > highest[0] > highest[1]
    only = seg.predict(box=(100, 200, 139, 239), multimask=True, mode="hq")
    assert [m.score for m in only] == pytest.approx([0.9])


def test_plain_sam_offers_only_its_own_mode() -> None:
    torch.manual_seed(0)
    seg = Segmenter(NOISE, model=build("micro", hq=False, input_size=64))
    with pytest.raises(HQSAMError, match="use 'sam'"):
        seg.predict(box=(5, 5, 50, 50))
    mask = seg.predict(box=(5, 5, 50, 50), mode="sam")
    assert mask.low_res_hq is None
    assert seg.predict(points=[(9, 9)], previous=mask, mode="sam").window == mask.window


def test_masks_of_the_modes_add_up(micro: HQSam) -> None:
    seg = Segmenter(NOISE, model=micro)
    mask = seg.predict(box=(20, 30, 90, 120))
    window = mask.window
    summed = torch.from_numpy(mask.low_res_sam + mask.low_res_hq)[None, None]
    from napari_hqsam.segmentation.mask import upscale

    expected = (upscale(summed, window)[0] > 0).numpy()
    y, x = window.origin
    h, w = window.shape
    np.testing.assert_array_equal(mask.full(NOISE.shape)[y : y + h, x : x + w], expected)


# Prompts are heard by the real network


@pytest.fixture(scope="module")
def box_only(micro: HQSam) -> tuple[Segmenter, Mask]:
    seg = Segmenter(NOISE, model=micro)
    return seg, seg.predict(box=(20, 30, 60, 80))


@pytest.mark.parametrize(
    "more",
    [
        {"points": [(40, 50)], "labels": [0]},
        {"points": [(40, 50)]},
        {"box": (20, 30, 60, 84)},
        {"scribble": [(30, 40), (50, 70)]},
        {"polygon": [(25, 35), (25, 60), (50, 60)]},
        {"mask": np.arange(NOISE.size).reshape(NOISE.shape) < 9000},
    ],
    ids=lambda more: next(iter(more)) + str(more.get("labels", "")),
)
def test_every_kind_of_prompt_changes_the_logits(
    box_only: tuple[Segmenter, Mask], more: dict[str, Any]
) -> None:
    seg, alone = box_only
    with_more = seg.predict(**({"box": (20, 30, 60, 80)} | more))
    if with_more.window == alone.window:
        assert np.abs(with_more.low_res_sam - alone.low_res_sam).max() > 1e-4
    else:  # a mask of the whole upper half
        assert "mask" in more


def test_a_negative_click_is_no_positive_one(box_only: tuple[Segmenter, Mask]) -> None:
    seg, _ = box_only
    prompts = {"box": (20, 30, 60, 80), "points": [(40, 50)]}
    one, other = seg.predict(**prompts, labels=[1]), seg.predict(**prompts, labels=[0])
    assert np.abs(one.low_res_sam - other.low_res_sam).max() > 1e-4


def test_an_earlier_mask_is_heard(box_only: tuple[Segmenter, Mask]) -> None:
    seg, alone = box_only
    again = seg.predict(box=(20, 30, 60, 80), previous=alone)
    assert again.window == alone.window
    assert np.abs(again.low_res_sam - alone.low_res_sam).max() > 1e-4


# Many at once


def random_prompts(rng: np.random.Generator, shape: tuple[int, int]) -> Prompts:
    """One or two kinds of prompts anywhere on a plane, boxes and polygons also over its edge."""
    last = np.subtract(shape, 1)
    given: dict[str, Any] = {}
    for kind in rng.choice(["points", "box", "scribble", "polygon", "mask"], rng.integers(1, 3)):
        if kind == "points":
            n = rng.integers(1, 4)
            given |= {
                "points": rng.uniform(-0.5, np.add(last, 0.5), (n, 2)),
                "labels": rng.integers(0, 2, n),
            }
        elif kind == "box":
            centre, reach = rng.uniform(0, last), rng.uniform(0, shape) * rng.choice([0.1, 1])
            given["box"] = (*(centre - reach), *(centre + reach))
        elif kind == "scribble":
            given["scribble"] = rng.uniform(0, last, (rng.integers(1, 5), 2))
        elif kind == "polygon" and "mask" not in given:
            around = rng.uniform(0, last) + rng.normal(0, 0.3, (5, 2)) * shape
            around[0] = rng.uniform(0, last)
            given["polygon"] = around
        elif "polygon" not in given:
            mask = rng.random(shape) < 0.3
            mask[tuple(rng.integers(0, shape))] = True
            given["mask"] = mask
    return Prompts(**given)


@pytest.mark.parametrize("mode", ["hq+sam", "sam"])
def test_many_at_once_equal_one_by_one(micro: HQSam, mode: Any) -> None:
    rng = np.random.default_rng(3)
    prompts = [random_prompts(rng, NOISE.shape) for _ in range(20)]
    # and enough of one form in one window for more than one batch
    prompts += [Prompts(box=(10 + i % 5, 20, 100, 150 - i % 7)) for i in range(34)]
    seg = Segmenter(NOISE, model=micro)
    together = seg.predict_many(prompts, mode=mode)
    assert len(together) == len(prompts)
    for p, of_many in zip(prompts, together, strict=True):
        alone = seg.predict(
            p.points if len(p.points) else None,
            p.labels if len(p.points) else None,
            p.box,
            p.polygon,
            mask=p.mask,
            mode=mode,
        )
        assert same(of_many, alone)


def test_many_corrections_at_once_equal_one_by_one(micro: HQSam) -> None:
    seg = Segmenter(NOISE, model=micro)
    boxes = [(10, 20, 60, 70), (30, 90, 90, 150), (5, 5, 20, 20)]
    first = seg.predict_many([Prompts(box=b) for b in boxes])
    clicks = [Prompts(points=[(b[0] + 3, b[1] + 4)], labels=[0], box=b) for b in boxes]
    previous = [first[0], None, first[2]]
    for p, before, of_many in zip(
        clicks, previous, seg.predict_many(clicks, previous=previous), strict=True
    ):
        alone = seg.predict(p.points, p.labels, p.box, previous=before)
        assert same(of_many, alone)
        assert before is None or of_many.window == before.window


def test_many_objects_are_decoded_in_few_batches() -> None:
    seg = looking(bright_square((300, 400)), 512)
    seg.predict_many([Prompts(box=(100, 200, 239 + i % 3, 339)) for i in range(70)])
    assert [len(b.boxes) for b in seg.model.batches] == [32, 32, 6]
    assert seg.model.encoded == 1


def test_as_many_earlier_masks_as_prompts() -> None:
    with pytest.raises(HQSAMError, match="previous: 1 masks for 2 prompts"):
        looking(NOISE).predict_many([Prompts(box=(1, 1, 9, 9))] * 2, previous=[None])


def test_none_at_all() -> None:
    assert looking(NOISE).predict_many([]) == []


# No crash


IMAGES = {
    "1x1": np.array([[7]], np.uint8),
    "1x300": RNG.integers(0, 65536, (1, 300), np.uint16),
    "300x1": RNG.normal(size=(300, 1)).astype(np.float32),
    "5x5": RNG.normal(size=(5, 5)),
    "NaN": np.where(RNG.random((80, 90)) < 0.1, np.nan, RNG.normal(size=(80, 90))),
    "all NaN": np.full((20, 30), np.nan, np.float32),
    "infinite": np.where(RNG.random((40, 30)) < 0.1, np.inf, 0).astype(np.float32),
    "bool": RNG.random((30, 40)) < 0.5,
    "one value": np.full((40, 70), 3, np.int32),
}


@pytest.mark.parametrize("name", IMAGES)
def test_random_prompts_on_awkward_images(micro: HQSam, name: str) -> None:
    image = IMAGES[name]
    rng = np.random.default_rng(len(name))
    prompts = [random_prompts(rng, image.shape) for _ in range(48)]
    for mask in Segmenter(image, model=micro).predict_many(prompts):
        y0, x0, y1, x1 = mask.bbox
        assert 0 <= y0 <= y1 <= image.shape[0]
        assert 0 <= x0 <= x1 <= image.shape[1]
        assert mask.data.shape == (y1 - y0, x1 - x0)
        assert np.isfinite(mask.score)
        assert np.isfinite(mask.low_res_sam).all()
        assert np.isfinite(mask.low_res_hq).all()
        if mask.area:  # the box is tight
            assert all(mask.data.any(axis=axis)[[0, -1]].all() for axis in (0, 1))


def test_random_prompts_on_planes_of_a_stack(micro: HQSam) -> None:
    stack = RNG.integers(0, 4096, (2, 3, 2, 70, 60), np.uint16)
    seg = Segmenter(stack, axes="tczyx", channels=[2, 0], model=micro)
    assert seg.plane_shape == (70, 60)
    rng = np.random.default_rng(4)
    for plane in [(0, 0), (1, 1)]:
        prompts = [random_prompts(rng, seg.plane_shape) for _ in range(48)]
        masks = seg.predict_many(prompts, plane=plane)
        assert {m.plane for m in masks} == {m.window.plane for m in masks} == {plane}
        # the plane by itself, with the stack's mapping, gives the same
        single = Segmenter(
            stack[plane[0], [2, 0], plane[1]],
            axes="cyx",
            contrast_limits=seg.mapping.limits,
            model=micro,
        )
        alone = single.predict_many(prompts[:8])
        for a, b in zip(masks, alone, strict=False):
            assert a.bbox == b.bbox
            np.testing.assert_array_equal(a.data, b.data)


# Errors


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"points": [(150, 10)]}, "point 150,10 is outside the image: the plane has 150 x 200"),
        ({"box": (0, 200, 5, 210)}, "box 0,200,5,210 is outside"),
        ({"mask": np.ones((3, 3))}, "mask of shape"),
        ({}, "give a point"),
        ({"points": [(1, 1)], "mode": "best"}, "mode 'best' is unknown"),
        ({"points": [(1, 1)], "plane": (0,)}, "single plane"),
    ],
)
def test_bad_calls_are_refused_in_one_line(call: dict, message: str) -> None:
    with pytest.raises(HQSAMError, match=message) as caught:
        looking(NOISE).predict(**call)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("plane", [(), (3,), (-1,), (0, 0), ("a",), 1.5, None])
def test_bad_planes_are_refused_in_one_line(plane: Any) -> None:
    seg = looking(np.zeros((3, 20, 30), np.uint8), axes="zyx")
    with pytest.raises(HQSAMError, match="plane") as caught:
        seg.predict(points=[(1, 1)], plane=plane)
    assert "\n" not in str(caught.value)


def test_a_bad_one_of_many_prompts_is_named_before_any_work() -> None:
    seg = looking(NOISE)
    with pytest.raises(HQSAMError, match="point 1,900 is outside"):
        seg.predict_many([Prompts(points=[(1, 1)]), Prompts(points=[(1, 900)])])
    assert seg.model.encoded == 0


@pytest.mark.parametrize("level", [2, -1])
def test_a_level_that_is_not_there(level: int) -> None:
    with pytest.raises(HQSAMError, match="level"):
        looking([NOISE, NOISE[::2, ::2]], level=level)


# Where pixels and intensities come from


def test_prompts_and_masks_are_in_pixels_of_the_level() -> None:
    image = bright_square()
    seg = looking([image, image[::2, ::2]], level=1, axes="yx")
    assert seg.plane_shape == (150, 200)
    assert seg.predict(box=(50, 100, 69, 119)).bbox == (50, 100, 70, 120)


def test_contrast_limits_or_percentiles_of_the_whole_image() -> None:
    image = bright_square().astype(np.uint16) * 100
    assert Segmenter(image, model=LookingGlass()).mapping.limits == ((0, 25500),)  # type: ignore[arg-type]
    seg = looking(image, contrast_limits=(0, 51000))
    # half as bright as white: at the looking glass's threshold, and so not above it
    assert seg.predict(box=(100, 200, 139, 239)).area == 0


def test_an_open_source_is_taken_as_it_is() -> None:
    source = open_image(bright_square())
    with looking(source) as seg:
        assert seg.source is source
        assert seg.predict(box=(100, 200, 139, 239)).bbox == (100, 200, 140, 240)


def layer(data: Any, **more: Any) -> SimpleNamespace:
    rgb = more.pop("rgb", False)
    ndim = np.ndim(data) - rgb
    return SimpleNamespace(
        **{
            "data": data,
            "ndim": ndim,
            "rgb": rgb,
            "multiscale": False,
            "name": "DAPI",
            "dtype": data.dtype,
            "scale": (1.0,) * ndim,
            "units": ("pixel",) * ndim,
            "contrast_limits": [0, 255],
        }
        | more
    )


def test_from_a_layer() -> None:
    stack = np.stack([bright_square(), 0 * bright_square()])
    fake: Any = LookingGlass(64)
    seg = Segmenter.from_layer(
        layer(stack, scale=(2, 0.5, 0.5), units=("um",) * 3, contrast_limits=[0, 100]), model=fake
    )
    assert seg.mapping.limits == ((0, 100),)
    assert seg.source.scale == (2, 0.5, 0.5)
    assert seg.predict(box=(100, 200, 139, 239), plane=(0,)).bbox == (100, 200, 140, 240)
    assert seg.predict(box=(100, 200, 139, 239), plane=(1,)).area == 0


def test_from_a_colour_layer_and_from_one_of_many_axes() -> None:
    fake: Any = LookingGlass(64)
    colour = np.repeat(bright_square()[..., None], 4, axis=2)
    seg = Segmenter.from_layer(layer(colour, rgb=True), model=fake)
    assert seg.source.channels == (0, 1, 2)
    assert seg.mapping.limits == ((0, 255),) * 3
    assert seg.predict(box=(100, 200, 139, 239)).bbox == (100, 200, 140, 240)
    five = bright_square()[None, None, None].repeat(2, 0)
    many = Segmenter.from_layer(layer(five), model=fake)
    assert many.predict(box=(100, 200, 139, 239), plane=(1,)).area > 1500


def test_limits_that_nobody_chose_are_no_limits() -> None:
    dim = bright_square() // 8
    fake: Any = LookingGlass(64)
    for limits, expected in (([0, 255], (0, 31)), ([0, 200], (0, 200))):
        seg = Segmenter.from_layer(layer(dim, contrast_limits=limits), model=fake)
        assert seg.mapping.limits == (expected,)


def test_a_layer_of_another_kind_is_refused() -> None:
    points = SimpleNamespace(name="clicks", data=np.zeros((3, 2)))
    with pytest.raises(HQSAMError, match=r"'clicks'.*choose an Image layer"):
        Segmenter.from_layer(points)


# Threads


def test_two_threads_encode_a_window_once_and_agree() -> None:
    seg = looking(bright_square())
    encoding, go_on = threading.Event(), threading.Event()
    encode = seg.model.encode

    def slow(images: torch.Tensor, between: object) -> TileFeatures:
        encoding.set()
        assert go_on.wait(30)
        return encode(images)

    seg.model.encode = slow  # type: ignore[method-assign]
    ask = {"box": (100, 200, 139, 239)}
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(lambda: seg.predict(**ask))
        assert encoding.wait(30)
        second = pool.submit(lambda: seg.predict(**ask))
        go_on.set()
        assert same(first.result(30), second.result(30), 0)
    assert seg.model.encoded == 1


def test_several_threads_get_what_one_gets(micro: HQSam) -> None:
    rng = np.random.default_rng(6)
    boxes = np.sort(rng.uniform(0, NOISE.shape, (12, 2, 2)), axis=1).reshape(-1, 4)
    alone = [Segmenter(NOISE, model=micro).predict(box=b) for b in boxes]
    seg = Segmenter(NOISE, model=micro)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda b: seg.predict(box=b), [*boxes, *boxes]))
    assert all(same(a, b) for a, b in zip([*alone, *alone], found, strict=True))


def test_a_prediction_repeated_is_the_same_bit_for_bit(micro: HQSam) -> None:
    seg = Segmenter(NOISE, model=micro)
    one, two = (seg.predict(points=[(70, 80)], box=(20, 30, 90, 120)) for _ in range(2))
    np.testing.assert_array_equal(one.low_res_sam, two.low_res_sam)
    np.testing.assert_array_equal(one.low_res_hq, two.low_res_hq)
    np.testing.assert_array_equal(one.data, two.data)


def test_the_window_is_what_the_mask_says(micro: HQSam) -> None:
    mask = Segmenter(NOISE, model=micro).predict(points=[(70, 80)])
    assert isinstance(mask.window, Window)
    y0, x0, y1, x1 = mask.bbox
    (oy, ox), (h, w) = mask.window.origin, mask.window.shape
    assert oy <= y0 <= y1 <= oy + h
    assert ox <= x0 <= x1 <= ox + w
