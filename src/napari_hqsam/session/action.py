"""What one step changed: the unit of undo, redo and the journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.labels.change import Patch, Runs
from napari_hqsam.labels.objects import PlaneMask
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.session.prompt import PromptItem
from napari_hqsam.session.record import ObjectRecord

Edit = tuple[ArrayPlane, Patch]
"""Changed pixels of one plane."""

ObjectChange = tuple[ObjectRecord | None, ObjectRecord | None]
"""An object before and after; None where it is not there."""

Prompts = tuple[PromptItem, ...]


@dataclass(frozen=True, eq=False)
class Action:
    """One step.

    Attributes
    ----------
    what : str
        In words, such as ``"commit of object 4"``.
    prompts : (tuple of PromptItem, tuple of PromptItem)
        The pending prompts before and after.
    editing : (int or None, int or None)
        The object that they improve, before and after.
    objects : Mapping of int to (ObjectRecord or None, ObjectRecord or None)
        Those that changed, before and after; None where it is not there.
    edits : tuple of (ArrayPlane, Patch)
        In the order in which they are done.
    next_id : int
        The number of the next new object afterwards.
    """

    what: str
    prompts: tuple[Prompts, Prompts]
    editing: tuple[int | None, int | None]
    next_id: int
    objects: Mapping[int, ObjectChange] = field(default_factory=dict)
    edits: tuple[Edit, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As plain numbers and texts."""
        before, after = self.prompts
        return {
            "what": self.what,
            "objects": [_change_to_json(n, *change) for n, change in self.objects.items()],
            "prompts": [[item.to_json() for item in before], [item.to_json() for item in after]],
            "editing": list(self.editing),
            "edits": [_edit_to_json(*edit) for edit in self.edits],
            "next": self.next_id,
        }

    @classmethod
    def from_json(cls, saved: Mapping[str, Any], shape: Sequence[int], dtype: Any) -> Self:
        """What `to_json` gave.

        Parameters
        ----------
        saved : Mapping
        shape, dtype
            Of the labels.

        Raises
        ------
        KeyError, TypeError, ValueError, OverflowError
            If it is something else, or does not fit these labels.
        """
        before, after = (tuple(map(PromptItem.from_json, items)) for items in saved["prompts"])
        edited, editing = (None if n is None else int(n) for n in saved["editing"])
        return cls(
            str(saved["what"]),
            (before, after),
            (edited, editing),
            int(saved["next"]),
            dict(_change_from_json(change, shape) for change in saved["objects"]),
            tuple(_edit_from_json(edit, shape, np.dtype(dtype)) for edit in saved["edits"]),
        )


def _change_to_json(
    number: int, before: ObjectRecord | None, after: ObjectRecord | None
) -> list[Any]:
    """Number, before, after; a mask that is the same in both is written once."""
    old, new = (None if record is None else record.to_json() for record in (before, after))
    if before is not None and after is not None and new is not None:
        known = {id(mask): i for i, mask in enumerate(before.masks)}
        masks = zip(after.masks, new["masks"], strict=True)
        new["masks"] = [known.get(id(mask), saved) for mask, saved in masks]
    return [number, old, new]


def _change_from_json(saved: Sequence[Any], shape: Sequence[int]) -> tuple[int, ObjectChange]:
    number, old, new = saved
    before = None if old is None else ObjectRecord.from_json(number, old)
    if new is not None and old is not None:
        known = [old["masks"][m] if isinstance(m, int) else m for m in new["masks"]]
        new = {**new, "masks": known}
    after = None if new is None else ObjectRecord.from_json(number, new)
    for mask in (*(before.masks if before else ()), *(after.masks if after else ())):
        _check(mask.plane, mask.bbox, shape)
    return int(number), (before, after)


def _edit_to_json(plane: ArrayPlane, patch: Patch) -> dict[str, Any]:
    where = PlaneMask(plane, patch.box, patch.changed).to_json()
    sides = {"before": patch.before, "after": patch.after}
    runs = {name: [side.values.tolist(), side.lengths.tolist()] for name, side in sides.items()}
    return where | runs


def _edit_from_json(saved: Mapping[str, Any], shape: Sequence[int], dtype: np.dtype[Any]) -> Edit:
    where = PlaneMask.from_json(saved)
    _check(where.plane, where.bbox, shape)
    sides = []
    for name in ("before", "after"):
        values, lengths = saved[name]
        runs = Runs(np.asarray(values, dtype), _lengths(lengths))
        if len(runs.values) != len(runs.lengths) or int(runs.lengths.sum()) != where.area:
            raise ValueError(f"labels of {int(runs.lengths.sum())} pixels for {where.area}")
        sides.append(runs)
    return where.plane, Patch(where.bbox, where.runs, *sides)


def _lengths(saved: Sequence[int]) -> NDArray[np.uint32]:
    return np.asarray(saved, dtype=np.uint32)


def _check(plane: ArrayPlane, box: Sequence[int], shape: Sequence[int]) -> None:
    """Refuse what lies outside of labels of `shape`."""
    i, j = plane.axes
    if not 0 <= i < j < len(shape) or plane.ndim != len(shape):
        raise ValueError(f"a plane of axes {plane.axes} in {len(shape)} dimensions")
    inside = zip(plane.index, plane.others, strict=True)
    height, width = plane.shape(shape)
    y0, x0, y1, x1 = box
    if not (0 <= y0 <= y1 <= height and 0 <= x0 <= x1 <= width) or not all(
        0 <= n < shape[axis] for n, axis in inside
    ):
        raise ValueError(f"a box {tuple(box)} outside of labels {tuple(shape)}")
