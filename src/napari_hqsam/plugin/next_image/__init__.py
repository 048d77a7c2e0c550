"""A folder or a list of images, annotated one after the other."""

from napari_hqsam.plugin.next_image.widget import NextImageWidget

__all__ = ["NextImageWidget"]
