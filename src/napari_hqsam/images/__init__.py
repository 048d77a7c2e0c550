"""Images of any kind and size, read lazily, and their one mapping to the network's intensities."""

from __future__ import annotations

from napari_hqsam.images.intensity import IntensityMapping
from napari_hqsam.images.open import open_image
from napari_hqsam.images.source import ImageSource

__all__ = ["ImageSource", "IntensityMapping", "open_image"]
