"""The training loop: batches, stages, and runs that are cut off."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_hqsam.errors import HQSAMError
from napari_hqsam.evaluation.data import LabelledPlane
from napari_hqsam.modeling import HQSam
from napari_hqsam.modeling.variants import hq_parameter_names
from napari_hqsam.training import trainer
from napari_hqsam.training.augment import WindowSampler
from napari_hqsam.training.batch import Batch, TrainingSet, draw_batch
from napari_hqsam.training.recipe import MICRO, MICRO_AGAIN, PROMPTS, ROUNDS, Phase, scaled
from napari_hqsam.training.trainer import set_input_size, train

MakeModel = Callable[..., HQSam]
SAM = Phase("sam", 64, 5, images=2, objects=2)
HQ = Phase("hq", 64, 3, images=2, objects=2)


def state(model: HQSam) -> dict[str, Tensor]:
    return {k: v.clone() for k, v in model.state_dict().items()}


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {k for k in before if not torch.equal(before[k], after[k])}


# Batches


def test_a_batch_depends_on_seed_and_step_alone(sets: list[TrainingSet]) -> None:
    one = draw_batch(sets, SAM, 3, 17)
    draw_batch(sets, SAM, 3, 18)
    np.random.default_rng(0).random()
    torch.rand(3)
    again = draw_batch(sets, SAM, 3, 17)
    for field in ("images", "masks", "image_index"):
        assert torch.equal(getattr(one, field), getattr(again, field))
    for seed, step in ((3, 18), (4, 17)):
        assert not torch.equal(one.images, draw_batch(sets, SAM, seed, step).images)


def test_shapes_of_a_batch(sets: list[TrainingSet]) -> None:
    batch = draw_batch(sets, Phase("sam", 96, 1, images=3, objects=2), 0, 0)
    assert batch.images.shape == (3, 3, 96, 96)
    assert batch.masks.shape == (6, 96, 96)
    assert batch.image_index.tolist() == [0, 0, 1, 1, 2, 2]
    moved = batch.to(torch.device("cpu"))
    assert isinstance(moved, Batch)
    assert torch.equal(moved.masks, batch.masks)


def flat(name: str, value: int, weight: float) -> TrainingSet:
    """A data set whose pictures are all of one colour."""
    labels = np.ones((80, 80), np.uint8)
    image = np.full((80, 80, 3), value, np.uint8)
    return TrainingSet(name, [WindowSampler(LabelledPlane(name, image, labels))], weight)


def test_data_sets_are_drawn_from_by_their_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WindowSampler, "_appearance", staticmethod(lambda rng, image: image))
    some = [flat("often", 10, 3), flat("seldom", 250, 1), flat("never", 128, 0)]
    phase = Phase("sam", 64, 1, images=100, objects=1)
    images = draw_batch(some, phase, 0, 0).images
    dark, bright = (images[:, 0] < 100).any(-1).any(-1), (images[:, 0] > 150).any(-1).any(-1)
    assert (dark ^ bright).all()  # never 128, nor the 127 of padding
    assert 0.6 < dark.float().mean().item() < 0.9


def test_labels_without_an_object_do_not_hang(tmp_path: Path, make_model: MakeModel) -> None:
    specks = np.zeros((50, 50), np.uint8)
    specks[::10, ::10] = 1 + np.arange(25).reshape(5, 5)
    plane = LabelledPlane("specks", np.zeros((50, 50), np.uint8), specks)
    empty = [TrainingSet("specks", [WindowSampler(plane)])]
    with pytest.raises(HQSAMError, match="specks: no window shows an object"):
        draw_batch(empty, SAM, 0, 0)
    with pytest.raises(HQSAMError, match="specks"):
        next(train(make_model(), empty, [SAM], tmp_path))


def test_a_data_set_without_planes_is_named(tmp_path: Path, make_model: MakeModel) -> None:
    with pytest.raises(HQSAMError, match="nothing: no labelled plane"):
        next(train(make_model(), [TrainingSet("nothing", [])], [SAM], tmp_path / "run"))
    assert not (tmp_path / "run").exists()


# Stages


def test_stage_sam_trains_all_but_the_hq_tensors(
    tmp_path: Path, sets: list[TrainingSet], make_model: MakeModel
) -> None:
    model = make_model()
    before = state(model)
    phase = Phase("sam", 64, 20, images=2, objects=2)
    list(train(model, sets, [phase], tmp_path))
    with open(tmp_path / "log.csv", newline="") as file:
        assert 3 <= len({row[3] for row in csv.reader(file)}) <= len(PROMPTS)
    after = state(model)
    names, hq = dict(model.named_parameters()), hq_parameter_names(model)
    moved = changed(before, after)
    assert not moved & hq
    assert set(names) - hq <= moved
    assert {k for k in before if k.endswith("running_mean")} <= moved
    assert not model.training


def test_frozen_stages_of_the_encoder_stay_as_they_are(
    tmp_path: Path, sets: list[TrainingSet], make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "SAVE_EVERY", 1)  # the average is swapped in and out
    model = make_model()
    before = state(model)
    list(
        train(model, sets, [Phase("sam", 64, 4, 2, 2, frozen=2)], tmp_path, on_save=lambda m: None)
    )
    moved = changed(before, state(model))
    backbone = "image_encoder.backbone."
    frozen = (f"{backbone}stem.", f"{backbone}stages.0.", f"{backbone}stages.1.")
    assert not {name for name in moved if name.startswith(frozen)}
    assert any(name.startswith(f"{backbone}stages.2.") for name in moved)


def test_steps_draw_all_kinds_of_prompts_as_often_as_the_recipe_says(
    sets: list[TrainingSet],
) -> None:
    phase = Phase("sam", 32, 1, images=1, objects=1)
    batches = [draw_batch(sets, phase, 0, step) for step in range(300)]
    for kind, share in PROMPTS.items():
        found = np.mean([b.prompt == kind for b in batches])
        assert abs(found - share) < 0.09
    for rounds, share in ROUNDS.items():
        assert abs(np.mean([b.rounds == rounds for b in batches]) - share) < 0.09


@pytest.mark.parametrize("after_sam", [False, True])
def test_stage_hq_changes_the_hq_tensors_and_nothing_else(
    tmp_path: Path, sets: list[TrainingSet], make_model: MakeModel, after_sam: bool
) -> None:
    model = make_model()
    run = train(model, sets, [SAM, HQ] if after_sam else [HQ], tmp_path)
    if after_sam:
        steps = list(itertools.islice(run, SAM.steps))
        assert steps[-1].phase == SAM
        # the base that the HQ tensors are trained on is the average of stage 1
        before = torch.load(tmp_path / "state.pt", weights_only=True)["averaged"]
    else:
        before = state(model)
    steps = list(run)
    assert {p.phase for p in steps} == {HQ}
    hq = hq_parameter_names(model)
    assert len(hq) > 20
    assert changed(before, state(model)) == hq
    saved = torch.load(tmp_path / "state.pt", weights_only=True)
    assert changed(before, saved["model"]) == hq
    assert changed(before, saved["averaged"]) == hq
    trainable = {k for k, p in model.named_parameters() if p.requires_grad}
    assert trainable == hq


# The HQ tensors are few, and what they add to is random here and stays so.
@pytest.mark.parametrize(
    ("stage", "name", "share"), [("sam", "mask", 0.85), ("hq", "hq", 0.97)], ids=["sam", "hq"]
)
def test_the_loss_falls(
    tmp_path: Path,
    sets: list[TrainingSet],
    make_model: MakeModel,
    monkeypatch: pytest.MonkeyPatch,
    stage: Any,
    name: str,
    share: float,
) -> None:
    """On one batch, with other prompts at each step."""
    phase = Phase(stage, 64, 18, images=2, objects=2)
    monkeypatch.setattr("napari_hqsam.training.recipe.PROMPTS", {"box": 1.0})
    monkeypatch.setattr("napari_hqsam.training.recipe.ROUNDS", {1: 1.0})
    batch = draw_batch(sets, phase, 0, 0)
    monkeypatch.setattr(trainer, "draw_batch", lambda *args: batch)
    run = train(make_model(), sets, [phase], tmp_path, learning_rate=2e-3)
    loss = [p.losses[name] for p in run]
    assert np.mean(loss[12:18]) < share * np.mean(loss[0:6])


def test_sizes_may_change_between_phases(
    tmp_path: Path, sets: list[TrainingSet], make_model: MakeModel
) -> None:
    model = make_model()
    phases = [Phase("sam", 64, 1, 2, 2), Phase("sam", 96, 2, 2, 2), Phase("hq", 96, 1, 2, 2)]
    steps = list(train(model, sets, phases, tmp_path))
    assert [p.phase.size for p in steps] == [64, 96, 96, 96]
    assert [(p.step, p.total) for p in steps] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert steps[-1].seconds_left == 0
    assert all(p.seconds_left > 0 for p in steps[:-1])
    assert all(np.isfinite(v) for p in steps for v in p.losses.values())
    assert model.input_size == 96


# Runs that are cut off


def run_to_the_end(model: HQSam, sets: list[TrainingSet], folder: Path) -> dict[str, Tensor]:
    list(train(model, sets, [SAM, HQ], folder, seed=5))
    return state(model)


@pytest.fixture(scope="module")
def uninterrupted(
    tmp_path_factory: pytest.TempPathFactory, sets: list[TrainingSet], make_model: MakeModel
) -> tuple[dict[str, Tensor], dict[str, Any], str]:
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "SAVE_EVERY", 2)
        final = run_to_the_end(make_model(), sets, folder)
    saved = torch.load(folder / "state.pt", weights_only=True)
    return final, saved, (folder / "log.csv").read_text()


# 3: in the first stage, one step after a save; 5: between both; 7: in the second
@pytest.mark.parametrize("cut", [(3,), (5,), (7,), (2, 4, 6)], ids=str)
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(
    tmp_path: Path,
    sets: list[TrainingSet],
    make_model: MakeModel,
    uninterrupted: tuple[dict[str, Tensor], dict[str, Any], str],
    monkeypatch: pytest.MonkeyPatch,
    cut: tuple[int, ...],
) -> None:
    monkeypatch.setattr(trainer, "SAVE_EVERY", 2)
    keep = []  # earlier models stay in memory, so that the next one lies elsewhere
    for at in cut:
        keep.append(make_model(seed=at))  # whose weights do not matter but for the first
        if at == cut[0]:
            keep[-1] = make_model()
        run = train(keep[-1], sets, [SAM, HQ], tmp_path, seed=5)
        for progress in run:
            if progress.step == at:
                break
        run.close()
    # a new process would begin with other weights and take up the saved ones
    final = run_to_the_end(make_model(seed=99), sets, tmp_path)
    expected, expected_state, expected_log = uninterrupted
    assert changed(expected, final) == set()
    saved = torch.load(tmp_path / "state.pt", weights_only=True)
    assert changed(expected_state["model"], saved["model"]) == set()
    ours, theirs = (s["optimizer"]["state"] for s in (saved, expected_state))
    assert ours.keys() == theirs.keys()
    for key, moments in ours.items():
        assert changed(moments, theirs[key]) == set()
    assert (tmp_path / "log.csv").read_text() == expected_log


def test_the_order_of_the_optimizers_parameters_is_the_models(
    tmp_path: Path, sets: list[TrainingSet], make_model: MakeModel
) -> None:
    """Adam's state is saved by place: another process must find it at the same one."""
    model = make_model()
    list(train(model, sets, [Phase("sam", 64, 1, 2, 2)], tmp_path))
    saved = torch.load(tmp_path / "state.pt", weights_only=True)["optimizer"]
    backbone = list(model.image_encoder.backbone.parameters())
    assert len(saved["param_groups"][0]["params"]) == len(backbone)
    for place, parameter in enumerate(backbone):
        if place in saved["state"]:
            assert saved["state"][place]["exp_avg"].shape == parameter.shape
    assert len(saved["state"]) > len(backbone)


