"""Prompts in, masks out.

The names are imported on first use: the dock opens before torch is loaded.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_hqsam.segmentation.mask import Mask
    from napari_hqsam.segmentation.prompts import Prompts
    from napari_hqsam.segmentation.segmenter import Segmenter

__all__ = ["Mask", "Prompts", "Segmenter"]

_MODULES = {"Mask": "mask", "Prompts": "prompts", "Segmenter": "segmenter"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
