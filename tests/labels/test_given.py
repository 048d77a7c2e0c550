"""Labels that somebody gives for an image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images import open_image
from napari_hqsam.labels.export import write_labels
from napari_hqsam.labels.frame import LabelFrame
from napari_hqsam.labels.given import as_label_array
from napari_hqsam.labels.store import LabelStore


def frame(shape: tuple[int, ...] = (4, 20, 30), axes: str = "zyx") -> LabelFrame:
    return LabelFrame.of(open_image(np.zeros(shape, np.uint8), axes=axes))


def labels() -> np.ndarray:
    return np.arange(4 * 20 * 30, dtype=np.uint16).reshape(4, 20, 30)


def test_boxes_of_planes_of_any_array() -> None:
    for given in (labels(), da.from_array(labels(), chunks=7), [labels(), labels()[:, ::2, ::2]]):
        found = as_label_array(given, frame())
        assert found.shape == (4, 20, 30)
        np.testing.assert_array_equal(
            found.read(frame().plane((2,)), (3, 4, 9, 12)), labels()[2, 3:9, 4:12]
        )


@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
def test_a_file_or_a_store(suffix: str, tmp_path: Path) -> None:
    path = write_labels(tmp_path / f"labels{suffix}", labels(), axes="zyx")
    given: list[Any] = [path, str(path)]
    given += [LabelStore.open(path)] if suffix == ".zarr" else []
    for one in given:
        found = as_label_array(one, frame())
        np.testing.assert_array_equal(found.read(frame().plane((1,)), (0, 0, 20, 30)), labels()[1])
        found.close()


def test_axes_of_length_one_do_not_count() -> None:
    found = as_label_array(labels()[:1, None], frame((20, 30), "yx"))
    np.testing.assert_array_equal(
        found.read(frame((20, 30), "yx").plane(()), (0, 0, 20, 30)), labels()[0]
    )


def test_planes_as_the_image_counts_them() -> None:
    image = np.zeros((3, 2, 8, 9), np.uint8)
    given = np.arange(image.size, dtype=np.int32).reshape(2, 3, 8, 9)  # t before z, as in labels
    at = LabelFrame.of(open_image(image, axes="ztyx"))
    found = as_label_array(given, at)
    np.testing.assert_array_equal(found.read(at.plane((2, 1)), (0, 0, 8, 9)), given[1, 2])
    assert list(at.planes())[:4] == [(0, 0), (1, 0), (2, 0), (0, 1)]


def test_true_and_false_are_one_object() -> None:
    pixels = as_label_array(labels() > 5, frame()).read(frame().plane((0,)), (0, 0, 2, 9))
    assert pixels.dtype == np.uint8
    assert pixels.max() == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((4, 20, 30), np.float32), "whole numbers, not float32"),
        (np.zeros((4, 20, 31), np.uint8), r"shape \(4, 20, 31\) do not fit"),
        (np.zeros((20, 30), np.uint8), r"shape \(20, 30\) do not fit"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(given: Any, message: str) -> None:
    with pytest.raises(HQSAMError, match=message) as error:
        as_label_array(given, frame())
    assert "\n" not in str(error.value)


def test_a_negative_label_is_told() -> None:
    given = np.zeros((4, 20, 30), np.int16)
    given[3, 4, 5] = -2
    found = as_label_array(given, frame())
    found.read(frame().plane((0,)), (0, 0, 20, 30))
    with pytest.raises(HQSAMError, match="-2 occurs"):
        found.read(frame().plane((3,)), (0, 0, 20, 30))


def test_another_pixel_size_is_told(tmp_path: Path) -> None:
    path = write_labels(
        tmp_path / "labels.zarr", labels(), axes="zyx", scale=(2, 0.5, 0.5), units="micrometer"
    )
    fine = write_labels(
        tmp_path / "image.zarr", labels(), axes="zyx", scale=(2, 0.25, 0.25), units="micrometer"
    )
    as_label_array(path, LabelFrame.of(open_image(path))).close()
    with pytest.raises(HQSAMError, match=r"0\.5 µm along y, those of the image 0\.25"):
        as_label_array(path, LabelFrame.of(open_image(fine)))
