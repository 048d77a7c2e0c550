"""napari's reader: opens image files lazily, and beside the picture the dock to annotate it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakSet

import numpy as np

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images import IntensityMapping, open_image
from napari_hqsam.images.files import FileImage, open_file

LayerData = tuple[Any, ...]

_CONTRAST_PIXELS = 1_000_000
_EDITABLE_BYTES = 2**29
_PLANE_BYTES = 2**32  # napari copies the whole plane that it shows
_with_dock: WeakSet[Any] = WeakSet()


def get_reader(path: str | list[str]) -> Callable[[str], list[LayerData]] | None:
    """Return the function that reads `path`, or None where napari should look further.

    Parameters
    ----------
    path : str or list of str
        What the user opens; a list means "as one stack", which is left to other readers.
    """
    if isinstance(path, str):
        return read_file
    return None


def read_file(path: str) -> list[LayerData]:
    """Open an image file as napari layers and, once for each viewer, the dock Annotate.

    Parameters
    ----------
    path : str
        A TIFF, PNG or JPEG file, or a zarr folder.

    Returns
    -------
    list of tuple
        ``(data, keyword arguments, layer type)``: lazy data, a list if there are pyramid levels,
        with name, scale, units, axis labels and contrast limits. A file that cannot be read
        gives a notification and no layer.
    """
    try:
        file = open_file(path)
        try:
            layers = layers_of(file)
        except HQSAMError:
            file.close()
            raise
    except HQSAMError as error:
        from napari.utils.notifications import show_error

        show_error(str(error))
        return [(None,)]
    _open_dock()
    return layers


def layers_of(file: FileImage) -> list[LayerData]:
    """Return the layers of an open file: one, or one for each channel without colours.

    Axes of length 1 other than y and x are left out, so that no slider stands for one plane.
    """
    source = open_image(list(file.levels), axes=file.axes, scale=file.scale, units=file.units)
    height, width = source.yx_shape()
    plane_bytes = height * width * source.dtype.itemsize * (3 if file.rgb else 1)
    if len(file.levels) == 1 and plane_bytes > _PLANE_BYTES:
        raise HQSAMError(
            f"{file.path}: napari would need {plane_bytes / 2**30:.1f} GiB to show a plane of "
            f"{height} x {width} pixels; save it with pyramid levels (OME-Zarr or tiled TIFF)"
        )
    axes = source.axes.replace("c", "")
    about: dict[str, Any] = {"axis_labels": tuple(axes)}
    if source.scale and source.units:
        kept = [source.axes.index(a) for a in axes]
        about["scale"] = tuple(source.scale[i] for i in kept)
        about["units"] = tuple(source.units[i] for i in kept)
    stem = _stem(file.path)
    if file.is_labels:
        labels = _data(file.levels, file.axes, axes)
        if len(file.levels) == 1 and labels.nbytes <= _EDITABLE_BYTES:
            labels = np.array(labels)  # on disk they could not be painted
        return [(labels, about | {"name": stem}, "labels")]
    if file.rgb:
        data = _data(file.levels, file.axes, axes + "c")
        return [(data, about | {"name": stem, "rgb": True}, "image")]
    limits = [_contrast(file, c) for c in range(source.n_channels)]
    if source.n_channels == 1:
        data = _data(file.levels, file.axes, axes)
        return [(data, about | {"name": stem, "contrast_limits": limits[0]}, "image")]
    names = file.channel_names or [f"channel {c}" for c in range(source.n_channels)]
    about |= {
        "channel_axis": source.axes.index("c"),
        "name": [f"{stem} {name}" for name in names],
        "contrast_limits": limits,
    }
    return [(_data(file.levels, file.axes, source.axes), about, "image")]


def _data(levels: tuple[Any, ...], axes: str, wanted: str) -> Any:
    """The arrays with their axes as wanted; those left out have length 1, or are c's index 0."""
    if axes != wanted:
        index = tuple(slice(None) if a in wanted else 0 for a in axes)
        kept = [a for a in axes if a in wanted]
        order = [kept.index(a) for a in wanted]
        levels = tuple(_lazy(level)[index].transpose(order) for level in levels)
    return list(levels) if len(levels) > 1 else levels[0]


def _lazy(level: Any) -> Any:
    """An array of which a view can be taken without reading it."""
    if isinstance(level, np.ndarray):
        return level
    import dask.array as da

    return da.from_array(level, chunks=level.chunks)


def _contrast(file: FileImage, channel: int) -> tuple[float, float]:
    """Contrast limits of a channel, from a sample of its pixels; never two equal ones."""
    source = open_image(list(file.levels), axes=file.axes, channels=channel)
    if source.dtype == np.uint8:
        return 0.0, 255.0
    ((low, high),) = IntensityMapping.from_percentiles(source, max_pixels=_CONTRAST_PIXELS).limits
    return low, high if high > low else low + 1


def _stem(path: Path) -> str:
    name = path.name
    for suffix in (".ome.tiff", ".ome.tif", ".ome.zarr", path.suffix):
        if suffix and name.lower().endswith(suffix.lower()):
            return name[: -len(suffix)] or name
    return name


def _open_dock() -> None:
    """Open Annotate in the current viewer as soon as the picture is in it.

    Once for each viewer: a dock that the user has closed stays closed.
    """
    from napari import current_viewer

    viewer = current_viewer()
    if viewer is None or viewer in _with_dock:
        return
    from qtpy.QtCore import QTimer

    _with_dock.add(viewer)
    QTimer.singleShot(0, partial(_add_dock, viewer))


def _add_dock(viewer: Any) -> None:
    # the window may have been closed before its event loop came to this
    with suppress(RuntimeError):
        viewer.window.add_plugin_dock_widget("napari-hqsam", "Annotate")
