"""Objects for `auto` out of tables: one point, or one box, a row."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from napari_hqsam.cli.prompts import PromptedObject
from napari_hqsam.errors import HQSAMError

if TYPE_CHECKING:
    from napari_hqsam.images import ImageSource
    from napari_hqsam.segmentation import Prompts

_POINT, _BOX = ("y", "x"), ("y0", "x0", "y1", "x1")
_NAPARI = "axis-"  # columns of a Points layer as napari saves it, in the order of its axes


def points_of(path: Path, source: ImageSource, level: int = 0) -> list[PromptedObject]:
    """One object for each row with ``y`` and ``x``, and the plane axes of a stack.

    A CSV file that napari has saved of a Points layer will do, too.

    Raises
    ------
    HQSAMError
        It names the file and the line.
    """
    return _objects("--points", path, _POINT, source, level)


def boxes_of(path: Path, source: ImageSource, level: int = 0) -> list[PromptedObject]:
    """One object for each row with ``y0, x0, y1, x1``, its first and last pixels."""
    return _objects("--boxes", path, _BOX, source, level)


def _objects(
    option: str, path: Path, columns: tuple[str, ...], source: ImageSource, level: int
) -> list[PromptedObject]:
    found: list[PromptedObject] = []
    for line, row in _rows(option, path, columns, source.plane_axes):
        try:
            prompts = _prompts([_number(row, name) for name in columns])
            prompts.check_inside(source.yx_shape(level))
            place = [_number(row, axis) for axis in source.plane_axes]
            if any(i != int(i) for i in place):
                raise HQSAMError(f"{place}: planes are whole numbers, counted from 0")
            plane = source.check_plane([int(i) for i in place])
        except HQSAMError as error:
            raise HQSAMError(f"{path}, line {line}: {error}") from None
        number = len(found) + 1
        found.append(PromptedObject(str(number), number, plane, prompts))
    if not found:
        raise HQSAMError(f"{path}: there are no rows in this table; add some")
    return found


def _prompts(values: list[float]) -> Prompts:
    from napari_hqsam.segmentation import Prompts

    return Prompts(points=[values]) if len(values) == len(_POINT) else Prompts(box=values)


def _rows(
    option: str, path: Path, columns: tuple[str, ...], plane_axes: str
) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Line numbers and rows, by the names of the columns that are needed."""
    try:
        text = path.expanduser().read_text("utf-8-sig")
    except OSError as error:
        raise HQSAMError(f"{path}: cannot be read ({error.strerror}); check {option}") from None
    except UnicodeDecodeError:
        raise HQSAMError(f"{path}: is no text in UTF-8; save the table as CSV UTF-8") from None
    lines = text.splitlines()
    header = lines[0] if lines else ""
    separator = max(",;\t", key=header.count)  # what spreadsheets write differs by country
    names = [name.strip().lower() for name in next(csv.reader([header], delimiter=separator), [])]
    needed = [*plane_axes, *columns]
    of_napari = [name for name in names if name.startswith(_NAPARI)]
    if len(columns) == len(_POINT) and len(of_napari) == len(needed):
        names = [dict(zip(of_napari, needed, strict=True)).get(name, name) for name in names]
    lacking = [name for name in needed if name not in names]
    if lacking:
        raise HQSAMError(
            f"{path}, line 1: column {lacking[0]} is missing; {option} needs {', '.join(needed)}"
        )
    try:
        reader = csv.reader(lines, delimiter=separator)
        next(reader)
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, dict(zip(names, cells, strict=False))
    except csv.Error as error:
        raise HQSAMError(f"{path}: is no CSV table ({error})") from None


def _number(row: Mapping[str, str], name: str) -> float:
    text = row.get(name, "").strip()
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise HQSAMError(f"{name} = {text!r}: give a number such as 12.5")
    return value
