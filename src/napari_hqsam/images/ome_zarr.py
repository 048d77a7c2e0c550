"""OME-Zarr images (0.1 to 0.5) and plain zarr arrays (v2 and v3), opened lazily.

The metadata is read leniently, by what the axes and paths need: files in the wild lack omero
windows, versions or transformations, and a strict validator would keep them out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images.axes import axes_from_names, guess_axes
from napari_hqsam.images.files import MAX_CHUNK_BYTES, FileImage, check_chunk
from napari_hqsam.images.location import Location, zarr_store
from napari_hqsam.images.units import unit_name

_MARKERS = ("zarr.json", ".zarray", ".zgroup", ".zattrs")
_INDEX_ENTRY = 16  # bytes in a shard's index for each of its chunks
_PICKLED = "{}: its pixels are Python pickles, which can run code; ask for it in another codec"


def open_zarr(path: Location) -> FileImage:
    """Open a folder as an OME-Zarr image, or as a plain zarr array.

    Links within a local folder are followed, wherever they lead: they are part of how it is
    stored. Names in the metadata that lead outside the folder are refused.

    Parameters
    ----------
    path : pathlib.Path or Url
        A folder with an OME-Zarr image, a bioformats2raw series (its first image is taken), a
        zarr array, or a zarr group that holds one array.

    Raises
    ------
    HQSAMError
        If the folder is no zarr, holds several images, or its arrays cannot be used safely, or
        the server does not answer.
    """
    if isinstance(path, Path) and not any((path / marker).is_file() for marker in _MARKERS):
        raise HQSAMError(
            f"{path}: this folder is no zarr; give a folder with a zarr image, or one image file"
        )
    import zarr

    try:
        node = zarr.open(zarr_store(path), mode="r")
        if isinstance(node, zarr.Array):
            return _plain(path, node)
        attributes: dict[str, Any] = dict(node.attrs)
        return _image(path, node, attributes.get("ome", attributes))
    except HQSAMError:
        raise
    except Exception as error:  # damaged JSON, unknown codecs, fields of the wrong type, no server
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        if "pickle" in reason:
            raise HQSAMError(_PICKLED.format(path)) from error
        if isinstance(path, Path) or not _is_of_server(error):
            raise HQSAMError(
                f"{path}: the zarr metadata cannot be used ({reason[:160]}); write the image again"
            ) from error
        if isinstance(error, FileNotFoundError):
            raise HQSAMError(f"{path}: there is no zarr at this address; check it") from error
        raise HQSAMError(
            f"{path}: the server cannot be read ({reason[:160]}); check the address, the network "
            "and whether it asks for a login"
        ) from error


def _is_of_server(error: Exception) -> bool:
    """Whether an error came from the transfer rather than from what was transferred."""
    library = type(error).__module__.partition(".")[0]
    return isinstance(error, OSError) or library in ("aiohttp", "botocore", "fsspec", "s3fs")


def _image(path: Location, group: Any, ome: Mapping[str, Any]) -> FileImage:
    """The image of a group: its first multiscale, its only array, or its first series."""
    if ome.get("multiscales"):
        return _multiscale(path, group, ome)
    if "bioformats2raw.layout" in ome and "0" in group:
        return open_zarr(path / "0")
    example = None
    if "plate" in ome:
        kind = "a plate"
        wells = ome["plate"].get("wells") or [{}]
        if "path" in wells[0]:
            example = f"{wells[0]['path']}/0"
    elif "well" in ome:
        kind = "a well"
        images = ome["well"].get("images") or [{}]
        example = images[0].get("path")
    else:
        arrays = sorted(group.array_keys())
        if len(arrays) == 1:
            return _plain(path, group[arrays[0]])
        kind = "a group without an image of its own"
        example = next(iter(arrays or sorted(group.group_keys())), None)
    such_as = f", such as {path / str(example)}" if example else ""
    raise HQSAMError(f"{path}: this is {kind}; give one image of it{such_as}")


def _multiscale(path: Location, group: Any, ome: Mapping[str, Any]) -> FileImage:
    multiscale = ome["multiscales"][0]
    datasets = multiscale["datasets"]
    levels = tuple(_level(path, group, str(dataset["path"])) for dataset in datasets)
    ndim = len(levels[0].shape)
    described = [a if isinstance(a, Mapping) else {"name": a} for a in multiscale.get("axes", ())]
    if not described:  # 0.1 and 0.2 are always tczyx
        described = [{"name": a} for a in "tczyx"[-ndim:]]
    if len(described) != ndim:
        raise HQSAMError(
            f"{path}: the metadata name {len(described)} axes for arrays of {ndim} dimensions; "
            f"open the array {path / str(datasets[0]['path'])} by itself"
        )
    kinds = {"time": "t", "channel": "c"}
    axes = axes_from_names([kinds.get(str(a.get("type")), str(a["name"])) for a in described])
    scale = _scale(multiscale, datasets[0], ndim)
    units = None
    if scale is not None:
        units = tuple(unit_name(a.get("unit")) for a in described)
    channels = (ome.get("omero") or {}).get("channels") or []
    n_channels = int(levels[0].shape[axes.index("c")]) if "c" in axes else 1
    names = None
    if "c" in axes and len(channels) == n_channels:
        names = tuple(str(ch.get("label", f"channel {i}")) for i, ch in enumerate(channels))
    return FileImage(
        path,
        levels,
        axes,
        scale,
        units,
        rgb=n_channels == 3 and levels[0].dtype == np.uint8 and _are_colours(axes, channels),
        channel_names=names,
        is_labels="image-label" in ome,
    )


def _are_colours(axes: str, channels: Sequence[Mapping[str, Any]]) -> bool:
    """Whether three channels are shown as red, green, blue, as converters of slides write them."""
    shown = [str(channel.get("color", "")).upper().lstrip("#") for channel in channels]
    return axes[-1] == "c" or shown == ["FF0000", "00FF00", "0000FF"]


def _scale(
    multiscale: Mapping[str, Any], dataset: Mapping[str, Any], ndim: int
) -> tuple[float, ...] | None:
    """Step of level 0 along each axis: the dataset's scale times the one of all levels."""
    steps = [1.0] * ndim
    found = False
    for described in (dataset, multiscale):
        for transform in described.get("coordinateTransformations") or ():
            if transform.get("type") == "scale" and len(transform.get("scale", ())) == ndim:
                steps = [a * float(b) for a, b in zip(steps, transform["scale"], strict=True)]
                found = True
    usable = found and all(step > 0 and math.isfinite(step) for step in steps)
    return tuple(steps) if usable else None


