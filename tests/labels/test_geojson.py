from __future__ import annotations

import json
import time
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.find import objects_in
from napari_hqsam.labels.geojson import read_geojson, write_geojson
from napari_hqsam.labels.grid import Grid
from napari_hqsam.session.record import ObjectRecord

from .pictures import MASKS, PINCHED, about, an_object, drawn, grid_of, label_images

GRID = Grid("yx", (8, 9), name="cells.tif")
SQUARE = [[1, 1], [4, 1], [4, 3], [1, 3], [1, 1]]  # x, y


def feature(
    coordinates: Any = (SQUARE,), kind: str = "Polygon", **properties: Any
) -> dict[str, Any]:
    geometry = {"type": kind, "coordinates": coordinates}
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def saved(path: Path, document: Any) -> Path:
    path.write_text(json.dumps(document))
    return path


@settings(deadline=None, max_examples=40)
@given(label_images())
def test_objects_survive_a_round_trip(tmp_path_factory: Any, labels: np.ndarray) -> None:
    path = tmp_path_factory.mktemp("geojson") / "a.geojson"
    objects = [
        replace(
            obj,
            class_name=["", "cell", "Größe, µ"][obj.id % 3],
            score=None if obj.id == 2 else 1 / 3,
            status=["new", "accepted", "to fix"][obj.id % 3],
        )
        for obj in objects_in(labels)
    ]
    write_geojson(path, objects, grid_of(labels))
    found = read_geojson(path, grid_of(labels))
    assert about(found) == about(objects)
    np.testing.assert_array_equal(drawn(found, labels.shape), labels)


@settings(deadline=None)
@given(MASKS)
def test_shapely_finds_the_same_pixels(tmp_path_factory: Any, mask: np.ndarray) -> None:
    path = tmp_path_factory.mktemp("geojson") / "a.geojson"
    write_geojson(path, [an_object(mask)], Grid("yx", mask.shape))
    shape = shapely.unary_union(
        [shapely.geometry.shape(f["geometry"]) for f in json.loads(path.read_text())["features"]]
    )
    assert shape.is_valid
    assert shape.area == mask.sum()
    y, x = np.mgrid[: mask.shape[0], : mask.shape[1]] + 0.5
    np.testing.assert_array_equal(shapely.contains_xy(shape, x, y), mask)


def test_the_file_is_what_qupath_writes(tmp_path: Path) -> None:
    record = ObjectRecord(7, an_object(PINCHED).masks, "nucleus", np.float32(0.5), uncertainty=0.25)
    objects = [record, an_object(np.ones((2, 3)), 3, 6, 1, status="accepted")]
    path = write_geojson(tmp_path / "a.geojson", objects, GRID, colours={"nucleus": (1, 2, 3)})
    document = json.loads(path.read_text())
    assert document["type"] == "FeatureCollection"
    first, second = document["features"]
    assert uuid.UUID(first["id"]) != uuid.UUID(second["id"])
    assert first["geometry"]["type"] == "MultiPolygon"
    assert first["properties"] == {
        "objectType": "annotation",
        "name": "7",
        "classification": {"name": "nucleus", "color": [1, 2, 3]},
        "measurements": {"Score": 0.5, "Uncertainty": 0.25},
        "metadata": {"label": "7", "status": "new"},
    }
    # the corners of pixels, x before y, closed; no plane on the first one
    assert second["geometry"] == {
        "type": "Polygon",
        "coordinates": [[[1, 6], [4, 6], [4, 8], [1, 8], [1, 6]]],
    }
    assert "classification" not in second["properties"]
    again = write_geojson(tmp_path / "b.geojson", objects, GRID, kind="detection")
    assert {f["properties"]["objectType"] for f in json.loads(again.read_text())["features"]} == {
        "detection"
    }
    assert [f["id"] for f in json.loads(again.read_text())["features"]] == [
        first["id"],
        second["id"],
    ]


def test_planes_are_told_as_qupath_does(tmp_path: Path) -> None:
    labels = np.zeros((2, 3, 4, 5), int)
    labels[1, 2, 1, 1] = labels[0, 0, 0, 0] = 9
    path = write_geojson(tmp_path / "a.geojson", objects_in(labels), grid_of(labels))
    geometries = [f["geometry"] for f in json.loads(path.read_text())["features"]]
    assert [g.get("plane") for g in geometries] == [None, {"c": -1, "z": 2, "t": 1}]


def test_files_of_other_programs_are_read(tmp_path: Path) -> None:
    hole = [[2, 1.6], [3, 1.6], [3, 2.4], [2, 2.4]]
    documents = {
        "geometry": {"type": "Polygon", "coordinates": [SQUARE]},
        "feature": feature(),
        "features": [feature()],  # as QuPath wrote before 0.4
        "collection": {"type": "FeatureCollection", "features": [feature()]},
        "geometries": {
            "type": "GeometryCollection",
            "geometries": [{"type": "Polygon", "coordinates": [SQUARE]}],
        },
        "3-D": feature([[[x, y, 0] for x, y in SQUARE]]),
        "backwards": feature([SQUARE[::-1]]),
        "overlap": feature([[SQUARE], [SQUARE]], "MultiPolygon"),
        "child": feature([], "Polygon", childObjects=[feature()])["properties"]["childObjects"],
    }
    expected = np.zeros((8, 9), int)
    expected[1:3, 1:4] = 1
    for name, document in documents.items():
        found = read_geojson(saved(tmp_path / f"{name}.geojson", document), GRID)
        np.testing.assert_array_equal(drawn(found, (8, 9)), expected)
    found = read_geojson(saved(tmp_path / "hole.geojson", feature([SQUARE, hole])), GRID)
    expected[1:3, 2] = [1, 1]
    np.testing.assert_array_equal(drawn(found, (8, 9)), expected)
    wide = [[2, 1.4], [3, 1.4], [3, 2.4], [2, 2.4]]
    found = read_geojson(saved(tmp_path / "wide.geojson", feature([SQUARE, wide])), GRID)
    expected[1, 2] = 0
    np.testing.assert_array_equal(drawn(found, (8, 9)), expected)


