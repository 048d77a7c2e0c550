"""The dock asks the real Segmenter, with a model that sees what is bright."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from napari.components import ViewerModel

from napari_hqsam.plugin.segment_all import SegmentAllWidget, live_preview

from .conftest import PICTURE


@pytest.fixture
def work(
    qtbot: Any, model: Any, until: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> Any:
    monkeypatch.setattr(live_preview, "_QUIET_MILLISECONDS", 20)
    # what tells its results from those of another model
    model.name = model.variant = "bright"
    model.weights_sha256 = "0"
    model.prompt_encoder = model.mask_decoder = torch.nn.Identity()
    name = "napari_hqsam.segmentation.automatic.identity.run_key"
    monkeypatch.setattr(name, lambda *_: {})
    viewer: Any = ViewerModel()
    viewer.canvas.size = (400, 440)
    viewer.add_image(PICTURE, name="cells", contrast_limits=(0, 1000), scale=(0.5, 0.5))
    viewer.scene.camera.center, viewer.scene.camera.zoom = (0, 50, 55), 3
    dock = SegmentAllWidget(viewer)
    qtbot.addWidget(dock)
    viewer.layers.events.inserted.connect(lambda _event: dock.reset_choices())
    yield viewer, dock
    dock.shut_down()


def finish(viewer: Any, dock: Any, until: Any, name: str) -> Any:
    dock.controls.preview.value = True
    until(lambda: dock.preview.contours.alive and not dock.preview.busy)
    preview = np.array(dock.preview.contours.layer.data)
    dock.run()
    until(lambda: not dock.running.busy)
    found = viewer.layers[name]
    # what was previewed is what is found; numbers may differ
    np.testing.assert_array_equal(preview > 0, found.data > 0)
    assert len(found.features) == 2
    return found


def test_drawn_objects(work: Any, until: Any) -> None:
    viewer, dock = work
    shapes = [[[36, 36], [36, 84], [84, 84], [84, 36]], [[116, 116], [116, 153], [153, 116]]]
    boxes = viewer.add_shapes(
        [np.array(s, float) for s in shapes], shape_type=["rectangle", "polygon"], scale=(0.5, 0.5)
    )
    dock.controls.method.method.value = "drawn"
    dock.controls.method.shapes.value = boxes
    found = finish(viewer, dock, until, "cells objects")
    assert found.data[60, 60] != found.data[130, 125] > 0


def test_refined_labels(work: Any, until: Any) -> None:
    viewer, dock = work
    rough = np.zeros(PICTURE.shape, np.uint16)
    rough[42:77, 38:81], rough[118:152, 122:149] = 7, 5
    viewer.add_labels(rough, scale=(0.5, 0.5))
    assert dock.controls.method.chosen == "refine"
    found = finish(viewer, dock, until, "cells refined")
    assert (found.data[60, 60], found.data[130, 130]) == (7, 5)
    assert found.features["moved_max_px"].between(0, 8).all()


def test_automatic(work: Any, until: Any) -> None:
    viewer, dock = work
    method = dock.controls.method
    method.find_by.value, method.diameter.value = "threshold", 40
    finish(viewer, dock, until, "cells objects")
