"""Models with the weights of the recipe."""

from __future__ import annotations

from typing import Any

from napari_hqsam.modeling import HQSam
from napari_hqsam.modeling.variants import build_vit

from . import recipe

SMALL_SIZE = 256
SMALL_VIT: dict[str, Any] = {"width": 64, "depth": 4, "heads": 2, "global_blocks": (1, 3)}


def small_vit(*, hq: bool = True) -> HQSam:
    """HQ-SAM as for `vit_b`, on a ViT that takes milliseconds."""
    return build_vit("vit_b", **SMALL_VIT, input_size=SMALL_SIZE, hq=hq)


def fill(model: HQSam) -> HQSam:
    """Give `model` the weights of the recipe."""
    model.load_state_dict(recipe.weights(model.state_dict()), strict=True)
    return model
