"""Every fast path of the network against the plain one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from napari_hqsam.benchmark.speed.stock import Stock
from napari_hqsam.errors import HQSAMError
from napari_hqsam.modeling import (
    HQSam,
    PromptBatch,
    TileFeatures,
    attention,
    build,
    efficientnet,
    image_encoder,
    mask_decoder_hq,
    onednn,
    tiny_vit,
)
from napari_hqsam.modeling.sam import LayerNorm2d

from .conftest import Agree, drawn, small_vit


def pictures(n: int, size: int) -> Tensor:
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(n))


@pytest.fixture(params=["whole", "in strips"])
def cut(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How much is computed at once: small images would fit into every cache as a whole."""
    if request.param == "in strips":
        monkeypatch.setattr(image_encoder, "_ROWS", 5)
        monkeypatch.setattr(tiny_vit, "_ROWS", 6)
        monkeypatch.setattr(attention, "_FUSED_QUERIES", 50)
        monkeypatch.setattr(mask_decoder_hq, "_POSITIONS", 320)


# The grid of tokens is smaller than a window of 14, one of it, and none of its multiples.
@pytest.mark.parametrize("size", [160, 224, 256])
@pytest.mark.parametrize("n", [1, 3])
def test_vit(n: int, size: int, cut: None, agree: Agree) -> None:
    model = small_vit(size)
    images = pictures(n, size)
    for found, plain in zip(model.image_encoder(images), Stock(model).encode(images), strict=True):
        agree(found, plain)


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("size", [64, 96])
def test_micro(n: int, size: int, agree: Agree) -> None:
    model = drawn(build("micro", input_size=size))
    images = pictures(n, size)
    for found, plain in zip(model.image_encoder(images), Stock(model).encode(images), strict=True):
        agree(found, plain)


@pytest.mark.parametrize("n", [1, 3])
def test_tiny_vit(n: int, cut: None, agree: Agree) -> None:
    model = drawn(build("vit_tiny"))
    images = pictures(n, 160)  # its encoder takes any size
    for found, plain in zip(model.image_encoder(images), Stock(model).encode(images), strict=True):
        agree(found, plain)


@pytest.fixture(scope="module")
def encoded(model: HQSam, stock: Stock) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        return stock.encode(pictures(3, model.input_size))


def prompts(kind: str, n: int, size: int) -> PromptBatch:
    """`n` prompts of a form at random places; every third label is background, the last padding."""
    generator = torch.Generator().manual_seed(n)
    count = 20 if "many" in kind else 2
    points = torch.rand(n, count, 2, generator=generator) * size
    labels = (torch.arange(count).repeat(n, 1) % 3 != 2).float()
    labels[:, -1] = -1
    starts = torch.rand(n, 2, generator=generator) * size / 2
    boxes = torch.cat([starts, starts + size / 4], dim=1)
    masks = 4 * torch.randn(n, 1, size // 4, size // 4, generator=generator)
    return PromptBatch(
        points=points if "points" in kind else None,
        labels=labels if "points" in kind else None,
        boxes=boxes if "box" in kind else None,
        masks=masks if "mask" in kind else None,
    )


KINDS = (
    "points",
    "many points",
    "box",
    "points, box",
    "mask",
    "points, mask",
    "many points, box, mask",
)


def check(
    model: HQSam,
    stock: Stock,
    encoded: tuple[Tensor, Tensor],
    index: list[int],
    batch: PromptBatch,
    agree: Agree,
    prepare: bool = False,
) -> None:
    at = torch.tensor(index)
    features = TileFeatures(encoded[0], model.mask_decoder.hq_features(*encoded))
    if prepare:
        features = model.prepare(features)
    for hq in (True, False):
        plain = stock.decode(*encoded, at, batch, hq=hq)
        found = model.decode(features, at, batch, hq=hq)
        agree(found.sam, plain.sam)
        agree(found.iou, plain.iou)
        if hq:
            agree(found.hq, plain.hq)
        else:
            assert found.hq is plain.hq is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [1, 5])
@pytest.mark.parametrize("prepare", [False, True])
def test_decoder(
    kind: str,
    n: int,
    prepare: bool,
    model: HQSam,
    stock: Stock,
    encoded: tuple[Tensor, Tensor],
    cut: None,
    agree: Agree,
) -> None:
    one = encoded[0][1:2], encoded[1][1:2]
    batch = prompts(kind, n, model.input_size)
    check(model, stock, one, [0] * n, batch, agree, prepare)


@pytest.mark.parametrize("kind", ["points", "box", "mask"])
def test_prompts_of_several_images(
    kind: str,
    model: HQSam,
    stock: Stock,
    encoded: tuple[Tensor, Tensor],
    cut: None,
    agree: Agree,
) -> None:
    batch = prompts(kind, 7, model.input_size)
    check(model, stock, encoded, [2, 0, 0, 1, 2, 2, 0], batch, agree)


