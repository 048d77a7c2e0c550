"""The Annotate dock: prompts on an image, a live preview, objects into a Labels layer."""

from napari_hqsam.plugin.annotate.widget import AnnotateWidget

__all__ = ["AnnotateWidget"]
