"""Prompts as a shell gives them: options, or a table in a CSV file."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from napari_hqsam.errors import HQSAMError

if TYPE_CHECKING:
    from napari_hqsam.images import ImageSource
    from napari_hqsam.segmentation import Prompts

_BOX = ("y0", "x0", "y1", "x1")
_POINT = ("y", "x")
_COLUMNS = {"box": _BOX, "point": _POINT, "negative": _POINT}


@dataclass(frozen=True)
class PromptedObject:
    """One object on one plane.

    Attributes
    ----------
    name : str
        What the user calls it.
    label : int
        Its number in the label image, from 1.
    plane : tuple of int
        Indices of the axes other than y, x, c.
    prompts : Prompts
    """

    name: str
    label: int
    plane: tuple[int, ...]
    prompts: Prompts


@dataclass
class _Draft:
    """The prompts of one object on one plane as they come in, and where the first came from."""

    where: str
    box: tuple[float, ...] | None = None
    points: list[tuple[float, ...]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)

    def add(self, kind: str, values: tuple[float, ...], shape: tuple[int, int]) -> None:
        """Take up one prompt if it can be used on a plane of `shape`."""
        from napari_hqsam.segmentation import Prompts

        if kind == "box":
            Prompts(box=values).check_inside(shape)
            if self.box is not None:
                raise HQSAMError("a second box for the same object; give it another object number")
            self.box = values
        else:
            Prompts(points=[values]).check_inside(shape)
            self.points.append(values)
            self.labels.append(int(kind == "point"))

    def finish(self) -> Prompts:
        """The prompts, once all are in."""
        from napari_hqsam.segmentation import Prompts

        if self.box is None and 1 not in self.labels:
            raise HQSAMError(
                f"{self.where}: negative points alone do not say what to segment; "
                "add a point on the object or a box"
            )
        return Prompts(self.points or None, self.labels or None, self.box)


def numbers(option: str, text: str, form: str) -> tuple[float, ...]:
    """The numbers of an option such as ``--point 120,80``, whose `form` is ``y,x``."""
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) != form.count(",") + 1:
        raise HQSAMError(f"{option} {text}: give numbers {form}, without spaces")
    return values


def whole_numbers(option: str, text: str) -> tuple[int, ...]:
    """The whole numbers of an option such as ``--plane 3,12``."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise HQSAMError(f"{option} {text}: give whole numbers such as 3 or 3,12") from None


def from_options(
    boxes: Sequence[str],
    points: Sequence[str],
    negatives: Sequence[str],
    plane: Sequence[int] | None,
    source: ImageSource,
    level: int = 0,
) -> list[PromptedObject]:
    """Objects of ``--box``, ``--point`` and ``--negative``.

    Each box is an object, and all points together are one; points beside a single box refine it.
    """
    clicks = [("point", "--point", p) for p in points]
    clicks += [("negative", "--negative", p) for p in negatives]
    if len(boxes) > 1 and clicks:
        raise HQSAMError(
            "--point with several --box: to which box does it belong? "
            "Give one box, or a table of all prompts with --prompts"
        )
    place, shape = _plane(plane, source), source.yx_shape(level)
    drafts: list[_Draft] = []
    for text in boxes:
        drafts.append(_Draft("--box"))
        drafts[-1].add("box", numbers("--box", text, "y0,x0,y1,x1"), shape)
    if clicks and not drafts:
        drafts.append(_Draft("--negative"))
    for kind, option, text in clicks:
        drafts[0].add(kind, numbers(option, text, "y,x"), shape)
    return [PromptedObject(str(i), i, place, d.finish()) for i, d in enumerate(drafts, start=1)]


