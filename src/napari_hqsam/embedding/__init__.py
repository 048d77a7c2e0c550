"""From windows of an image to the features that prompts are decoded on."""

from napari_hqsam.embedding.cache import FeatureCache
from napari_hqsam.embedding.encode import encode_image, read_window, resize
from napari_hqsam.embedding.features import Features
from napari_hqsam.embedding.job import Job, Progress
from napari_hqsam.embedding.queue import EncodeQueue, View

__all__ = [
    "EncodeQueue",
    "FeatureCache",
    "Features",
    "Job",
    "Progress",
    "View",
    "encode_image",
    "read_window",
    "resize",
]
