"""What the protocol measures, with models whose answers are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from napari_hqsam.evaluation import evaluate, markdown_table
from napari_hqsam.modeling import Decoded, PromptBatch, TileFeatures


@dataclass(frozen=True)
class Item:
    name: str
    image: np.ndarray
    labels: np.ndarray


class Bright:
    """SAM's mask: the bright pixels of the window; HQ's: nothing, so that the sum is weaker."""

    device = torch.device("cpu")
    input_size = 256

    def __init__(self, *, has_hq: bool = True) -> None:
        self.has_hq = has_hq

    def preprocess(self, pixels: Tensor) -> Tensor:
        h, w = pixels.shape[-2:]
        x = pixels / 127.5 - 1
        return torch.nn.functional.pad(x, (0, 256 - w, 0, 256 - h), value=-1)

    def encode(self, images: Tensor) -> TileFeatures:
        grey = torch.nn.functional.avg_pool2d(images[:, :1], 4)
        return TileFeatures(grey, torch.full_like(grey, -9) if self.has_hq else None)

    def decode(
        self, features: TileFeatures, image_index: Tensor, prompts: PromptBatch, *, hq: bool = True
    ) -> Decoded:
        sam = features.embedding.index_select(0, image_index)
        n = len(image_index)
        return Decoded(
            sam.expand(-1, 4, -1, -1),
            features.hq.index_select(0, image_index) if hq else None,
            torch.ones(n, 4),
        )


def discs() -> Item:
    y, x = np.mgrid[:200, :260]
    labels = np.zeros((200, 260), dtype=np.uint16)
    labels[(y - 60) ** 2 + (x - 70) ** 2 < 30**2] = 1
    labels[(y - 140) ** 2 + (x - 200) ** 2 < 25**2] = 5
    labels[5, 5] = 9  # too small to count
    image = np.where(labels > 0, 200, 20).astype(np.uint8)
    return Item("discs", image, labels)


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
    assert of[1, "in-box Otsu"].boundary_iou == 1
    assert of[1, "sam"].iou > 0.93
    assert of[1, "hq+sam"].iou == of[1, "hq"].iou == 0
    assert of[1, "sam"].boundary_iou_2pc > of[1, "filled box"].boundary_iou_2pc


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


def test_a_click_lies_farthest_from_the_edge() -> None:
    model = Bright()
    seen: list[Tensor] = []
    decode = model.decode

    def listen(features, image_index, prompts, **options):  # type: ignore[no-untyped-def]
        seen.append(prompts.points[0, 0])
        return decode(features, image_index, prompts, **options)

    model.decode = listen  # type: ignore[method-assign]
    item = discs()
    alone = Item("disc", np.where(item.labels == 1, 200, 20), np.where(item.labels == 1, 1, 0))
    scores = [s for s in evaluate(model, [alone], prompt="click") if s.method == "sam"]
    assert all(s.iou > 0.9 for s in scores)
    # The whole plane of 260 pixels in a window of 256: nearly 1:1.
    assert any(torch.allclose(p, torch.tensor([70.0, 60.0]), atol=3) for p in seen)


def test_the_table_gives_means() -> None:
    table = markdown_table({"discs": evaluate(Bright(), [discs()])})
    header, _, row = table.splitlines()
    assert header.startswith("| set | images | objects | filled box | in-box Otsu |")
    cells = [c.strip() for c in row.split("|")]
    assert cells[1:4] == ["discs", "1", "2"]
    assert cells[5] == "1.000 / 1.000"
