from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

SHAPES = {"retina": (1411, 1411), "ihc": (512, 512), "cell": (660, 550)}


def test_the_demo_writes_labels_and_both_models_side_by_side(
    command, model, tmp_path: Path
) -> None:
    folder = tmp_path / "the demo"
    folder.mkdir()
    for name in ("demo.png", "cell-labels.tif"):  # of a demo before
        (folder / name).write_bytes(b"old")
    done = command("demo", "-o", folder)
    assert (done.status, done.err) == (0, "")
    assert sorted(p.name for p in folder.iterdir()) == sorted(
        ["demo.png", *(f"{name}-labels.tif" for name in SHAPES)]
    )
    for name, shape in SHAPES.items():
        labels = tifffile.imread(folder / f"{name}-labels.tif")
        assert labels.shape == shape
        assert labels.max() > 1
    with Image.open(folder / "demo.png") as sheet:
        pixels = np.asarray(sheet)
    width = pixels.shape[1] // 3
    left, middle, right = (pixels[:, i * width : (i + 1) * width] for i in range(3))
    assert (left != middle).any()
    assert len(np.unique(right.reshape(-1, 3), axis=0)) > 1000
    assert str(folder / "demo.png") in done.out


def test_a_place_that_is_no_folder(command, no_model, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    assert "taken: cannot be made" in command("demo", "-o", tmp_path / "taken").error
