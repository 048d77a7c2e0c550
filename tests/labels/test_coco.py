from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as reference
from pycocotools.coco import COCO

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels import rle
from napari_hqsam.labels.coco import read_coco, write_coco
from napari_hqsam.labels.find import objects_in
from napari_hqsam.labels.grid import Grid
from napari_hqsam.labels.rows import Rows, row_runs
from napari_hqsam.session.record import ObjectRecord

from .pictures import MASKS, PINCHED, about, an_object, drawn, grid_of, label_images

GRID = Grid("yx", (8, 9), name="cells.tif")

# of `pycocotools.mask.decode`
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def saved(path: Path, **changes: Any) -> Path:
    """A file of one object, with other members."""
    document = {
        "images": [{"id": 1, "file_name": "cells.tif", "height": 8, "width": 9}],
        "annotations": [
            {"id": 5, "image_id": 1, "category_id": 2, "segmentation": [[1, 1, 6, 1, 6, 5, 1, 5]]}
        ],
        "categories": [{"id": 2, "name": "cell"}],
    }
    path.write_text(json.dumps(document | changes))
    return path


@settings(deadline=None)
@given(MASKS)
def test_pycocotools_reads_our_masks(mask: np.ndarray) -> None:
    encoded = rle.encode(Rows(*row_runs(mask)), mask.shape)
    np.testing.assert_array_equal(reference.decode(encoded), mask)
    assert (
        encoded["counts"] == reference.encode(np.asfortranarray(mask, np.uint8))["counts"].decode()
    )
    np.testing.assert_array_equal(
        rle.decode(encoded["counts"], mask.shape).dense((0, 0, *mask.shape)), mask
    )


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 2**29), min_size=3, max_size=3), st.integers(1, 40_000))
def test_masks_on_the_largest_planes_keep_their_pixels(at: list[int], length: int) -> None:
    shape = 46_340, 46_340
    y, x, _ = (n % (46_340 - 1) for n in at)
    rows = Rows.of([y, 46_339], [x, 0], [min(x + length, 46_340), 46_340])
    encoded = rle.encode(rows, shape)
    assert reference.area(encoded) == rows.area
    assert tuple(reference.toBbox(encoded)) == (
        rows.bbox[1], rows.bbox[0], rows.bbox[3] - rows.bbox[1], rows.bbox[2] - rows.bbox[0]
    )  # fmt: skip
    found = rle.decode(encoded["counts"], shape)
    np.testing.assert_array_equal(found.x0, rows.x0)
    np.testing.assert_array_equal(found.x1, rows.x1)


@settings(deadline=None, max_examples=40)
@given(label_images())
def test_objects_survive_a_round_trip(tmp_path_factory: Any, labels: np.ndarray) -> None:
    path = tmp_path_factory.mktemp("coco") / "a.json"
    rng = np.random.default_rng(0)
    objects = [
        replace(
            obj,
            class_name=["", "cell", "Größe, µ"][obj.id % 3],
            score=None if obj.id == 2 else float(rng.random()),
            status=["new", "accepted", "to fix"][obj.id % 3],
        )
        for obj in objects_in(labels)
    ]
    write_coco(path, objects, grid_of(labels))
    found = read_coco(path, grid_of(labels))
    assert about(found) == about(objects)
    np.testing.assert_array_equal(drawn(found, labels.shape), labels)


