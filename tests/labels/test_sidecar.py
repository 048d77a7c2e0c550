from __future__ import annotations

import json
import shlex
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import napari_hqsam
from napari_hqsam.errors import HQSAMError
from napari_hqsam.images import IntensityMapping, open_image
from napari_hqsam.labels.sidecar import command_line, sidecar_path, write_sidecar


def test_all_that_is_known_is_kept(tmp_path: Path) -> None:
    image = open_image(np.zeros((2, 8, 9), np.uint16), axes="zyx")
    words = ["napari-hqsam", "segment", Path("my cells.tif"), "--box", "1,2,3,4"]
    path = write_sidecar(
        tmp_path / "labels.tif",
        image=image,
        mapping=IntensityMapping(((0.0, 99.5),)),
        model="micro",
        weights="abc",
        device="cpu",
        parameters={"threshold": 0.5, "folder": Path("a"), "object": "Zelle µ"},
        command=words,
    )
    assert path == tmp_path / "labels.tif.json"
    about = json.loads(path.read_text("utf-8"))
    assert list(about) == [
        "format", "version", "file", "written", "versions", "image", "contrast_limits", "model",
        "parameters", "command",
    ]  # fmt: skip
    assert (about["format"], about["version"]) == ("napari-hqsam sidecar", 1)
    assert about["file"] == "labels.tif"
    assert datetime.fromisoformat(about["written"]).tzinfo is not None
    assert about["versions"]["napari-hqsam"] == napari_hqsam.__version__
    assert about["versions"]["numpy"] == np.__version__
    assert about["image"] == {"name": "image", "fingerprint": image.fingerprint()}
    assert about["contrast_limits"] == [[0, 99.5]]
    assert about["model"] == {"name": "micro", "weights": "abc", "device": "cpu"}
    assert about["parameters"] == {"threshold": 0.5, "folder": "a", "object": "Zelle µ"}
    assert shlex.split(about["command"]) == [str(word) for word in words]


def test_what_is_not_known_is_left_out(tmp_path: Path) -> None:
    about = json.loads(write_sidecar(tmp_path / "a.geojson", device=None).read_text())
    assert list(about) == ["format", "version", "file", "written", "versions"]


def test_a_sidecar_is_written_complete_or_not_at_all(tmp_path: Path) -> None:
    path = write_sidecar(tmp_path / "a.tif", model="one")
    before = path.read_bytes()
    circle: dict[str, object] = {}
    circle["self"] = circle
    with pytest.raises(ValueError, match="Circular"):
        write_sidecar(tmp_path / "a.tif", parameters=circle)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(HQSAMError, match="no folder"):
        write_sidecar(tmp_path / "missing" / "a.tif")


@given(st.lists(st.text(st.characters(exclude_characters="\0"))))
def test_a_shell_takes_a_command_apart_into_its_words(words: list[str]) -> None:
    assert shlex.split(command_line(words)) == words


def test_the_sidecar_of_a_folder_lies_beside_it() -> None:
    assert sidecar_path("out/labels.zarr/") == Path("out/labels.zarr.json")
