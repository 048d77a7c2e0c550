"""The outline around what is ready."""

from __future__ import annotations

import numpy as np
from napari.components import ViewerModel

from napari_hqsam.images.windows import Window
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.plugin.ready_overlay import ReadyOverlay, outline


def window(y: int, x: int, h: int, w: int) -> Window:
    return Window((), 0, (y, x), max(h, w), (h, w), 512)


def length(lines: np.ndarray) -> float:
    return float(np.abs(lines[:, 1] - lines[:, 0]).sum())


def test_one_window_has_four_sides() -> None:
    lines = outline([window(10, 20, 30, 40)])
    assert length(lines) == 2 * (30 + 40)
    assert lines[..., 0].min() == 9.5
    assert lines[..., 0].max() == 39.5
    assert lines[..., 1].min() == 19.5
    assert lines[..., 1].max() == 59.5


def test_what_lies_between_overlapping_windows_is_not_drawn() -> None:
    together = outline([window(0, 0, 100, 100), window(0, 75, 100, 100)])
    assert length(together) == 2 * (100 + 175)
    crossed = outline([window(0, 50, 150, 50), window(50, 0, 50, 150)])
    assert length(crossed) == 4 * 150
    apart = outline([window(0, 0, 10, 10), window(50, 50, 10, 10)])
    assert length(apart) == 80
    assert len(outline([window(0, 0, 10, 10)] * 3)) == 4


def test_the_layer_comes_and_goes_and_takes_no_selection() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((4, 200, 300)), scale=(3, 2, 2), name="i")
    labels = viewer.add_labels(np.zeros((4, 200, 300), dtype=int))
    overlay = ReadyOverlay(viewer)
    plane = ArrayPlane((0, 2), (7,))
    overlay.show(image, plane, [window(0, 10, 4, 40)], 2.0)
    assert overlay.layer is not None
    assert viewer.layers.index(overlay.layer) == 1
    assert viewer.layers.selection.active is labels
    starts = overlay.layer.data[:, 0]
    assert (starts[:, 1] == 7).all()
    assert starts[:, 2].max() == 49.5
    assert overlay.layer.edge_width * 2 < 4  # of the screen
    first = overlay.layer
    overlay.show(image, plane, [window(0, 10, 4, 40), window(0, 30, 4, 60)], 20.0)
    assert overlay.layer is first
    assert overlay.layer.edge_width * 20 < 4
    viewer.layers.remove(first)  # by the user
    overlay.show(image, plane, [window(0, 10, 4, 40)], 2.0)
    assert overlay.layer in viewer.layers
    overlay.show(image, plane, [], 2.0)
    assert [each.name for each in viewer.layers] == ["i", labels.name]