def test_the_file_is_what_coco_wants(tmp_path: Path) -> None:
    objects = [
        ObjectRecord(7, an_object(PINCHED).masks, "nucleus", np.float32(0.5), uncertainty=0.25),
        an_object(np.ones((2, 3)), 3, 6, 1, class_name="cell", status="accepted"),
        an_object(np.zeros((2, 3)), 4, class_name="nucleus"),
    ]
    path = write_coco(tmp_path / "a.json", objects, GRID)
    with redirect_stdout(io.StringIO()):
        coco = COCO(path)
    assert [c["name"] for c in coco.loadCats(coco.getCatIds())] == ["cell", "nucleus"]
    (image,) = coco.loadImgs(coco.getImgIds())
    assert image == {"id": 1, "file_name": "cells.tif", "width": 9, "height": 8}
    first, second = coco.loadAnns(coco.getAnnIds())
    np.testing.assert_array_equal(coco.annToMask(first), PINCHED)
    assert (first["area"], first["bbox"]) == (PINCHED.sum(), [0, 0, 9, 8])
    assert (first["label"], first["score"], first["uncertainty"]) == (7, 0.5, 0.25)
    assert (second["area"], second["bbox"], second["iscrowd"]) == (6, [1, 6, 3, 2], 0)
    assert (second["status"], "score" in second) == ("accepted", False)
    assert coco.catToImgs[2] == [1]


def test_each_plane_of_a_stack_is_an_image(tmp_path: Path) -> None:
    labels = np.zeros((2, 3, 4, 5), int)
    labels[1, 2, 1:3, 1:4] = labels[0, 0, 0, 0] = 9
    path = write_coco(tmp_path / "a.json", objects_in(labels), grid_of(labels))
    document = json.loads(path.read_text())
    assert [i["plane"] for i in document["images"]] == [
        {"t": t, "z": z} for t in range(2) for z in range(3)
    ]
    assert [a["image_id"] for a in document["annotations"]] == [1, 6]
    assert {a["label"] for a in document["annotations"]} == {9}


@settings(deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(*[st.floats(-3, 12, width=32)] * 2), min_size=3, max_size=6),
        min_size=1,
        max_size=3,
    )
)
def test_polygons_are_filled_as_pycocotools_does(tmp_path_factory: Any, polygons: list) -> None:
    flat = [[v for point in polygon for v in point] for polygon in polygons]
    annotation = {"id": 1, "image_id": 1, "category_id": 2, "segmentation": flat}
    path = saved(tmp_path_factory.mktemp("coco") / "a.json", annotations=[annotation])
    expected = reference.decode(reference.merge(reference.frPyObjects(flat, 8, 9)))
    found = read_coco(path, GRID)
    np.testing.assert_array_equal(drawn(found, (8, 9)), expected)
    assert all(obj.class_name == "cell" for obj in found)


def test_uncompressed_counts_are_read(tmp_path: Path) -> None:
    counts = [10, 3, 5, 3, 51]
    segmentation = {"size": [8, 9], "counts": counts}
    annotation = {"image_id": 1, "segmentation": segmentation, "score": 0.7, "category_id": 77}
    (found,) = read_coco(saved(tmp_path / "a.json", annotations=[annotation]), GRID)
    flat = np.repeat(np.arange(5) % 2, counts)
    np.testing.assert_array_equal(drawn([found], (8, 9)), flat.reshape(9, 8).T)
    assert about([found]) == [(1, "", 0.7, "new")]


def test_annotations_without_a_label_get_free_numbers(tmp_path: Path) -> None:
    box = [[0, 0, 3, 0, 3, 3, 0, 3]]
    annotations = [
        {"image_id": 1, "segmentation": box, "label": label}
        for label in (4, None, 4, True, -1, "x")
    ]
    found = read_coco(saved(tmp_path / "a.json", annotations=annotations), GRID)
    assert [obj.id for obj in found] == [4, 5, 6, 7, 8, 9]


def test_of_many_images_those_of_this_name_count(tmp_path: Path) -> None:
    images = [
        {"id": 1, "file_name": "other.tif", "height": 4, "width": 4},
        {"id": 2, "file_name": "C:\\data\\cells.png", "height": 8, "width": 9},
    ]
    box = [[0, 0, 3, 0, 3, 3, 0, 3]]
    annotations = [{"image_id": i, "segmentation": box, "label": i} for i in (1, 2, 3)]
    path = saved(tmp_path / "a.json", images=images, annotations=annotations)
    assert [obj.id for obj in read_coco(path, GRID)] == [2]
    with pytest.raises(HQSAMError, match=r"4 x 4 pixels \(other.tif\), but x has 8 x 9"):
        read_coco(path, Grid("yx", (8, 9), name="x"))


