"""napari's reader: opens image files lazily, and beside the picture the dock to annotate it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any
from weakref import WeakSet

import numpy as np

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images import ImageSource, IntensityMapping, open_image
from napari_hqsam.images.files import FileImage, open_file
from napari_hqsam.images.layer import CHANNEL
from napari_hqsam.images.lazy import ArrayView
from napari_hqsam.images.location import Location
from napari_hqsam.images.pyramid import virtual_levels

LayerData = tuple[Any, ...]

_EDITABLE_BYTES = 2**29
_COLOURS = ("cyan", "magenta", "yellow", "blue", "green", "red")
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
        A TIFF, PNG or JPEG file, a zarr folder, or the URL of one.

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

    Axes of length 1 other than y and x are left out, so that no slider stands for one plane; y
    and x come last. Planes over 8192² pixels without a pyramid get a virtual one: napari copies
    the whole plane that it shows.
    """
    source = open_image(list(file.levels), axes=file.axes, scale=file.scale, units=file.units)
    axes = source.plane_axes + "yx"
    about: dict[str, Any] = {"axis_labels": tuple(axes), "name": _stem(file.path)}
    if source.scale and source.units:
        kept = [source.axes.index(a) for a in axes]
        about["scale"] = tuple(source.scale[i] for i in kept)
        about["units"] = tuple(source.units[i] for i in kept)
    if file.is_labels:
        labels = _data(file, axes, nearest=True)
        if not isinstance(labels, list) and labels.nbytes <= _EDITABLE_BYTES:
            labels = np.array(labels)  # on disk they could not be painted
        return [(labels, about, "labels")]
    if file.rgb:
        return [(_data(file, axes + "c"), about | {"rgb": True}, "image")]
    return [
        (_data(file, axes, c), about | _look(file, source, c), "image")
        for c in range(source.n_channels)
    ]


def _look(file: FileImage, source: ImageSource, channel: int) -> dict[str, Any]:
    """Layer arguments that differ between channels; the colours are those that napari gives."""
    look: dict[str, Any] = {"contrast_limits": _contrast(file, channel)}
    n = source.n_channels
    if n == 1:
        return look
    names = file.channel_names or [f"channel {c}" for c in range(n)]
    colours = ("magenta", "green") if n == 2 else _COLOURS
    return look | {
        "name": f"{_stem(file.path)} {names[channel]}",
        "colormap": colours[channel % len(colours)],
        "blending": "additive" if channel else "translucent_no_depth",
        "metadata": {CHANNEL: channel},
    }


def _data(file: FileImage, wanted: str, channel: int = 0, *, nearest: bool = False) -> Any:
    """The arrays with their axes as wanted, at one channel if c is not; lazy."""
    levels = list(file.levels)
    if file.axes != wanted:
        order = [file.axes.index(a) for a in wanted]
        fixed = {file.axes.index("c"): channel} if "c" in file.axes and "c" not in wanted else {}
        levels = [_view(level, order, fixed) for level in levels]
    if len(levels) == 1:
        levels = virtual_levels(levels[0], wanted, nearest=nearest)
    return levels if len(levels) > 1 else levels[0]


def _view(level: Any, order: list[int], fixed: dict[int, int]) -> Any:
    if not isinstance(level, np.ndarray):
        return ArrayView(level, order, fixed)
    kept = sorted(order)
    index = tuple(slice(None) if i in kept else fixed.get(i, 0) for i in range(level.ndim))
    return level[index].transpose([kept.index(i) for i in order])


def _contrast(file: FileImage, channel: int) -> tuple[float, float]:
    """Contrast limits of a channel, from a sample of its pixels; never two equal ones.

    They are the numbers that the shell takes for this channel, so that both find the same masks.
    """
    source = open_image(list(file.levels), axes=file.axes, channels=channel)
    if source.dtype == np.uint8:
        return 0.0, 255.0
    ((low, high),) = IntensityMapping.from_percentiles(source).limits
    return low, high if high > low else low + 1


def _stem(path: Location) -> str:
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
