"""GeoJSON files with new outlines, and all else as it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings

from napari_hqsam.labels.find import objects_in
from napari_hqsam.labels.geojson import read_geojson, write_geojson
from napari_hqsam.labels.grid import Grid
from napari_hqsam.labels.redraw import redraw_geojson

from .pictures import about, drawn, grid_of, label_images

GRID = Grid("zyx", (3, 40, 50), name="cells.tif")


def feature(y: int, x: int, side: int = 10, **more: Any) -> dict[str, Any]:
    ring = [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]
    return {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}, **more}


def test_ids_names_classes_and_everything_else_are_kept(tmp_path: Path) -> None:
    """As QuPath writes it: no labels, a tree, measurements, a point among the areas."""
    first = feature(
        2,
        3,
        id="9f0c",
        properties={
            "objectType": "annotation",
            "name": "the big one",
            "classification": {"name": "Tumor", "color": [200, 0, 0]},
            "isLocked": True,
            "measurements": {"Area": 100.0},
        },
    )
    first["geometry"]["plane"] = {"c": 1, "z": 2, "t": 0}
    first["geometry"]["isEllipse"] = True
    first["properties"]["childObjects"] = [feature(20, 20, id="a child")]
    point = {"type": "Feature", "id": "p", "geometry": {"type": "Point", "coordinates": [1, 2]}}
    document = {"type": "FeatureCollection", "features": [point, first], "mine": 1}
    source, target = tmp_path / "in.geojson", tmp_path / "out.geojson"
    source.write_text(json.dumps(document))
    labels = np.zeros(GRID.shape, np.uint8)
    labels[2, 1:13, 3:14], labels[0, 19:30, 20:32] = 1, 2
    assert redraw_geojson(source, target, objects_in(labels), GRID) == 0

    new = json.loads(target.read_text())
    assert new["mine"] == 1
    assert new["features"][0] == point
    moved, before = new["features"][1], document["features"][1]
    geometry = moved.pop("geometry")
    assert sorted(geometry) == ["coordinates", "plane", "type"]
    assert geometry["plane"] == {"c": 1, "z": 2, "t": 0}
    child, old_child = (f["properties"].pop("childObjects")[0] for f in (moved, before))
    before.pop("geometry")
    assert moved == before
    assert (child["id"], old_child["id"]) == ("a child", "a child")
    np.testing.assert_array_equal(drawn(_read(target), GRID.shape), labels)


def _read(path: Path) -> Any:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of the point
        return read_geojson(path, GRID)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(labels=label_images())
def test_numbers_are_those_of_reading(tmp_path: Path, labels: Any) -> None:
    """Every second object has no label in the file; numbers and outlines come back in turn."""
    grid = grid_of(labels, name="a")
    source, target = tmp_path / "in.geojson", tmp_path / "out.geojson"
    write_geojson(source, objects_in(labels), grid)
    document = json.loads(source.read_text())
    for i, each in enumerate(document["features"]):
        if i % 2:
            del each["properties"]["metadata"]
    source.write_text(json.dumps(document))
    objects = read_geojson(source, grid)
    assert redraw_geojson(source, target, objects, grid) == 0
    again = read_geojson(target, grid)
    assert about(again) == about(objects)
    np.testing.assert_array_equal(drawn(again, grid.shape), drawn(objects, grid.shape))


def test_what_has_no_mask_keeps_its_outline(tmp_path: Path) -> None:
    source, target = tmp_path / "in.geojson", tmp_path / "out.geojson"
    source.write_text(json.dumps([feature(2, 3), feature(20, 20)]))
    labels = np.zeros(GRID.shape, np.uint8)
    labels[0, 5:9, 5:9] = 2
    assert redraw_geojson(source, target, objects_in(labels), GRID) == 1
    first, second = read_geojson(target, GRID)
    assert (first.area, second.area) == (100, 16)
