"""A window of an image becomes the model's input."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_hqsam.embedding import encode_image, read_window, resize
from napari_hqsam.images import IntensityMapping, open_image
from napari_hqsam.images.windows import Window, whole_plane
from napari_hqsam.modeling import HQSam, build


@pytest.fixture(scope="module")
def model() -> HQSam:
    torch.manual_seed(0)
    return build("micro", input_size=64)


def grey(image: np.ndarray, limits: tuple = (0, 255)) -> tuple:
    return open_image(image), IntensityMapping.from_limits(limits)


def test_one_to_one_is_the_image_itself() -> None:
    image = np.random.default_rng(0).integers(0, 256, (100, 90), np.uint8)
    window = Window((), 0, (30, 20), 64, (64, 64), 64)
    pixels = read_window(*grey(image), window)
    assert pixels.shape == (1, 3, 64, 64)
    for channel in pixels[0].numpy():
        np.testing.assert_array_equal(channel, image[30:94, 20:84])


@pytest.mark.parametrize(("shape", "side"), [((30, 64), 64), ((64, 7), 64), ((1, 1), 8)])
def test_a_window_over_the_edge_is_smaller(shape: tuple[int, int], side: int) -> None:
    window = Window((), 0, (0, 0), side, shape, 64)
    pixels = read_window(*grey(np.zeros(shape, np.uint8)), window)
    assert pixels.shape[2:] == window.model_shape


def test_shrinking_averages() -> None:
    """A checkerboard becomes grey: without antialiasing it would be black or white."""
    image = (np.indices((256, 256)).sum(axis=0) % 2 * 255).astype(np.uint8)
    pixels = read_window(*grey(image), whole_plane((256, 256), 64))
    assert pixels.shape == (1, 3, 64, 64)
    np.testing.assert_allclose(pixels[..., 2:-2, 2:-2], 127.5, atol=2)


@pytest.mark.parametrize("side", [8, 16, 64, 128, 192])
def test_a_ramp_stays_where_it_is(side: int) -> None:
    """Intensity is the coordinate, so each model pixel says where it lies in the image."""
    image = np.add.outer(np.zeros(256, np.float32), np.arange(256, dtype=np.float32))
    window = Window((), 0, (20, 40), side, (side, side), 64)
    for turned in (False, True):
        pixels = read_window(*grey(image.T if turned else image), window)[0, 0].numpy()
        along = (pixels.T if turned else pixels)[32]
        origin = window.origin[0 if turned else 1]
        # model pixels, mapped back to the image
        wanted = (np.arange(64) + 0.5) / window.scale - 0.5 + origin
        middle = slice(8, -8)  # at the edges interpolation has nothing beyond to go by
        np.testing.assert_allclose(along[middle], wanted[middle], atol=0.01)
        # and to_model, which gives (x, y), agrees with it
        both = window.to_model(np.stack([wanted, wanted], axis=1))
        np.testing.assert_allclose(both[:, 1 if turned else 0], np.arange(64), atol=1e-3)


def test_a_plane_of_a_stack_and_its_channels() -> None:
    stack = np.zeros((3, 5, 40, 50), np.uint16)
    stack[1, 3] = 1000
    source = open_image(stack, axes="czyx", channels=[2, 1])
    mapping = IntensityMapping.from_limits((0, 1000), 2)
    pixels = read_window(source, mapping, whole_plane((40, 50), 64, (3,)))[0]
    assert [float(c.mean()) for c in pixels] == pytest.approx([0, 255, 0])
    assert float(read_window(source, mapping, whole_plane((40, 50), 64, (2,))).max()) == 0


def test_features_are_those_of_the_padded_image(model: HQSam) -> None:
    image = np.random.default_rng(1).integers(0, 256, (64, 48), np.uint8)
    window = whole_plane((64, 48), 64)
    found = encode_image(model, read_window(*grey(image), window))
    padded = np.full((64, 64), np.nan, np.float32)
    padded[:, :48] = (image.astype(np.float32) - 127) / 128
    padded[:, 48:] = 0  # the mean
    with torch.inference_mode():
        expected = model.encode(torch.from_numpy(np.stack([padded] * 3))[None])
    torch.testing.assert_close(found.embedding, expected.embedding)
    torch.testing.assert_close(found.hq, expected.hq)
    assert not found.embedding.requires_grad


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "uint16", "float16", "float64"])
def test_any_dtype(model: HQSam, dtype: str) -> None:
    image = (np.indices((20, 30)).sum(axis=0) % 2).astype(dtype)
    source = open_image(image)
    mapping = IntensityMapping.from_percentiles(source)
    found = encode_image(model, read_window(source, mapping, whole_plane((20, 30), 64)))
    assert torch.isfinite(found.embedding).all()


def test_nan_is_black(model: HQSam) -> None:
    image = np.full((20, 20), np.nan, np.float32)
    image[5:10, 5:10] = 1
    source = open_image(image)
    mapping = IntensityMapping.from_percentiles(source)
    pixels = read_window(source, mapping, Window((), 0, (0, 0), 64, (20, 20), 64))
    assert torch.isfinite(pixels).all()
    assert float(pixels[0, 0, 0, 0]) == 0


@pytest.mark.parametrize("out", [(1, 1), (1, 9), (9, 1), (64, 1), (1, 64), (2, 1), (64, 64)])
@pytest.mark.parametrize("size", [(1, 1), (1, 43), (43, 1), (43, 7), (7, 43)])
def test_resize_treats_rows_and_columns_alike(size: tuple[int, int], out: tuple[int, int]) -> None:
    torch.manual_seed(0)
    images = torch.rand(1, 3, *size)
    found = resize(images, out)
    assert found.shape == (1, 3, *out)
    torch.testing.assert_close(found, resize(images.mT, out[::-1]).mT)
    # each axis by itself, as a matrix: each output pixel is a mean of the input pixels around it
    rows, columns = (_weights(a, b) for a, b in zip(size, out, strict=True))
    torch.testing.assert_close(found, rows @ images @ columns.mT, atol=1e-5, rtol=0)


def _weights(before: int, after: int) -> torch.Tensor:
    """The triangle filter of an antialiased resize, (after, before)."""
    reach = max(before / after, 1)
    centre = (torch.arange(after)[:, None] + 0.5) * before / after
    distance = (torch.arange(before) + 0.5 - centre).abs()
    triangle = (1 - distance / reach).clamp(min=0)
    return triangle / triangle.sum(dim=1, keepdim=True)


def test_a_shrunk_window_is_read_from_a_coarser_level() -> None:
    """And shows what the fine level would have shown there."""
    rng = np.random.default_rng(3)
    coarse = rng.integers(0, 256, (130, 150)).astype(np.uint8)
    fine = np.kron(coarse, np.ones((4, 4), np.uint8))
    reads: list[tuple[int, ...]] = []

    class Watched:
        def __init__(self, array: np.ndarray) -> None:
            self.array, self.shape, self.dtype = array, array.shape, array.dtype

        def __getitem__(self, index: object) -> np.ndarray:
            part = self.array[index]
            reads.append(part.shape)
            return part

    levels = [Watched(fine), Watched(coarse)]
    mapping = IntensityMapping.from_limits((0, 255))
    window = Window((), 0, (8, 88), 512, (512, 512), 128)
    found = read_window(open_image(levels), mapping, window)
    assert reads == [(128, 128)]
    np.testing.assert_array_equal(found[0, 0].numpy(), coarse[2:130, 22:150])
    # at 1:1 the coarse level would be too coarse
    reads.clear()
    read_window(open_image(levels), mapping, Window((), 0, (8, 88), 128, (128, 128), 128))
    assert reads == [(128, 128)]


def test_a_large_window_is_read_in_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    image = rng.integers(0, 256, (700, 660)).astype(np.uint8)
    image[200:420, 100:430] //= 4
    mapping = IntensityMapping.from_limits((0, 255))
    window = whole_plane(image.shape, 64)
    expected = read_window(open_image(image), mapping, window)
    rows: list[int] = []
    source = open_image(image)
    read = source.read

    def watched(*box: object) -> np.ndarray:
        pixels = read(*box)
        rows.append(pixels.shape[0])
        return pixels

    source.read = watched  # type: ignore[method-assign]
    monkeypatch.setattr("napari_hqsam.embedding.encode._STRIP", 50_000)
    found = read_window(source, mapping, window)
    assert max(rows) * 660 <= 50_000
    assert sum(rows) == 700
    assert found.shape == expected.shape
    # means of blocks, then the filter: a little smoother than the filter alone
    assert float((found - expected).abs().mean()) < 3
