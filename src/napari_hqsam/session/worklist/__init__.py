"""A folder or a list of images to annotate, one after the other."""

from napari_hqsam.session.worklist.queue import Skip, WorkImage, Worklist
from napari_hqsam.session.worklist.scan import scan_folder, scan_list

__all__ = ["Skip", "WorkImage", "Worklist", "scan_folder", "scan_list"]
