"""napari's writer: a Labels layer to TIFF (which Fiji reads with its scale), OME-Zarr or PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.export import write_labels
from napari_hqsam.labels.place import lies_in
from napari_hqsam.plugin.label_folder import STORE


def write_layer(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write one Labels layer, however large: what is not in memory is read block by block.

    A layer that shows a zarr is saved with every stroke: saving it where it is does nothing.

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
    store = (meta.get("metadata") or {}).get(STORE)
    if store is not None:
        return _write_store(path, Path(store))
    if meta.get("multiscale"):
        data = data[0]
    if not hasattr(data, "__dask_graph__") and lies_in(data, Path(path).expanduser()):
        return [path]
    ndim = len(data.shape)
    labels = "".join(str(label).lower() for label in meta.get("axis_labels", ()))
    axes = labels if labels in ("yx", "zyx", "tyx", "tzyx") else "tzyx"[-ndim:]
    units = [str(unit) for unit in meta.get("units") or ()] or None
    try:
        write_labels(path, data, scale=meta.get("scale"), units=units, axes=axes)
    except HQSAMError as error:
        # napari takes a ValueError for "no writer found" and goes on without a word
        raise OSError(str(error)) from error
    return [path]


def _write_store(path: str, store: Path) -> list[str]:
    """Write all of the labels of which a layer shows a part."""
    from napari_hqsam.labels.store import LabelStore

    if Path(path).expanduser().absolute() == store.absolute():
        return [path]
    try:
        labels = LabelStore.open(store)
        write_labels(path, labels, axes=labels.axes, scale=labels.scale, units=labels.units)
    except HQSAMError as error:
        raise OSError(str(error)) from error
    return [path]
