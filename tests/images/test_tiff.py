from __future__ import annotations

import gc
import struct
import time
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images import open_image
from napari_hqsam.images.files import open_file
from napari_hqsam.images.lazy import MappedArray

STACK = np.random.default_rng(0).integers(0, 60_000, (5, 60, 80), dtype=np.uint16)


def refused(path: Path, message: str) -> None:
    """Opening gives one line that names the file, soon."""
    start = time.perf_counter()
    with pytest.raises(HQSAMError, match=message) as caught:
        open_image(path)
    assert time.perf_counter() - start < 10
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def plane_of(path: Path, z: int) -> np.ndarray:
    with open_image(path) as source:
        return source.read((z,), 0, 0, *source.yx_shape())[..., 0]


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_imagej_stack(tmp_path: Path, compression: str | None) -> None:
    path = tmp_path / "a stack.tif"
    metadata = {"axes": "ZYX", "unit": "micron", "spacing": 1.5}
    options = {"imagej": True, "resolution": (4, 2), "metadata": metadata}
    tifffile.imwrite(path, STACK, compression=compression, **options)
    file = open_file(path)
    assert (file.axes, file.scale, file.units) == ("zyx", (1.5, 0.5, 0.25), ("micrometer",) * 3)
    assert isinstance(file.levels[0], MappedArray) == (compression is None)
    assert file.name == "a stack.tif"
    np.testing.assert_array_equal(plane_of(path, 3), STACK[3])


@pytest.mark.parametrize(("unit", "name"), [("nm", "nanometer"), ("\\u00B5m", "micrometer")])
def test_imagej_units(tmp_path: Path, unit: str, name: str) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK[0], imagej=True, resolution=(1, 1), metadata={"unit": unit})
    assert open_file(path).units == (name,) * 2


def test_imagej_without_calibration(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK, imagej=True, metadata={"axes": "TYX", "finterval": 2.5})
    file = open_file(path)
    assert (file.axes, file.scale, file.units) == ("tyx", (2.5, 1, 1), ("second", "pixel", "pixel"))


