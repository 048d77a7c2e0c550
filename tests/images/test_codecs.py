from __future__ import annotations

import bz2
import gzip
import json
import lzma
import struct
import tracemalloc
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import imagecodecs
import numcodecs
import numpy as np
import pytest
import tifffile
import zarr

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images import open_image

IMAGE = np.random.default_rng(0).integers(0, 4000, (64, 64), dtype=np.uint16)
BOMB = bytes(300 * 2**20)
BOMBS = {
    "zlib": zlib.compress(BOMB),
    "gzip": gzip.compress(BOMB),
    "bz2": bz2.compress(BOMB),
    "lzma": lzma.compress(BOMB, preset=0),
    "zstd": imagecodecs.zstd_encode(BOMB),
    "blosc": bytes(numcodecs.Blosc().encode(BOMB)),
    "lz4": bytes(numcodecs.LZ4().encode(BOMB)),
}
IN_V3 = {
    "gzip": zarr.codecs.GzipCodec(),
    "zstd": zarr.codecs.ZstdCodec(),
    "blosc": zarr.codecs.BloscCodec(),
}


def refused_in_little_memory(path: Path) -> None:
    source = open_image(path)
    tracemalloc.start()
    with pytest.raises(HQSAMError, match="cannot be read") as caught:
        source.read((), 0, 0, 64, 64)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert peak < 30 * 2**20


@pytest.mark.parametrize("kind", BOMBS)
def test_a_chunk_that_unpacks_to_far_more_than_its_size(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.zarr"
    codec = numcodecs.get_codec({"id": kind})
    zarr.create_array(path, data=IMAGE, chunks=(64, 64), zarr_format=2, compressors=codec)
    (path / "0.0").write_bytes(BOMBS[kind])
    refused_in_little_memory(path)


@pytest.mark.parametrize("kind", IN_V3)
@pytest.mark.parametrize("shards", [None, (64, 64)])
def test_the_same_in_zarr_v3(tmp_path: Path, kind: str, shards: tuple | None) -> None:
    path = tmp_path / "a.zarr"
    options: dict[str, Any] = {"chunks": (64, 64), "compressors": IN_V3[kind], "shards": shards}
    zarr.create_array(path, data=IMAGE, **options)
    content = BOMBS[kind]
    if shards:  # one chunk, then the index of the shard: offset, length, CRC
        index = struct.pack("<QQ", 0, len(content))
        content += index + struct.pack(
            "<I", int(numcodecs.CRC32C().encode(index)[-4:].view("<u4")[0])
        )
    (path / "c" / "0" / "0").write_bytes(content)
    refused_in_little_memory(path)


def test_a_bomb_in_a_filter(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    zarr.create_array(
        path,
        data=IMAGE,
        chunks=(64, 64),
        zarr_format=2,
        filters=[numcodecs.Zlib()],
        compressors=None,
    )
    (path / "0.0").write_bytes(BOMBS["zlib"])
    refused_in_little_memory(path)


def test_a_frame_that_does_not_say_its_size(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    zarr.create_array(path, data=IMAGE, chunks=(64, 64), compressors=IN_V3["zstd"])
    # a second frame after an honest first one
    honest = imagecodecs.zstd_encode(IMAGE.tobytes())
    (path / "c" / "0" / "0").write_bytes(honest + BOMBS["zstd"])
    refused_in_little_memory(path)


@pytest.mark.parametrize("kind", BOMBS)
@pytest.mark.parametrize("dtype", ["u1", ">u2", "f8"])
def test_honest_chunks_come_back(tmp_path: Path, kind: str, dtype: str) -> None:
    path = tmp_path / "a.zarr"
    image = (IMAGE // 16).astype(dtype)
    filters = [numcodecs.Delta(dtype)]
    codec = numcodecs.get_codec({"id": kind})
    options: dict[str, Any] = {"zarr_format": 2, "compressors": codec, "filters": filters}
    zarr.create_array(path, data=image, chunks=(32, 48), **options)
    np.testing.assert_array_equal(open_image(path).read((), 0, 0, 64, 64)[..., 0], image)


@pytest.mark.parametrize("kind", IN_V3)
@pytest.mark.parametrize("shards", [None, (64, 64)])
def test_honest_chunks_come_back_in_v3(tmp_path: Path, kind: str, shards: tuple | None) -> None:
    path = tmp_path / "a.zarr"
    # noise, which compression makes larger
    noise = np.random.default_rng(1).integers(0, 2**16, (64, 64), dtype=np.uint16)
    codecs = [IN_V3[kind], zarr.codecs.Crc32cCodec()]
    zarr.create_array(path, data=noise, chunks=(32, 32), shards=shards, compressors=codecs)
    np.testing.assert_array_equal(open_image(path).read((), 0, 0, 64, 64)[..., 0], noise)


def test_several_gzip_members_are_one_chunk(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    zarr.create_array(
        path, data=IMAGE, chunks=(64, 64), zarr_format=2, compressors=numcodecs.GZip()
    )
    content = IMAGE.tobytes()
    (path / "0.0").write_bytes(gzip.compress(content[:1000]) + gzip.compress(content[1000:]))
    np.testing.assert_array_equal(open_image(path).read((), 0, 0, 64, 64)[..., 0], IMAGE)


def test_a_chunk_that_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    zarr.create_array(
        path, data=IMAGE, chunks=(64, 64), zarr_format=2, compressors=numcodecs.Zlib()
    )
    chunk = path / "0.0"
    chunk.write_bytes(chunk.read_bytes()[:500])
    with pytest.raises(HQSAMError, match="cut off"):
        open_image(path).read((), 0, 0, 64, 64)


@pytest.mark.parametrize("kind", ["zlib", "zstd", "lzma"])
def test_a_tiff_strip_that_unpacks_to_far_more_than_its_size(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, IMAGE, compression=kind, rowsperstrip=64)
    with tifffile.TiffFile(path) as tif:
        page = tif.pages[0]
        tags = page.tags["StripOffsets"], page.tags["StripByteCounts"]
    content = bytearray(path.read_bytes())
    for tag, value in zip(tags, (len(content), len(BOMBS[kind])), strict=True):
        struct.pack_into({3: "<H", 4: "<I"}[int(tag.dtype)], content, tag.valueoffset, value)
    path.write_bytes(content + BOMBS[kind])
    tracemalloc.start()
    with suppress(HQSAMError):  # decoders differ: an error, or the first pixels of what is there
        assert not open_image(path).read((), 0, 0, 64, 64).any()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30 * 2**20


def test_absurd_shards_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    size = 2**20
    zarr.create_array(
        tmp_path / "small", shape=(64, 64), chunks=(8, 8), shards=(64, 64), dtype="u2"
    )
    document = json.loads((tmp_path / "small" / "zarr.json").read_text())
    document["shape"] = [size, size]
    document["chunk_grid"]["configuration"]["chunk_shape"] = [size, size]
    path.mkdir()
    (path / "zarr.json").write_text(json.dumps(document))
    with pytest.raises(HQSAMError, match="chunks in each shard are too many"):
        open_image(path)
