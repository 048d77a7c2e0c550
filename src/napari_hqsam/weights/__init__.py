"""Weights: which models there are, where their files come from, and loading them safely.

The table and the download need no torch, so that listing models is instant; what reads files is
imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from napari_hqsam.weights.added import add_model, remove_model, suggest_name
from napari_hqsam.weights.cache import cache_dir, data_dir
from napari_hqsam.weights.download import DownloadCancelled, fetch
from napari_hqsam.weights.registry import ModelInfo, list_models, model_info

if TYPE_CHECKING:
    from napari_hqsam.weights.checkpoint import Checkpoint, read_checkpoint
    from napari_hqsam.weights.export import save_model
    from napari_hqsam.weights.load import load_hq_base, load_model

__all__ = [
    "Checkpoint",
    "DownloadCancelled",
    "ModelInfo",
    "add_model",
    "cache_dir",
    "data_dir",
    "fetch",
    "list_models",
    "load_hq_base",
    "load_model",
    "model_info",
    "read_checkpoint",
    "remove_model",
    "save_model",
    "suggest_name",
]

_NEED_TORCH = {
    "Checkpoint": "checkpoint",
    "load_hq_base": "load",
    "load_model": "load",
    "read_checkpoint": "checkpoint",
    "save_model": "export",
}


def __getattr__(name: str) -> Any:
    if name not in _NEED_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_NEED_TORCH[name]}"), name)
    globals()[name] = value
    return value
