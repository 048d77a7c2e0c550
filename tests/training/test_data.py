"""Data sets from folders, and how they are divided."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from skimage import io

from napari_hqsam.errors import HQSAMError
from napari_hqsam.training.data import find_data_sets, read_data_set


def write(folder: Path, name: str, image: np.ndarray, labels: np.ndarray | None = None) -> None:
    """A picture and its labels; all of it one object by default."""
    if labels is None:
        labels = np.ones(image.shape[:2], np.uint8)
    for kind, pixels in (("images", image), ("masks", labels)):
        path = folder / kind / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".tif":
            tifffile.imwrite(path, pixels, photometric="minisblack")
        else:
            io.imsave(path, pixels, check_contrast=False)


def picture(seed: int = 0, shape: tuple[int, ...] = (12, 16)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def names(planes: list) -> list[str]:
    return [p.name for p in planes]


def test_every_fifth_file_is_held_out_the_third_first(tmp_path: Path) -> None:
    for i in range(13):
        write(tmp_path, f"image {i:02d}.png", picture(i))
    data = read_data_set(tmp_path)
    assert names(data.validation) == ["image 02", "image 07", "image 12"]
    assert sorted(names(data.train) + names(data.validation)) == [
        f"image {i:02d}" for i in range(13)
    ]
    np.testing.assert_array_equal(data.train[3].image, picture(4))


def test_left_and_right_of_one_person_stay_together(tmp_path: Path) -> None:
    for i in range(1, 9):
        for side in "LR":
            write(tmp_path, f"Image_{i:02d}{side}.png", picture(i))
    write(tmp_path, "CONTROL.png", picture())  # ends in L, but names no eye
    data = read_data_set(tmp_path)
    # groups: CONTROL, Image_01, Image_02, …
    assert names(data.validation) == ["Image_02L", "Image_02R", "Image_07L", "Image_07R"]
    assert len(data.train) == 13


@pytest.mark.parametrize(
    "files", [["a.png"], ["a.png", "b.png", "c.png"], ["1L.png", "1R.png", "2L.png", "2R.png"]]
)
def test_of_few_files_the_right_quarter_is_held_out(tmp_path: Path, files: list[str]) -> None:
    for i, name in enumerate(files):
        write(tmp_path, name, picture(i))
    data = read_data_set(tmp_path)
    assert names(data.train) == names(data.validation) == [n[:-4] for n in files]
    for i, (left, right) in enumerate(zip(data.train, data.validation, strict=True)):
        np.testing.assert_array_equal(left.image, picture(i)[:, :12])
        np.testing.assert_array_equal(right.image, picture(i)[:, 12:])
        assert left.labels.shape == (12, 12)
        assert right.labels.shape == (12, 4)


def test_a_time_series_of_stacks_is_planes(tmp_path: Path) -> None:
    image = picture(0, (2, 3, 12, 16))
    write(tmp_path, "a.tif", image, np.ones_like(image))
    assert len(read_data_set(tmp_path).train) == 6


def test_a_stack_is_planes_and_is_never_divided_by_slice(tmp_path: Path) -> None:
    for i in range(5):
        stack = picture(i, (3, 12, 16))
        labels = np.zeros((3, 12, 16), np.uint16)
        labels[::2, 3:6, 3:6] = 300
        write(tmp_path, f"s{i}.tif", stack, labels)
    data = read_data_set(tmp_path)
    assert names(data.validation) == ["s2_z0000", "s2_z0002"]  # the empty slice is left out
    assert len(data.train) == 8
    np.testing.assert_array_equal(data.validation[1].image, picture(2, (3, 12, 16))[2])
    assert data.validation[1].labels.max() == 300


def test_one_stack_is_divided_in_space_in_each_slice(tmp_path: Path) -> None:
    labels = np.zeros((2, 12, 16), np.uint8)
    labels[:, 2:5, 2:14] = 1
    write(tmp_path, "s.tif", picture(0, (2, 12, 16)), labels)
    data = read_data_set(tmp_path)
    assert names(data.train) == names(data.validation) == ["s_z0000", "s_z0001"]
    assert {p.labels.shape for p in data.train} == {(12, 12)}
    assert {p.labels.shape for p in data.validation} == {(12, 4)}


def test_planes_without_an_object_are_left_out(tmp_path: Path) -> None:
    labels = np.zeros((12, 16), np.uint8)
    labels[2:5, 2:5] = 1
    write(tmp_path, "a.png", picture(), labels)
    data = read_data_set(tmp_path)
    assert len(data.train) == 1
    assert data.validation == []


@pytest.mark.parametrize("channels", [3, 4])
def test_colour_with_and_without_alpha(tmp_path: Path, channels: int) -> None:
    write(tmp_path, "a.png", picture(0, (12, 16, channels)), np.ones((12, 16), np.uint8))
    assert read_data_set(tmp_path).train[0].image.shape == (12, 12, 3)


def test_other_masks_and_other_suffixes(tmp_path: Path) -> None:
    write(tmp_path, "scan [1].PNG", picture())
    (tmp_path / "masks_other").mkdir()
    tifffile.imwrite(tmp_path / "masks_other" / "scan [1].TIF", np.full((12, 16), 7, np.int32))
    (tmp_path / "images" / "notes.txt").write_text("not a picture")
    assert read_data_set(tmp_path).train[0].labels.max() == 1
    assert read_data_set(tmp_path, "masks_other").train[0].labels.max() == 7


def test_a_mask_of_one_bit_is_one_object(tmp_path: Path) -> None:
    write(tmp_path, "a.tif", picture(), picture() > 99)
    labels = read_data_set(tmp_path).train[0].labels
    assert labels.dtype == np.uint8
    assert set(np.unique(labels)) == {0, 1}


def test_find_data_sets(tmp_path: Path) -> None:
    for name in ("nuclei", "cells"):
        write(tmp_path / name, "a.png", picture())
    (tmp_path / "other").mkdir()
    (tmp_path / "readme.txt").write_text("")
    assert find_data_sets(tmp_path) == [tmp_path / "cells", tmp_path / "nuclei"]
    assert find_data_sets(tmp_path / "cells") == [tmp_path / "cells"]


def no_folder(folder: Path) -> None:
    pass


def no_pictures(folder: Path) -> None:
    (folder / "images").mkdir()


def no_masks(folder: Path) -> None:
    no_pictures(folder)
    io.imsave(folder / "images" / "a.png", picture(), check_contrast=False)


def one_mask_missing(folder: Path) -> None:
    write(folder, "a.png", picture())
    write(folder, "b.png", picture())
    (folder / "masks" / "a.png").unlink()


def another_size(folder: Path) -> None:
    write(folder, "a.png", picture(), np.ones((12, 15), np.uint8))


def masks_in_colour(folder: Path) -> None:
    write(folder, "a.png", picture(0, (12, 16, 3)), picture(0, (12, 16, 3)))


def fractions(folder: Path) -> None:
    write(folder, "a.tif", picture(), np.full((12, 16), 0.5, np.float32))


def broken_png(folder: Path) -> None:
    write(folder, "a.png", picture())
    (folder / "images" / "a.png").write_bytes(b"no picture")


def broken_tiff(folder: Path) -> None:
    write(folder, "a.tif", picture())
    (folder / "masks" / "a.tif").write_bytes(b"II*\0no picture")


def truncated_png(folder: Path) -> None:
    write(folder, "a.png", picture(0, (64, 64)))
    path = folder / "images" / "a.png"
    path.write_bytes(path.read_bytes()[:300])


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (no_folder, "images/"),
        (no_pictures, "images"),
        (no_masks, "masks"),
        (one_mask_missing, "a.png"),
        (another_size, "a.png"),
        (masks_in_colour, "a.png"),
        (fractions, "whole numbers"),
        (broken_png, "a.png"),
        (broken_tiff, "a.tif"),
        (truncated_png, "a.png"),
    ],
)
def test_bad_folders_are_refused_in_one_line(tmp_path: Path, make: object, names: str) -> None:
    make(tmp_path)  # type: ignore[operator]
    with pytest.raises(HQSAMError) as caught:
        read_data_set(tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(tmp_path) in message
    assert names in message


def test_where_no_data_set_is_found(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(HQSAMError, match="images/ and masks/"):
            find_data_sets(folder)
