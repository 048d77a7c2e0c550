"""Labels refined box by box, with a network that sees what is bright."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.draw import disk

from napari_hqsam.embedding.features import Features
from napari_hqsam.errors import HQSAMError
from napari_hqsam.images import IntensityMapping, open_image
from napari_hqsam.labels.frame import LabelFrame
from napari_hqsam.labels.given import as_label_array
from napari_hqsam.modeling import Decoded
from napari_hqsam.segmentation.refine.refiner import Refiner, RefineSettings
from napari_hqsam.segmentation.region import Region

from ..fakes import LookingGlass


class Sure(LookingGlass):
    """It sees what is bright, and has no doubt."""

    def decode(self, *args: Any, **options: Any) -> Decoded:
        return Decoded(*(None if t is None else 20 * t for t in super().decode(*args, **options)))


CENTRES = [(30, 30), (30, 90), (62, 61), (100, 40), (100, 104), (70, 118)]
RADIUS = 11


def scene(shape: tuple[int, int] = (128, 136)) -> tuple[NDArray[Any], NDArray[Any]]:
    """Bright discs of which the labels are too wide, and displaced."""
    image, labels = np.zeros(shape, np.uint8), np.zeros(shape, np.uint16)
    for number, (y, x) in enumerate(CENTRES, start=1):
        image[disk((y, x), RADIUS, shape=shape)] = 255
        labels[disk((y + 1, x - 2), RADIUS + 3, shape=shape)] = number * 10
    return image, labels


def refiner(
    image: NDArray[Any],
    labels: NDArray[Any],
    size: int = 64,
    region: Region | None = None,
    axes: str | None = None,
    **settings: Any,
) -> Refiner:
    source = open_image(image, axes=axes)
    frame = LabelFrame.of(source)
    features = Features(Sure(size), source, IntensityMapping.choose(source, (0, 255)))
    given = as_label_array(labels, frame)
    return Refiner(features, frame, given, 0, RefineSettings(**settings), region)


def test_boundaries_go_to_where_the_network_sees_them_and_numbers_stay() -> None:
    image, labels = scene()
    new = refiner(image, labels).block((), (0, 0, 128, 136))
    assert set(np.unique(new)) == set(np.unique(labels))
    for number, (y, x) in enumerate(CENTRES, start=1):
        truth = np.zeros(image.shape, bool)
        truth[disk((y, x), RADIUS, shape=image.shape)] = True
        found, given = new == number * 10, labels == number * 10
        iou = (truth & found).sum() / (truth | found).sum()
        assert iou > 0.93 > (truth & given).sum() / (truth | given).sum()


@pytest.mark.parametrize("side", [32, 47])
def test_the_same_comes_out_whichever_boxes_are_computed(side: int) -> None:
    image, labels = scene()
    whole = refiner(image, labels).block((), (0, 0, *image.shape))
    of_boxes, parts = refiner(image, labels), np.zeros_like(whole)
    corners = [(y, x) for y in range(0, 128, side) for x in range(0, 136, side)]
    for y, x in reversed(corners):
        box = y, x, min(y + side, 128), min(x + side, 136)
        parts[y : box[2], x : box[3]] = of_boxes.block((), box)
    np.testing.assert_array_equal(parts, whole)


def test_nothing_changes_beyond_the_band() -> None:
    image, labels = scene()
    image[:] = 255  # the network sees one object that is everywhere
    new = refiner(image, labels, band=3).block((), (0, 0, *image.shape))
    for number in np.unique(labels[labels > 0]):
        y, x = np.nonzero(labels == number)
        near = np.zeros(image.shape, bool)
        for dy, dx in zip(y, x, strict=True):
            near[max(dy - 3, 0) : dy + 4, max(dx - 3, 0) : dx + 4] = True
        assert not ((new == number) & ~near).any()
        assert (new == number).sum() > (labels == number).sum()


def test_touching_objects_stay_separate_and_none_is_lost() -> None:
    image = np.full((96, 96), 255, np.uint8)
    labels = (np.indices((96, 96)) // 16 * [[[6]], [[1]]]).sum(axis=0).astype(np.int32) + 1
    new = refiner(image, labels, band=8).block((), (0, 0, 96, 96))
    assert set(np.unique(new)) == set(np.unique(labels))
    for number in np.unique(labels):  # each where it was
        assert ((new == number) & (labels == number)).sum() > 0.5 * (labels == number).sum()


def test_an_object_swallowed_by_another_keeps_a_pixel() -> None:
    image, labels = scene()
    labels[labels == 10] = 0
    labels[24:27, 24:27] = 10  # a speck in a disc that is another's
    labels[(labels == 0) & (image > 0)] = 7
    new = refiner(image, labels).block((), (0, 0, *image.shape))
    assert {7, 10} <= set(np.unique(new))


def test_an_object_larger_than_a_window_is_refined_part_by_part() -> None:
    image = np.zeros((300, 320), np.uint8)
    image[disk((150, 160), 110)] = 255
    labels = np.zeros(image.shape, np.uint16)
    labels[disk((150, 160), 115)] = 5
    new = refiner(image, labels).block((), (0, 0, *image.shape))
    truth = image > 0
    assert ((new == 5) ^ truth).sum() < 0.15 * ((labels == 5) ^ truth).sum()


def test_only_objects_in_the_region_change() -> None:
    image, labels = scene()
    region = Region.of((0, 0, 60, 60), image.shape)
    new = refiner(image, labels, region=region).block((), (0, 0, *image.shape))
    np.testing.assert_array_equal(new[labels > 10], labels[labels > 10])
    assert (new == 10).sum() < (labels == 10).sum()


def test_each_plane_by_itself() -> None:
    image, labels = scene()
    stack = np.stack([image, np.zeros_like(image), image])
    of = refiner(stack, np.stack([labels, labels, 0 * labels]), axes="zyx")
    box = (0, 0, *image.shape)
    np.testing.assert_array_equal(of.block((0,), box), refiner(image, labels).block((), box))
    np.testing.assert_array_equal(of.block((1,), box), labels)  # nothing is seen: as it was
    assert not of.block((2,), box).any()


def test_more_labels_than_a_window_was_made_for_and_large_numbers() -> None:
    image = np.zeros((400, 400), np.uint8)
    labels = np.zeros(image.shape, np.uint64)
    labels[::4, ::4] = np.arange(10_000, dtype=np.uint64).reshape(100, 100) + 2**40
    new = refiner(image, labels).block((), (0, 0, 64, 64))
    np.testing.assert_array_equal(new, labels[:64, :64])


@pytest.mark.parametrize(("name", "value"), [("band", 0), ("band", np.nan), ("thin", -1)])
def test_a_distance_that_is_not_possible_is_refused(name: str, value: float) -> None:
    with pytest.raises(HQSAMError, match=name):
        RefineSettings(**{name: value})
