"""Thresholds, candidates, and masks drawn again without another look at the image."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from napari_hqsam.embedding.features import Stopped
from napari_hqsam.errors import HQSAMError
from napari_hqsam.modeling import HQSam
from napari_hqsam.segmentation import Mask, Prompts, Segmenter

from .fakes import LookingGlass

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (150, 200), np.uint8)
MODES: tuple[Any, ...] = ("hq+sam", "hq", "sam")


@pytest.fixture
def seg(micro: HQSam) -> Segmenter:
    return Segmenter(NOISE, model=micro)


class Counting:
    """Counts what a model does from now on."""

    def __init__(self, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.encoded = self.decoded = 0
        encode, decode = model.encode, model.decode

        def count_encode(*given: Any, **options: Any) -> Any:
            self.encoded += 1
            return encode(*given, **options)

        def count_decode(*given: Any, **options: Any) -> Any:
            self.decoded += 1
            return decode(*given, **options)

        monkeypatch.setattr(model, "encode", count_encode)
        monkeypatch.setattr(model, "decode", count_decode)


def same(one: Mask, other: Mask) -> None:
    assert one.window == other.window
    np.testing.assert_array_equal(one.full(NOISE.shape), other.full(NOISE.shape))
    np.testing.assert_array_equal(one.low_res_sam, other.low_res_sam)


def gradient() -> np.ndarray:
    """Brightness falls off from the middle, so that every threshold gives another disc."""
    y, x = np.mgrid[:200, :300]
    return np.clip(255 - 2.5 * np.hypot(y - 100, x - 150), 0, 255).astype(np.uint8)


def looking(image: np.ndarray, **options: Any) -> Segmenter:
    model: Any = LookingGlass(512)
    for name, value in options.items():
        setattr(model, name, value)
    return Segmenter(image, model=model, contrast_limits=(0, 255))


# Thresholds


def test_a_higher_threshold_makes_a_smaller_mask_within() -> None:
    seg = looking(gradient())
    masks = [seg.predict(points=[(100, 150)], threshold=t) for t in (-0.6, -0.3, 0, 0.3, 0.6)]
    areas = [mask.area for mask in masks]
    assert areas == sorted(areas, reverse=True)
    assert len(set(areas)) == 5
    fulls = [mask.full((200, 300)) for mask in masks]
    assert all(not (small & ~large).any() for large, small in pairwise(fulls))
    assert seg.predict(points=[(100, 150)], threshold=1.1).area == 0


@pytest.mark.parametrize("mode", MODES)
def test_the_threshold_is_on_the_logits_of_the_mode(seg: Segmenter, mode: Any) -> None:
    import torch

    from napari_hqsam.segmentation.mask import upscale

    mask = seg.predict(box=(20, 30, 90, 120), mode=mode, threshold=0.25)
    logits = upscale(torch.from_numpy(mask.low_res(mode))[None, None], mask.window)[0]
    y, x = mask.window.origin
    h, w = mask.window.shape
    expected = (logits > 0.25).numpy()
    np.testing.assert_array_equal(mask.full(NOISE.shape)[y : y + h, x : x + w], expected)


def test_a_threshold_far_below_finds_what_is_far_below() -> None:
    """The part of a window that may be in the mask is chosen by the threshold, too."""
    seg = looking(np.zeros((512, 512), np.uint8))
    box = (200, 200, 299, 299)
    mask = seg.predict(box=box, threshold=-30)
    beyond = (30 + 4) / mask.window.scale  # where the stand-in's logits are as low as that
    np.testing.assert_allclose(mask.bbox[:2], 200 - beyond, atol=2)
    np.testing.assert_allclose(mask.bbox[2:], 300 + beyond, atol=2)
    assert mask.data.all()


def test_a_mask_keeps_its_own_logits_and_not_those_of_the_batch(seg: Segmenter) -> None:
    for mask in seg.predict_many([Prompts(box=(20, 30, 90, 120 + i)) for i in range(3)]):
        assert mask.low_res_sam.base is None
        assert mask.low_res_hq is not None
        assert mask.low_res_hq.base is None


def test_a_threshold_of_an_exact_box_is_counted_from_where_the_mask_fills_it() -> None:
    y, x = np.mgrid[:200, :300]
    away = np.maximum(abs(y - 100), abs(x - 150))
    pyramid = np.clip(255 - 10 * away, 0, 255).astype(np.uint8)  # half at 12.75
    box = (86, 136, 114, 164)
    trusting, plain = looking(pyramid, trusts_boxes=True), looking(pyramid)
    fits = trusting.predict(box=box)
    assert fits.bbox == (86, 136, 115, 165)
    assert plain.predict(box=box).area < fits.area
    assert trusting.predict(box=box, threshold=0.2).area < fits.area
    assert trusting.predict(box=box, threshold=-9).area > fits.area
    assert trusting.predict(box=box, threshold=1e-4).bbox == fits.bbox


@pytest.mark.parametrize("threshold", [float("nan"), float("inf")])
def test_a_threshold_must_be_a_number(seg: Segmenter, threshold: float) -> None:
    with pytest.raises(HQSAMError, match=r"threshold .*: give a number"):
        seg.predict(box=(1, 1, 9, 9), threshold=threshold)


def test_a_threshold_chooses_no_other_window() -> None:
    """A click is looked at again closer by the mask that the network gives, at 0."""
    image = np.zeros((900, 900), np.uint8)
    image[430:450, 430:450] = 255
    seg = looking(image)
    masks = [seg.predict(points=[(440, 440)], threshold=t) for t in (-0.9, 0, 0.9)]
    assert len({mask.window for mask in masks}) == 1
    assert masks[1].window.side < 512


def test_finer_windows_use_the_threshold_too(seg: Segmenter) -> None:
    areas = [seg.predict(points=[(70, 80)], fine=True, threshold=t).area for t in (-2.0, 0, 2.0)]
    assert areas[0] > areas[1] > areas[2]


# Candidates


def test_the_candidates_of_many_are_those_of_each(seg: Segmenter) -> None:
    prompts = [
        Prompts(box=(20, 30, 90, 120)),
        Prompts(points=[(40, 50)]),
        Prompts(box=(5, 5, 9, 9)),
    ]
    many = seg.predict_many(prompts, multimask=True, threshold=0.2)
    for p, candidates in zip(prompts, many, strict=True):
        (alone,) = seg.predict_many([p], multimask=True, threshold=0.2)
        assert [m.score for m in candidates] == sorted((m.score for m in candidates), reverse=True)
        for one, other in zip(candidates, alone, strict=True):
            np.testing.assert_allclose(one.low_res_sam, other.low_res_sam, atol=1e-5)


def test_candidates_of_a_mask_are_decoded_in_its_window_with_what_it_was_given(
    seg: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = seg.predict(box=(20, 30, 90, 120))
    mask = seg.predict(points=[(40, 50)], box=(20, 30, 90, 120), previous=first)
    counting = Counting(seg.model, monkeypatch)
    single, *three = seg.interactive.candidates(mask, "hq+sam", 0.0)
    assert (counting.encoded, counting.decoded) == (0, 1)
    same(single, mask)
    assert len(three) == 3
    assert [m.score for m in three] == sorted((m.score for m in three), reverse=True)
    (only,) = seg.interactive.candidates(mask, "hq", 0.0)
    np.testing.assert_array_equal(only.low_res_hq, mask.low_res_hq)


# Drawn again


@pytest.mark.parametrize("given", [{"box": (20, 30, 90, 120)}, {"points": [(40, 50)]}])
@pytest.mark.parametrize("before", MODES)
@pytest.mark.parametrize("after", MODES)
def test_another_mode_or_threshold_is_drawn_from_what_is_known(
    seg: Segmenter, given: dict, before: Any, after: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask = seg.predict(**given, mode=before)
    fresh = seg.predict(**given, mode=after, threshold=0.3)
    counting = Counting(seg.model, monkeypatch)
    again = seg.interactive.redraw(mask, after, 0.3)
    assert counting.encoded == 0
    # exact SAM leaves the HQ token out of the decoder
    assert counting.decoded == ((before == "sam") != (after == "sam"))
    assert again.window == mask.window
    if again.window == fresh.window:  # a click may be looked at closer in one mode only
        same(again, fresh)
    back = seg.interactive.redraw(again, before, 0.0)
    same(back, mask)


def test_a_candidate_stays_that_candidate_in_another_mode(seg: Segmenter) -> None:
    for k, candidate in enumerate(seg.predict(box=(20, 30, 90, 120), multimask=True)):
        again = seg.interactive.redraw(candidate, "sam", 0.0)
        fresh = seg.predict(box=(20, 30, 90, 120), multimask=True, mode="sam")[k]
        same(again, fresh)


def test_a_correction_is_drawn_again_with_the_logits_that_it_was_given(seg: Segmenter) -> None:
    box = (20, 30, 90, 120)
    first = seg.predict(box=box)
    mask = seg.predict(points=[(40, 50)], box=box, previous=first, mode="sam")
    again = seg.interactive.redraw(mask, "hq", 0.0)
    fresh = seg.predict(points=[(40, 50)], box=box, previous=first, mode="hq")
    np.testing.assert_array_equal(again.low_res_hq, fresh.low_res_hq)


def test_what_negative_clicks_have_cut_stays_cut_at_any_threshold(seg: Segmenter) -> None:
    box = (20, 30, 90, 120)
    first = seg.predict(box=box)
    cut = seg.predict(points=[(40, 50)], labels=[0], box=box, previous=first)
    for share in (0.3, 0.6, 0.9):
        threshold = float(np.quantile(first.low_res("hq+sam"), share))
        again = seg.interactive.redraw(cut, "hq+sam", threshold).full(NOISE.shape)
        whole = seg.predict(box=box, threshold=threshold).full(NOISE.shape)
        alone = seg.interactive.redraw(replace(cut, cuts=None), "hq+sam", threshold)
        assert again.any()
        np.testing.assert_array_equal(again, alone.full(NOISE.shape) & whole)


# Finer boundaries and glances


def test_looking_finer_ends_between_two_windows_when_told(seg: Segmenter) -> None:
    mask = seg.predict(points=[(70, 80)], fine=False)
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 1

    with pytest.raises(Stopped):
        seg.interactive.finer(mask, "hq+sam", 0.0, stop)
    assert len(asked) == 2
    finer = seg.interactive.finer(mask, "hq+sam", 0.0)
    same(finer, seg.predict(points=[(70, 80)], fine=True))


def test_a_glance_encodes_nothing(seg: Segmenter, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = Prompts(points=[(40, 50)])
    assert seg.interactive.glance(prompts, (), "hq+sam") is None
    clicked = seg.predict(points=[(40, 50)], fine=False)
    counting = Counting(seg.model, monkeypatch)
    seen = seg.interactive.glance(prompts, (), "hq+sam")
    assert seen is not None
    same(seen.mask("hq+sam"), clicked)
    assert counting.encoded == 0


def test_a_glance_looks_no_closer_where_that_would_encode(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.zeros((900, 900), np.uint8)
    image[430:450, 430:450] = 255
    seg = looking(image)
    prompts = Prompts(points=[(440, 440)])
    seg.features.get(seg.choose_window(prompts))
    counting = Counting(seg.model, monkeypatch)
    seen = seg.interactive.glance(prompts, (), "hq+sam")
    assert seen is not None
    assert (counting.encoded, seen.window.side) == (0, 512)
    closer = seg.predict(points=[(440, 440)])
    assert (counting.encoded, closer.window.side) == (1, 64)
    found = seg.interactive.glance(prompts, (), "hq+sam")
    assert found is not None
    assert found.window == closer.window
