"""How good masks are: metrics, what is measured, the table of figures."""

from napari_hqsam.evaluation.metrics import boundary_iou, boundary_region, mask_iou
from napari_hqsam.evaluation.protocol import Scores, evaluate
from napari_hqsam.evaluation.report import markdown_table

__all__ = [
    "Scores",
    "boundary_iou",
    "boundary_region",
    "evaluate",
    "markdown_table",
    "mask_iou",
]
