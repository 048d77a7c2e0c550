"""The bookkeeping of CUDA graphs, with a recorder that runs the decoder again instead."""

from __future__ import annotations

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from napari_hqsam.modeling import HQSam, PromptBatch, TileFeatures, graphs
from napari_hqsam.modeling.graphs import Found, GraphedDecoder, Pool

from .models import SMALL_SIZE, fill, small_vit


class Recorder:
    """In place of CUDA's: a replay runs the decoder and writes to the memory of the recording."""

    def __init__(self) -> None:
        self.recorded = self.replayed = 0
        self.pools: list[Pool] = []
        self.off = 0.0
        self.error = ""

    def __call__(
        self, run: Callable[[], Found], device: torch.device, pool: Pool | None
    ) -> tuple[Callable[[], None], Found, Pool]:
        self.pools.append(pool)
        self.recorded += 1
        if self.error:
            raise RuntimeError(self.error)
        found = run()

        def replay() -> None:
            self.replayed += 1
            for own, new in zip(found, run(), strict=True):
                if own is not None and new is not None:
                    own.copy_(new + self.off)

        return replay, found, (0, 1)


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    made = Recorder()
    monkeypatch.setattr(graphs, "record", made)
    monkeypatch.setattr(graphs, "_DEVICE", "cpu")
    return made


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def model(recorder: Recorder, told: list[str]) -> HQSam:
    made = fill(small_vit()).eval().requires_grad_(False)
    made.graphed = GraphedDecoder(made.mask_decoder)
    made.graphed.tell = told.append
    return made


def features(seed: int = 0) -> TileFeatures:
    generator = torch.Generator().manual_seed(seed)
    side = SMALL_SIZE // 16
    return TileFeatures(
        torch.randn(1, 256, side, side, generator=generator),
        torch.randn(1, 32, 4 * side, 4 * side, generator=generator),
    )


def boxes(n: int = 1, seed: int = 0) -> PromptBatch:
    return PromptBatch(boxes=torch.rand(n, 4, generator=torch.Generator().manual_seed(seed)) * 64)


def decoded(model: HQSam, at: TileFeatures, prompts: PromptBatch, hq: bool = True) -> list[Tensor]:
    given = prompts.boxes if prompts.boxes is not None else prompts.points
    assert given is not None
    found = model.decode(at, torch.zeros(len(given), dtype=torch.long), prompts, hq=hq)
    return [x for x in found if x is not None]


def plainly(model: HQSam, at: TileFeatures, prompts: PromptBatch, hq: bool = True) -> list[Tensor]:
    graphed, model.graphed = model.graphed, None
    try:
        return decoded(model, at, prompts, hq)
    finally:
        model.graphed = graphed


