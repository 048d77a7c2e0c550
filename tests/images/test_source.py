from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from threading import Lock

import dask.array as da
import numpy as np
import pytest
import zarr

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images import ImageSource, open_image


def ramp(*shape: int, dtype: str = "uint16") -> np.ndarray:
    """Pixels that all differ, as far as the dtype allows."""
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((8, 9), "yx"),
        ((8, 9, 3), "yxc"),
        ((8, 9, 4), "yxc"),
        ((3, 8, 9), "zyx"),
        ((5, 8, 9, 3), "zyxc"),
        ((2, 5, 8, 9), "tzyx"),
        ((2, 5, 8, 9, 3), "tzyxc"),
        ((2, 5, 3, 8, 9), "tczyx"),
    ],
)
def test_axes_are_guessed_as_documented(shape: tuple[int, ...], axes: str) -> None:
    source = open_image(np.zeros(shape, "u1"))
    assert source.axes == axes
    assert source.shape == shape


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ("yx", "2 letter"),
        ("zyxc", "4 letter"),
        ("zyy", "different letter"),
        ("zyc", "y and x are needed"),
        ("z x", "different letter"),
        (("z", "y", "x"), "one letter per dimension"),
    ],
)
def test_wrong_axes_are_refused(axes: str, message: str) -> None:
    with pytest.raises(HQSAMError, match=message) as caught:
        open_image(np.zeros((5, 8, 9)), axes=axes)
    assert "zyx" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(), (7,), (1, 1, 1, 1, 4, 4)])
def test_dimensions_that_cannot_be_guessed(shape: tuple[int, ...]) -> None:
    with pytest.raises(HQSAMError, match="axes="):
        open_image(np.zeros(shape))


def test_six_dimensions_with_axes() -> None:
    image = ramp(2, 3, 1, 2, 4, 5)
    source = open_image(image, axes="ptczyx")
    assert source.plane_axes == "ptz"
    np.testing.assert_array_equal(source.read((1, 2, 0), 0, 0, 4, 5)[..., 0], image[1, 2, 0, 0])


def test_singletons_are_left_out_but_not_y_and_x() -> None:
    image = ramp(1, 1, 4, 1, 6)
    source = open_image(image, scale=(9, 1, 2, 0.5, 0.25), units="µm")
    assert (source.array_axes, source.axes, source.shape) == ("tczyx", "zyx", (4, 1, 6))
    assert (source.plane_axes, source.plane_shape, source.n_channels) == ("z", (4,), 1)
    assert source.scale == (2.0, 0.5, 0.25)
    assert source.units == ("micrometer",) * 3
    np.testing.assert_array_equal(source.read((2,), 0, 1, 1, 4)[..., 0], image[0, 0, 2, :, 1:4])


@pytest.mark.parametrize("axes", ["tczyx", "xyzct", "cztxy", "yxctz", "zcytx"])
def test_axes_in_any_order_give_the_same_pixels(axes: str) -> None:
    reference = ramp(2, 5, 3, 8, 9)
    image = np.transpose(reference, ["tczyx".index(a) for a in axes])
    source = open_image(image, axes=axes, channels=(4, 1))
    plane = tuple({"t": 1, "z": 2}[a] for a in source.plane_axes)
    expected = np.moveaxis(reference[1, [4, 1], 2, 3:7, 2:9], 0, -1)
    np.testing.assert_array_equal(source.read(plane, 3, 2, 7, 9), expected)


@pytest.mark.parametrize(
    ("channels", "expected"),
    [(None, (0, 1, 2)), (3, (3,)), ([4, 0], (4, 0)), ((4, 3, 2), (4, 3, 2)), (np.int64(1), (1,))],
)
def test_channels_of_five(channels: object, expected: tuple[int, ...]) -> None:
    image = ramp(5, 8, 9)
    source = open_image(image, axes="cyx", channels=channels)
    assert source.n_channels == 5
    assert source.channels == expected
    np.testing.assert_array_equal(
        source.read((), 0, 0, 8, 9), np.moveaxis(image[list(expected)], 0, -1)
    )


def test_two_channels_and_rgba() -> None:
    assert open_image(np.zeros((2, 8, 9)), axes="cyx").channels == (0, 1)
    rgba = open_image(ramp(8, 9, 4, dtype="u1"))
    assert rgba.rgb
    assert rgba.read((), 0, 0, 8, 9).shape == (8, 9, 3)


@pytest.mark.parametrize("channels", [(), (0, 1, 2, 3), 5, (-1,), "red", 1.5])
def test_wrong_channels_are_refused(channels: object) -> None:
    with pytest.raises(HQSAMError, match="channel"):
        open_image(np.zeros((5, 8, 9)), axes="cyx", channels=channels)


