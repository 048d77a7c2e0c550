"""Pictures of the dock Segment all, taken from the running program: ``tox -e docs-pictures``."""

from __future__ import annotations

from typing import Any

import napari
import numpy as np
from make_pictures import FOLDER, wait
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes, label
from skimage.data import coins
from skimage.filters import gaussian, threshold_otsu

ORANGE, BLUE = "#e69f00", "#56b4e9"


def of_one_colour(layer: Any, colour: str) -> None:
    layer.colormap = DirectLabelColormap(color_dict={None: colour, 0: "transparent"})
    layer.contour = 2


def picture(viewer: napari.Viewer, name: str) -> None:
    wait(seconds=0.5)
    viewer.screenshot(str(FOLDER / f"{name}.png"), canvas_only=False, flash=False)
    print(FOLDER / f"{name}.png")


def opened() -> tuple[napari.Viewer, Any]:
    viewer = napari.Viewer()
    viewer.window._qt_window.resize(1400, 900)
    return viewer, lambda: viewer.window.add_plugin_dock_widget("napari-hqsam", "Segment all")[1]


def run(dock: Any) -> None:
    dock.run()
    wait()
    assert wait(lambda: not dock.running.busy, 600), dock.controls.message.value
    dock.controls.message.value = ""  # it may name a folder of this computer


def rough(image: NDArray[Any]) -> NDArray[np.uint16]:
    """Blurred, thresholded, numbered: the objects are right, the boundaries are not."""
    blurred = gaussian(image.astype(float), 4)
    mask = binary_fill_holes(blurred > 0.95 * threshold_otsu(blurred))
    mask[:70, :170] = mask[:, :30] = False  # the bright corner
    labels, _ = label(mask)
    sizes = np.bincount(labels.ravel())
    labels[(sizes < 300)[labels]] = 0
    return labels.astype(np.uint16)


def refined() -> None:
    """A threshold's labels, and what refining makes of them."""
    viewer, open_dock = opened()
    image = coins()
    viewer.add_image(image, name="coins")
    before = viewer.add_labels(rough(image), name="threshold")
    dock = open_dock()
    wait(seconds=1)
    viewer.reset_view()
    run(dock)
    after = viewer.layers["coins refined"]
    of_one_colour(before, ORANGE)
    of_one_colour(after, BLUE)
    viewer.scene.camera.center = (0, 190, 120)
    viewer.scene.camera.zoom = 4
    picture(viewer, "refine-before-after")
    dock.close()
    viewer.close()


def whole_slide() -> None:
    """Coins of a mosaic of 4,848 x 6,144 pixels, in the visible part."""
    viewer, open_dock = opened()
    viewer.add_image(np.tile(coins(), (16, 16)), name="slide")
    dock = open_dock()
    wait(seconds=1)
    viewer.scene.camera.center = (0, 2300, 2300)
    viewer.scene.camera.zoom = 1.5
    wait(seconds=0.5)
    method = dock.controls.method
    method.method.value = "automatic"
    method.find_by.value = "threshold"
    method.diameter.value = 50
    run(dock)
    viewer.layers["slide objects"].contour = 1
    picture(viewer, "whole-slide")
    dock.close()
    viewer.close()


if __name__ == "__main__":
    refined()
    whole_slide()
