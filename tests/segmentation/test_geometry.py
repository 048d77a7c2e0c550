"""From the image through the model's pixels and back: does the mask lie where the object is?

The model is a looking glass, whose mask is what is bright, so every shift would show.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation, binary_erosion

from napari_hqsam.segmentation import Mask, Prompts, Segmenter

from .fakes import LookingGlass


def segmenter(image: np.ndarray, size: int = 256, **options: bool) -> Segmenter:
    return Segmenter(
        image,
        contrast_limits=(0, 200),
        model=LookingGlass(size, **options),  # type: ignore[arg-type]
    )


def disc(shape: tuple[int, int], centre: tuple[float, float], radius: float) -> np.ndarray:
    y, x = np.mgrid[: shape[0], : shape[1]]
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2


def box_of(truth: np.ndarray) -> tuple[int, int, int, int]:
    ys, xs = np.nonzero(truth)
    return ys.min(), xs.min(), ys.max(), xs.max()


def wrong_beyond(mask: Mask, truth: np.ndarray, pixels: float) -> int:
    """Pixels that differ from the truth further from its boundary than `pixels`."""
    n = max(1, round(pixels))
    square = np.ones((3, 3), bool)
    # what lies outside of the plane is of no kind: it makes no boundary
    grown = binary_dilation(truth, square, n)
    shrunk = binary_erosion(truth, square, n, border_value=1)
    found = mask.full(truth.shape)
    return int((found & ~grown).sum() + (shrunk & ~found).sum())


# Half a model pixel of shift would be 1.5, 0.5 and 0.125 pixels of these images.
DISCS = [
    pytest.param((768, 500), (370.0, 245.0), 200, 1 / 3, 0.2, id="shrunk to a third"),
    pytest.param((500, 768), (251.5, 400.25), 210, 1 / 3, 0.2, id="shrunk to a third, wide"),
    pytest.param((700, 600), (400.0, 333.0), 60, 1, 0.05, id="1:1"),
    pytest.param((300, 1500), (150.0, 1400.0), 55, 1, 0.05, id="1:1 at the right edge"),
    pytest.param((700, 600), (123.0, 456.0), 15, 4, 0.05, id="magnified four times"),
    pytest.param((90, 333), (77.5, 310.0), 12, 4, 0.05, id="magnified at a corner"),
    pytest.param((600, 600), (301.0, 299.0), 7, 8, 0.05, id="magnified eight times"),
]


@pytest.mark.parametrize(("shape", "centre", "radius", "scale", "shift"), DISCS)
@pytest.mark.parametrize("turned", [False, True], ids=["", "transposed"])
def test_a_bright_disc_comes_back_where_it_is(
    shape: tuple, centre: tuple, radius: float, scale: float, shift: float, turned: bool
) -> None:
    truth = disc(shape, centre, radius)
    if turned:
        truth = truth.T
    mask = segmenter(truth * np.uint8(200)).predict(box=box_of(truth))
    assert mask.window.scale == pytest.approx(scale)
    assert wrong_beyond(mask, truth, 4 / scale) == 0
    found = mask.full(truth.shape)
    offset = np.argwhere(found).mean(axis=0) - np.argwhere(truth).mean(axis=0)
    assert np.abs(offset).max() < shift
    assert found.sum() == pytest.approx(truth.sum(), rel=0.02 if scale > 1 else 0.06)


@pytest.mark.parametrize(
    ("y0", "x0", "height", "width"), [(200, 300, 20, 30), (199, 301, 37, 8), (0, 569, 25, 31)]
)
def test_a_magnified_rectangle_is_right_to_the_pixel(
    y0: int, x0: int, height: int, width: int
) -> None:
    image = np.zeros((700, 600), np.uint8)
    image[y0 : y0 + height, x0 : x0 + width] = 200
    mask = segmenter(image).predict(box=(y0, x0, y0 + height - 1, x0 + width - 1))
    assert mask.window.scale == 4
    found = mask.full(image.shape)
    corners = np.zeros_like(found)  # bilinear interpolation rounds them
    corners[np.ix_([y0, y0 + height - 1], [x0, x0 + width - 1])] = True
    np.testing.assert_array_equal(found[~corners], (image > 0)[~corners])
    assert mask.bbox == (y0, x0, y0 + height, x0 + width)


@pytest.mark.parametrize("size", [64, 256])
def test_a_click_on_a_small_disc_is_looked_at_magnified(size: int) -> None:
    truth = disc((700, 600), (431.0, 222.0), 5)
    mask = segmenter(truth * np.uint8(200), size).predict(points=[(431, 222)])
    assert mask.window.scale == (2 if size == 64 else 8)
    assert wrong_beyond(mask, truth, 1) == 0
    offset = np.argwhere(mask.full(truth.shape)).mean(axis=0) - (431, 222)
    assert np.abs(offset).max() < (0.15 if size == 64 else 0.05)


def test_a_click_on_a_large_disc_keeps_its_window() -> None:
    truth = disc((200, 240), (100.0, 120.0), 50)
    seg = segmenter(truth * np.uint8(200))
    mask = seg.predict(points=[(100, 120)])
    assert mask.window.shape == (200, 240)
    assert len(seg.features.cache) == 1
    assert wrong_beyond(mask, truth, 4) == 0


@st.composite
def scenes(draw: st.DrawFn) -> np.ndarray:
    """A plane of any shape with one rectangle in it."""
    shape = draw(st.integers(1, 400)), draw(st.integers(1, 400))
    truth = np.zeros(shape, bool)
    (y0, y1), (x0, x1) = (
        sorted(draw(st.lists(st.integers(0, n - 1), min_size=2, max_size=2))) for n in shape
    )
    truth[y0 : y1 + 1, x0 : x1 + 1] = True
    return truth


@settings(deadline=None, max_examples=80)
@given(scenes())
def test_any_rectangle_in_any_plane(truth: np.ndarray) -> None:
    seg = segmenter(truth * np.uint8(200), 64)
    mask = seg.predict(box=box_of(truth))
    assert mask.full(truth.shape).shape == truth.shape
    assert wrong_beyond(mask, truth, 4 / mask.window.scale) == 0
    if min(np.ptp(np.nonzero(truth), axis=1)) + 1 >= 8 / mask.window.scale:
        assert mask.area > 0


@settings(deadline=None, max_examples=80)
@given(scenes())
def test_a_drawn_box_comes_back(truth: np.ndarray) -> None:
    """The prompt's road, without the image's: a model that fills its box."""
    seg = segmenter(np.zeros(truth.shape, np.uint8), 64, draw_boxes=True)
    y0, x0, y1, x1 = box_of(truth)
    mask = seg.predict(box=(y0, x0, y1, x1))
    reach = 4 / mask.window.scale + 1
    found = np.array(mask.bbox) - (0, 0, 1, 1)
    if min(y1 - y0, x1 - x0) + 1 >= 3 * reach:
        np.testing.assert_allclose(found, (y0, x0, y1, x1), atol=reach)
    elif mask.area:  # thinner than a pixel of the mask it may be lost
        assert (found[:2] >= np.array([y0, x0]) - reach).all()
        assert (found[2:] <= np.array([y1, x1]) + reach).all()


def test_masks_of_many_objects_are_each_in_their_place() -> None:
    """Objects of several sizes, over all of a plane: windows of several scales."""
    labels = np.zeros((400, 330), int)
    n = 0
    for y, diameter in zip((20, 50, 90, 150, 300), (9, 14, 22, 40, 85), strict=True):
        for x in range(45, 290, round(1.7 * diameter)):
            n += 1
            labels[disc(labels.shape, (y, x), diameter / 2)] = n
    seg = segmenter((labels > 0) * np.uint8(200), 128)
    prompts = [Prompts(box=box_of(labels == i)) for i in range(1, n + 1)]
    masks = seg.predict_many(prompts)
    assert len(masks) == n
    assert {m.window.scale for m in masks} == {8, 4, 2, 1, 0.5}
    assert seg.model.encoded == len({m.window for m in masks})  # each window once
    drawn = np.zeros_like(labels)
    for i, mask in enumerate(masks, start=1):
        assert wrong_beyond(mask, labels == i, 4 / mask.window.scale) == 0
        mask.draw(drawn, i)
    assert (drawn == labels).mean() > 0.99
