"""The report of how far boundaries moved: its summary, its files, its pictures."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

from napari_hqsam.errors import HQSAMError
from napari_hqsam.evaluation.movement import movement
from napari_hqsam.evaluation.movement_report import (
    largest,
    lost_and_new,
    summary,
    write_movement_report,
)
from napari_hqsam.images import IntensityMapping, open_image
from napari_hqsam.labels.frame import LabelFrame

OLD, NEW = (230, 159, 0), (86, 180, 233)


def squares(*given: tuple[int, int, int, int]) -> NDArray[Any]:
    """Labels of squares: label, y, x, side."""
    labels = np.zeros((120, 160), np.uint16)
    for label, y, x, side in given:
        labels[y : y + side, x : x + side] = label
    return labels


BEFORE = squares((1, 10, 10, 20), (2, 60, 60, 20), (3, 60, 100, 20), (4, 100, 10, 8))
AFTER = squares((1, 10, 10, 20), (2, 60, 60, 21), (3, 57, 97, 26), (5, 100, 40, 8))


def report(folder: Path, before: Any, after: Any, **options: Any) -> tuple[pd.DataFrame, str]:
    pixels = np.random.default_rng(0).integers(0, 4000, before.shape[-2:], np.uint16)
    if before.ndim == 3:
        pixels = np.stack([pixels] * len(before))
    source = open_image(pixels, axes="zyx"[-pixels.ndim :], **options)
    frame, mapping = LabelFrame.of(source), IntensityMapping.choose(source)
    table = movement(before, after, frame)
    about = {"model": "<micro>"}
    page = write_movement_report(folder, table, before, after, frame, source, mapping, about=about)
    assert page == folder / "report.html"
    return table, page.read_text("utf-8")


def pictures(page: str) -> list[NDArray[Any]]:
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))) for data in found]


def shows(picture: NDArray[Any], colour: tuple[int, int, int]) -> bool:
    return bool((picture == colour).all(axis=2).any())


def test_the_summary_says_how_far_and_what_was_lost(tmp_path: Path) -> None:
    table, page = report(tmp_path / "r", BEFORE, AFTER, scale=(0.5, 0.5), units="um")
    mean = table["moved_mean"].mean()
    line = summary(table)
    assert line == (
        f"5 objects; boundaries moved {mean:.2f} px on average ({mean / 2:.3g} µm); "
        "66.7 % of them by 1 px or less; 1 label lost; 1 label new"
    )
    assert line in page
    assert "<b>lost:</b> 4" in page
    lost = lost_and_new(table)
    assert (lost["lost"].tolist(), lost["new"].tolist()) == ([4], [5])


def test_a_label_that_goes_from_one_plane_but_not_from_the_other_is_not_lost() -> None:
    before, after = np.stack([BEFORE, BEFORE]), np.stack([BEFORE, AFTER])
    frame = LabelFrame.of(open_image(np.zeros(before.shape, np.uint8), axes="zyx"))
    assert summary(movement(before, after, frame)).endswith("; no label lost; 1 label new")


def test_the_table_and_a_page_in_one_file(tmp_path: Path) -> None:
    table, page = report(tmp_path / "r", BEFORE, AFTER)
    assert sorted(p.name for p in (tmp_path / "r").iterdir()) == ["moved.csv", "report.html"]
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "r" / "moved.csv"), table.round(4))
    assert "http" not in page.replace("http-equiv", "")
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "&lt;micro&gt;" in page
    assert page.count("<svg viewBox") == 2


def test_the_largest_changes_have_a_picture_without_and_one_with_both_boundaries(
    tmp_path: Path,
) -> None:
    table, page = report(tmp_path / "r", BEFORE, AFTER)
    # lost and new, then by distance; label 1 has not moved
    assert set(largest(table)["label"][:2]) == {4, 5}
    assert largest(table)["label"].tolist()[2:] == [3, 2]
    found = pictures(page)
    assert len(found) == 8
    plain, drawn = found[4:6]
    assert plain.shape == drawn.shape
    assert not shows(plain, OLD)
    assert not shows(plain, NEW)
    # of label 3: the corner of the old box, and of the new one, on the edges of pixels
    times = drawn.shape[0] // (26 + 2 * 8)
    for colour, inset in ((OLD, 8 + 3), (NEW, 8)):
        rows = np.flatnonzero((drawn == colour).all(axis=2).any(axis=1))
        assert rows.min() == pytest.approx(inset * times, abs=2)
        assert rows.max() == pytest.approx(drawn.shape[0] - inset * times, abs=2)


def test_only_ten_are_shown(tmp_path: Path) -> None:
    before = squares(*((i, 8 * i, 8, 4) for i in range(1, 14)))
    after = squares(*((i, 8 * i, 8, 5) for i in range(1, 14)))
    _, page = report(tmp_path, before, after)
    assert len(pictures(page)) == 20


def test_of_a_large_object_the_place_that_moved_most_is_shown(tmp_path: Path) -> None:
    before = np.zeros((2000, 3000), np.uint8)
    before[200:1800, 200:2800] = 1
    after = before.copy()
    after[1790:1800, 2700:2720] = 0
    _, page = report(tmp_path, before, after)
    _, drawn = pictures(page)
    assert max(drawn.shape) <= 640
    assert shows(drawn, NEW)
    # the outline ends where the picture does, and is not drawn along its edge
    assert not shows(drawn[:300, :2], OLD)


def test_nothing_has_moved(tmp_path: Path) -> None:
    table, page = report(tmp_path, BEFORE, BEFORE)
    assert summary(table).startswith("4 objects; boundaries moved 0.00 px on average; 100 % of")
    assert "All labels are as they were." in page
    assert not pictures(page)


def test_planes_are_named(tmp_path: Path) -> None:
    _, page = report(tmp_path, np.stack([BEFORE, BEFORE]), np.stack([BEFORE, AFTER]))
    assert "label 3, z 1" in page
    assert "label 3, z 0" not in page


def test_a_folder_that_cannot_be_made_is_told_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HQSAMError, match=r"r: cannot be written"):
        report(tmp_path / "file" / "r", BEFORE, AFTER)