@pytest.mark.parametrize(
    "dtype",
    ["?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", ">u2", ">i4", ">f8"],
)
def test_every_real_dtype(dtype: str) -> None:
    image = (ramp(6, 7) % 2 if dtype == "?" else ramp(6, 7)).astype(dtype)
    source = open_image(image)
    pixels = source.read((), 1, 2, 5, 7)
    assert source.dtype.isnative
    assert pixels.dtype == (np.uint8 if dtype == "?" else np.dtype(dtype).newbyteorder("="))
    np.testing.assert_array_equal(pixels[..., 0], image[1:5, 2:7].astype(pixels.dtype))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4), complex), "complex"),
        (np.zeros((4, 4), object), "not numbers"),
        (np.zeros((4, 4), "datetime64[s]"), "not numbers"),
        (np.array([["a", "b"], ["c", "d"]]), "not numbers"),
        (np.zeros((0, 4)), "no pixels"),
        (np.zeros((3, 4, 0)), "no pixels"),
        ([[1, 2], [3]], "cannot use a list"),
        (object(), "dimension"),
        (zarr.open_group({}, mode="w"), "zarr group"),
    ],
)
def test_what_is_no_image_is_refused_in_one_line(image: object, message: str) -> None:
    with pytest.raises(HQSAMError, match=message) as caught:
        open_image(image)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1)])
def test_tiny_images(shape: tuple[int, int]) -> None:
    image = ramp(*shape)
    source = open_image(image)
    np.testing.assert_array_equal(source.read((), 0, 0, *shape)[..., 0], image)


def test_nested_lists_are_an_image() -> None:
    assert open_image([[1, 2, 3], [4, 5, 6]]).shape == (2, 3)


@pytest.mark.parametrize(
    ("plane", "message"),
    [
        ((), "one index for each"),
        ((1,), "one index for each"),
        ((0, 5), r"z = 5 .*0 to 4"),
        ((-1, 0), "t = -1"),
        ((0, 1.5), "whole numbers"),
        (3, "whole numbers"),
    ],
)
def test_wrong_planes_are_refused(plane: object, message: str) -> None:
    source = open_image(np.zeros((2, 5, 8, 9)))
    with pytest.raises(HQSAMError, match=message):
        source.read(plane, 0, 0, 8, 9)


def test_a_plane_of_a_single_plane_is_refused() -> None:
    with pytest.raises(HQSAMError, match="single plane"):
        open_image(np.zeros((8, 9))).check_plane((0,))


@pytest.mark.parametrize("box", [(-1, 0, 4, 4), (0, 0, 9, 9), (0, 0, 8, 10), (4, 4, 4, 8)])
def test_boxes_outside_are_refused(box: tuple[int, int, int, int]) -> None:
    with pytest.raises(HQSAMError, match="outside the plane of 8 x 9"):
        open_image(np.zeros((8, 9))).read((), *box)


def test_scale_and_units_without_c() -> None:
    source = open_image(np.zeros((5, 8, 9, 3)), scale=(2, 0.5, 0.5), units=("nm", "µm", "um"))
    assert source.scale == (2.0, 0.5, 0.5, 1.0)
    assert source.units == ("nanometer", "micrometer", "micrometer", "pixel")
    assert open_image(np.zeros((8, 9))).scale is None


@pytest.mark.parametrize("scale", [(1,), (1, 2, 3), (0, 1), (1, -1), (1, np.nan), ("a", 1)])
def test_wrong_scale_is_refused(scale: tuple[object, ...]) -> None:
    with pytest.raises(HQSAMError, match=r"scale .*axes"):
        open_image(np.zeros((8, 9)), scale=scale)


def test_pyramid() -> None:
    full = ramp(4, 101, 64)
    levels = [full, full[:, ::2, ::2], full[::2, ::4, ::4]]
    source = open_image(levels)
    assert source.yx_shape() == (101, 64)
    assert source.yx_shape(1) == (51, 32)
    assert source.downsample(0) == (1.0, 1.0)
    assert source.downsample(1) == (2.0, 2.0)
    assert source.downsample(2) == (4.0, 4.0)
    np.testing.assert_array_equal(source.read((3,), 0, 0, 26, 16, level=2)[..., 0], levels[2][1])
    with pytest.raises(HQSAMError, match="level 3"):
        source.read((0,), 0, 0, 1, 1, level=3)
    # an odd length of level 1 leaves no whole factor below it
    assert open_image([np.zeros((100, 100)), np.zeros((70, 100))]).downsample(1)[0] == 100 / 70


@pytest.mark.parametrize(
    "second",
    [
        np.zeros((8, 8), "u2"),
        np.zeros((4, 16), "u2"),
        np.zeros((4, 4), "u1"),
        np.zeros((1, 4, 4), "u2"),
        np.zeros((0, 4), "u2"),
    ],
)
def test_a_list_that_is_no_pyramid_is_refused(second: np.ndarray) -> None:
    with pytest.raises(HQSAMError, match=r"level 1 .*numpy\.stack"):
        open_image([np.zeros((8, 8), "u2"), second])