def test_images_of_a_stack_are_its_planes_in_order(tmp_path: Path) -> None:
    images = [{"id": i, "file_name": f"{i}.png", "height": 8, "width": 9} for i in (10, 20)]
    annotations = [
        {"image_id": 20, "segmentation": [[0, 0, 3, 0, 3, 3, 0, 3]]},
    ]
    path = saved(tmp_path / "a.json", images=images, annotations=annotations)
    (found,) = read_coco(path, Grid("zyx", (2, 8, 9)))
    assert found.masks[0].plane.index == (1,)
    with pytest.raises(HQSAMError, match=r"which of its 2 images is image, with 3 plane\(s\)"):
        read_coco(path, Grid("zyx", (3, 8, 9)))


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"images": None}, "is no COCO file"),
    ({"annotations": 5}, "is no COCO file"),
    ({"annotations": [7]}, "annotation 1 is no object"),
    ({"images": [{"id": 1, "height": 80, "width": 90}]}, "image of 80 x 90 pixels .* has 8 x 9"),
    (
        {"images": [{"id": 1, "height": 8, "width": 9, "plane": {"t": 0, "z": 4}}]},
        "no plane z = 4",
    ),
]
BROKEN += [
    ({"annotations": [{"id": 3, "image_id": 1, "segmentation": s}]}, f"annotation 1 .id 3.*{m}")
    for s, m in [
        (None, "no mask that can be read"),
        ({"counts": [72]}, "no mask that can be read"),
        ({"size": [80, 90], "counts": [7200]}, "mask is of 80 x 90 pixels, .* has 8 x 9"),
        ({"size": [8, 9], "counts": [70]}, "its runs are of 70 pixels, not 72"),
        ({"size": [8, 9], "counts": [-1, 73]}, "no mask"),
        ({"size": [8, 9], "counts": [71.5, 0.5]}, "no whole numbers"),
        ({"size": [8, 9], "counts": "\x7f!"}, "no run-length encoding"),
        ({"size": [8, 9], "counts": "oooooooooooooooooooooo"}, "no run-length encoding"),
        ({"size": [8, 9], "counts": "P"}, "cut off"),
        ([[1, 1, 2, 2]], "fewer than three points"),
        ([[1, 1, 2, 2, 1e30, 5]], "far outside"),
        ([[1, 1, 2, 2, float("nan"), 5]], "far outside"),
        ([["a", 1, 2, 2, 5, 5]], "no mask"),
    ]
]


@pytest.mark.parametrize(("changes", "message"), BROKEN)
def test_what_cannot_be_read_is_told_in_one_line(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path = saved(tmp_path / "a.json", **changes)
    with pytest.raises(HQSAMError, match=message) as caught:
        read_coco(path, GRID)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", [b"{", b"\xff\xfe", b"", b"[" * 100_000])
def test_what_is_no_json_is_refused(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(text)
    with pytest.raises(HQSAMError, match="is no JSON"):
        read_coco(path, GRID)
    with pytest.raises(HQSAMError, match="cannot be read"):
        read_coco(tmp_path / "missing.json", GRID)


def test_planes_that_coco_cannot_hold_are_refused(tmp_path: Path) -> None:
    with pytest.raises(HQSAMError, match="export GeoJSON"):
        write_coco(tmp_path / "a.json", [], Grid("yx", (50_000, 50_000)))
    assert not list(tmp_path.iterdir())


def test_an_older_file_stays_whole_if_writing_fails(tmp_path: Path) -> None:
    path = write_coco(tmp_path / "a.json", [an_object(PINCHED)], GRID)
    before = path.read_bytes()

    def stop(done: int, total: int, doing: str) -> None:
        if done:
            raise KeyboardInterrupt

    objects = [an_object(np.ones((2, 2)), n) for n in (1, 2)]
    with pytest.raises(KeyboardInterrupt):
        write_coco(path, objects, GRID, progress=stop)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(HQSAMError, match=r"must end in \.json"):
        write_coco(tmp_path / "a.txt", objects, GRID)
