from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images.layer import (
    CHANNEL,
    limits_from_layer,
    limits_from_layers,
    source_from_layers,
)

STACK = np.random.default_rng(0).integers(0, 4000, (4, 60, 80), dtype=np.uint16)


def layer(data: Any, name: str = "a", **options: Any) -> Image:
    return Image(data, name=name, **options)


def test_one_layer() -> None:
    source = source_from_layers([layer(STACK, scale=(2, 0.5, 0.5), units=("um",) * 3)])
    assert (source.axes, source.scale, source.n_channels) == ("zyx", (2, 0.5, 0.5), 1)
    assert source.units == ("micrometer",) * 3
    assert source.displaying("z", "x").yx_shape() == (4, 80)


def test_letters_of_the_axes() -> None:
    assert source_from_layers([layer(STACK[None].repeat(2, 0))]).axes == "tzyx"
    labelled = layer(STACK, axis_labels=("t", "y", "x"))
    assert source_from_layers([labelled]).axes == "tyx"
    for labels in (("c", "y", "x"), ("x", "y", "z"), ("time", "y", "x")):
        assert source_from_layers([layer(STACK, axis_labels=labels)]).axes == "zyx"


def test_colours() -> None:
    image = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    of = layer(image, rgb=True)
    source = source_from_layers([of])
    assert (source.axes, source.rgb) == ("yxc", True)
    assert limits_from_layers([of]) is None


def test_several_layers_are_channels() -> None:
    data = [STACK, (STACK // 16).astype("u1"), da.from_array(STACK, chunks=(1, 32, 32)) * 2]
    layers = [layer(d, name) for d, name in zip(data, "abc", strict=True)]
    source = source_from_layers(layers)
    assert (source.name, source.axes, source.dtype) == ("a + b + c", "czyx", np.uint16)
    assert (source.channels, source.plane_axes) == ((0, 1, 2), "z")
    expected = np.stack([STACK[2], STACK[2] // 16, STACK[2] * 2], -1)[5:50, 6:70]
    np.testing.assert_array_equal(source.read((2,), 5, 6, 50, 70), expected)
    xz = source.displaying("z", "x").read((30,), 0, 0, 4, 80)
    np.testing.assert_array_equal(xz[..., 2], STACK[:, 30] * 2)


def test_several_layers_are_read_window_by_window() -> None:
    asked: list[int] = []

    class Huge:
        shape, ndim, size, dtype = (100_000, 100_000), 2, 10**10, np.dtype("u2")

        def __getitem__(self, index: Any) -> np.ndarray:
            shape = tuple(len(range(*i.indices(100_000))) for i in index)
            asked.append(int(np.prod(shape)))
            return np.zeros(shape, "u2")

    options = {"contrast_limits": (0, 9), "multiscale": False}
    layers = [layer(Huge(), name, **options) for name in "ab"]
    asked.clear()  # what the layers themselves show
    source_from_layers(layers).read((), 5000, 5000, 5300, 5300)
    assert asked == [300 * 300] * 2


def test_pyramids_are_used_as_far_as_they_agree() -> None:
    a = layer([STACK, STACK[:, ::2, ::2], STACK[:, ::4, ::4]], multiscale=True)
    b = layer([STACK, STACK[:, ::2, ::2], STACK[:, ::3, ::3]], "b", multiscale=True)
    assert len(source_from_layers([a, b]).levels) == 2
    assert len(source_from_layers([a, layer(STACK, "c")]).levels) == 1


def test_channel_numbers_of_a_file_are_kept() -> None:
    a, b = (layer(STACK, metadata={CHANNEL: i}) for i in (5, 2))
    assert source_from_layers([a, b]).fingerprint()["channels"] == [5, 2]
    assert source_from_layers([b]).fingerprint()["channels"] == [2]
    assert source_from_layers([layer(STACK)]).fingerprint()["channels"] == [0]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (layer(STACK[:3], "b"), r"'a' and 'b' have different shapes, \(4, 60, 80\)"),
        (layer(STACK, "b", scale=(2, 1, 1)), "'a' and 'b' lie at different places"),
        (layer(STACK, "b", translate=(0, 0, 5)), "'a' and 'b' lie at different places"),
        (layer(np.zeros((60, 80, 3), "u1"), "b", rgb=True), "'a' and 'b': a layer of colours"),
        (Labels(STACK.astype(int), name="b"), "layer 'b' is a Labels layer"),
    ],
)
def test_layers_that_do_not_fit_are_named(other: Any, message: str) -> None:
    with pytest.raises(HQSAMError, match=message) as caught:
        source_from_layers([layer(STACK), other])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("n", [0, 4])
def test_one_to_three_layers(n: int) -> None:
    with pytest.raises(HQSAMError, match="one, two or three"):
        source_from_layers([layer(STACK)] * n)


def test_limits() -> None:
    chosen = layer(STACK, contrast_limits=(10, 300))
    never = layer(STACK, contrast_limits=(0, 65535))
    assert limits_from_layer(chosen) == (10, 300)
    assert limits_from_layers([chosen, never]) == [(10, 300), None]
