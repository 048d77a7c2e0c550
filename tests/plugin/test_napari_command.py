"""`napari --plugin napari-hqsam image.tif`, as typed in a shell."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

pytestmark = pytest.mark.gui

# napari's own command line; its event loop is replaced by one that looks around and leaves.
COMMAND = """
import json, sys, time
import napari
from napari.__main__ import main
from qtpy.QtWidgets import QApplication

def look(**_):
    viewer = napari.current_viewer()
    end = time.monotonic() + 20
    while time.monotonic() < end and not viewer.window.dock_widgets:
        QApplication.processEvents()
        time.sleep(0.02)
    layer = viewer.layers[0]
    print("FOUND", json.dumps({
        "layers": [each.name for each in viewer.layers],
        "docks": list(viewer.window.dock_widgets),
        "scale": [float(s) for s in layer.scale],
        "units": [str(u) for u in layer.units],
    }))
    viewer.close()

napari.run = look
sys.argv = ["napari", *sys.argv[1:]]
main()
"""


@pytest.mark.parametrize("order", ["plugin first", "image first"])
def test_it_opens_the_picture_and_the_dock(order: str, tmp_path: Path) -> None:
    path = tmp_path / "two words.tif"
    tifffile.imwrite(
        path,
        np.arange(64 * 48, dtype=np.uint16).reshape(64, 48),
        imagej=True,
        resolution=(4, 4),
        metadata={"unit": "um"},
    )
    plugin = ["--plugin", "napari-hqsam"]
    arguments = [*plugin, str(path)] if order == "plugin first" else [str(path), *plugin]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", COMMAND, *arguments],
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    assert "FOUND" in done.stdout, done.stderr
    found = json.loads(done.stdout.partition("FOUND")[2])
    assert found["layers"] == ["two words"]
    assert found["docks"] == ["Annotate (napari-hqsam)"]
    np.testing.assert_allclose(found["scale"], [0.25, 0.25])
    assert found["units"] == ["micrometer", "micrometer"]
