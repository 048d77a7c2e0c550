"""Sample pictures from scikit-image's own wheel: nothing is downloaded."""

from __future__ import annotations

from typing import Any

LayerData = tuple[Any, dict[str, Any], str]


def retina() -> list[LayerData]:
    """Return a fundus photograph, 1411 x 1411 pixels, RGB: vessels, disc."""
    from skimage.data import retina

    return [(retina(), {"name": "retina", "rgb": True}, "image")]


def ihc() -> list[LayerData]:
    """Return a stained section of colon, 512 x 512 pixels, RGB: glands, nuclei."""
    from skimage.data import immunohistochemistry

    return [(immunohistochemistry(), {"name": "ihc", "rgb": True}, "image")]


def cell() -> list[LayerData]:
    """Return a single cell by quantitative phase imaging, 660 x 550 pixels, 8-bit grey."""
    from skimage.data import cell

    return [(cell(), {"name": "cell"}, "image")]
