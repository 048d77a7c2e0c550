"""What one step changed: the unit of undo, redo and the journal."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
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

# Stands for an object as the steps before have left it.
_KNOWN = "known"


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
    group : str
        Actions of one group that follow each other are one step to whoever undoes it; "" for one
        by itself.
    """

    what: str
    prompts: tuple[Prompts, Prompts]
    editing: tuple[int | None, int | None]
    next_id: int
    objects: Mapping[int, ObjectChange] = field(default_factory=dict)
    edits: tuple[Edit, ...] = ()
    group: str = ""

    def to_json(self, known: Collection[int] = ()) -> dict[str, Any]:
        """As plain numbers and texts.

        Parameters
        ----------
        known : collection of int
            Objects that whoever reads it knows as they were before: only what is new of them is
            written.
        """
        before, after = self.prompts
        changes = self.objects.items()
        saved = {
            "what": self.what,
            "objects": [_change_to_json(n, *change, n in known) for n, change in changes],
            "prompts": [[item.to_json() for item in before], [item.to_json() for item in after]],
            "editing": list(self.editing),
            "edits": [_edit_to_json(*edit) for edit in self.edits],
            "next": self.next_id,
        }
        return saved | {"group": self.group} if self.group else saved

    @classmethod
    def from_json(
        cls,
        saved: Mapping[str, Any],
        shape: Sequence[int],
        dtype: Any,
        objects: Mapping[int, ObjectRecord],
    ) -> Self:
        """What `to_json` gave.

        Parameters
        ----------
        saved : Mapping
        shape, dtype
            Of the labels.
        objects : Mapping
            By number, as they are before it.

        Raises
        ------
        LookupError, TypeError, ValueError, OverflowError
            If it is something else, or does not fit these labels.
        """
        before, after = (tuple(map(PromptItem.from_json, items)) for items in saved["prompts"])
        edited, editing = (None if n is None else int(n) for n in saved["editing"])
        return cls(
            str(saved["what"]),
            (before, after),
            (edited, editing),
            int(saved["next"]),
            dict(_change_from_json(change, shape, objects) for change in saved["objects"]),
            tuple(_edit_from_json(edit, shape, np.dtype(dtype)) for edit in saved["edits"]),
            str(saved.get("group", "")),
        )


def _change_to_json(
    number: int, before: ObjectRecord | None, after: ObjectRecord | None, known: bool
) -> list[Any]:
    """Number, before, after; a mask that is the same in both is written once."""
    old: Any = None
    masks: Sequence[PlaneMask] = ()
    if before is not None:
        old, masks = _KNOWN if known else before.to_json(), before.masks
    return [number, old, None if after is None else _record_to_json(after, masks)]


def _record_to_json(record: ObjectRecord, before: Sequence[PlaneMask]) -> dict[str, Any]:
    """A record; of masks that it had before it has their place among these."""
    place = {id(mask): i for i, mask in enumerate(before)}
    masks = [place[id(m)] if id(m) in place else m.to_json() for m in record.masks]
    return replace(record, masks=()).to_json() | {"masks": masks}


def _change_from_json(
    saved: Sequence[Any], shape: Sequence[int], objects: Mapping[int, ObjectRecord]
) -> tuple[int, ObjectChange]:
    number, old, new = int(saved[0]), saved[1], saved[2]
    before = objects[number] if old == _KNOWN else _record_from_json(number, old, (), shape)
    masks = () if before is None else before.masks
    return number, (before, _record_from_json(number, new, masks, shape))


def _record_from_json(
    number: int,
    saved: Mapping[str, Any] | None,
    before: Sequence[PlaneMask],
    shape: Sequence[int],
) -> ObjectRecord | None:
    if saved is None:
        return None
    masks = []
    for each in saved["masks"]:
        mask = before[each] if isinstance(each, int) else PlaneMask.from_json(each)
        _check(mask.plane, mask.bbox, shape)
        masks.append(mask)
    return replace(ObjectRecord.from_json(number, {**saved, "masks": []}), masks=tuple(masks))


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
