"""Checkpoints that the user has given a name."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from napari_hqsam.errors import HQSAMError
from napari_hqsam.modeling.variants import build
from napari_hqsam.weights import (
    add_model,
    data_dir,
    fetch,
    list_models,
    load_model,
    model_info,
    remove_model,
    save_model,
    suggest_name,
)

from .test_checkpoint import sam_state


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "the user's data"
    monkeypatch.setenv("NAPARI_HQSAM_DATA", str(folder))
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    torch.manual_seed(5)
    path = tmp_path_factory.mktemp("own") / "own.safetensors"
    return save_model(build("micro"), path).read_bytes()


@pytest.fixture
def checkpoint(tmp_path: Path, weights: bytes) -> Path:
    path = tmp_path / "best of all.safetensors"
    path.write_bytes(weights)
    return path


def names() -> list[str]:
    return [info.name for info in list_models()][5:]


def refusal(checkpoint: Path, name: str | None = None) -> str:
    before = list_models()
    with pytest.raises(HQSAMError) as refused:
        add_model(checkpoint, name)
    assert list_models() == before
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_it_is_a_model_like_the_others(checkpoint: Path) -> None:
    info = add_model(checkpoint, "neurons")
    assert names() == ["neurons"]
    assert model_info("neurons") == info
    assert (info.variant, info.path, info.installed) == ("micro", checkpoint, True)
    assert fetch(info) == checkpoint
    model = load_model("neurons", device="cpu")
    assert (model.name, model.variant, model.weights_sha256) == ("neurons", "micro", info.sha256)
    remove_model("neurons")
    assert names() == []
    assert checkpoint.is_file()
    with pytest.raises(HQSAMError, match="'neurons' is none that you have added"):
        remove_model("neurons")


def test_the_list_outlives_the_process_and_loads_no_torch(checkpoint: Path) -> None:
    add_model(checkpoint, "neurons")
    code = (
        "import sys; from napari_hqsam.weights import list_models; "
        "print([i.name for i in list_models()][5:], 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['neurons'] False"


def test_plain_sam_says_so(tmp_path: Path) -> None:
    path = save_model(build("micro", hq=False), tmp_path / "sam.safetensors")
    assert "without HQ part" in add_model(path).description
    assert not load_model("sam", device="cpu").has_hq


def test_a_file_that_has_moved_says_so(checkpoint: Path, tmp_path: Path) -> None:
    add_model(checkpoint, "neurons")
    checkpoint.rename(tmp_path / "elsewhere")
    assert names() == ["neurons"]
    assert not model_info("neurons").installed
    with pytest.raises(HQSAMError, match=r"'neurons': .*best of all.* is no longer there"):
        load_model("neurons", device="cpu")


def test_a_file_with_other_weights_is_not_taken_for_it(checkpoint: Path) -> None:
    """Same name, same size: only the hash tells."""
    add_model(checkpoint, "neurons")
    content = bytearray(checkpoint.read_bytes())
    content[-1] ^= 1
    checkpoint.write_bytes(content)
    with pytest.raises(HQSAMError, match=r"'neurons': .* is another file than the one"):
        load_model("neurons", device="cpu")


def test_what_cannot_be_loaded_is_refused(tmp_path: Path, checkpoint: Path) -> None:
    assert "no such file" in refusal(tmp_path / "none.pth")
    (tmp_path / "page.pth").write_text("<html>login</html>")
    assert "web page" in refusal(tmp_path / "page.pth")
    # an encoder's first tensor and not much more
    torch.save(sam_state(), tmp_path / "part.pth")
    assert "does not fit SAM vit_b" in refusal(tmp_path / "part.pth")
    decoder = build("micro").mask_decoder.state_dict()
    torch.save(decoder, tmp_path / "epoch_1.pth")
    assert "mask decoder alone" in refusal(tmp_path / "epoch_1.pth")
    checkpoint.write_bytes(checkpoint.read_bytes()[:-1000])
    assert "truncated or damaged" in refusal(checkpoint)


def test_names(checkpoint: Path) -> None:
    assert "taken by a model of this package" in refusal(checkpoint, "vit_b")
    assert "taken by a model of this package" in refusal(checkpoint, "MICRO")
    for name in ("", "-x", "a b", "../x", "x" * 41):
        assert "letters, digits" in refusal(checkpoint, name)
    assert suggest_name(checkpoint) == "best-of-all"
    add_model(checkpoint)
    assert suggest_name(checkpoint) == "best-of-all-2"
    assert "taken by a checkpoint that you have added" in refusal(checkpoint, "Best-of-all")
    assert suggest_name("/x/micro.pth") == "micro-2"
    assert suggest_name("/x/???.pth") == "model"


def test_stopped_before_it_is_noted(checkpoint: Path) -> None:
    def stop() -> None:
        raise KeyError("stop")

    with pytest.raises(KeyError):
        add_model(checkpoint, check=stop)
    assert names() == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 1, "models": 3}', "\xff"])
def test_a_damaged_list_is_an_empty_one_and_kept_aside(text: str, checkpoint: Path) -> None:
    data_dir().mkdir()
    (data_dir() / "models.json").write_bytes(text.encode("latin1"))
    assert names() == []
    add_model(checkpoint, "neurons")
    assert names() == ["neurons"]
    if "models" not in text:
        assert (data_dir() / "models.old.json").read_bytes() == text.encode("latin1")


def test_a_damaged_entry_does_not_hide_the_others(checkpoint: Path) -> None:
    add_model(checkpoint, "neurons")
    file = data_dir() / "models.json"
    found = json.loads(file.read_text())
    good = found["models"][0]
    bad = [3, {}, {**good, "kind": "other"}, {**good, "name": "vit_b"}, {**good, "bytes": None}]
    file.write_text(json.dumps({"version": 1, "models": [*bad, good]}))
    assert names() == ["neurons"]


def test_the_list_of_a_newer_version_is_not_lost(checkpoint: Path) -> None:
    data_dir().mkdir()
    newer = '{"version": 2, "checkpoints": {"x": "y"}}'
    (data_dir() / "models.json").write_text(newer)
    add_model(checkpoint, "neurons")
    assert (data_dir() / "models.old.json").read_text() == newer


def test_a_folder_that_cannot_be_written_is_named(checkpoint: Path, data: Path) -> None:
    data.write_text("a file where the folder should be")
    assert "NAPARI_HQSAM_DATA" in refusal(checkpoint)
