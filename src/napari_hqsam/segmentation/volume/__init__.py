"""Objects followed through z or t, slice by slice.

::

    seeds       what the user vouches for, on some slices
    walk        all objects of a direction together, from slice to slice
      answers     what the network says of the neighbour's masks, on the next slice
      likeness    and what looks there as the objects did before
      score       how sure that is, and whether an object has ended
    propagation both directions, what lies between two seeds, smoothing
    job         labels of that, in memory or on disk

The names are imported on first use: docks and the command line open before torch is loaded.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_hqsam.segmentation.volume.course import Course
    from napari_hqsam.segmentation.volume.job import PropagateJob
    from napari_hqsam.segmentation.volume.propagation import Propagation
    from napari_hqsam.segmentation.volume.settings import PropagateSettings
    from napari_hqsam.segmentation.volume.slice_mask import SliceMask

__all__ = ["Course", "PropagateJob", "PropagateSettings", "Propagation", "SliceMask"]

_MODULES = {
    "Course": "course",
    "PropagateJob": "job",
    "PropagateSettings": "settings",
    "Propagation": "propagation",
    "SliceMask": "slice_mask",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
