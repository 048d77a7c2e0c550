from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from roifile import ROI_TYPE, ImagejRoi, roiread
from scipy import ndimage
from skimage.draw import polygon2mask

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.find import objects_in
from napari_hqsam.labels.grid import Grid
from napari_hqsam.labels.objects import LabelObject, PlaneMask
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.labels.rois import write_rois
from napari_hqsam.session.record import ObjectRecord

from .pictures import MASKS, PINCHED, an_object, grid_of


def pixels_of(roi: ImagejRoi, shape: tuple[int, int]) -> np.ndarray:
    """Those whose centres lie within an odd number of the outlines, as ImageJ fills them."""
    inside = np.zeros(shape, bool)
    for ring in roi.coordinates(multi=True):
        inside ^= polygon2mask(shape, ring[:, ::-1] - 0.5 + 1e-3)
    return inside


@settings(deadline=None)
@given(MASKS)
@example(PINCHED)
def test_each_part_is_a_roi_of_its_pixels(tmp_path_factory: Any, mask: np.ndarray) -> None:
    path = tmp_path_factory.mktemp("rois") / "a.zip"
    write_rois(path, [an_object(mask)], Grid("yx", mask.shape))
    if not mask.any():
        assert zipfile.ZipFile(path).namelist() == []
        return
    rois = roiread(path)
    parts, n = ndimage.label(mask)
    assert len(rois) == n
    found = np.zeros(mask.shape, int)
    for roi in rois:
        pixels = pixels_of(roi, mask.shape)
        y, x = np.nonzero(pixels)
        assert (roi.top, roi.left, roi.bottom, roi.right) == (
            y.min(), x.min(), y.max() + 1, x.max() + 1
        )  # fmt: skip
        assert len(set(parts[pixels])) == 1
        found += pixels
    np.testing.assert_array_equal(found, mask)


def test_names_groups_and_properties(tmp_path: Path) -> None:
    record = ObjectRecord(7, an_object(PINCHED).masks, "b\n🙂", 0.5, "accepted", uncertainty=0.25)
    objects = [record, an_object(np.ones((2, 2)), 3, class_name="a"), an_object(np.ones((1, 1)), 3)]
    rois = roiread(write_rois(tmp_path / "a.zip", objects, Grid("yx", (9, 9))))
    n = ndimage.label(PINCHED)[1]
    assert [roi.name for roi in rois] == [*(f"7-part{i + 1}" for i in range(n)), "3", "3-"]
    assert [roi.group for roi in rois] == [2] * n + [1, 0]
    assert rois[0].properties == {
        "label": 7, "class": "b??", "status": "accepted", "score": 0.5, "uncertainty": 0.25
    }  # fmt: skip
    kinds = {roi.roitype for roi in rois if not roi.composite}
    assert kinds == {ROI_TYPE.TRACED}
    assert [roi.roitype for roi in rois if roi.composite] == [ROI_TYPE.RECT, ROI_TYPE.RECT]
    names = zipfile.ZipFile(tmp_path / "a.zip").namelist()
    assert names == [f"{roi.name}.roi" for roi in rois]


@pytest.mark.parametrize(
    ("shape", "at", "name", "position", "z", "t"),
    [
        ((4, 5), (), "9", 0, 0, 0),
        ((3, 4, 5), (2,), "9-z3", 3, 0, 0),
        ((3, 1, 4, 5), (2, 0), "9-t3", 3, 0, 0),
        ((2, 3, 4, 5), (1, 2), "9-t2-z3", 0, 3, 2),
    ],
)
def test_rois_lie_where_imagej_looks_for_them(
    tmp_path: Path, shape: tuple[int, ...], at: tuple, name: str, position: int, z: int, t: int
) -> None:
    labels = np.zeros(shape, int)
    labels[(*at, 1, 1)] = 9
    (roi,) = roiread(write_rois(tmp_path / "a.zip", objects_in(labels), grid_of(labels)))
    assert (roi.name, roi.position, roi.z_position, roi.t_position) == (name, position, z, t)


def test_coordinates_beyond_16_bits(tmp_path: Path) -> None:
    mask = PlaneMask.of(ArrayPlane((0, 1), ()), (70_000, 5, 70_002, 8), np.ones((2, 3), bool))
    rois = roiread(
        write_rois(tmp_path / "a.zip", [LabelObject(1, (mask,))], Grid("yx", (80_000, 10)))
    )
    assert rois[0].coordinates().tolist() == [[5, 70_000], [8, 70_000], [8, 70_002], [5, 70_002]]


def test_the_same_objects_are_the_same_file(tmp_path: Path) -> None:
    for name in "ab":
        write_rois(tmp_path / f"{name}.zip", [an_object(PINCHED)], Grid("yx", (9, 9)))
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with pytest.raises(HQSAMError, match="no folder"):
        write_rois(tmp_path / "missing" / "a.zip", [], Grid("yx", (9, 9)))
