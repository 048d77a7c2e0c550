"""Objects found window by window become those of the whole plane or volume.

`Instances` are what one window shows. `link` finds out which of them are one object, and `draw`
writes the labels of any box.
"""

from napari_hqsam.segmentation.stitch.draw import draw
from napari_hqsam.segmentation.stitch.instances import Instances
from napari_hqsam.segmentation.stitch.link import Links, link

__all__ = ["Instances", "Links", "draw", "link"]