def from_table(
    path: Path, plane: Sequence[int] | None, source: ImageSource, level: int = 0
) -> list[PromptedObject]:
    """Objects of a CSV file; its columns are described in ``docs/command-line.md``.

    Parameters
    ----------
    path : Path
    plane : sequence of int, optional
        Where rows are that do not say it.
    source : ImageSource
    level : int
        Pyramid level whose pixels the coordinates are in.

    Raises
    ------
    HQSAMError
        It names the file and the line.
    """
    if plane is not None:
        source.check_plane(plane)
    drafts: dict[tuple[str, tuple[int, ...]], _Draft] = {}
    names: dict[str, int] = {}
    for line, row in _rows(path, source):
        where = f"{path}, line {line}"
        try:
            name, kind = row.get("object", ""), row.get("kind", "").lower()
            if not name:
                raise HQSAMError("column object is empty; number the objects 1, 2, ...")
            if kind not in _COLUMNS:
                raise HQSAMError(f"kind {kind!r} is unknown; use box, point or negative")
            place = _plane_of_row(row, plane, source)
            draft = drafts.setdefault((name, place), _Draft(where))
            draft.add(kind, _values(row, kind), source.yx_shape(level))
        except HQSAMError as error:
            raise HQSAMError(f"{where}: {error}") from None
        names.setdefault(name, len(names) + 1)
    if not drafts:
        raise HQSAMError(f"{path}: there are no prompts in this table; add rows")
    return [
        PromptedObject(name, names[name], place, draft.finish())
        for (name, place), draft in drafts.items()
    ]


def _rows(path: Path, source: ImageSource) -> Iterator[tuple[int, dict[str, str]]]:
    """Line numbers and rows without empty cells; column names in lower case."""
    try:
        text = path.expanduser().read_text("utf-8-sig")
    except OSError as error:
        raise HQSAMError(f"{path}: cannot be read ({error.strerror}); check --prompts") from None
    except UnicodeDecodeError:
        raise HQSAMError(f"{path}: is no text in UTF-8; save the table as CSV UTF-8") from None
    lines = text.splitlines()
    header = lines[0] if lines else ""
    separator = max(",;\t", key=header.count)  # what spreadsheets write differs by country
    columns = [name.strip().lower() for name in next(csv.reader([header], delimiter=separator), [])]
    known = ["object", "kind", *_POINT, *_BOX, *sorted(set(source.array_axes) - set("yxc"))]
    lacking = [name for name in ("object", "kind") if name not in columns]
    unknown = [name for name in columns if name not in known]
    if lacking or unknown:
        fault = (
            f"column {lacking[0]} is missing" if lacking else f"column {unknown[0]!r} is unknown"
        )
        raise HQSAMError(f"{path}, line 1: {fault}; the columns are {', '.join(known)}")
    try:
        reader = csv.reader(lines, delimiter=separator)
        next(reader)
        for cells in reader:
            if len(cells) > len(columns):
                raise HQSAMError(
                    f"{path}, line {reader.line_num}: {len(cells)} cells for {len(columns)} columns"
                )
            row = {c: cell.strip() for c, cell in zip(columns, cells, strict=False) if cell.strip()}
            if row:
                yield reader.line_num, row
    except csv.Error as error:
        raise HQSAMError(f"{path}: is no CSV table ({error})") from None


def _values(row: dict[str, str], kind: str) -> tuple[float, ...]:
    columns = _COLUMNS[kind]
    for name in {*_BOX, *_POINT} - set(columns):
        if name in row:
            raise HQSAMError(f"a {kind} has no {name}; its columns are {', '.join(columns)}")
    try:
        return tuple(float(row[name]) for name in columns)
    except KeyError as error:
        raise HQSAMError(f"a {kind} needs the column {error.args[0]}") from None
    except ValueError:
        given = ", ".join(row[name] for name in columns)
        raise HQSAMError(f"{given}: {', '.join(columns)} must be numbers such as 12.5") from None


def _plane_of_row(
    row: dict[str, str], plane: Sequence[int] | None, source: ImageSource
) -> tuple[int, ...]:
    axes = source.plane_axes
    default = {} if plane is None else dict(zip(axes, plane, strict=True))
    for axis in set(source.array_axes) - set(axes) - set("yxc"):
        if row.get(axis, "0") != "0":
            raise HQSAMError(f"{axis} = {row[axis]}: the image has only one, number 0")
    index = []
    for axis in axes:
        if axis not in row and axis not in default:
            raise HQSAMError(f"which {axis}? Fill the column {axis}, or give --plane")
        try:
            index.append(int(row[axis]) if axis in row else default[axis])
        except ValueError:
            raise HQSAMError(f"{axis} = {row[axis]}: give a whole number from 0") from None
    return source.check_plane(index)


def _plane(plane: Sequence[int] | None, source: ImageSource) -> tuple[int, ...]:
    if source.plane_axes and plane is None:
        axes, example = ",".join(source.plane_axes), ",".join("0" for _ in source.plane_axes)
        raise HQSAMError(
            f"{source.name} has many planes: give --plane {axes}, for example --plane {example}"
        )
    return source.check_plane(plane or ())
