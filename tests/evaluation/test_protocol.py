"""What the protocol measures, with models whose answers are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_hqsam.errors import HQSAMError
from napari_hqsam.evaluation import Band, evaluate
from napari_hqsam.evaluation.protocol import draw_objects
from napari_hqsam.modeling import Decoded, PromptBatch, TileFeatures


@dataclass(frozen=True)
class Item:
    name: str
    image: np.ndarray
    labels: np.ndarray
    pixel_size: float | None = None


class Bright:
    """SAM's mask: the bright pixels of the window; HQ's: nothing, so that the sum is weaker."""

    device = torch.device("cpu")
    input_size = 256
    refines_parts = trusts_boxes = False

    def __init__(self, *, has_hq: bool = True) -> None:
        self.has_hq = has_hq
        self.encoded = 0
        self.asked: list[PromptBatch] = []

    def preprocess(self, pixels: Tensor) -> Tensor:
        h, w = pixels.shape[-2:]
        x = pixels / 127.5 - 1
        return torch.nn.functional.pad(x, (0, 256 - w, 0, 256 - h), value=-1)

    def encode(self, images: Tensor, between: object = None) -> TileFeatures:
        self.encoded += 1
        grey = torch.nn.functional.avg_pool2d(images[:, :1], 4)
        return TileFeatures(grey, torch.full_like(grey, -9) if self.has_hq else None)

    def prepare(self, features: TileFeatures) -> TileFeatures:
        return features

    def decode(
        self, features: TileFeatures, image_index: Tensor, prompts: PromptBatch, *, hq: bool = True
    ) -> Decoded:
        self.asked.append(prompts)
        sam = features.embedding.index_select(0, image_index)
        n = len(image_index)
        return Decoded(
            sam.expand(-1, 4, -1, -1),
            features.hq.index_select(0, image_index) if hq else None,
            torch.full((n, 4), 0.75),
        )


class Obedient(Bright):
    """SAM's mask: all that is nearer to a positive click than to a negative one, up to 40 px."""

    def decode(
        self, features: TileFeatures, image_index: Tensor, prompts: PromptBatch, *, hq: bool = True
    ) -> Decoded:
        self.asked.append(prompts)
        grid = torch.arange(64) * 4 + 1.5
        y, x = torch.meshgrid(grid, grid, indexing="ij")
        away = {0: torch.full((64, 64), 1e3), 1: torch.full((64, 64), 1e3)}
        for (px, py), label in zip(prompts.points[0], prompts.labels[0], strict=True):
            distance = ((x - px) ** 2 + (y - py) ** 2).sqrt()
            away[int(label)] = torch.minimum(away[int(label)], distance)
        sam = torch.minimum(away[0] - away[1], 40 - away[1]).expand(1, 4, -1, -1)
        return Decoded(sam, None, torch.ones(1, 4))


def discs(**about: object) -> Item:
    y, x = np.mgrid[:200, :260]
    labels = np.zeros((200, 260), dtype=np.uint16)
    labels[(y - 60) ** 2 + (x - 70) ** 2 < 30**2] = 1
    labels[(y - 140) ** 2 + (x - 200) ** 2 < 25**2] = 5
    labels[5, 5] = 9  # too small to count
    image = np.where(labels > 0, 200, 20).astype(np.uint8)
    return Item("discs", image, labels, **about)  # type: ignore[arg-type]


def bar() -> Item:
    labels = np.zeros((120, 240), dtype=np.uint8)
    labels[50:58, 20:220] = 1
    return Item("bar", np.where(labels > 0, 200, 20).astype(np.uint8), labels)


def test_each_object_and_each_method_is_scored() -> None:
    scores = list(evaluate(Bright(), [discs()]))
    assert {(s.label, s.method) for s in scores} == {
        (label, method)
        for label in (1, 5)
        for method in ("filled box", "in-box Otsu", "sam", "hq", "hq+sam")
    }
    of = {(s.label, s.method): s for s in scores}
    # A disc fills π/4 of its box.
    assert abs(of[1, "filled box"].iou - np.pi / 4) < 0.03
    assert of[1, "in-box Otsu"].iou == 1
    assert of[1, "in-box Otsu"].boundary_iou == {"2 px": 1, "2 %": 1, "1 %": 1}
    assert of[1, "sam"].iou > 0.93
    assert of[1, "hq+sam"].iou == of[1, "hq"].iou == 0
    assert of[1, "sam"].boundary_iou["2 %"] > of[1, "filled box"].boundary_iou["2 %"]
    assert of[1, "sam"].score == 0.75
    assert np.isnan(of[1, "filled box"].score)
    assert of[1, "sam"].area == np.count_nonzero(discs().labels == 1)
    assert of[1, "sam"].decode_seconds > 0
    assert of[1, "sam"].encode_seconds == of[1, "hq"].encode_seconds > 0


def test_a_window_is_encoded_once_for_all_prompts_and_modes() -> None:
    model = Bright()
    scores = list(evaluate(model, [bar()], prompts=["box", "box-noise-0", "mask"]))
    assert model.encoded == 1
    # The time that it took is told with each way to prompt.
    assert len({s.encode_seconds for s in scores if s.method == "sam"}) == 1


def test_dark_objects_are_found_by_otsu_too() -> None:
    item = discs()
    scores = evaluate(Bright(), [Item("dark", 255 - item.image, item.labels)])
    assert all(s.iou == 1 for s in scores if s.method == "in-box Otsu")