@pytest.mark.parametrize("prepare", [False, True])
def test_no_prompts(
    prepare: bool, model: HQSam, stock: Stock, encoded: tuple[Tensor, Tensor], agree: Agree
) -> None:
    one = encoded[0][:1], encoded[1][:1]
    check(model, stock, one, [0], PromptBatch(), agree, prepare)


def test_no_objects(model: HQSam, stock: Stock, encoded: tuple[Tensor, Tensor]) -> None:
    batch = PromptBatch(points=torch.zeros(0, 1, 2), labels=torch.zeros(0, 1))
    features = TileFeatures(encoded[0], model.mask_decoder.hq_features(*encoded))
    none = torch.zeros(0, dtype=torch.long)
    plain, found = stock.decode(*encoded, none, batch), model.decode(features, none, batch)
    assert [t.shape for t in found if t is not None] == [t.shape for t in plain if t is not None]


def test_a_model_without_hq(agree: Agree) -> None:
    model = small_vit(hq=False)
    stock, images = Stock(model), pictures(1, model.input_size)
    encoded, batch = stock.encode(images), prompts("box", 3, model.input_size)
    index = torch.zeros(3, dtype=torch.long)
    found = model.decode(model.encode(images), index, batch, hq=False)
    agree(found.sam, stock.decode(*encoded, index, batch, hq=False).sam)
    with pytest.raises(HQSAMError):
        stock.decode(*encoded, index, batch)


def test_a_difference_would_be_seen(
    vit: HQSam, agree: Agree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the biases of the positions, for one, the encoder disagrees."""

    def no_biases(
        q: Tensor, vectors: Tensor, shape: tuple[int, int], top: int = 0
    ) -> tuple[Tensor, Tensor]:
        h, w = shape
        rows = q.unflatten(-2, (-1, w)).shape[:-1]
        return q.new_zeros(*rows, h), q.new_zeros(*rows, w)

    images = pictures(1, vit.input_size)
    plain = Stock(vit).encode(images)[0]
    monkeypatch.setattr(attention, "_biases", no_biases)
    with pytest.raises(AssertionError):
        agree(vit.image_encoder(images)[0], plain)


@pytest.mark.parametrize(
    "make", [small_vit, lambda: build("micro", input_size=64), lambda: build("vit_tiny")]
)
def test_the_plain_network_takes_no_fast_path(
    make: Callable[[], HQSam], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fast(*args: object, **options: object) -> None:
        raise AssertionError("a fast path")

    model = make().requires_grad_(False)
    for module, name in (
        (tiny_vit, "conv_norm"),
        (tiny_vit, "gelu"),
        (efficientnet, "conv_norm"),
        (image_encoder, "window_attention"),
        (image_encoder, "global_attention"),
        (mask_decoder_hq, "transform"),
        (onednn.Linear, "__call__"),
        (onednn, "conv_layer"),
        (mask_decoder_hq.MaskDecoderHQ, "forward"),
    ):
        monkeypatch.setattr(module, name, fast)
    # the prompt encoder of `micro` is our own
    encoders = [m for m in model.prompt_encoder.modules() if isinstance(m, LayerNorm2d)]
    forward = LayerNorm2d.forward
    monkeypatch.setattr(
        LayerNorm2d,
        "forward",
        lambda norm, x: forward(norm, x) if any(norm is own for own in encoders) else fast(),
    )
    stock, size = Stock(model), 64 if model.variant == "micro" else 256
    embedding, early = stock.encode(pictures(1, size))
    if model.variant != "vit_tiny":  # which is decoded as a ViT is
        stock.decode(embedding, early, torch.tensor([0]), prompts("points, box", 1, size))


def test_no_weight_is_copied(model: HQSam, stock: Stock) -> None:
    ours = {p.data_ptr() for p in model.parameters()}
    parts = (stock._encoder, stock.prompt_encoder, stock._decoder)
    plain = [p for part in parts for p in part.parameters()]
    assert plain
    assert all(p.data_ptr() in ours and not p.is_meta for p in plain)


def test_hq_features_are_fused_at_each_call(
    model: HQSam, stock: Stock, encoded: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_hqsam.benchmark.speed import eager

    seen: list[object] = []
    run = eager.run
    monkeypatch.setattr(eager, "run", lambda module, x: (seen.append(module), run(module, x))[1])
    one, batch = torch.tensor([0]), prompts("box", 1, model.input_size)
    for _ in range(2):
        stock.decode(encoded[0][:1], encoded[1][:1], one, batch)
    assert seen.count(model.mask_decoder.compress_vit_feat) == 2
    assert seen.count(model.mask_decoder.embedding_encoder) == 2
    seen.clear()
    stock.decode(*encoded, one, replace(batch), hq=False)
    assert not seen
