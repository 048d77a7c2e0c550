"""From windows of an image to the features that prompts are decoded on."""

from napari_hqsam.embedding.cache import FeatureCache
from napari_hqsam.embedding.encode import encode_window, read_window, resize

__all__ = ["FeatureCache", "encode_window", "read_window", "resize"]
