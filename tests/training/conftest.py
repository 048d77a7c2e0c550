from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from napari_hqsam.evaluation.data import LabelledPlane
from napari_hqsam.modeling import HQSam
from napari_hqsam.modeling.efficientnet import MicroImageEncoder, compress_early_feature
from napari_hqsam.modeling.mask_decoder_hq import MaskDecoderHQ
from napari_hqsam.modeling.prompt_encoder import PlanePromptEncoder
from napari_hqsam.modeling.sam import TwoWayTransformer
from napari_hqsam.training.augment import WindowSampler
from napari_hqsam.training.batch import TrainingSet


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """The models here are too small for more; threads would only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def narrow_micro(seed: int = 0, dim: int = 32) -> HQSam:
    """`micro` with a decoder an eighth as wide, so that a step takes a fraction of a second."""
    torch.manual_seed(seed)
    decoder = MaskDecoderHQ(
        transformer_dim=dim,
        transformer=TwoWayTransformer(depth=2, embedding_dim=dim, num_heads=2, mlp_dim=64),
        compress_vit_feat=compress_early_feature(dim),
    )
    return HQSam(
        "micro",
        MicroImageEncoder(dim),
        PlanePromptEncoder(64, dim),
        decoder,
        input_size=64,
        pixel_mean=(127.0, 127.0, 127.0),
        pixel_std=(128.0, 128.0, 128.0),
    ).eval()


@pytest.fixture(scope="session")
def make_model() -> Callable[..., HQSam]:
    return narrow_micro


def discs(seed: int, shape: tuple[int, int] = (150, 180)) -> LabelledPlane:
    """Bright discs of several sizes on a dark plane with noise."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.uint16)
    y, x = np.mgrid[: shape[0], : shape[1]]
    for i in range(1, 13):
        centre, radius = rng.uniform(0, shape), rng.uniform(5, 20)
        labels[((y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2) & (labels == 0)] = i
    image = rng.normal(60, 8, shape) + 120 * (labels > 0)
    return LabelledPlane(f"discs {seed}", image.clip(0, 255).astype(np.uint8), labels)


@pytest.fixture(scope="session")
def sets() -> list[TrainingSet]:
    return [
        TrainingSet("some", [WindowSampler(discs(i)) for i in range(3)], 2.0),
        TrainingSet("more", [WindowSampler(discs(i)) for i in range(3, 5)]),
    ]
