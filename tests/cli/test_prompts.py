from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_hqsam.cli.prompts import PromptedObject, from_table
from napari_hqsam.errors import HQSAMError
from napari_hqsam.images import open_image

PLANE = np.zeros((100, 200))


def read(
    tmp_path: Path, text: str, image: np.ndarray = PLANE, plane: tuple[int, ...] | None = None
) -> list[PromptedObject]:
    (tmp_path / "p.csv").write_bytes(text.encode("utf-8"))
    return from_table(tmp_path / "p.csv", plane, open_image(image))


def test_rows_of_an_object_belong_together(tmp_path: Path) -> None:
    text = "object,kind,y,x,y0,x0,y1,x1\n7,point,10,20\n3,box,,,1,2,30,40\n7,negative,5.5,6\n"
    seven, three = read(tmp_path, text)
    assert (seven.name, seven.label, seven.plane) == ("7", 1, ())
    assert seven.prompts.points.tolist() == [[10, 20], [5.5, 6]]
    assert seven.prompts.labels.tolist() == [1, 0]
    assert seven.prompts.box is None
    assert (three.name, three.label, three.prompts.box) == ("3", 2, (1, 2, 30, 40))


def test_a_box_and_its_points(tmp_path: Path) -> None:
    text = "object,kind,y,x,y0,x0,y1,x1\na,point,10,20,,,,\na,box,,,1,2,30,40\n"
    (only,) = read(tmp_path, text)
    assert only.prompts.box == (1, 2, 30, 40)
    assert only.prompts.points.tolist() == [[10, 20]]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_as_spreadsheets_write_it(tmp_path: Path, separator: str) -> None:
    rows = ["\ufeffObject,Kind, Y ,x", "1,Point,10,20", ",,,", "", '"2",point, 11 ,21']
    text = "\r\n".join(rows).replace(",", separator)
    assert [o.prompts.points.tolist() for o in read(tmp_path, text)] == [[[10, 20]], [[11, 21]]]


def test_an_object_keeps_its_label_from_plane_to_plane(tmp_path: Path) -> None:
    text = "t,z,object,kind,y,x\n0,1,a,point,5,6\n0,2,b,point,5,6\n1,1,a,point,7,8\n"
    found = read(tmp_path, text, np.zeros((2, 3, 50, 60)))
    assert [(o.label, o.plane) for o in found] == [(1, (0, 1)), (2, (0, 2)), (1, (1, 1))]


def test_the_plane_option_fills_what_a_row_leaves_open(tmp_path: Path) -> None:
    text = "object,kind,y,x,z\na,point,5,6,\nb,point,5,6,2\n"
    found = read(tmp_path, text, np.zeros((2, 3, 50, 60)), (1, 0))
    assert [o.plane for o in found] == [(1, 0), (1, 2)]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("object,y,x\n1,2,3\n", 1, "column kind is missing"),
        ("object,kind,y,x,yy\n", 1, "'yy' is unknown"),
        ("object,kind,y,x,z\n1,point,5,6,0\n", 1, "'z' is unknown"),
        ("object,kind,y,x\n1,point,5,6\n\n1,pont,5,6\n", 4, "kind 'pont' is unknown"),
        ("object,kind,y,x\n,point,5,6\n", 2, "column object is empty"),
        ("object,kind,y,x\n1,point,5\n", 2, "needs the column x"),
        ("object,kind,y,x\n1,point,5,six\n", 2, "must be numbers"),
        ("object,kind,y,x\n1,point,5,6,7\n", 2, "5 cells for 4 columns"),
        ("object,kind,y,x\n1,point,5,600\n", 2, "outside the image"),
        ("object,kind,y,x\n1,point,5,nan\n", 2, "give (y, x) pairs"),
        ("object,kind,y,x\n1,box,5,6\n", 2, "a box has no"),
        ("object,kind,y0,x0,y1,x1\n1,box,5,6,70,80\n1,box,5,6,70,90\n", 3, "a second box"),
        ("object,kind,y0,x0,y1,x1\n1,box,5,6,3,80\n", 2, "y0 <= y1"),
        ("object,kind,y,x\n2,point,5,6\n1,negative,5,6\n", 3, "negative points alone"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(
    tmp_path: Path, text: str, line: int, message: str
) -> None:
    with pytest.raises(HQSAMError) as caught:
        read(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 'p.csv'}, line {line}: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1,point,5,6,", "which z? Fill the column z, or give --plane"),
        ("1,point,5,6,3", "choose z from 0 to 2"),
        ("1,point,5,6,1.5", "z = 1.5: give a whole number"),
    ],
)
def test_planes_that_are_not_there(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(HQSAMError, match="line 2: ") as caught:
        read(tmp_path, f"object,kind,y,x,z\n{row}\n", np.zeros((3, 50, 60)))
    assert message in str(caught.value)


def test_an_axis_of_one_has_no_other_index(tmp_path: Path) -> None:
    image = np.zeros((1, 50, 60))
    (only,) = read(tmp_path, "object,kind,y,x,z\n1,point,5,6,0\n", image)
    assert only.plane == ()
    with pytest.raises(HQSAMError, match="has only one"):
        read(tmp_path, "object,kind,y,x,z\n1,point,5,6,2\n", image)


@pytest.mark.parametrize("text", ["", "object,kind,y,x\n", "object,kind,y,x\n\n,,,\n"])
def test_a_table_without_prompts(tmp_path: Path, text: str) -> None:
    with pytest.raises(HQSAMError, match=r"p\.csv"):
        read(tmp_path, text)


def test_a_file_that_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(HQSAMError, match="no text in UTF-8"):
        from_table(tmp_path / "p.csv", None, open_image(PLANE))
