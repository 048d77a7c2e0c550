"""Every object of an image: found by the network alone, or from prompts for each of them.

The names are imported on first use: the settings can be shown before torch is loaded.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_hqsam.segmentation.automatic.automatic import Automatic
    from napari_hqsam.segmentation.automatic.foreground import Foreground
    from napari_hqsam.segmentation.automatic.objects import (
        objects_from_boxes,
        objects_from_labels,
        objects_from_points,
    )
    from napari_hqsam.segmentation.automatic.prompted import Prompted
    from napari_hqsam.segmentation.automatic.settings import AutomaticSettings

__all__ = [
    "Automatic",
    "AutomaticSettings",
    "Foreground",
    "Prompted",
    "objects_from_boxes",
    "objects_from_labels",
    "objects_from_points",
]

_MODULES = {
    "Automatic": "automatic",
    "AutomaticSettings": "settings",
    "Foreground": "foreground",
    "Prompted": "prompted",
    "objects_from_boxes": "objects",
    "objects_from_labels": "objects",
    "objects_from_points": "objects",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