def check(model: HQSam, at: TileFeatures, prompts: PromptBatch, hq: bool = True) -> None:
    found, right = decoded(model, at, prompts, hq), plainly(model, at, prompts, hq)
    for ours, theirs in zip(found, right, strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("hq", [True, False])
@pytest.mark.parametrize("prepared", [True, False])
def test_other_numbers_of_one_form_are_replayed(
    model: HQSam, recorder: Recorder, told: list[str], hq: bool, prepared: bool
) -> None:
    for seed in range(4):
        at = features(seed)
        check(model, model.prepare(at) if prepared else at, boxes(2, seed), hq)
    assert (recorder.recorded, recorder.replayed, told) == (1, 5, [])


def test_each_form_is_recorded(model: HQSam, recorder: Recorder) -> None:
    point = PromptBatch(points=torch.full((1, 1, 2), 20.0), labels=torch.ones(1, 1))
    low = torch.randn(1, 1, SMALL_SIZE // 4, SMALL_SIZE // 4)
    mask = PromptBatch(boxes=boxes().boxes, masks=low)
    at = model.prepare(features())
    for _ in range(2):
        check(model, at, boxes())
        check(model, at, boxes(3))
        check(model, at, point)
        check(model, at, mask)
        check(model, at, boxes(), hq=False)
        with torch.inference_mode():
            check(model, at, boxes())
    # a point, which SAM pads, has as many tokens as a box
    assert recorder.recorded == 5
    assert recorder.pools == [None, *[(0, 1)] * 4]


def test_masks_stay_when_the_next_are_decoded(model: HQSam) -> None:
    at = features()
    first = decoded(model, at, boxes(seed=1))
    kept = [x.clone() for x in first]
    decoded(model, at, boxes(seed=2))
    assert all(torch.equal(a, b) for a, b in zip(first, kept, strict=True))


def test_the_last_forms_are_kept(
    model: HQSam, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphs, "_MOST_GRAPHS", 2)
    at = features()
    for n in (1, 2, 1, 3, 1):
        check(model, at, boxes(n))
    assert recorder.recorded == 3
    check(model, at, boxes(2))
    assert recorder.recorded == 4


def test_what_is_decoded_as_ever(model: HQSam, recorder: Recorder) -> None:
    at = features()
    check(model, at, boxes(5))  # a GPU is busy with them
    with torch.enable_grad():
        given = TileFeatures(at.embedding.clone().requires_grad_(), at.hq)
        assert decoded(model, given, boxes())[0].requires_grad
    with torch.autocast("cpu", torch.bfloat16):
        decoded(model, at, boxes())
    assert recorder.recorded == 0


def test_the_preview_of_sam_is_called_with_all_there(model: HQSam, recorder: Recorder) -> None:
    at, shown = features(), []
    for hq in (True, False):
        found = model.decode(
            at, torch.zeros(1, dtype=torch.long), boxes(), hq=hq, first=shown.append
        )
    assert recorder.replayed == 2 + 2
    (first,) = shown  # as without a graph: not of SAM alone
    assert first.hq is None
    assert first.sam.shape == found.sam.shape


def test_other_devices_have_no_graphs(
    model: HQSam, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphs, "_DEVICE", "cuda")
    check(model, features(), boxes())
    assert recorder.recorded == 0


def test_a_wrong_graph_is_not_used(model: HQSam, recorder: Recorder, told: list[str]) -> None:
    recorder.off = 1e3
    for _ in range(2):
        check(model, features(), boxes())
    (line,) = told
    assert line.startswith("a CUDA graph is not used for 1 prompt(s): its masks are off by ")
    assert (recorder.recorded, recorder.replayed) == (1, 1)
    recorder.off = float("nan")
    check(model, features(), boxes(2))
    assert told[1].endswith("off by nan")


def test_an_error_is_told_once(model: HQSam, recorder: Recorder, told: list[str]) -> None:
    recorder.error = "operation not permitted\nwhen stream is capturing\n\nand much more"
    for _ in range(2):
        check(model, features(), boxes())
    assert told == [
        "a CUDA graph is not used for 1 prompt(s): operation not permitted when stream is capturing"
    ]


def test_weights_may_change(model: HQSam, recorder: Recorder) -> None:
    at, token = features(), model.mask_decoder.hf_token
    check(model, at, boxes())
    token.weight.mul_(2)
    check(model, at, boxes())
    assert recorder.recorded == 1
    token.weight = torch.nn.Parameter(token.weight / 3, requires_grad=False)
    check(model, at, boxes())
    assert recorder.recorded == 2


def test_threads(model: HQSam) -> None:
    at = [features(seed) for seed in range(4)]
    right = [plainly(model, x, boxes(seed=i)) for i, x in enumerate(at)]

    def one(i: int) -> bool:
        with torch.no_grad():
            found = decoded(model, at[i % 4], boxes(seed=i % 4))
        return all(torch.equal(a, b) for a, b in zip(found, right[i % 4], strict=True))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(one, range(24)))


def test_a_copy_has_graphs_of_its_own(model: HQSam, recorder: Recorder) -> None:
    check(model, features(), boxes())
    other = copy.deepcopy(model)
    assert other.graphed is not None
    assert other.graphed.decoder is other.mask_decoder
    other.mask_decoder.hf_token.weight.mul_(2)
    check(other, features(), boxes())
    assert recorder.recorded == 2