class Counted:
    """An array that exists nowhere and counts the pixels that are asked of it."""

    dtype = np.dtype("uint16")

    def __init__(self, *shape: int) -> None:
        self.shape = shape
        self.ndim = len(shape)
        self.asked = 0
        self._lock = Lock()

    def __getitem__(self, index: tuple[object, ...]) -> np.ndarray:
        axes = [np.arange(n)[i] for n, i in zip(self.shape, index, strict=True)]
        shape = tuple(a.size for a in axes if np.ndim(a))
        with self._lock:
            self.asked += int(np.prod(shape))
        return np.full(shape, 7, self.dtype)


def test_a_window_of_a_huge_array_reads_only_itself() -> None:
    image = Counted(2000, 100_000, 100_000)
    source = open_image(image)
    assert source.read((1999,), 50_000, 60_000, 50_512, 60_512).shape == (512, 512, 1)
    assert image.asked == 512 * 512


def test_a_window_of_a_huge_dask_array_touches_few_chunks() -> None:
    image = Counted(100_000, 100_000)
    source = open_image(da.from_array(image, chunks=(2048, 2048), asarray=False))
    assert source.read((), 2000, 2000, 2100, 2100).shape == (100, 100, 1)
    assert image.asked <= 4 * 2048 * 2048


def test_dask_chunks_that_boxes_share_are_computed_once() -> None:
    image = Counted(3, 4096, 4096)
    source = open_image(da.from_array(image, chunks=(1, 2048, 2048), asarray=False))
    boxes = [((1,), y, y, y + 64, y + 64) for y in (0, 1000, 1900, 1950)]
    assert [b.shape for b in source.read_many(boxes)] == [(64, 64, 1)] * 4
    assert image.asked <= 2048 * 2048


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_window_of_a_huge_zarr_takes_little_memory(zarr_format: int) -> None:
    array = zarr.create_array(
        {}, shape=(9, 100_000, 100_000), chunks=(1, 512, 512), dtype="u2", zarr_format=zarr_format
    )
    array[4, 512:1024, 512:1024] = 5
    source = open_image(array)
    tracemalloc.start()
    pixels = source.read((4,), 500, 500, 1524, 1524)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert pixels.sum() == 5 * 512 * 512
    assert peak < 40 * 2**20


def test_far_channels_are_read_one_by_one() -> None:
    image = Counted(500, 64, 64)
    source = open_image(image, axes="cyx", channels=(0, 499))
    assert source.read((), 0, 0, 64, 64).shape == (64, 64, 2)
    assert image.asked == 2 * 64 * 64


def test_an_array_that_fails_gives_one_line() -> None:
    class Broken(Counted):
        def __getitem__(self, index: object) -> np.ndarray:
            raise RuntimeError("checksum\nof chunk 3")

    with pytest.raises(HQSAMError, match=r"checksum.*damaged") as caught:
        open_image(Broken(8, 8)).read((), 0, 0, 8, 8)
    assert "\n" not in str(caught.value)


def test_an_array_that_returns_too_little_is_an_error() -> None:
    class Short(Counted):
        def __getitem__(self, index: object) -> np.ndarray:
            return np.zeros((3, 8), "u2")

    with pytest.raises(HQSAMError, match="damaged"):
        open_image(Short(8, 8)).read((), 0, 0, 8, 8)


def test_displaying_other_axes() -> None:
    image = ramp(5, 8, 9)
    closed: list[bool] = []
    source = ImageSource(
        [image], "zyx", scale=(3, 2, 1), units=("s", "nm", "um"), close=lambda: closed.append(True)
    )
    xz = source.displaying("z", "x")
    assert (xz.array_axes, xz.axes, xz.plane_axes, xz.plane_shape) == ("yzx", "yzx", "z", (8,))
    assert (xz.yx_shape(), xz.scale) == ((5, 9), (3, 2, 1))
    assert xz.units == ("second", "nanometer", "micrometer")
    np.testing.assert_array_equal(xz.read((6,), 1, 2, 5, 9)[..., 0], image[1:5, 6, 2:9])
    yz = source.displaying("z", "y")
    np.testing.assert_array_equal(yz.read((7,), 1, 2, 5, 8)[..., 0], image[1:5, 2:8, 7])
    np.testing.assert_array_equal(
        source.displaying("y", "z").read((7,), 2, 1, 8, 5)[..., 0], image[1:5, 2:8, 7].T
    )
    turned = source.displaying("x", "y")
    np.testing.assert_array_equal(turned.read((3,), 0, 0, 9, 8)[..., 0], image[3].T)
    back = xz.displaying("z", "x")
    assert (back.array_axes, back.scale) == (source.array_axes, source.scale)
    with pytest.raises(HQSAMError, match=r"z = 8 .*0 to 7"):
        xz.read((8,), 0, 0, 1, 1)
    xz.close()
    assert closed == [True]