def test_a_finished_run_gives_its_result_at_once(
    tmp_path: Path, sets: list[TrainingSet], make_model: MakeModel
) -> None:
    one, two = make_model(), make_model(seed=1)
    phase = Phase("sam", 64, 2, 2, 2)
    list(train(one, sets, [phase], tmp_path))
    assert list(train(two, sets, [phase], tmp_path)) == []
    assert changed(state(one), state(two)) == set()


def test_another_seed_is_another_run(
    tmp_path: Path, sets: list[TrainingSet], make_model: MakeModel
) -> None:
    losses = [
        next(train(make_model(), sets, [SAM], tmp_path / str(seed), seed=seed)).losses["loss"]
        for seed in (0, 0, 1)
    ]
    assert losses[0] == losses[1] != losses[2]


# What is saved


def test_the_average_is_what_is_handed_out(
    tmp_path: Path,
    sets: list[TrainingSet],
    make_model: MakeModel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trainer, "SAVE_EVERY", 2)
    model = make_model()
    handed: list[tuple[bool, dict[str, Tensor]]] = []
    run = train(
        model, sets, [SAM], tmp_path, on_save=lambda m: handed.append((m.training, state(m)))
    )
    for progress in run:
        if progress.step == 2:
            (training, averaged), own = handed[-1], state(model)
            assert not training
            assert model.training
            saved = torch.load(tmp_path / "state.pt", weights_only=True)
            assert (saved["step"], saved["updates"]) == (2, 2)
            assert changed(saved["averaged"], averaged) == set()
            assert changed(saved["model"], own) == set()
            assert len(changed(averaged, own)) > 100
    assert len(handed) == 3  # steps 2, 4 and the last
    assert changed(handed[-1][1], state(model)) == set()
    assert not model.training
    assert not list(tmp_path.glob("*.part"))


