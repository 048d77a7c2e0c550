"""The Segment all dock: every object of an image, or better boundaries for labels."""

from napari_hqsam.plugin.segment_all.widget import SegmentAllWidget

__all__ = ["SegmentAllWidget"]
