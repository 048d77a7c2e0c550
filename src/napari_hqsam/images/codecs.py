"""Decompression that stops: a chunk of a zarr array is unpacked no further than its own size.

A few kilobytes of zlib can hold a gigabyte, and decoders return all of it before zarr sees that
it does not fit the chunk. The stream formats are therefore unpacked here, up to a limit; of those
that begin with the size of their content, that is compared first.
"""

from __future__ import annotations

import asyncio
import bz2
import lzma
import math
import struct
import zlib
from dataclasses import dataclass, replace
from typing import Any

import numcodecs.abc
import zarr
from zarr.abc.codec import BytesBytesCodec, Codec
from zarr.codecs import ShardingCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer

_STREAMS = ("zlib", "gzip", "bz2", "lzma")
_SIZED = {"blosc": 4, "lz4": 0}  # where their headers have the size
_BOUNDED = (*_STREAMS, *_SIZED, "zstd")


def bounded(array: zarr.Array) -> zarr.Array:
    """Return the same array for reading, with decompression that stops at the size of a chunk.

    Its reads raise ValueError for a chunk that holds more. Codecs that are no compression, or
    that numcodecs and zarr do not bring, stay as they are.
    """
    of: Any = array.metadata
    if of.zarr_format == 2:
        limit = _limit(math.prod(of.chunks) * array.dtype.itemsize)
        filters = of.filters and tuple(_bounded_v2(codec, limit) for codec in of.filters)
        new = replace(of, compressor=_bounded_v2(of.compressor, limit), filters=filters)
    else:
        new = replace(of, codecs=tuple(_bounded_v3(codec) for codec in of.codecs))
    return zarr.Array(zarr.AsyncArray(metadata=new, store_path=array.store_path))


class BoundedV2(numcodecs.abc.Codec):
    """A codec of zarr v2 that unpacks no more than `limit` bytes."""

    codec_id = "napari-hqsam-bounded"

    def __init__(self, codec: Any, limit: int) -> None:
        self._codec = codec
        self._limit = limit

    def encode(self, buf: Any) -> Any:
        """Compress as the codec does."""
        return self._codec.encode(buf)

    def decode(self, buf: Any, out: Any = None) -> Any:
        """Decompress up to the limit."""
        found = _unpack(self._codec.codec_id, self.get_config(), bytes(buf), self._limit)
        return self._codec.decode(buf) if found is None else found

    def get_config(self) -> dict[str, Any]:
        """Configuration of the codec, as it stands in the file."""
        config: dict[str, Any] = self._codec.get_config()
        return config


@dataclass(frozen=True)
class BoundedV3(BytesBytesCodec):
    """A codec of zarr v3 that unpacks no more than what its chunk takes."""

    codec: BytesBytesCodec
    is_fixed_size = False

    def to_dict(self) -> dict[str, Any]:
        """Configuration of the codec, as it stands in the file."""
        return dict(self.codec.to_dict())

    def evolve_from_array_spec(self, array_spec: ArraySpec) -> BoundedV3:
        """Let the codec adapt to the array."""
        return BoundedV3(self.codec.evolve_from_array_spec(array_spec))

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """Bytes after compression, where the codec can tell."""
        return self.codec.compute_encoded_size(input_byte_length, chunk_spec)

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> Buffer:
        about = self.to_dict()
        kind, config = _kind(about["name"]), about.get("configuration") or {}
        limit = _limit(math.prod(chunk_spec.shape) * chunk_spec.dtype.to_native_dtype().itemsize)
        packed = chunk_data.to_bytes()
        found = await asyncio.to_thread(_unpack, kind, config, packed, limit)
        if found is not None:
            return chunk_spec.prototype.buffer.from_bytes(found)
        (decoded,) = await self.codec.decode([(chunk_data, chunk_spec)])
        assert decoded is not None
        return decoded


def _bounded_v2(codec: Any, limit: int) -> Any:
    return BoundedV2(codec, limit) if codec is not None and codec.codec_id in _BOUNDED else codec


def _bounded_v3(codec: Codec) -> Codec:
    if isinstance(codec, ShardingCodec):
        inner = tuple(_bounded_v3(c) for c in codec.codecs)
        index = tuple(_bounded_v3(c) for c in codec.index_codecs)
        return replace(codec, codecs=inner, index_codecs=index)
    if isinstance(codec, BytesBytesCodec) and _kind(str(codec.to_dict()["name"])) in _BOUNDED:
        return BoundedV3(codec)
    return codec


def _kind(name: str) -> str:
    return name.removeprefix("numcodecs.")


def _limit(nbytes: int) -> int:
    """Room for what may be stored beside the pixels: checksums, the index of a shard."""
    return 2 * nbytes + 2**16


def _unpack(kind: str, config: dict[str, Any], packed: bytes, limit: int) -> bytes | None:
    """Unpack up to `limit` bytes, or return None where the codec itself may do it."""
    if kind in _SIZED:
        at = _SIZED[kind]
        size = struct.unpack_from("<I", packed, at)[0] if len(packed) >= at + 4 else 0
        _check(size, limit)
        return None
    if kind == "zstd":
        from imagecodecs import ZstdError, zstd_decode

        try:
            found = bytes(zstd_decode(packed, out=limit))
        except ZstdError as error:
            if "too small" in str(error):
                _check(limit + 1, limit)
            raise
        return found
    unpacked = bytearray()
    while packed:
        stream = _stream(kind, config)
        unpacked += stream.decompress(packed, limit + 1 - len(unpacked))
        _check(len(unpacked), limit)
        if not stream.eof:
            raise ValueError(f"a {kind} chunk is cut off")
        packed = stream.unused_data.lstrip(b"\0") if kind != "zlib" else b""
    return bytes(unpacked)


def _stream(kind: str, config: dict[str, Any]) -> Any:
    if kind in ("zlib", "gzip"):
        return zlib.decompressobj(wbits=31 if kind == "gzip" else 15)
    if kind == "bz2":
        return bz2.BZ2Decompressor()
    raw = config.get("format") == lzma.FORMAT_RAW
    return lzma.LZMADecompressor(
        format=config.get("format", lzma.FORMAT_AUTO) if raw else lzma.FORMAT_AUTO,
        filters=config.get("filters") if raw else None,
    )


def _check(size: int, limit: int) -> None:
    if size > limit:
        raise ValueError("a chunk unpacks to far more than its pixels; refused")