def test_the_average_follows_fast_at_first(make_model: MakeModel, tmp_path: Path) -> None:
    model = make_model()
    averaged = state(model)
    run = trainer._Run(model, averaged, tmp_path / "state.pt")
    key = "mask_decoder.iou_token.weight"
    first = averaged[key].clone()
    with torch.no_grad():
        model.state_dict()[key].add_(1)
    run.average()
    # decay 2/11: nine elevenths of the way
    torch.testing.assert_close(averaged[key], first + 9 / 11)
    for _ in range(9):
        run.average()
    assert (averaged[key] - first).min() > 0.95


def test_the_log_has_a_row_for_each_step(
    tmp_path: Path, sets: list[TrainingSet], make_model: MakeModel
) -> None:
    steps = list(train(make_model(), sets, [SAM, HQ], tmp_path))
    with open(tmp_path / "log.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert [int(r[0]) for r in rows] == list(range(8))
    assert [r[1] for r in rows] == ["sam"] * 5 + ["hq"] * 3
    for row, progress in zip(rows, steps, strict=True):
        assert row[3] in PROMPTS
        assert int(row[4]) in ROUNDS
        values = {k: float(v) for k, v in (cell.split("=") for cell in row[5:])}
        assert values == pytest.approx(progress.losses, abs=1e-5)


# Small things


def test_learning_rate_warms_up_and_falls_to_a_hundredth() -> None:
    rates = [trainer._rate(step, 1000) for step in range(1000)]
    assert rates[0] == pytest.approx(0.01)
    assert rates[99] == rates[100] == 1
    assert all(b <= a for a, b in itertools.pairwise(rates[100:]))
    assert rates[-1] == pytest.approx(0.01, abs=1e-4)
    assert [trainer._rate(0, 1), trainer._rate(1, 2)] == [1, 1]


def test_set_input_size(make_model: MakeModel) -> None:
    model = make_model()
    set_input_size(model, 128)
    with torch.no_grad():
        features = model.encode(model.preprocess(torch.zeros(1, 3, 128, 100)))
    assert features.embedding.shape[2:] == (8, 8)
    assert features.hq.shape[2:] == (32, 32)


def test_recipe() -> None:
    for phases in (MICRO, MICRO_AGAIN):
        assert [p.stage for p in phases] == sorted((p.stage for p in phases), reverse=True)
        assert all(p.size % 32 == 0 for p in phases)
    assert sum(PROMPTS.values()) == pytest.approx(1)
    assert sum(ROUNDS.values()) == pytest.approx(1)
    short = scaled(MICRO, 1e-9)
    assert [p.steps for p in short] == [1] * len(MICRO)
    assert [(p.stage, p.size, p.images) for p in short] == [
        (p.stage, p.size, p.images) for p in MICRO
    ]
