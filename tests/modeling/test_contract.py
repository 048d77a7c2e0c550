"""What every model promises: shapes, batches, modes, and imports that harm nobody."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from napari_hqsam.errors import HQSAMError
from napari_hqsam.modeling import Decoded, HQSam, Mode, PromptBatch, TileFeatures, build, tiny_vit

from . import recipe
from .models import SMALL_SIZE, fill, small_vit

SIDE = SMALL_SIZE // 4
ATTRIBUTES = ("points", "labels", "boxes", "masks")


@pytest.fixture(scope="module")
def features(small_model: HQSam, images: Tensor) -> TileFeatures:
    with torch.no_grad():
        return small_model.encode(small_model.preprocess(images))


def some_prompts(kind: str, n: int = 5) -> PromptBatch:
    """`n` prompts of the same form at different places."""
    shift = 10.0 * torch.arange(n)
    points = torch.tensor([[100.0, 80.0], [40.5, 170.25]]) + shift[:, None, None]
    boxes = torch.tensor([30.0, 40.0, 150.0, 160.0]) + shift[:, None]
    labels = torch.tensor([[1, 0]]).repeat(n, 1)
    labels[-1, 1] = -1
    diamond = torch.from_numpy(recipe.mask_logits(SIDE))
    masks = torch.stack([diamond.roll(4 * i, 0) for i in range(n)])[:, None]
    return PromptBatch(
        points=points if "points" in kind else None,
        labels=labels if "points" in kind else None,
        boxes=boxes if "box" in kind else None,
        masks=masks if "mask" in kind else None,
    )


def test_shapes(small_model: HQSam, features: TileFeatures) -> None:
    assert features.embedding.shape == (3, 256, SIDE // 4, SIDE // 4)
    assert features.hq is not None
    assert features.hq.shape == (3, 32, SIDE, SIDE)
    index = torch.tensor([0, 2, 2, 1, 0])
    decoded = small_model.decode(features, index, some_prompts("points"))
    assert decoded.hq is not None
    assert [tuple(t.shape) for t in decoded] == [(5, 4, SIDE, SIDE), (5, 1, SIDE, SIDE), (5, 4)]
    exact = small_model.decode(features, index, some_prompts("points"), hq=False)
    assert (exact.sam.shape, exact.hq, exact.iou.shape) == (decoded.sam.shape, None, (5, 4))


@pytest.mark.parametrize("size", [64, 96, 224])
def test_micro_takes_any_multiple_of_32(size: int) -> None:
    model = build("micro", input_size=size)
    features = model.encode(torch.zeros(1, 3, size, size))
    assert features.embedding.shape == (1, 256, size // 16, size // 16)
    assert features.hq is not None
    assert features.hq.shape == (1, 32, size // 4, size // 4)
    box = PromptBatch(boxes=torch.tensor([[5.0, 6.0, 40.0, 50.0]]))
    assert model.decode(features, torch.tensor([0]), box).sam.shape[-2:] == (size // 4, size // 4)


@pytest.mark.parametrize("kind", ["points", "box", "points+box", "points+mask", "mask"])
def test_a_batch_of_prompts_equals_one_by_one(
    kind: str, small_model: HQSam, features: TileFeatures
) -> None:
    prompts, index = some_prompts(kind), torch.tensor([2, 0, 1, 0, 2])
    together = small_model.decode(features, index, prompts)
    for i in range(5):
        rows = {a: v if (v := getattr(prompts, a)) is None else v[i : i + 1] for a in ATTRIBUTES}
        alone = small_model.decode(features, index[i : i + 1], PromptBatch(**rows))
        for ours, reference in zip(together, alone, strict=True):
            assert ours is not None
            assert reference is not None
            limit = 1e-5 * reference.abs().max().item()
            torch.testing.assert_close(ours[i : i + 1], reference, atol=limit, rtol=0)


def test_a_batch_of_images_equals_one_by_one(
    small_model: HQSam, features: TileFeatures, images: Tensor
) -> None:
    for i in range(3):
        alone = small_model.encode(small_model.preprocess(images[i : i + 1]))
        for ours, reference in zip(features, alone, strict=True):
            assert ours is not None
            assert reference is not None
            torch.testing.assert_close(ours[i : i + 1], reference, atol=1e-4, rtol=1e-5)


def test_prompts_matter(small_model: HQSam, features: TileFeatures) -> None:
    index = torch.zeros(5, dtype=torch.long)
    by_kind = [
        small_model.decode(features, index, some_prompts(kind)).select()[0]
        for kind in ("points", "box", "points+box", "points+mask")
    ]
    for i, a in enumerate(by_kind):
        assert (a[0] - a[1]).abs().max() > 1e-3  # the same form elsewhere
        for b in by_kind[:i]:
            assert (a - b).abs().max() > 1e-3


def test_hq_features_are_computed_once_per_image(small_model: HQSam, images: Tensor) -> None:
    calls: list[str] = []
    decoder = small_model.mask_decoder
    hooks = [
        getattr(decoder, name).register_forward_hook(lambda *_, name=name: calls.append(name))
        for name in ("compress_vit_feat", "embedding_encoder")
    ]
    try:
        features = small_model.encode(small_model.preprocess(images[:1]))
        assert sorted(calls) == ["compress_vit_feat", "embedding_encoder"]
        calls.clear()
        for _ in range(3):
            small_model.decode(features, torch.zeros(5, dtype=torch.long), some_prompts("box"))
        assert not calls
    finally:
        for hook in hooks:
            hook.remove()


def test_encodes_and_decodes_side_by_side(
    small_model: HQSam, features: TileFeatures, images: Tensor
) -> None:
    """Two threads share a model; neither sees the other's early feature."""
    x = small_model.preprocess(images)

    def encode(i: int) -> TileFeatures:
        with torch.no_grad():
            return small_model.encode(x[i : i + 1])

    order = [0, 1, 2] * 3
    with ThreadPoolExecutor(3) as pool:
        for i, result in zip(order, pool.map(encode, order), strict=True):
            assert result.hq is not None
            assert features.hq is not None
            torch.testing.assert_close(result.hq, features.hq[i : i + 1], atol=1e-4, rtol=1e-5)


