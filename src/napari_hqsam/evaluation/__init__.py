"""How good masks are: metrics, ways to prompt, what is measured, the report."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_hqsam.evaluation.metrics import Band, boundary_iou, boundary_region, mask_iou
    from napari_hqsam.evaluation.protocol import evaluate
    from napari_hqsam.evaluation.report import write_report
    from napari_hqsam.evaluation.scores import Scores
    from napari_hqsam.evaluation.summary import SetScores, Summary

_MODULES = {
    "Band": "metrics",
    "Scores": "scores",
    "SetScores": "summary",
    "Summary": "summary",
    "boundary_iou": "metrics",
    "boundary_region": "metrics",
    "evaluate": "protocol",
    "mask_iou": "metrics",
    "write_report": "report",
}

__all__ = [
    "Band",
    "Scores",
    "SetScores",
    "Summary",
    "boundary_iou",
    "boundary_region",
    "evaluate",
    "mask_iou",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
