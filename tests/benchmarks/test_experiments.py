"""The ablation study on discs, with a decoder an eighth as wide as `micro`'s."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_hqsam.evaluation.data import LabelledPlane
from napari_hqsam.modeling import HQSam, PromptBatch, TileFeatures
from napari_hqsam.modeling.efficientnet import MicroImageEncoder, compress_early_feature
from napari_hqsam.modeling.mask_decoder_hq import MaskDecoderHQ
from napari_hqsam.modeling.prompt_encoder import PlanePromptEncoder
from napari_hqsam.modeling.sam import TwoWayTransformer
from napari_hqsam.training.data import DataSet

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module", autouse=True)
def _setting() -> Iterator[None]:
    """The scripts can be imported, and do not fight for threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    sys.path.insert(0, str(BENCHMARKS))
    yield
    sys.path.remove(str(BENCHMARKS))
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def model() -> HQSam:
    torch.manual_seed(0)
    dim = 32
    decoder = MaskDecoderHQ(
        transformer_dim=dim,
        transformer=TwoWayTransformer(depth=2, embedding_dim=dim, num_heads=2, mlp_dim=64),
        compress_vit_feat=compress_early_feature(dim),
    )
    made = HQSam(
        "micro",
        MicroImageEncoder(dim),
        PlanePromptEncoder(64, dim),
        decoder,
        input_size=64,
        pixel_mean=(127.0, 127.0, 127.0),
        pixel_std=(128.0, 128.0, 128.0),
    )
    return made.eval().requires_grad_(False)


def discs(seed: int) -> LabelledPlane:
    rng = np.random.default_rng(seed)
    labels = np.zeros((110, 130), np.uint16)
    y, x = np.mgrid[:110, :130]
    for i in range(1, 9):
        centre, radius = rng.uniform(0, labels.shape), rng.uniform(6, 20)
        labels[((y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2) & (labels == 0)] = i
    image = rng.normal(60, 8, labels.shape) + 120 * (labels > 0)
    return LabelledPlane(f"discs {seed}", image.clip(0, 255).astype(np.uint8), labels)


def study(model: HQSam, folder: Path) -> Any:
    run, windows = import_module("experiments.run"), import_module("experiments.windows")
    names = {*windows.TRAINING, *windows.THIN.values(), *windows.GENERAL.values()}
    sets = {name: DataSet(name, [discs(0)], [discs(1)]) for name in names}
    budget = run.Budget(steps=2, batch=2, points=64, rates=(1e-3,))
    made = run.Study(model, folder / "work", train=6, validation=2, budget=budget)
    made.prepare(sets)
    return made


def test_two_variants_are_measured_once_and_shown(model: HQSam, tmp_path: Path) -> None:
    before = {k: v.clone() for k, v in model.state_dict().items()}
    first = study(model, tmp_path)
    lines = list(first.run(["sam", "hq-sam"], range(2)))
    assert [line.split(":")[0] for line in lines] == [
        "sam, seed 0",
        "hq-sam, seed 0",
        "hq-sam, seed 1",
    ]
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())

    again = study(model, tmp_path)
    assert list(again.run(["sam", "hq-sam"], range(2))) == []

    page = again.render(tmp_path / "out", "python run.py").read_text(encoding="utf-8")
    rows = [line.split("|")[1].strip() for line in page.splitlines() if line.startswith("| ")]
    assert {"SAM", "HQ-SAM", "HQ-SAM has better boundaries than SAM"} <= set(rows)
    assert "context tokens help SAM" in page.split("Not measured yet: ")[1]
    learnt = sum(p.numel() for n, p in model.mask_decoder.named_parameters() if _is_hq(n))
    assert f"| {learnt:,} |" in page
    assert (tmp_path / "out" / "thin.svg").read_text().count("<circle") == 3


def _is_hq(name: str) -> bool:
    return name.startswith(("hf_", "compress_vit_feat", "embedding_encoder", "embedding_maskf"))


def test_sam_and_hq_sam_decode_as_the_model_does(model: HQSam, tmp_path: Path) -> None:
    variants, experiment = (import_module(f"experiments.{n}") for n in ("variants", "experiment"))
    windows = study(model, tmp_path).windows["train"]
    prompts = PromptBatch(boxes=torch.tensor([[5.0, 6, 40, 50], [10, 12, 30, 33]]))
    at = torch.tensor([0, 3])
    x = experiment.inputs(model, windows, at, prompts)
    hq = model.mask_decoder.hq_features(x.embedding, x.early)
    features = TileFeatures(x.embedding, hq)

    sam, _ = variants.Sam(model.mask_decoder).eval()(x)
    expected = model.decode(features, torch.arange(2), prompts, hq=False)
    torch.testing.assert_close(sam, expected.select("sam")[0])

    whole = variants.HQSam(model.mask_decoder).eval()
    whole.load_state_dict(model.mask_decoder.state_dict())
    learnt, answer = whole(x)
    expected = model.decode(features, torch.arange(2), prompts)
    torch.testing.assert_close(learnt, expected.select("hq")[0])
    torch.testing.assert_close(answer, expected.select("hq+sam")[0])


def test_each_variant_learns_what_it_names_and_nothing_else(model: HQSam, tmp_path: Path) -> None:
    variants, experiment = (import_module(f"experiments.{n}") for n in ("variants", "experiment"))
    made = study(model, tmp_path)
    for name, variant in variants.VARIANTS.items():
        start = variant(model.mask_decoder, 3).state_dict()
        trained = experiment.train(variant, model, made.windows["train"], made.budget, 3, 0.01, 1)
        for key, value in trained.state_dict().items():
            learns = key.startswith(variant.learns or ("-",))
            assert torch.equal(value, start[key]) != learns, (name, key)


def test_a_difference_within_the_spread_is_no_claim() -> None:
    figures = import_module("experiments.figures")

    def measured(*levels: float, noise: float = 0.01) -> Any:
        rng = np.random.default_rng(0)
        runs = [{"g": {"iou": (level + noise * rng.normal(size=50)).tolist()}} for level in levels]
        return figures.Measured(runs, random=True)

    def certain(a: Any, b: Any) -> bool:
        return bool(figures.compare(a, b, ["g"], "iou").certain)

    assert certain(measured(0.72, 0.74, 0.73), measured(0.60, 0.62, 0.61))
    assert not certain(measured(0.72, 0.60, 0.73), measured(0.60, 0.62, 0.61))  # seeds overlap
    assert not certain(measured(0.73), measured(0.61))  # one seed says nothing of others
    wild = measured(0.72, 0.74, noise=3.0)
    assert not certain(wild, measured(0.60, 0.61))  # windows differ more than that
    assert str(figures.compare(measured(0.73), measured(0.61), ["g"], "iou")).startswith("(+")


def test_coarse_masks_are_near_the_fine_ones_and_blocky() -> None:
    variants = import_module("experiments.variants")
    y, x = np.mgrid[:64, :64]
    disc = torch.from_numpy(((y - 30) ** 2 + (x - 33) ** 2 < 18**2).astype(np.float32))[None]
    coarse = variants.coarsened(disc)
    both, either = ((coarse * disc).sum(), (coarse + disc).clamp(max=1).sum())
    assert 0.7 < both / either < 0.97
    speck = torch.zeros(1, 64, 64)
    speck[0, 5, 5] = 1
    assert torch.equal(variants.coarsened(speck), speck)  # too small to survive: left alone
