from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images import open_image
from napari_hqsam.images.files import open_file
from napari_hqsam.images.units import micrometers, unit_name


def picture(path: Path, pixels: np.ndarray, **options: object) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.mark.parametrize("dtype", ["?", "u1", "u2"])
def test_grey_png(tmp_path: Path, dtype: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 60_000, (30, 40)).astype(dtype)
    source = open_image(picture(tmp_path / "a b.png", pixels))
    assert (source.axes, source.dtype, source.rgb) == ("yx", np.dtype(dtype), False)
    np.testing.assert_array_equal(source.read((), 0, 0, 30, 40)[..., 0], pixels)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "CMYK", "LA"])
def test_other_pictures_become_colours_or_grey(tmp_path: Path, mode: str) -> None:
    suffix = ".jpg" if mode == "CMYK" else ".png"
    path = tmp_path / f"a{suffix}"
    Image.new("RGB", (40, 30), (200, 200, 200)).convert(mode).save(path)
    source = open_image(path)
    assert source.axes == ("yx" if mode == "LA" else "yxc")
    assert source.rgb == (mode != "LA")
    pixels = source.read((), 0, 0, 30, 40)
    assert pixels.shape[2] == (1 if mode == "LA" else 3)
    assert abs(int(pixels.mean()) - 200) < 3


def test_jpeg_in_capitals(tmp_path: Path) -> None:
    path = picture(tmp_path / "A.JPG", np.full((30, 40, 3), 90, "u1"), format="jpeg")
    assert open_file(path).axes == "yxc"


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_damaged_pictures(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (90, 90, 3), dtype=np.uint8)
    content = picture(tmp_path / f"whole{suffix}", noise).read_bytes()
    for n in (1, 30, len(content) // 2):
        path = tmp_path / f"{n}{suffix}"
        path.write_bytes(content[:n])
        with pytest.raises(HQSAMError, match="damaged or incomplete") as caught:
            open_image(path)
        assert str(caught.value).startswith(str(path))
        assert "\n" not in str(caught.value)


def test_a_picture_that_claims_a_billion_pixels(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    buffer = io.BytesIO(b"\x89PNG\r\n\x1a\n")
    buffer.seek(8)
    for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(999))), (b"IEND", b"")):
        crc = zlib.crc32(kind + body)
        buffer.write(struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc))
    path = tmp_path / "bomb.png"
    path.write_bytes(buffer.getvalue())
    with pytest.raises(HQSAMError, match="too many pixels"):
        open_image(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.tif", None, "no such file"),
        ("empty.tif", b"", "is empty"),
        ("empty.png", b"", "is empty"),
        ("a.czi", b"x", r"cannot read \.czi"),
        ("a", b"x", "without a suffix"),
    ],
)
def test_files_that_cannot_be_opened(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    for given in (path, os.fspath(path)):
        with pytest.raises(HQSAMError, match=message) as caught:
            open_image(given)
        assert str(caught.value).startswith(str(path))
        assert "\n" not in str(caught.value)


def test_a_name_that_the_system_refuses() -> None:
    with pytest.raises(HQSAMError, match=r"cannot be opened|no such file"):
        open_image("a" * 5000 + ".tif")


@pytest.mark.parametrize(
    ("unit", "name"),
    [
        ("µm", "micrometer"),  # micro sign
        ("\u03bcm", "micrometer"),
        ("um", "micrometer"),
        ("Microns", "micrometer"),
        ("micrometre", "micrometer"),
        ("\\u00B5m", "micrometer"),
        ("nm", "nanometer"),
        ("sec", "second"),
        ("s", "second"),
        ("ms", "millisecond"),
        ("inch", "inch"),
        ("pixel", "pixel"),
        ("furlong", "pixel"),
        ("", "pixel"),
        (None, "pixel"),
    ],
)
def test_unit_names(unit: str | None, name: str) -> None:
    assert unit_name(unit) == name


def test_micrometers() -> None:
    assert micrometers((500, 0.001), ("nm", "mm")) == (0.5, 1.0)
    assert micrometers((1, 1), ("pixel", "µm")) is None