@pytest.mark.parametrize(
    ("classification", "name"),
    [
        ({"name": "Tumor", "colorRGB": -3670016}, "Tumor"),
        ({"names": ["Tumor", "Positive"], "color": [1, 2, 3]}, "Tumor: Positive"),
        ("Stroma", "Stroma"),
        (None, ""),
        ({}, ""),
    ],
)
def test_classes_of_qupath(tmp_path: Path, classification: Any, name: str) -> None:
    path = saved(tmp_path / "a.json", feature(classification=classification))
    assert read_geojson(path, GRID)[0].class_name == name


@pytest.mark.parametrize(
    ("measurements", "score"),
    [
        ({"Score": 0.5, "Area": 3}, 0.5),
        ([{"name": "Area", "value": 3}, {"name": "Score", "value": 0.5}], 0.5),
        ({"Score": "NaN"}, None),
        (None, None),
    ],
)
def test_scores_of_qupath(tmp_path: Path, measurements: Any, score: float | None) -> None:
    path = saved(tmp_path / "a.json", feature(measurements=measurements))
    assert read_geojson(path, GRID)[0].score == score


def test_features_of_one_label_are_an_object_on_several_planes(tmp_path: Path) -> None:
    features = [feature(metadata={"label": "4"}) for _ in range(3)]
    features[1]["geometry"]["plane"] = {"c": -1, "z": 1, "t": 0}
    found = read_geojson(saved(tmp_path / "a.json", features), Grid("zyx", (2, 8, 9)))
    assert [(obj.id, len(obj.masks)) for obj in found] == [(4, 2), (5, 1)]
    with pytest.raises(HQSAMError, match=r"feature 2: cells\.tif: there is no plane z = 1"):
        read_geojson(tmp_path / "a.json", GRID)


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    point = feature([3, 4], "Point")
    tiny = feature([[[1.1, 1.1], [1.2, 1.1], [1.2, 1.2]]])
    beyond = feature([[[7, 6], [40, 6], [40, 40], [7, 40]]])
    path = saved(tmp_path / "a.json", [point, point, feature(), tiny, beyond])
    with pytest.warns(UserWarning, match="are left out|or left out") as caught:
        found = read_geojson(path, GRID)
    assert len(found) == 2
    assert found[1].area == 4
    assert [str(w.message).removeprefix(f"{path}: ") for w in caught] == [
        "2 features have no area (points or lines) and are left out",
        "2 features reach beyond cells.tif or hold no pixel centre, and are cut or left out",
    ]


def test_objects_of_another_image_are_refused(tmp_path: Path) -> None:
    far = feature([[[70, 60], [80, 60], [80, 80]]])
    with pytest.raises(HQSAMError, match=r"none of its 1 areas .*\(8 x 9 pixels\)"):
        read_geojson(saved(tmp_path / "a.json", far), GRID)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"images": []}, "is no GeoJSON"),
        ([5], "is no GeoJSON"),
        (feature([[["a", 1], [2, 3], [4, 5]]]), "feature 1 has no outline"),
        (feature([[[1], [2], [4]]]), "feature 1 has no outline"),
        (feature([[[1, 2], [2, 3], [float("inf"), 5]]]), "feature 1 has no outline"),
        (feature(7), "feature 1 has no outline"),
        ({"type": "Polygon"}, "feature 1 has no outline"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_line(
    tmp_path: Path, document: Any, message: str
) -> None:
    path = saved(tmp_path / "a.json", document)
    with pytest.raises(HQSAMError, match=message) as caught:
        read_geojson(path, GRID)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_large_object_is_written_in_milliseconds(tmp_path: Path) -> None:
    rough = np.random.default_rng(0).random((300, 300)) < 0.9
    objects = [an_object(rough)]
    write_geojson(tmp_path / "a.geojson", objects, Grid("yx", (300, 300)))
    begin = time.process_time()
    write_geojson(tmp_path / "a.geojson", objects, Grid("yx", (300, 300)))
    assert time.process_time() - begin < 1  # it is 0.03 s; a union of pixels takes 10 s
    (found,) = read_geojson(tmp_path / "a.geojson", Grid("yx", (300, 300)))
    np.testing.assert_array_equal(found.masks[0].data, rough)


def test_nothing_is_a_file_without_features(tmp_path: Path) -> None:
    path = write_geojson(tmp_path / "a.geojson", [], GRID)
    assert json.loads(path.read_text()) == {"type": "FeatureCollection", "features": []}
    assert read_geojson(path, GRID) == []
