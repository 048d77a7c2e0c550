from __future__ import annotations

import numpy as np
import pytest
import zarr

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images import IntensityMapping, open_image


def test_a_photograph_keeps_its_numbers() -> None:
    image = np.random.default_rng(0).integers(40, 90, (20, 30, 3), dtype=np.uint8)
    source = open_image(image)
    mapping = IntensityMapping.from_percentiles(source)
    mapped = mapping.apply(source.read((), 0, 0, 20, 30))
    assert mapped.dtype == np.float32
    np.testing.assert_array_equal(mapped, image)


def test_grey_is_stretched_and_repeated() -> None:
    image = np.linspace(1000, 3000, 10_000).reshape(100, 100).astype("u2")
    source = open_image(image)
    mapping = IntensityMapping.from_percentiles(source, low=0, high=100)
    assert mapping.limits == ((1000.0, 3000.0),)
    mapped = mapping.apply(source.read((), 0, 0, 100, 100))
    assert mapped.shape == (100, 100, 3)
    assert (mapped.min(), mapped.max()) == (0.0, 255.0)
    np.testing.assert_array_equal(mapped[..., 0], mapped[..., 1])
    np.testing.assert_array_equal(mapped[..., 0], mapped[..., 2])
    np.testing.assert_allclose(mapped[..., 0], (image - 1000) * (255 / 2000), atol=1e-3)


def test_percentiles_leave_the_extremes_out() -> None:
    image = np.tile(np.arange(100.0), (100, 1))
    image[0, 0] = 1e9
    low, high = IntensityMapping.from_percentiles(open_image(image)).limits[0]
    assert 0 <= low < 1
    assert 98 < high <= 99


def test_each_fluorescence_channel_has_its_own_limits() -> None:
    image = np.stack([np.arange(100.0).reshape(10, 10) * k for k in (1, 10)])
    source = open_image(image, axes="cyx")
    mapping = IntensityMapping.from_percentiles(source, low=0, high=100)
    assert mapping.limits == ((0.0, 99.0), (0.0, 990.0))
    mapped = mapping.apply(source.read((), 0, 0, 10, 10))
    np.testing.assert_allclose(mapped[..., 0], mapped[..., 1], rtol=1e-6)
    assert not mapped[..., 2].any()


def test_colours_of_16_bits_share_their_limits() -> None:
    image = np.zeros((10, 10, 3), "u2")
    image[..., 0] = np.arange(100).reshape(10, 10) * 100
    image[..., 2] = 50
    limits = IntensityMapping.from_percentiles(open_image(image), low=0, high=100).limits
    assert limits == ((0.0, 9900.0),) * 3


def test_the_mapping_is_the_same_wherever_the_image_lies() -> None:
    image = np.random.default_rng(1).integers(0, 5000, (3, 700, 800), dtype=np.uint16)
    on_disk = zarr.create_array({}, data=image, chunks=(1, 128, 128))
    options = {"max_pixels": 300_000}
    expected = IntensityMapping.from_percentiles(open_image(image), **options)
    assert IntensityMapping.from_percentiles(open_image(on_disk), **options) == expected
    pyramid = [image, image[:, ::2, ::2]]
    assert IntensityMapping.from_percentiles(open_image(pyramid), **options) == expected
    assert {expected: 1}[IntensityMapping(expected.limits)] == 1


def test_a_sample_sees_every_part_of_a_large_stack() -> None:
    class Ramp:
        """Brightness grows along z, y and x; counts what is read."""

        shape = (400, 20_000, 20_000)
        ndim = 3
        dtype = np.dtype("f4")
        asked = 0

        def __getitem__(self, index: tuple[int, slice, slice]) -> np.ndarray:
            z, y, x = index
            rows = np.arange(y.start, y.stop, dtype="f4")[:, None] / self.shape[1]
            columns = np.arange(x.start, x.stop, dtype="f4")[None] / self.shape[2]
            type(self).asked += rows.size * columns.size
            return z / self.shape[0] + rows + columns

    low, high = IntensityMapping.from_percentiles(open_image(Ramp()), low=0, high=100).limits[0]
    assert Ramp.asked <= 4_000_000
    assert low < 0.75
    assert high > 2.25


def test_nan_and_infinity() -> None:
    image = np.linspace(0, 1, 10_000).reshape(100, 100)
    image[0, :4] = [np.nan, np.inf, -np.inf, 5]
    source = open_image(image)
    mapping = IntensityMapping.from_percentiles(source)
    mapped = mapping.apply(source.read((), 0, 0, 100, 100))
    assert np.isfinite(mapped).all()
    assert mapped[0, :4, 0].tolist() == [0, 255, 0, 255]
    assert 0 < mapping.limits[0][0] < mapping.limits[0][1] < 1


