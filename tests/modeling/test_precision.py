"""bfloat16 is for the encoder alone, and only where it was asked for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from napari_hqsam.modeling import HQSam, build
from napari_hqsam.modeling.features import TileFeatures


def encode(model: HQSam, images: Tensor) -> TileFeatures:
    return model.encode(model.preprocess(images[:1]))


@pytest.fixture
def low(small_model: HQSam) -> Iterator[HQSam]:
    small_model.precision = "bfloat16"
    yield small_model
    small_model.precision = "float32"


def relative(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


def test_features_are_float32_and_differ_by_its_rounding(low: HQSam, images: Tensor) -> None:
    rounded = encode(low, images)
    low.precision = "float32"
    exact = encode(low, images)
    for ours, reference in zip(rounded, exact, strict=True):
        assert ours.dtype == reference.dtype == torch.float32
        assert 1e-4 < relative(ours, reference) < 0.1


def test_only_the_encoder_is_rounded(low: HQSam, images: Tensor) -> None:
    seen: dict[str, torch.dtype] = {}

    def note(name: str) -> None:
        def hook(_module: nn.Module, _inputs: tuple, output: Tensor) -> None:
            seen[name] = output.dtype

        hooks.append(low.get_submodule(name).register_forward_hook(hook))

    hooks: list = []
    head = "mask_decoder.embedding_encoder.0"
    # the last one: those with a batch norm are not called as modules
    inside = [n for n, m in low.image_encoder.named_modules() if isinstance(m, nn.Conv2d)][-1]
    inside = f"image_encoder.{inside}"
    for name in (head, inside):
        note(name)
    try:
        encode(low, images)
    finally:
        for hook in hooks:
            hook.remove()
    assert seen == {inside: torch.bfloat16, head: torch.float32}
    assert {p.dtype for p in low.parameters()} == {torch.float32}


def test_a_training_loop_keeps_its_own_autocast(small_model: HQSam, images: Tensor) -> None:
    exact = encode(small_model, images).embedding
    with torch.autocast("cpu", torch.bfloat16):
        assert relative(encode(small_model, images).embedding, exact) > 1e-4


def test_it_may_be_stopped_between_blocks(low: HQSam, images: Tensor) -> None:
    """The mode of computing does not leak out of an encode that was stopped."""

    def stop() -> None:
        raise KeyError("stop")

    with pytest.raises(KeyError):
        low.encode(low.preprocess(images[:1]), stop)
    assert not torch.is_autocast_enabled("cpu")


def test_models_are_exact_unless_told() -> None:
    assert build("micro", input_size=64).precision == "float32"
