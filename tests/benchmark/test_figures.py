from __future__ import annotations

import json

import pytest

from napari_hqsam.benchmark.figures import Figure, Report, Table, median, setting_of
from napari_hqsam.modeling import HQSam


@pytest.mark.parametrize(
    ("value", "target", "met"),
    [
        (1.0, 1.1, True),
        (1.2, 1.1, False),
        (float("nan"), 1.1, False),  # nothing was measured
        (True, True, True),
        (False, True, False),
        (5.0, None, None),
    ],
)
def test_a_figure_is_held_to_its_target(
    value: float | bool, target: float | bool | None, met: bool | None
) -> None:
    assert Figure("a figure", value, target=target).met is met


@pytest.mark.parametrize(
    ("value", "met"), [(98.0, True), (99.5, True), (97.9, False), (float("nan"), False)]
)
def test_a_figure_may_have_to_reach_its_target(value: float, met: bool) -> None:
    assert Figure("a share", value, "%", 98.0, at_least=True).met is met


def test_a_report_is_json_with_target_and_verdict_beside_each_figure(small: HQSam) -> None:
    report = Report("store", setting_of(small), [Figure("a ratio", 1.05, target=1.1)])
    found = json.loads(json.dumps(report.to_json()))
    (figure,) = found["figures"]
    assert (figure["value"], figure["target"], figure["met"]) == (1.05, 1.1, True)
    assert "random weights" in found["setting"]["model"]


def test_a_table_is_json_with_a_name_for_each_value(small: HQSam) -> None:
    table = Table("sets", ("set", "objects", "gain"), [("nuclei", 12, 0.5), ("axons", 3, None)])
    found = json.loads(json.dumps(Report("whole", setting_of(small), tables=[table]).to_json()))
    assert found["tables"] == [
        {
            "table": "sets",
            "rows": [
                {"set": "nuclei", "objects": 12, "gain": 0.5},
                {"set": "axons", "objects": 3, "gain": None},
            ],
        }
    ]


def test_nothing_measured_is_no_number() -> None:
    assert median([3, 1, 2]) == 2
    assert median([]) != median([])
