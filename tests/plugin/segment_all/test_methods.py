"""Which method is chosen, what it works on, and what the numbers mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_hqsam.plugin.label_folder import STORE

LABELS = np.zeros((200, 220), dtype=np.uint16)
LABELS[42:80, 40:78] = 7


def test_without_labels_it_finds_objects(desk: Any) -> None:
    desk.open()
    assert desk.c.method.chosen == "automatic"


def test_selected_labels_are_refined_when_the_dock_opens(sit_down: Callable[..., Any]) -> None:
    viewer: Any = ViewerModel()
    viewer.add_image(LABELS)
    other, labels = viewer.add_labels(LABELS, name="a"), viewer.add_labels(LABELS, name="b")
    assert viewer.layers.selection.active is labels
    desk = sit_down(viewer)
    assert (desk.c.method.chosen, desk.c.method.labels.value) == ("refine", labels)
    viewer.layers.selection.active = other
    assert desk.c.method.labels.value is other


def test_labels_that_are_added_are_offered(desk: Any) -> None:
    desk.open()
    labels = desk.viewer.add_labels(LABELS)
    assert (desk.c.method.chosen, desk.c.method.labels.value) == ("refine", labels)


def test_a_method_chosen_by_hand_stays(desk: Any) -> None:
    image = desk.open()
    desk.viewer.add_labels(LABELS)
    desk.choose("automatic")
    desk.viewer.layers.selection.active = image
    desk.viewer.add_labels(LABELS)
    assert desk.c.method.chosen == "automatic"


def test_what_it_finds_does_not_become_its_input(desk: Any) -> None:
    desk.open()
    found = desk.run()
    desk.viewer.layers.selection.active = found
    assert desk.c.method.chosen == "automatic"


def test_only_the_chosen_method_is_asked_about(desk: Any) -> None:
    desk.open()

    def shown(control: Any) -> bool:
        return not control.native.parentWidget().parentWidget().isHidden()

    method = desk.c.method
    for chosen, there, gone in (
        ("refine", method.band, method.diameter),
        ("automatic", method.diameter, method.points),
        ("drawn", method.points, method.band),
    ):
        desk.choose(chosen)
        assert shown(there), chosen
        assert not shown(gone), chosen


def test_previews_and_parts_of_large_labels_are_no_labels_to_refine(desk: Any) -> None:
    desk.open()
    desk.c.preview.value = True
    desk.preview()
    desk.viewer.add_labels(LABELS, name="HQ-SAM preview")  # that of the Annotate dock
    whole = desk.viewer.add_labels(LABELS, name="whole", metadata={STORE: "/a.zarr"})
    desk.viewer.add_labels(LABELS[:9, :9], name="whole (edit)", metadata={STORE: "/a.zarr"})
    mine = desk.viewer.add_labels(LABELS, name="mine")
    assert desk.c.method.labels.choices == (whole, mine)


def test_sizes_are_in_micrometers_where_the_scale_is_known(desk: Any) -> None:
    desk.open(scale=(0.5, 0.5), units="um")
    method = desk.c.method
    assert method._diameter[0].value == "Diameter, µm"
    method.diameter.value, method.min_size.value, method.max_size.value = 10, 4.1, 50
    desk.run()
    _, what, options = desk.control.last
    assert what == "grid"
    assert options["diameter"] == 20
    assert (options["min_size"], options["max_size"]) == (17, 200)  # at least, and at most
    method.band.value = 6
    assert method._band_um.value == "= 3 µm"


def test_sizes_are_in_pixels_otherwise(desk: Any) -> None:
    desk.open(scale=(0.5, 0.5))
    method = desk.c.method
    assert method._diameter[0].value == "Diameter, px"
    method.diameter.value, method.min_size.value = 10, 4
    desk.run()
    options = desk.control.last[2]
    assert (options["diameter"], options["min_size"], options["max_size"]) == (10, 4, None)
    assert method._band_um.value == ""


def test_numbers_are_not_carried_from_pixels_to_micrometers(desk: Any) -> None:
    desk.open()
    desk.c.method.diameter.value = 300
    scaled = desk.open(scale=(0.1, 0.1), units="um")
    desk.c.image.image.value = scaled
    assert desk.c.method.diameter.value == 0


def test_what_automatic_is_told(desk: Any) -> None:
    desk.open()
    c = desk.c
    c.method.find_by.value = "threshold"
    c.method.exclude_edges.value, c.method.skip_background.value = True, False
    c.extent.mode.value, c.extent.fill_holes.value = "sam", True
    desk.run()
    assert desk.control.last == (
        "segment_all",
        "threshold",
        {
            "diameter": None,
            "min_size": 0,
            "max_size": None,
            "exclude_edges": True,
            "skip_background": False,
            "mode": "sam",
            "fill_holes": True,
            "link_slices": True,
            "planes": None,
            "region": None,
        },
    )


def test_what_refine_is_told(desk: Any) -> None:
    desk.open()
    desk.viewer.add_labels(LABELS)
    desk.c.method.band.value, desk.c.method.thin.value = 5, 20
    desk.c.extent.mode.value = "hq"
    desk.run()
    what, labels, options = desk.control.last
    assert what == "refine"
    np.testing.assert_array_equal(labels, LABELS)
    assert options == {"band": 5, "thin": 20, "mode": "hq", "planes": None, "region": None}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"data": LABELS[:150]}, "rough has shape (150, 220), cells (200, 220)"),
        ({"data": LABELS, "scale": (1, 1)}, "another scale (1 × 1, the image 0.5 × 0.5)"),
        ({"data": LABELS, "scale": (0.5, 0.5), "translate": (30, 0)}, "lies elsewhere than cells"),
    ],
    ids=["shape", "scale", "place"],
)
def test_labels_of_another_image_are_refused_before_anything_runs(
    desk: Any, options: dict[str, Any], said: str
) -> None:
    desk.open(scale=(0.5, 0.5))
    desk.viewer.add_labels(**options, name="rough")
    desk.dock.run()
    (line,) = desk.told
    assert said in line
    assert "\n" not in line
    assert not desk.dock.running.busy
    assert not desk.control.calls


def test_nothing_to_work_on_is_one_line(desk: Any) -> None:
    desk.dock.run()
    desk.open()
    desk.choose("refine")
    desk.dock.run()
    desk.choose("drawn")
    desk.dock.run()
    assert [line.partition(": ")[2][:28] for line in desk.told] == [
        "open an image first",
        "there is no Labels layer to ",
        "choose a Points or a Shapes ",
    ]
    assert desk.said.startswith("choose a Points")
