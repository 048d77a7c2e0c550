"""What is encoded in the dock, kept in a folder of the user's choice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_hqsam.embedding.eviction import status
from napari_hqsam.modeling import HQSam, build

pytestmark = pytest.mark.gui


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> HQSam:
    """The real network, small, with random weights: a store is known by them."""
    torch.manual_seed(0)
    model = build("micro", input_size=64).eval()
    model.refines_parts = model.trusts_boxes = False
    monkeypatch.setattr("napari_hqsam.weights.load_model", lambda *_args, **_kwargs: model)
    return model


@pytest.fixture
def dock(make_napari_viewer: Any, network: HQSam) -> Any:
    viewer = make_napari_viewer()
    image = np.random.default_rng(0).integers(0, 256, (150, 150)).astype(np.uint8)
    viewer.add_image(image, name="noise")
    _, widget = viewer.window.add_plugin_dock_widget("napari-hqsam", "Annotate")
    yield widget
    widget.shut_down()


def box(dock: Any) -> None:
    dock.annotator.use("box")
    corners = [[40, 40], [40, 65], [65, 65], [65, 40]]
    dock.annotator.prompts.boxes.add_rectangles(np.array(corners, dtype=float))


def test_it_is_found_again(
    dock: Any, network: HQSam, until: Callable[..., None], tmp_path: Path
) -> None:
    folder = tmp_path / "noise.embeddings"
    folder.mkdir()
    dock.controls.image.store.value = folder
    box(dock)
    until(lambda: len(dock.annotator.masks) == 1 and not dock.engine.busy)
    assert status(folder).windows == 1
    # without the folder it is computed anew, and with it again found
    dock.controls.image.store.value = None
    until(lambda: dock.annotator._request.subject.store is None and not dock.engine.busy)
    assert status(folder).windows == 1
    network.encode = None  # type: ignore[assignment, method-assign]
    dock.controls.image.store.value = folder
    until(
        lambda: dock.annotator._shown is not None and dock.annotator._shown.subject.store == folder
    )
    assert len(dock.annotator.masks) == 1


def test_a_folder_with_something_else_is_refused_in_one_line(
    dock: Any, until: Callable[..., None], tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("all of it")
    dock.controls.image.store.value = tmp_path
    box(dock)
    until(lambda: "not empty and no embedding store" in str(dock.controls.status.message.value))
    assert (tmp_path / "thesis.txt").read_text() == "all of it"


def test_half_a_name_makes_no_folder(dock: Any, until: Callable[..., None], tmp_path: Path) -> None:
    dock.controls.image.store.value = tmp_path / "noi"
    box(dock)
    until(lambda: len(dock.annotator.masks) == 1 and not dock.engine.busy)
    assert list(tmp_path.iterdir()) == []
