"""napari's writer: a Labels layer to TIFF (which Fiji reads with its scale), OME-Zarr or PNG."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.export import write_labels


def write_layer(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write one Labels layer.

    Parameters
    ----------
    path : str
        Where to; the suffix chooses the format.
    data : array-like
        The layer's labels; of a pyramid the finest level is written.
    meta : dict
        The layer's attributes, of which scale, units and axis labels are used.

    Returns
    -------
    list of str
        The path.

    Raises
    ------
    OSError
        If nothing was written; napari shows its message.
    """
    if meta.get("multiscale"):
        data = data[0]
    ndim = len(data.shape)
    labels = "".join(str(label).lower() for label in meta.get("axis_labels", ()))
    axes = labels if labels in ("yx", "zyx", "tyx", "tzyx") else "tzyx"[-ndim:]
    units = [str(unit) for unit in meta.get("units") or ()] or None
    try:
        write_labels(path, np.asarray(data), scale=meta.get("scale"), units=units, axes=axes)
    except HQSAMError as error:
        # napari takes a ValueError for "no writer found" and goes on without a word
        raise OSError(str(error)) from error
    return [path]
