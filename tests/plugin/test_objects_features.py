"""The table of objects in `layer.features`, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from napari.layers import Labels

from napari_hqsam.labels.calibration import Calibration
from napari_hqsam.labels.label_array import MemoryLabels
from napari_hqsam.labels.objects import LabelObject, PlaneMask
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.plugin.objects.features import LayerFeatures, with_features
from napari_hqsam.plugin.objects.table import ObjectTable
from napari_hqsam.session.record import ObjectRecord
from napari_hqsam.session.session import Session

PLANE = ArrayPlane((0, 1), ())
MICRONS = Calibration("yx", (0.5, 0.5), ("micrometer", "micrometer"))


def bar(y: int, length: int) -> PlaneMask:
    return PlaneMask.of(PLANE, (y, 0, y + 1, length), np.ones((1, length), bool))


@pytest.fixture
def layer() -> Labels:
    pixels = np.zeros((8, 8), dtype=np.uint16)
    pixels[0, :4], pixels[2, :8] = 5, 2
    return Labels(pixels)


@pytest.fixture
def session(layer: Labels) -> Session:
    made = Session(MemoryLabels(layer.data))
    made.adopt(
        [
            ObjectRecord(5, (bar(0, 4),), class_name="cell", score=0.9, uncertainty=0.25),
            ObjectRecord(2, (bar(2, 8),)),
        ]
    )
    return made


@pytest.fixture
def features(qtbot: Any, session: Session, layer: Labels) -> Any:
    made = LayerFeatures(session, ObjectTable(session.objects, MICRONS), [layer])
    yield made
    made.close()


def test_the_layer_tells_what_the_table_tells(features: LayerFeatures, layer: Labels) -> None:
    features.flush()
    assert list(layer.features.columns) == [
        "index",
        "class",
        "area (µm²)",
        "score",
        "uncertainty",
        "status",
    ]
    assert list(layer.features["index"]) == [5, 2]
    assert list(layer.features["area (µm²)"]) == [1.0, 2.0]
    hover = layer._get_properties((0, 1), world=False)  # what the status bar shows
    assert "class: cell" in hover
    assert "status: new" in hover
    assert layer._get_properties((2, 1), world=False) == ["area (µm²): 2", "status: new"]


def test_many_steps_are_written_once_when_it_is_quiet(
    qtbot: Any, features: LayerFeatures, session: Session, layer: Labels
) -> None:
    features.flush()
    written: list[int] = []
    layer.events.features.connect(lambda: written.append(len(layer.features)))
    for status in ("accepted", "to fix", "accepted"):
        session.set_status([2], status)
    session.delete([5])
    assert written == []
    qtbot.waitUntil(lambda: written == [1], timeout=5000)
    qtbot.wait(400)
    assert written == [1]
    assert list(layer.features["status"]) == ["accepted"]
    session.undo()
    features.close()
    assert list(layer.features["index"]) in ([2, 5], [5, 2])
    session.delete([5])
    qtbot.wait(400)
    assert len(layer.features) == 2  # closed


def test_columns_of_others_stay_with_their_labels(
    features: LayerFeatures, session: Session, layer: Labels
) -> None:
    layer.features = pd.DataFrame({"index": [2, 5, 7], "texture": [0.2, 0.5, 0.7]})
    features.flush()
    features.add(layer)
    features.flush()
    table = layer.features.set_index("index")
    assert dict(table["texture"]) == {5: 0.5, 2: 0.2}
    assert list(layer.features.columns).count("class") == 1


def test_rows_without_an_index_are_numbered_as_napari_does(
    features: LayerFeatures, layer: Labels
) -> None:
    layer.features = pd.DataFrame({"texture": [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]})
    features.flush()
    assert dict(layer.features.set_index("index")["texture"]) == {5: 0.5, 2: 0.2}


def test_class_and_status_come_back_from_a_layer(features: LayerFeatures, layer: Labels) -> None:
    features.flush()
    found = [LabelObject(n, (bar(0, 2),), class_name="old", score=0.1) for n in (5, 2, 9)]
    five, two, nine = with_features(found, layer.features)
    assert (five.class_name, five.score, five.uncertainty) == ("cell", 0.9, 0.25)
    assert (two.class_name, two.score, two.uncertainty) == ("old", 0.1, None)
    assert (nine.id, nine.class_name, nine.status) == (9, "old", "new")
    table = layer.features.assign(status=["accepted", "perhaps"], score=["high", 0.5])
    five, two, _ = with_features(found, table)
    assert (five.status, five.score) == ("accepted", 0.1)
    assert (two.status, two.score) == ("new", 0.5)


def test_a_layer_without_features_changes_nothing(layer: Labels) -> None:
    (one,) = with_features([LabelObject(1, (bar(0, 2),), "cell", 0.5, "to fix")], layer.features)
    assert (one.class_name, one.score, one.status) == ("cell", 0.5, "to fix")
