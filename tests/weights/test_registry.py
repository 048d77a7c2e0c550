from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from napari_hqsam.errors import HQSAMError
from napari_hqsam.modeling.variants import VARIANTS
from napari_hqsam.weights import cache_dir, list_models, model_info

KNOWN = [info for info in list_models() if info.added is None]


def test_every_architecture_has_a_model() -> None:
    assert [info.variant for info in KNOWN] == list(VARIANTS)


@pytest.mark.parametrize("info", KNOWN, ids=lambda info: info.name)
def test_downloads_are_pinned(info) -> None:
    assert info.licence == "Apache-2.0"
    assert info.description
    assert info.trained_on
    if info.name == "micro":
        assert info.url is None
        return
    assert re.fullmatch(r"[0-9a-f]{40}", info.revision)
    assert re.fullmatch(r"[0-9a-f]{64}", info.sha256)
    assert info.url == (
        f"https://huggingface.co/lkeab/hq-sam/resolve/{info.revision}/{info.file_name}"
    )
    assert info.bytes > 40_000_000


@pytest.mark.parametrize("name", ["vit-b", "VIT_B", "vitb"])
def test_an_unknown_name_gets_a_suggestion(name: str) -> None:
    with pytest.raises(HQSAMError, match=r"did you mean 'vit_b'\?.* micro, vit_tiny, vit_b, "):
        model_info(name)


def test_an_outlandish_name_gets_the_list() -> None:
    with pytest.raises(HQSAMError, match="use one of micro, vit_tiny, vit_b, vit_l, vit_h"):
        model_info("resnet")


def test_installed_means_the_whole_file(cache: Path) -> None:
    info = model_info("vit_tiny")
    assert not info.installed
    info.path.parent.mkdir(parents=True)
    info.path.write_bytes(b"half of it")
    assert not info.installed
    with info.path.open("wb") as file:
        file.truncate(info.bytes)
    assert info.installed


def test_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NAPARI_HQSAM_CACHE", str(tmp_path))
    assert cache_dir() == tmp_path
    monkeypatch.delenv("NAPARI_HQSAM_CACHE")
    assert cache_dir().name == "napari-hqsam" or "napari-hqsam" in cache_dir().parts


def test_listing_models_loads_no_torch() -> None:
    code = (
        "import sys; from napari_hqsam.weights import list_models, fetch; list_models(); "
        "print({'torch', 'pooch', 'requests', 'safetensors'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
