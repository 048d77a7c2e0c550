"""What starts often starts fast: the heavy packages are loaded when they are needed, not before."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import napari_hqsam

HEAVY = {
    "PyQt5",
    "PyQt6",
    "PySide6",
    "dask",
    "imageio",
    "magicgui",
    "napari",
    "qtpy",
    "scipy",
    "segment_anything",
    "skimage",
    "superqt",
    "tifffile",
    "torch",
    "vispy",
    "zarr",
}

COMMAND_LINE = """
import sys
from napari_hqsam.cli import main

sys.argv = ["napari-hqsam", *{arguments!r}]
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
"""


def modules_after(code: str, tmp_path: Path) -> tuple[set[str], str]:
    """Run `code` in a new interpreter; return the packages it loaded, and what it printed."""
    report = tmp_path / "modules.txt"
    ending = f"""
import pathlib, sys
pathlib.Path({str(report)!r}).write_text("\\n".join(sys.modules))
"""
    source = str(Path(napari_hqsam.__file__).parents[1])
    paths = [source, *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-c", code + ending],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in report.read_text().split()}, done.stdout


def test_importing_the_package_loads_nothing_heavy(tmp_path: Path) -> None:
    loaded, _ = modules_after("import napari_hqsam; dir(napari_hqsam)", tmp_path)
    assert "napari_hqsam" in loaded
    assert loaded.isdisjoint(HEAVY), loaded & HEAVY


def test_the_dock_opens_before_torch_is_loaded(tmp_path: Path) -> None:
    loaded, _ = modules_after("import napari_hqsam.plugin.annotate", tmp_path)
    assert "napari" in loaded
    assert "torch" not in loaded


@pytest.mark.parametrize("arguments", [["--help"], ["segment", "--help"]])
def test_help_loads_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    loaded, printed = modules_after(COMMAND_LINE.format(arguments=arguments), tmp_path)
    assert printed.strip()
    assert loaded.isdisjoint(HEAVY), loaded & HEAVY


def test_help_names_the_commands(tmp_path: Path) -> None:
    _, printed = modules_after(COMMAND_LINE.format(arguments=["--help"]), tmp_path)
    for command in ("demo", "models", "segment", "train"):
        assert command in printed


def test_public_names_are_there_and_come_from_their_rooms() -> None:
    for name in napari_hqsam.__all__:
        assert name in dir(napari_hqsam)
        assert getattr(napari_hqsam, name) is not None
    assert napari_hqsam.Segmenter.__module__.startswith("napari_hqsam.segmentation")
    assert napari_hqsam.load_model.__module__.startswith("napari_hqsam.weights")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Segmentor'"):
        _ = napari_hqsam.Segmentor  # a misspelling, as users make them
