"""What the table says about each object: its columns, their texts and order. No Qt."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from napari_hqsam.images.units import micrometers

if TYPE_CHECKING:
    from napari_hqsam.labels.calibration import Calibration
    from napari_hqsam.session.record import ObjectRecord

_ATTENTION = ("to fix", "new", "accepted")  # who wants it first


class Column(IntEnum):
    """The columns from left to right."""

    ID = 0
    CLASS = 1
    SIZE = 2
    SCORE = 3
    UNCERTAINTY = 4
    STATUS = 5


_TITLES = {
    Column.ID: ("Id", "The label, with its colour."),
    Column.CLASS: ("Class", "What kind of object it is."),
    Column.SCORE: ("Score", "The IoU with the truth that the network predicts, 0 to 1."),
    Column.UNCERTAINTY: (
        "Unsure",
        "How much the boundaries of SAM and HQ-SAM differ: 0 not at all, 1 entirely.",
    ),
    Column.STATUS: ("Status", "What somebody who looked at it thought of it."),
}


@dataclass(frozen=True)
class Filter:
    """Which objects are shown.

    Attributes
    ----------
    class_name, status : str or None
        Only these; None for any.
    text : str
        Words that must all be found: in the class, or as the beginning of the id.
    """

    class_name: str | None = None
    status: str | None = None
    text: str = ""

    def admits(self, record: ObjectRecord) -> bool:
        """Whether an object is shown."""
        if self.status is not None and record.status != self.status:
            return False
        return self.admits_kind(record)

    def admits_kind(self, record: ObjectRecord) -> bool:
        """Whether it would be shown with another status."""
        if self.class_name is not None and record.class_name != self.class_name:
            return False
        name = record.class_name.casefold()
        words = self.text.casefold().split()
        return all(word in name or str(record.id).startswith(word) for word in words)


class ObjectTable:
    """The objects of a session as rows.

    Parameters
    ----------
    objects : mapping of int to ObjectRecord
        A live view.
    calibration : Calibration, optional
        Sizes are in µm² or µm³ if it gives lengths, otherwise in pixels. Of an object that is on
        several time points the size is the mean of these.

    Attributes
    ----------
    size_name, unit : str
        Such as ``"area"`` and ``"µm²"``; ``"px"`` without a calibration.
    """

    def __init__(
        self, objects: Mapping[int, ObjectRecord], calibration: Calibration | None = None
    ) -> None:
        self.objects = objects
        axes = "" if calibration is None else calibration.axes
        self._time = axes.find("t")
        self._pixel, self.unit = _pixel(calibration)
        self.size_name = "volume" if "z" in axes else "area" if axes else "size"
        self._sizes: dict[int, float] = {}  # counting pixels takes long for 10,000 objects

    def title(self, column: int) -> str:
        """Of a column."""
        return self.unit if column == Column.SIZE else _TITLES[Column(column)][0]

    def explanation(self, column: int) -> str:
        """Of a column, as a sentence."""
        if column == Column.SIZE:
            several = "; the mean, if it is on several time points" if self._time >= 0 else ""
            return f"The {self.size_name} of the object{several}."
        return _TITLES[Column(column)][1]

    def size(self, label: int) -> float:
        """Area or volume, in the unit of the title."""
        if label not in self._sizes:
            record = self.objects[label]
            self._sizes[label] = record.area * self._pixel / self._time_points(record)
        return self._sizes[label]

    def value(self, label: int, column: int) -> str | float | None:
        """What is in a cell; None if nothing is known."""
        record = self.objects[label]
        match column:
            case Column.ID:
                return label
            case Column.CLASS:
                return record.class_name or None
            case Column.SIZE:
                return self.size(label)
            case Column.SCORE:
                return _known(record.score)
            case Column.UNCERTAINTY:
                return _known(record.uncertainty)
            case _:
                return record.status

    def text(self, label: int, column: int) -> str:
        """What is written in a cell."""
        value = self.value(label, column)
        if value is None:
            return ""
        if column == Column.SIZE:
            return f"{value:,.0f}" if float(value) >= 100 or self._pixel == 1 else f"{value:.3g}"
        return f"{value:.2f}" if column in (Column.SCORE, Column.UNCERTAINTY) else str(value)

    def key(self, column: int, descending: bool = False) -> Callable[[int], tuple[Any, ...]]:
        """How ids are sorted by a column: unknown values last, equal ones by their id."""

        def key(label: int) -> tuple[Any, ...]:
            value = self.value(label, column)
            if value is None:
                return (1, 0, label)
            if column == Column.STATUS:
                value = _ATTENTION.index(str(value))
            if isinstance(value, str):
                # each letter as a number, so that it can be turned round; 1 ends the word
                letters = (ord(letter) for letter in value.casefold())
                return (0, (*(-n for n in letters), 1) if descending else (*letters,), label)
            return (0, -value if descending else value, label)

        return key

    def classes(self) -> list[str]:
        """The names in use, sorted."""
        names = {record.class_name for record in self.objects.values()}
        return sorted(names - {""}, key=str.casefold)

    def forget(self, labels: Iterable[int]) -> None:
        """These objects are not what they were."""
        for label in labels:
            self._sizes.pop(label, None)

    def _time_points(self, record: ObjectRecord) -> int:
        planes = [mask.plane for mask in record.masks]
        if self._time < 0 or any(self._time in plane.axes for plane in planes):
            return 1
        return len({p.index[p.others.index(self._time)] for p in planes}) or 1


def _pixel(calibration: Calibration | None) -> tuple[float, str]:
    """Area or volume of one pixel, and its unit."""
    if calibration is None or calibration.scale is None:
        return 1.0, "px"
    space = [i for i, letter in enumerate(calibration.axes) if letter in "zyx"]
    steps = micrometers(
        [calibration.scale[i] for i in space], [calibration.units[i] for i in space]
    )
    if steps is None:
        return 1.0, "px"
    return math.prod(abs(step) for step in steps), "µm³" if "z" in calibration.axes else "µm²"


def _known(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else float(value)
