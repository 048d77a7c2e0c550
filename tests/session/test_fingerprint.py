from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from napari.layers import Image

from napari_hqsam.images import open_image
from napari_hqsam.images.layer import source_from_layers
from napari_hqsam.session.fingerprint import Fingerprint

RNG = np.random.default_rng(0)
STACK = RNG.integers(0, 60_000, (5, 3, 70, 90), np.uint16)  # z, c, y, x


def of(pixels: np.ndarray, axes: str = "zcyx", **options: object) -> Fingerprint:
    return Fingerprint.of(open_image(pixels, axes=axes, **options))


def test_a_file_its_copy_and_its_layers_match(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, STACK, ome=True, metadata={"axes": "ZCYX"})
    with open_image(path) as source:
        file = Fingerprint.of(source)
    assert file.matches(of(STACK))
    assert file.shape == (5, 70, 90)
    layers = [Image(STACK[:, c], name=str(c)) for c in range(3)]
    for chosen in ([layers[0]], [layers[2]], layers[:2]):
        layer = Fingerprint.of(source_from_layers(chosen))
        assert layer.key == file.key
        assert layer.matches(file)
        assert file.matches(layer)


def test_it_is_the_same_however_the_image_is_looked_at() -> None:
    source = open_image(STACK, axes="zcyx")
    assert Fingerprint.of(source.displaying("z", "x")) == Fingerprint.of(source)
    big_endian = of(STACK.astype(">u2"))
    assert big_endian == of(STACK)
    assert of(STACK[:, :, None], "zctyx") == of(STACK)


def test_other_pixels_another_size_or_dtype_do_not_match() -> None:
    one = of(STACK)
    assert not one.matches(of(STACK[::-1, :, ::-1]))
    assert not one.matches(of(STACK[:, ::-1, ::-1]))
    assert not one.matches(of(STACK[:, :, :-1]))
    assert not one.matches(of(STACK.astype(np.int32)))
    assert not of(STACK, channels=1).matches(of(STACK[:, :, ::-1], channels=1))


def test_of_other_channels_nothing_can_be_told() -> None:
    assert of(STACK, channels=0).matches(of(STACK, channels=(1, 2)))


@pytest.mark.parametrize("shape", [(1, 1), (1, 400), (3, 5), (64, 64), (65, 2000)])
def test_small_and_thin_images_have_one(shape: tuple[int, int]) -> None:
    pixels = RNG.integers(0, 255, shape, np.uint8)
    found = of(pixels, "yx")
    assert found.matches(of(pixels.copy(), "yx"))
    if pixels.size > 1:
        assert not found.matches(of(255 - pixels, "yx"))
    assert Fingerprint.from_json(found.to_json()) == found