@pytest.mark.parametrize("value", [0, 7, -3, np.nan, np.inf])
def test_constant_images_divide_by_nothing(value: float) -> None:
    source = open_image(np.full((9, 9), value))
    mapped = IntensityMapping.from_percentiles(source).apply(source.read((), 0, 0, 9, 9))
    assert np.isfinite(mapped).all()
    assert len(np.unique(mapped)) == 1


def test_a_few_bright_pixels_are_not_lost() -> None:
    image = np.zeros((200, 200), "u2")
    image[5, 5:10] = 900
    source = open_image(image)
    mapping = IntensityMapping.from_percentiles(source)
    assert mapping.limits == ((0.0, 900.0),)


def test_booleans_are_black_and_white() -> None:
    source = open_image(np.eye(50, dtype=bool))
    mapped = IntensityMapping.from_percentiles(source).apply(source.read((), 0, 0, 50, 50))
    np.testing.assert_array_equal(mapped[..., 1], np.eye(50) * 255)


@pytest.mark.parametrize("dtype", ["i4", "u8", "i8", "f8"])
def test_a_small_contrast_on_a_large_offset_is_resolved(dtype: str) -> None:
    image = (1_000_000_000 + np.arange(256).reshape(16, 16)).astype(dtype)
    source = open_image(image)
    mapping = IntensityMapping.from_limits((1_000_000_000, 1_000_000_255))
    mapped = mapping.apply(source.read((), 0, 0, 16, 16))
    np.testing.assert_allclose(mapped[..., 0].ravel(), np.arange(256), atol=1e-3)


def test_half_floats() -> None:
    source = open_image(np.linspace(0, 60_000, 100).reshape(10, 10).astype("f2"))
    mapping = IntensityMapping.from_percentiles(source, low=0, high=100)
    mapped = mapping.apply(source.read((), 0, 0, 10, 10))
    assert mapped[-1, -1, 0] == 255
    assert np.isfinite(mapped).all()


def test_given_limits() -> None:
    assert IntensityMapping.from_limits([0, 10], 2).limits == ((0.0, 10.0), (0.0, 10.0))
    assert IntensityMapping.from_limits([(0, 1), (5, 9)], 2).limits == ((0.0, 1.0), (5.0, 9.0))
    step = IntensityMapping.from_limits((4, 4))
    assert step.apply(np.array([[[3], [4], [5]]]))[0, :, 0].tolist() == [0, 0, 255]


def test_limits_for_some_channels_and_percentiles_for_the_others() -> None:
    image = np.stack([np.arange(100.0).reshape(10, 10) * k for k in (1, 10, 100)])
    source = open_image(image, axes="cyx")
    found = IntensityMapping.from_percentiles(source).limits
    mixed = IntensityMapping.choose(source, [None, (5, 50), None])
    assert mixed.limits == (found[0], (5.0, 50.0), found[2])
    assert IntensityMapping.choose(source).limits == found
    assert IntensityMapping.choose(source, [None] * 3).limits == found
    assert IntensityMapping.choose(source, (3, 4)).limits == ((3.0, 4.0),) * 3
    for wrong in ([None, (0, 1)], [(0, 1), None, (1, "a")], 5):
        with pytest.raises(HQSAMError, match="contrast limits"):
            IntensityMapping.choose(source, wrong)


@pytest.mark.parametrize(
    ("limits", "n"),
    [((5, 1), 1), ((0, np.nan), 1), ((0, np.inf), 1), ((1, 2, 3), 1), ([(0, 1)], 2), ("ab", 1)],
)
def test_wrong_limits_are_refused(limits: object, n: int) -> None:
    with pytest.raises(HQSAMError, match="contrast limits"):
        IntensityMapping.from_limits(limits, n)


def test_other_misuse_is_refused() -> None:
    source = open_image(np.zeros((5, 5)))
    with pytest.raises(HQSAMError, match="percentiles"):
        IntensityMapping.from_percentiles(source, 50, 50)
    with pytest.raises(HQSAMError, match="1 channel"):
        IntensityMapping.from_limits((0, 1)).apply(np.zeros((5, 5, 2)))
    with pytest.raises(HQSAMError, match="4 channels"):
        IntensityMapping(((0.0, 1.0),) * 4)


def test_a_turned_stack_has_the_mapping_of_the_upright_one() -> None:
    stack = np.random.default_rng(0).integers(0, 4000, (40, 300, 500)).astype(np.uint16)
    source = open_image(stack, axes="zyx")
    upright = IntensityMapping.from_percentiles(source, max_pixels=50_000)
    turned = source.displaying("z", "x")
    assert turned.upright is source
    assert IntensityMapping.from_percentiles(turned, max_pixels=50_000) == upright