def test_ome_tiff(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    image = np.stack([STACK, STACK + 1])
    metadata = {
        "axes": "CZYX",
        "PhysicalSizeX": 250,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": 0.25,
        "PhysicalSizeYUnit": "µm",
        "PhysicalSizeZ": 2,
        "Channel": {"Name": ["DAPI", "Actin"]},
    }
    tifffile.imwrite(path, image, ome=True, tile=(32, 32), compression="zlib", metadata=metadata)
    file = open_file(path)
    assert (file.axes, file.scale) == ("czyx", (1, 2, 0.25, 250))
    assert file.units == ("pixel", "micrometer", "micrometer", "nanometer")
    assert file.channel_names == ("DAPI", "Actin")
    assert not file.rgb
    with open_image(path, channels=1) as source:
        pixels = source.read((4,), 10, 20, 50, 70)
    np.testing.assert_array_equal(pixels[..., 0], image[1, 4, 10:50, 20:70])


def test_pyramid(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    full = np.random.default_rng(1).integers(0, 999, (256, 320), dtype=np.uint16)
    with tifffile.TiffWriter(path, ome=True) as writer:
        options = {"tile": (64, 64), "compression": "zlib"}
        writer.write(full, subifds=2, metadata={"axes": "YX"}, **options)
        writer.write(full[::2, ::2], subfiletype=1, **options)
        writer.write(full[::4, ::4], subfiletype=1, **options)
    with open_image(path) as source:
        assert [source.yx_shape(i) for i in range(3)] == [(256, 320), (128, 160), (64, 80)]
        np.testing.assert_array_equal(
            source.read((), 0, 0, 64, 80, level=2)[..., 0], full[::4, ::4]
        )


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_colours(tmp_path: Path, planar: str) -> None:
    path = tmp_path / "a.tif"
    image = np.random.default_rng(2).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    data = image if planar == "contig" else np.moveaxis(image, -1, 0)
    tifffile.imwrite(path, data, photometric="rgb", planarconfig=planar, compression="zlib")
    with open_image(path) as source:
        assert source.rgb
        np.testing.assert_array_equal(source.read((), 0, 0, 40, 50), image)


@pytest.mark.parametrize("n", [2, 5])
def test_samples_that_are_no_colours(tmp_path: Path, n: int) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, np.zeros((40, 50, n), "u1"), photometric="minisblack", planarconfig="contig"
    )
    with open_image(path) as source:
        assert (source.axes, source.n_channels, source.rgb) == ("yxc", n, False)


@pytest.mark.parametrize("dtype", ["?", "u1", "i2", "u4", "i4", "f2", "f4", "f8"])
@pytest.mark.parametrize("byteorder", "<>")
def test_dtypes_in_both_byte_orders(tmp_path: Path, dtype: str, byteorder: str) -> None:
    image = (STACK % 2).astype(dtype) if dtype == "?" else (STACK // 600).astype(dtype)
    for compression in (None, "zlib"):
        path = tmp_path / f"{compression}.tif"
        tifffile.imwrite(path, image, byteorder=byteorder, compression=compression)
        with open_image(path) as source:
            assert source.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(plane_of(path, 2), image[2])


def test_pages_without_metadata_are_z(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK, metadata=None, compression="zlib", photometric="minisblack")
    assert open_file(path).axes == "zyx"
    tifffile.imwrite(path, np.stack([STACK, STACK]), compression="zlib", photometric="minisblack")
    assert open_file(path).axes == "tzyx"


@pytest.mark.parametrize(("unit", "scale"), [("CENTIMETER", (2.5, 2.5)), ("INCH", None)])
def test_resolution_of_a_plain_file(tmp_path: Path, unit: str, scale: object) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK[0], resolution=(4000, 4000), resolutionunit=unit)
    assert open_file(path).scale == scale


def test_given_axes_and_scale_win(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK[:3], imagej=True, metadata={"axes": "ZYX"})
    with open_image(path, axes="cyx", scale=(0.1, 0.1), units="µm") as source:
        assert (source.axes, source.n_channels) == ("cyx", 3)
        assert source.scale == (1.0, 0.1, 0.1)
    with pytest.raises(HQSAMError, match="axes"):
        open_image(path, axes="yx")


@pytest.mark.parametrize(
    "options",
    [
        {"imagej": True, "metadata": {"axes": "ZYX"}},
        {"imagej": True, "metadata": {"axes": "ZYX"}, "compression": "zlib"},
        {"compression": "zlib"},
        {"compression": "zlib", "metadata": None},
        {"bigtiff": True, "tile": (32, 32)},
        {"ome": True, "compression": "zlib"},
        {},
    ],
    ids=str,
)
def test_a_file_cut_off_anywhere_is_refused(tmp_path: Path, options: dict) -> None:
    whole = tmp_path / "whole.tif"
    tifffile.imwrite(whole, STACK, photometric="minisblack", **options)
    # what lies behind the last pixels is not missed
    with tifffile.TiffFile(whole) as tif:
        end = max(max(p.dataoffsets) + p.databytecounts[-1] for p in tif.pages)
    content = whole.read_bytes()
    for n in (0, 3, 8, 20, end // 10, end // 3, end // 2, end * 9 // 10, end - 1):
        path = tmp_path / f"{n}.tif"
        path.write_bytes(content[:n])
        refused(path, "damaged|empty|no TIFF")


def test_a_cut_off_imagej_stack_with_a_single_page_header(tmp_path: Path) -> None:
    # ImageJ writes stacks over 4 GB with one header for all planes
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK[:1], imagej=True, metadata={"images": 5, "slices": 5})
    content = path.read_bytes().replace(b"images=1\n", b"images=5\n")
    path.write_bytes(content)
    refused(path, "planes are missing")


def circular(path: Path, n_pages: int, back_to: int) -> None:
    """Let the last of the pages point back at an earlier one."""
    tifffile.imwrite(path, np.zeros((n_pages, 9, 9), "u1"), photometric="minisblack", metadata=None)
    with tifffile.TiffFile(path) as tif:
        offsets = [page.offset for page in tif.pages]
    content = bytearray(path.read_bytes())
    n_tags = struct.unpack_from("<H", content, offsets[-1])[0]
    struct.pack_into("<I", content, offsets[-1] + 2 + 12 * n_tags, offsets[back_to])
    path.write_bytes(content)


@pytest.mark.parametrize(("n_pages", "back_to"), [(1, 0), (3, 1), (150, 120)])
def test_circular_pages_are_refused(tmp_path: Path, n_pages: int, back_to: int) -> None:
    path = tmp_path / "circle.tif"
    circular(path, n_pages, back_to)
    refused(path, "circle")


def test_a_pyramid_level_that_is_the_image_itself_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(np.ones((64, 64), "u1"), subifds=1, compression="zlib")
        writer.write(np.ones((32, 32), "u1"), subfiletype=1, compression="zlib")
    with tifffile.TiffFile(path) as tif:
        tag = tif.pages[0].tags["SubIFDs"]
        first = tif.pages[0].offset
        where = tag.valueoffset
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, where, first)
    path.write_bytes(content)
    with open_image(path) as source:
        assert len(source.levels) == 1


