"""HQ-SAM for microscopists: prompts in, masks with the right boundary out.

The public names are imported on first use, so that ``import napari_hqsam`` and napari's discovery
of the plugin stay fast: torch is loaded when a model is needed, and not before.

Examples
--------
>>> from napari_hqsam import Segmenter
>>> with Segmenter(image) as seg:                       # doctest: +SKIP
...     mask = seg.predict(box=(40, 60, 120, 150))      # y0, x0, y1, x1 in pixels
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_hqsam.segmentation import Prompts, Segmenter
    from napari_hqsam.weights import list_models, load_model

__version__ = "0.1.0"

__all__ = ["Prompts", "Segmenter", "__version__", "list_models", "load_model"]

_ROOMS = {
    "Prompts": "segmentation",
    "Segmenter": "segmentation",
    "list_models": "weights",
    "load_model": "weights",
}


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
