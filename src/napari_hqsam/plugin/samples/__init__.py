"""File > Open Sample: real pictures, a stack and a slide, none of which is downloaded."""

from __future__ import annotations

from typing import Any

LayerData = tuple[Any, dict[str, Any], str]


def retina() -> list[LayerData]:
    """Return a fundus photograph, 1411 x 1411 pixels, RGB: vessels, disc."""
    return _picture("retina", "retina", rgb=True)


def ihc() -> list[LayerData]:
    """Return a stained section of colon, 512 x 512 pixels, RGB: glands, nuclei."""
    return _picture("immunohistochemistry", "ihc", rgb=True)


def cell() -> list[LayerData]:
    """Return a single cell by quantitative phase imaging, 660 x 550 pixels, 8-bit grey."""
    return _picture("cell", "cell")


def coins() -> list[LayerData]:
    """Return Greek coins, 303 x 384 pixels, 8-bit grey: an object with a clear edge each."""
    return _picture("coins", "coins")


def microaneurysms() -> list[LayerData]:
    """Return small dark spots in a retina, 102 x 102 pixels, 8-bit grey: faint ones, too."""
    return _picture("microaneurysms", "microaneurysms")


def nuclei() -> list[LayerData]:
    """Return a stack of fluorescent nuclei, 32 x 256 x 256 voxels of 1 x 0.25 x 0.25 µm, made."""
    from napari_hqsam.plugin.samples.stack import SCALE, stack

    about = {
        "name": "nuclei",
        "scale": SCALE,
        "units": ("micrometer",) * 3,
        "axis_labels": ("z", "y", "x"),
        "contrast_limits": (0, 4000),
    }
    return [(stack(), about, "image")]


def slide() -> list[LayerData]:
    """Return a stained section as large as a slide, 24,576 x 24,576 pixels, RGB, from the disk."""
    from napari_hqsam.images.files import open_file
    from napari_hqsam.plugin.reader import layers_of
    from napari_hqsam.plugin.samples.tissue import slide_path

    return list(layers_of(open_file(slide_path())))


def _picture(function: str, name: str, **about: Any) -> list[LayerData]:
    """A picture from scikit-image's own wheel."""
    from skimage import data

    return [(getattr(data, function)(), {"name": name, **about}, "image")]