def test_a_giant_strip_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.tif"
    tifffile.imwrite(path, np.zeros((64, 64), "u1"), compression="zlib", rowsperstrip=64)
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tif:
        tags = {name: tif.pages[0].tags[name] for name in ("ImageWidth", "ImageLength")}
        rows = tif.pages[0].tags["RowsPerStrip"]
        for tag in (*tags.values(), rows):
            kind = {3: "<H", 4: "<I"}[int(tag.dtype)]
            struct.pack_into(kind, content, tag.valueoffset, 65_000)
    path.write_bytes(content)
    tracemalloc.start()
    refused(path, "chunks of 65000 x 65000 pixels take 3.93 GiB")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50 * 2**20


def test_damaged_pixels_are_found_when_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK, compression="zlib", metadata={"axes": "ZYX"})
    with tifffile.TiffFile(path) as tif:
        where = tif.pages[3].dataoffsets[0]
    content = bytearray(path.read_bytes())
    content[where : where + 40] = bytes(40)
    path.write_bytes(content)
    np.testing.assert_array_equal(plane_of(path, 2), STACK[2])
    with pytest.raises(HQSAMError, match=r"a\.tif: the pixels cannot be read"):
        plane_of(path, 3)


def test_an_unknown_compression_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK[0], compression="zlib")
    with tifffile.TiffFile(path) as tif:
        where = tif.pages[0].tags["Compression"].valueoffset
    content = bytearray(path.read_bytes())
    struct.pack_into("<H", content, where, 34661)  # JBIG
    path.write_bytes(content)
    refused(path, "JBIG compression needs a package")


@pytest.mark.parametrize("content", [b"GIF89a" + bytes(50), b"II\x2a", b"II\x2a\0" + bytes(60)])
def test_what_is_no_tiff_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    refused(path, "no TIFF|damaged")


def test_a_window_of_a_large_uncompressed_file_reads_little(tmp_path: Path) -> None:
    path = tmp_path / "large.tif"
    with warnings.catch_warnings():
        tifffile.imwrite(path, shape=(4, 6000, 6000), dtype="u2", photometric="minisblack")
    with open_image(path) as source:
        tracemalloc.start()
        source.read((2,), 3000, 3000, 3512, 3512)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 2**20


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_the_file_is_closed_with_the_image_or_after_it(
    tmp_path: Path, compression: str | None
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK, compression=compression, photometric="minisblack")
    with open_image(path) as source:
        source.read((0,), 0, 0, 5, 5)
    if compression:
        with pytest.raises(HQSAMError, match="cannot be read"):
            source.read((0,), 0, 0, 5, 5)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        forgotten = open_image(path)
        del forgotten, source
        gc.collect()
    assert not [w for w in caught if issubclass(w.category, ResourceWarning)]
    path.unlink()
