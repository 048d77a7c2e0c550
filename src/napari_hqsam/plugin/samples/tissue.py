"""A slide of real tissue, made of one small picture: large to look at, small on the disk.

The picture is repeated, mirrored, 48 by 48 times. Each level of the pyramid is one shard of
zarr v3 whose index names the same few chunks again and again: 1.8 GB of pixels take 3 MB.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.errors import HQSAMError
from napari_hqsam.storage import CRC_BYTES, crc32c
from napari_hqsam.weights.cache import CACHE_VARIABLE, cache_dir

REPEATS = 48
_TILE = 512
_LEVELS = 6


def slide_path() -> Path:
    """Return the slide's OME-Zarr folder in the cache; it is made if it is not there.

    Raises
    ------
    HQSAMError
        If the cache cannot be written.
    """
    path = cache_dir() / "samples" / "slide.ome.zarr"
    if path.is_dir():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        made = path.with_name(f"{os.getpid()}-{secrets.token_hex(4)}")
        try:
            made.mkdir()
            _write(made)
            os.replace(made, path)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    except OSError as error:
        if not path.is_dir():  # another process was faster
            raise HQSAMError(
                f"{path}: the sample cannot be written ({error.strerror or error}); make room "
                f"there, or set {CACHE_VARIABLE} to another folder"
            ) from error
    return path


def _write(folder: Path) -> None:
    from skimage.data import immunohistochemistry

    tile = immunohistochemistry().transpose(2, 0, 1)
    for level in range(_LEVELS):
        _write_level(folder / str(level), tile, REPEATS * tile.shape[1])
        c, h, w = tile.shape
        halved = tile.reshape(c, h // 2, 2, w // 2, 2).mean((2, 4))
        tile = np.rint(halved).astype(np.uint8)
    axes = [{"name": "c", "type": "channel"}, *({"name": a, "type": "space"} for a in "yx")]
    levels = [
        {
            "path": str(level),
            "coordinateTransformations": [{"type": "scale", "scale": [1, 2**level, 2**level]}],
        }
        for level in range(_LEVELS)
    ]
    colours = zip(("red", "green", "blue"), ("FF0000", "00FF00", "0000FF"), strict=True)
    window = {"min": 0, "max": 255, "start": 0, "end": 255}
    ome = {
        "version": "0.5",
        "multiscales": [{"name": "slide", "axes": axes, "datasets": levels}],
        "omero": {
            "channels": [
                {"label": name, "color": colour, "active": True, "window": window}
                for name, colour in colours
            ]
        },
    }
    group = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}}
    (folder / "zarr.json").write_text(json.dumps(group, indent=1), "utf-8")


def _write_level(folder: Path, tile: NDArray[np.uint8], side: int) -> None:
    """Write one array, (3, side, side), of mirrored copies of `tile` in chunks of 512 x 512."""
    from imagecodecs import zstd_encode

    chunks = -(-side // _TILE)
    down = np.concatenate([tile, tile[:, ::-1]], 1)
    period = np.concatenate([down, down[:, :, ::-1]], 2)
    # the coarser the level, the more of the periods are in one chunk
    fit = max(1, 2 * _TILE // period.shape[1])
    pattern = np.tile(period, (1, fit, fit))
    data, places = b"", np.empty((2, 2, 2), "<u8")
    for row in range(2):
        for column in range(2):
            y, x = row * _TILE, column * _TILE
            chunk = np.ascontiguousarray(pattern[:, y : y + _TILE, x : x + _TILE])
            packed = zstd_encode(chunk.tobytes())
            places[row, column] = len(data), len(packed)
            data += packed
    index = places[np.ix_(np.arange(chunks) % 2, np.arange(chunks) % 2)].tobytes()
    shard = folder / "c" / "0" / "0" / "0"
    shard.parent.mkdir(parents=True)
    shard.write_bytes(data + index + crc32c(index).to_bytes(CRC_BYTES, "little"))
    (folder / "zarr.json").write_text(json.dumps(_metadata(side, chunks * _TILE), indent=1))


def _metadata(side: int, shard: int) -> dict[str, Any]:
    little = {"name": "bytes", "configuration": {"endian": "little"}}
    sharding = {
        "chunk_shape": [3, _TILE, _TILE],
        "codecs": [little, {"name": "zstd", "configuration": {"level": 3, "checksum": False}}],
        "index_codecs": [little, {"name": "crc32c"}],
        "index_location": "end",
    }
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [3, side, side],
        "data_type": "uint8",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [3, shard, shard]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
        "dimension_names": ["c", "y", "x"],
        "attributes": {},
    }