def test_pixels_are_normalised_then_padded_with_zeros(small_model: HQSam) -> None:
    pixels = torch.full((2, 3, 100, 40), 50.0)
    x = small_model.preprocess(pixels)
    mean, std = small_model.pixel_mean, small_model.pixel_std
    assert x.shape == (2, 3, SMALL_SIZE, SMALL_SIZE)
    torch.testing.assert_close(x[:, :, :100, :40], ((pixels - mean) / std))
    assert x[:, :, 100:].abs().max() == 0
    assert x[:, :, :, 40:].abs().max() == 0


class TestSelect:
    sam = torch.arange(8.0).reshape(2, 4, 1, 1)
    hq = torch.tensor([100.0, 200.0]).reshape(2, 1, 1, 1)
    iou = torch.tensor([[0.9, 0.1, 0.3, 0.2], [0.8, 0.6, 0.5, 0.7]])

    @pytest.mark.parametrize(
        ("mode", "multimask", "logits", "iou"),
        [
            ("sam", False, [[0], [4]], [[0.9], [0.8]]),
            ("hq", False, [[100], [200]], [[0.9], [0.8]]),
            ("hq+sam", False, [[100], [204]], [[0.9], [0.8]]),
            ("sam", True, [[2, 3, 1], [7, 5, 6]], [[0.3, 0.2, 0.1], [0.7, 0.6, 0.5]]),
            ("hq", True, [[100], [200]], [[0.3], [0.7]]),
            (
                "hq+sam",
                True,
                [[102, 103, 101], [207, 205, 206]],
                [[0.3, 0.2, 0.1], [0.7, 0.6, 0.5]],
            ),
        ],
    )
    def test_modes(self, mode: Mode, multimask: bool, logits: list, iou: list) -> None:
        found = Decoded(self.sam, self.hq, self.iou).select(mode, multimask)
        torch.testing.assert_close(found[0][:, :, 0, 0], torch.tensor(logits).float())
        torch.testing.assert_close(found[1], torch.tensor(iou))

    def test_default_is_the_sum(self) -> None:
        logits, iou = Decoded(self.sam, self.hq, self.iou).select()
        torch.testing.assert_close(logits, self.sam[:, :1] + self.hq)
        torch.testing.assert_close(iou, self.iou[:, :1])

    def test_unknown_mode_is_named(self) -> None:
        with pytest.raises(HQSAMError, match=r"'both' is unknown: choose one of hq\+sam, hq, sam"):
            Decoded(self.sam, self.hq, self.iou).select("both")  # type: ignore[arg-type]

    @pytest.mark.parametrize("mode", ["hq", "hq+sam"])
    def test_hq_modes_need_the_hq_mask(self, mode: Mode) -> None:
        with pytest.raises(HQSAMError, match="use 'sam'"):
            Decoded(self.sam, None, self.iou).select(mode)


def test_plain_sam_decodes_in_sam_mode_only(images: Tensor) -> None:
    model = fill(small_vit(hq=False))
    features = model.encode(model.preprocess(images[:1]))
    assert (model.has_hq, features.hq) == (False, None)
    with pytest.raises(HQSAMError, match="plain SAM: use 'sam'"):
        model.decode(features, torch.tensor([0]), some_prompts("box", 1))
    plain = model.decode(features, torch.tensor([0]), some_prompts("box", 1), hq=False)

    full = fill(small_vit())  # the recipe gives shared keys the same weights
    features = full.encode(full.preprocess(images[:1]))
    exact = full.decode(features, torch.tensor([0]), some_prompts("box", 1), hq=False)
    torch.testing.assert_close(exact.sam, plain.sam)


def test_features_move_to_a_device(features: TileFeatures) -> None:
    moved = features.to("meta")
    assert moved.hq is not None
    assert {moved.embedding.device.type, moved.hq.device.type} == {"meta"}
    assert TileFeatures(features.embedding, None).to("meta").hq is None


FOREIGN = """
import sys, types
foreign = types.ModuleType("segment_anything")
foreign.marker = object()
sys.modules["segment_anything"] = foreign
contents = dict(vars(foreign))

import torch
from napari_hqsam.modeling import PromptBatch, build
for variant in ("micro", "vit_tiny", "vit_b"):
    with torch.device("meta"):
        build(variant)

assert sys.modules["segment_anything"] is foreign, "replaced"
assert vars(foreign) == contents, "changed"
loaded = {name for name in sys.modules if name.split(".")[0] in ("segment_anything", "torchvision")}
assert loaded == {"segment_anything"}, loaded
"""


def test_a_foreign_segment_anything_is_left_alone_and_torchvision_not_imported() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FOREIGN], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_batch_norm_that_is_trained_sees_all_rows_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiny_vit, "_ROWS", 4)
    whole, block = (tiny_vit.MBConv(8).train().requires_grad_(False) for _ in range(2))
    block.load_state_dict(whole.state_dict())
    x = torch.randn(2, 8, 16, 16)
    found = block(x)
    monkeypatch.setattr(tiny_vit, "_ROWS", 16)
    assert torch.equal(found, whole(x))
    assert block.conv1.bn.num_batches_tracked == 1
    assert torch.equal(block.conv1.bn.running_var, whole.conv1.bn.running_var)