def test_displaying_with_time_channels_and_singletons() -> None:
    image = ramp(4, 1, 2, 8, 9)
    source = open_image(image, axes="tzcyx", channels=1)
    kymograph = source.displaying("t", "x")
    assert (kymograph.axes, kymograph.plane_axes, kymograph.channels) == ("yctx", "t", (1,))
    np.testing.assert_array_equal(kymograph.read((5,), 0, 0, 4, 9), image[:, 0, 1, 5, :, None])
    for axes in ("zx", "cx", "xx", "qx"):
        with pytest.raises(HQSAMError, match=r"cannot be displayed: .*t, y, x") as caught:
            source.displaying(*axes)
        assert "\n" not in str(caught.value)
    # what was a single row is no plane axis
    row = open_image(ramp(5, 1, 9)).displaying("z", "x")
    assert (row.plane_axes, row.yx_shape()) == ("", (5, 9))
    assert row.read((), 0, 0, 5, 9).shape == (5, 9, 1)


def test_a_pyramid_that_is_turned() -> None:
    full = ramp(16, 32, 64)
    source = open_image([full, full[:, ::2, ::2], full[::2, ::4, ::4], full[::2, ::8, ::4]])
    xz = source.displaying("z", "x")
    assert [xz.yx_shape(i) for i in range(len(xz.levels))] == [(16, 64), (16, 32), (8, 16)]
    np.testing.assert_array_equal(
        xz.read((9,), 0, 0, 8, 16, level=2)[..., 0], full[::2, ::4, ::4][:, 2]
    )


def test_colours_stay_colours_when_turned() -> None:
    image = ramp(5, 8, 9, 3, dtype="u1")
    xz = open_image(image).displaying("z", "x")
    assert xz.rgb
    np.testing.assert_array_equal(xz.read((4,), 0, 0, 5, 9), image[:, 4])


@pytest.mark.parametrize(
    ("scale", "level"),
    [(8, 0), (1, 0), (0.6, 0), (0.5, 1), (1 / 3, 1), (0.3, 1), (0.25, 2), (0.01, 2)],
)
def test_the_best_level_for_a_shrunk_window(scale: float, level: int) -> None:
    full = np.zeros((101, 201), "u1")
    assert open_image([full, full[::2, ::2], full[::4, ::4]]).best_level(scale) == level


def test_the_best_level_has_enough_planes() -> None:
    full = np.zeros((16, 64, 64), "u1")
    source = open_image([full, full[::4, ::2, ::2]])
    assert source.best_level(0.5) == 0
    assert source.best_level(0.25) == 1
    assert open_image([full, full[:, ::2, ::8]]).best_level(0.5) == 0


def test_the_fingerprint_says_what_is_read_and_not_where_it_lies(tmp_path: Path) -> None:
    image = ramp(2, 6, 6, 6)
    for name in "ab":
        zarr.create_array(tmp_path / name, data=image)
    a = open_image(tmp_path / "a", axes="czyx", channels=1).fingerprint()
    assert json.loads(json.dumps(a)) == a
    assert open_image(tmp_path / "b", axes="czyx", channels=1).fingerprint() == a
    assert open_image(image[:, None], axes="ctzyx", channels=1).fingerprint() == a
    assert open_image(np.moveaxis(image, 0, -1), axes="zyxc", channels=1).fingerprint() == a
    assert a == {
        "shapes": [[6, 6, 6]],
        "axes": [0, 1, 2],
        "dtype": "uint16",
        "channels": [1],
        "rgb": False,
    }


def test_what_is_read_otherwise_has_another_fingerprint() -> None:
    image = ramp(6, 6, 6, 3, dtype="u1")
    whole = open_image(image)
    others = [
        open_image(image, channels=(2, 1, 0)),
        open_image(image, channels=0),
        open_image(image.astype("u2")),
        open_image(image[:5]),
        open_image([image, image[:, ::2, ::2]]),
        ImageSource([image], "zyxc", rgb=False),
        *(whole.displaying(*axes) for axes in ("zx", "zy", "xz", "xy", "yz")),
    ]
    prints = [str(source.fingerprint()) for source in (whole, *others)]
    assert len(set(prints)) == len(prints)
    again = whole.displaying("z", "x").displaying("z", "x")
    assert again.fingerprint() == whole.fingerprint()


def test_a_source_is_not_wrapped_twice() -> None:
    source = open_image(np.zeros((8, 8)))
    assert isinstance(source, ImageSource)
    assert repr(source) == "<ImageSource 'image': y=8, x=8, float64>"
    with pytest.raises(HQSAMError, match="open already"):
        open_image(source)