def _level(path: Location, group: Any, key: str) -> Any:
    import zarr

    if PurePosixPath(key).is_absolute() or ".." in PurePosixPath(key).parts or "\\" in key:
        raise HQSAMError(f"{path}: its level {key!r} lies outside the folder; refused")
    try:
        array = group[key]
    except KeyError:
        array = None
    if not isinstance(array, zarr.Array):
        raise HQSAMError(f"{path}: its level {key!r} is missing; copy or write the image again")
    return _checked(path, array)


def _plain(path: Location, array: Any) -> FileImage:
    """An array without OME metadata; its dimension names are used if they name y and x."""
    array = _checked(path, array)
    names = getattr(array.metadata, "dimension_names", None)
    names = names or array.attrs.get("_ARRAY_DIMENSIONS") or ()
    axes = axes_from_names([str(name) for name in names])
    if len(axes) != array.ndim or not {"y", "x"} <= set(axes):
        axes = guess_axes(array.shape)
    return FileImage(path, (array,), axes, rgb=axes[-1] == "c" and array.shape[-1] in (3, 4))


def _checked(path: Location, array: Any) -> Any:
    """Refuse codecs that could run code, pixels that are no numbers, and absurd chunks."""
    if "pickle" in _codec_names(array.metadata.to_dict()):
        raise HQSAMError(_PICKLED.format(path))
    if array.dtype.kind not in "buifc":
        raise HQSAMError(f"{path}: its pixels are {array.dtype}, not numbers; it is no image")
    check_chunk(array.chunks, array.dtype.itemsize, path)
    if array.shards is not None:
        entries = math.prod(s // c for s, c in zip(array.shards, array.chunks, strict=True))
        if entries * _INDEX_ENTRY > MAX_CHUNK_BYTES:
            raise HQSAMError(
                f"{path}: {entries:.3g} chunks in each shard are too many; save it with fewer"
            )
        if len(array.metadata.codecs) > 1:  # then shards are read as a whole
            check_chunk(array.shards, array.dtype.itemsize, path)
    from napari_hqsam.images.codecs import bounded

    return bounded(array)


def _codec_names(metadata: Any) -> str:
    """All codec names of an array's metadata, nested ones included, in one string."""
    if isinstance(metadata, Mapping):
        names = [str(metadata.get("id", "")), str(metadata.get("name", ""))]
        inner = [v for k, v in metadata.items() if k != "attributes"]
        return " ".join([*names, *(_codec_names(v) for v in inner)]).lower()
    if isinstance(metadata, (list, tuple)):
        return " ".join(_codec_names(v) for v in metadata)
    if hasattr(metadata, "get_config"):  # a codec of numcodecs
        return _codec_names(metadata.get_config())
    return ""
