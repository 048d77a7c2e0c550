"""Prompts in, masks out."""

from napari_hqsam.segmentation.mask import Mask
from napari_hqsam.segmentation.prompts import Prompts
from napari_hqsam.segmentation.segmenter import Segmenter

__all__ = ["Mask", "Prompts", "Segmenter"]