def test_plain_sam_has_one_mode_and_the_draw_is_seeded() -> None:
    model = Bright(has_hq=False)
    methods = {s.method for s in evaluate(model, [discs()])}
    assert methods == {"filled box", "in-box Otsu", "sam"}
    runs = [
        [s.label for s in evaluate(model, [discs()], objects_per_image=1, seed=3)] for _ in range(2)
    ]
    assert runs[0] == runs[1]
    assert len(set(runs[0])) == 1
    with pytest.raises(HQSAMError, match="needs an HQ-SAM checkpoint"):
        list(evaluate(model, [discs()], modes=["hq+sam"]))


def test_the_prompts_of_an_object_do_not_depend_on_the_others() -> None:
    def box_of_5(most: int) -> object:
        rows = evaluate(Bright(), [discs()], prompts=["box-noise-0.4"], objects_per_image=most)
        return next(s.answer.given.box for s in rows if s.label == drawn)

    drawn = next(iter(draw_objects(discs(), 1, 16)))
    assert box_of_5(1) == box_of_5(2)


def test_labels_may_be_large_and_are_kept() -> None:
    item = discs()
    labels = item.labels.astype(np.int64) * 2**40
    assert list(draw_objects(Item("far", item.image, labels), None, 16)) == [2**40, 5 * 2**40]


def test_a_click_lies_farthest_from_the_edge() -> None:
    model = Bright()
    item = discs()
    alone = Item("disc", np.where(item.labels == 1, 200, 20), np.where(item.labels == 1, 1, 0))
    scores = [s for s in evaluate(model, [alone], prompts=["click"]) if s.method == "sam"]
    assert all(s.iou > 0.9 for s in scores)
    assert {s.method for s in evaluate(model, [alone], prompts=["click"])} == {
        "sam",
        "hq",
        "hq+sam",
    }
    # The whole plane of 260 pixels in a window of 256: nearly 1:1.
    seen = [batch.points[0, 0] for batch in model.asked]
    assert any(torch.allclose(p, torch.tensor([70.0, 60.0]), atol=3) for p in seen)


def test_trials_are_averaged() -> None:
    model = Bright(has_hq=False)
    scores = list(evaluate(model, [discs()], prompts=["clicks-3-neg"]))
    assert [(s.label, s.method) for s in scores] == [(1, "sam"), (5, "sam")]
    assert {tuple(batch.labels[0].tolist()) for batch in model.asked} == {(1, 1, 1, 0, 0, 0)}
    assert len(model.asked) >= 6  # three trials of two objects


def test_thin_objects_get_figures_of_their_own() -> None:
    (sam,) = evaluate(Bright(has_hq=False), [bar()], prompts=["strokes-2"])
    assert sam.cl_dice > 0.9
    assert sam.missed_length < 0.05
    assert sam.false_branches == 0
    assert all(np.isnan(s.cl_dice) for s in evaluate(Bright(), [bar()], thin="never"))
    rows = list(evaluate(Bright(), [discs()]))
    assert all(np.isnan(s.missed_length) for s in rows)
    rows = list(evaluate(Bright(), [discs()], thin="always"))
    assert not any(np.isnan(s.missed_length) for s in rows)


def test_bands_in_micrometres() -> None:
    bands = [Band(1.5, "um"), Band(3, "px")]
    for item, size in ((discs(pixel_size=0.5), None), (discs(), 0.5)):
        for s in evaluate(Bright(), [item], bands=bands, pixel_size=size):
            assert s.boundary_iou["1.5 µm"] == s.boundary_iou["3 px"]
    with pytest.raises(HQSAMError, match="pixel size"):
        list(evaluate(Bright(), [discs()], bands=bands))


def test_correction_clicks_end_when_it_is_good_enough() -> None:
    labels = np.zeros((200, 260), dtype=np.uint8)
    labels[40:80, 20:140] = 1  # three discs of 40 px would cover it
    item = Item("bar", labels * 200, labels)
    model = Obedient(has_hq=False)
    (row,) = evaluate(model, [item], prompts=["correction"])
    assert 1 < len(row.iou_after) <= 20
    assert row.iou == row.iou_after[-1] > row.iou_after[0]
    assert all(v < 0.9 for v in row.iou_after[:-1])
    assert row.clicks_to(0.01) == 1
    assert row.clicks_to(0.999) == 20
    given = row.answer.given
    assert len(given.points) == len(row.iou_after)
    assert len(np.unique(given.points, axis=0)) == len(given.points)
    # The positive clicks are on the object, the negative ones are not.
    at = tuple(given.points.astype(int).T)
    np.testing.assert_array_equal(labels[at], given.labels)
    # Each prediction starts from the one before.
    assert all(batch.masks is not None for batch in model.asked[1:])


def test_a_negative_click_cuts_or_does_not() -> None:
    labels = np.zeros((200, 200), dtype=np.uint8)
    labels[85:115, 60:140] = 1  # a click's disc of 40 px is too much above and below
    item = Item("bar", labels * 200, labels)
    (row,) = evaluate(Obedient(has_hq=False), [item], prompts=["click-then-negative"])
    assert row.grew is False
    assert row.cut is True
    assert row.answer.given.labels.tolist() == [1, 0]
    assert not labels[tuple(row.answer.given.points[1].astype(int))]


def test_unknown_names() -> None:
    with pytest.raises(HQSAMError, match="prompt 'blob' is unknown"):
        list(evaluate(Bright(), [discs()], prompts=["blob"]))
    with pytest.raises(HQSAMError, match="thin 'no'"):
        list(evaluate(Bright(), [discs()], thin="no"))


def test_images_without_objects_give_nothing() -> None:
    empty = Item("empty", np.zeros((30, 30), np.uint8), np.zeros((30, 30), np.uint8))
    assert list(evaluate(Bright(), [empty])) == []
