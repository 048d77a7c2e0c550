"""Edits of objects: drawn, painted, deleted, united, cut, smoothed.

Each changes a `Draft` only. An object has masks on planes, and every plane is edited by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.change import Patch
from napari_hqsam.labels.objects import PlaneMask
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.labels.pyramid import Box
from napari_hqsam.session.action import Edit
from napari_hqsam.session.draft import Draft
from napari_hqsam.session.record import ObjectRecord
from napari_hqsam.session.shape import around, changed, cut, smoothed, spread, trimmed, united

Overlap = Literal["keep", "overwrite", "background"]


def draw(draft: Draft, record: ObjectRecord, overlap: Overlap = "keep") -> bool:
    """Draw an object's masks; those of an earlier object of its number go, on the same planes.

    Parameters
    ----------
    draft : Draft
    record : ObjectRecord
    overlap : {"keep", "overwrite", "background"}
        What becomes of pixels of other objects: they keep their label, while the new mask stays
        whole; the new object takes them, from the others' masks as well; or the new mask is cut to
        the background.

    Returns
    -------
    bool
        Whether it has any pixel; if not, nothing is changed.
    """
    old = draft.get(record.id)
    former = {} if old is None else {mask.plane: mask for mask in old.masks}
    plans = []
    masks = {}
    for mask in record.masks:
        before_mask = former.get(mask.plane)
        box = mask.bbox if before_mask is None else around(mask.bbox, before_mask.bbox)
        labels = draft.read(mask.plane, box)
        after = labels.copy()
        after[(labels == record.id) & spread(before_mask, box)] = 0
        data = spread(mask, box)
        if overlap == "background":
            data &= after == 0
        after[data if overlap == "overwrite" else data & (after == 0)] = record.id
        kept = trimmed(mask.plane, box[:2], data)
        if kept is not None:
            masks[mask.plane] = kept
            plans.append((mask.plane, box, labels, after))
    if not masks:
        return False
    for plane, box, labels, after in plans:
        draft.write(plane, box, labels, after)
        if overlap == "overwrite":
            take(draft, plane, box, labels, after == record.id, record.id)
    draft.put(replace(record, masks=tuple((former | masks).values())))
    return True


def erase(draft: Draft, number: int) -> None:
    """Delete an object and its pixels."""
    for mask in draft.find(number).masks:
        relabel(draft, mask, number, 0)
    draft.remove(number)


def unite(draft: Draft, numbers: Sequence[int]) -> int:
    """Make several objects one, that of the first number."""
    first, *others = (draft.find(number) for number in numbers)
    masks = {mask.plane: mask for mask in first.masks}
    for other in others:
        for mask in other.masks:
            relabel(draft, mask, other.id, first.id)
            known = masks.get(mask.plane)
            masks[mask.plane] = mask if known is None else united(known, mask)
        draft.remove(other.id)
    draft.put(_handmade(first, tuple(masks.values())))
    return first.id


def split(draft: Draft, number: int, plane: ArrayPlane, line: ArrayLike) -> list[int]:
    """Cut an object along a line on one plane; its largest part there keeps the number.

    Returns
    -------
    list of int
        The numbers of all parts, the largest first.

    Raises
    ------
    HQSAMError
        If the line does not cut it.
    """
    record = draft.find(number)
    whole = next((mask for mask in record.masks if mask.plane == plane), None)
    if whole is None:
        raise HQSAMError(f"object {number} is not on this plane: go to one where it is")
    first, *others = cut(whole, line)
    if not others:
        raise HQSAMError(f"the line does not cut object {number}: draw it right across")
    kept = tuple(first if mask is whole else mask for mask in record.masks)
    draft.put(_handmade(record, kept))
    numbers = [number]
    for part in others:
        new = draft.new_id()
        relabel(draft, part, number, new)
        draft.put(ObjectRecord(new, (part,), record.class_name))
        numbers.append(new)
    return numbers


def smooth(draft: Draft, number: int, radius: float = 2) -> None:
    """Round off what is finer than `radius` pixels; other objects lose nothing.

    A mask that would lose more than half of itself stays as it is.

    Raises
    ------
    HQSAMError
        If that is so of all masks, or there is no such radius.
    """
    if not 0 < radius <= 100:
        raise HQSAMError(f"a radius of {radius:g} pixels: choose one above 0, up to 100")
    record = draft.find(number)
    masks, thin = [], 0
    for mask in record.masks:
        box, data = smoothed(mask, radius, mask.plane.shape(draft.shape))
        labels, before = draft.read(mask.plane, box), spread(mask, box)
        data &= (labels == 0) | (labels == number) | before
        new = trimmed(mask.plane, box[:2], data)
        if new is None or 2 * new.area < mask.area:
            thin += 1
            masks.append(mask)
            continue
        after = labels.copy()
        after[(labels == number) & ~data] = 0
        after[(labels == 0) & data] = number
        draft.write(mask.plane, box, labels, after)
        masks.append(new if (data != before).any() else mask)
    if thin == len(record.masks):
        raise HQSAMError(
            f"object {number} is too thin to be smoothed with a radius of {radius:g} pixels: "
            "choose a smaller one"
        )
    if any(new is not old for new, old in zip(masks, record.masks, strict=True)):
        draft.put(replace(record, masks=tuple(masks)))


def follow(draft: Draft, edits: Sequence[Edit]) -> list[int]:
    """Let the masks follow pixels that were painted; the numbers of the objects that changed.

    A number that is new becomes an object; an object that has no pixel left is taken out.
    """
    touched: dict[int, None] = {}
    for plane, patch in edits:
        before, after = _sides(patch)
        draft.edits.append((plane, patch))
        found = np.union1d(patch.before.values, patch.after.values)
        for number in (int(n) for n in found if n):
            lost, won = before == number, after == number
            record = draft.get(number)
            if record is None:
                if not won.any():  # pixels that nobody has taken for an object
                    continue
                record = ObjectRecord(number, ())
                draft.next_id = max(draft.next_id, number + 1)
            _reshape(draft, record, plane, patch.box, lost, won)
            touched[number] = None
    return list(touched)


def _sides(patch: Patch) -> tuple[NDArray[Any], NDArray[Any]]:
    """The labels (h, w) of a patch before and after; 0 in both where it changes nothing."""
    y0, x0, y1, x1 = patch.box
    here = patch.changed.expand().reshape(y1 - y0, x1 - x0)
    sides = []
    for runs in (patch.before, patch.after):
        labels = np.zeros(here.shape, runs.values.dtype)
        labels[here] = runs.expand()
        sides.append(labels)
    return sides[0], sides[1]


def take(
    draft: Draft,
    plane: ArrayPlane,
    box: Box,
    before: NDArray[Any],
    taken: NDArray[np.bool_],
    number: int,
    *,
    keep_scores: bool = False,
) -> None:
    """Take pixels of a box out of the masks of the objects that had them.

    Parameters
    ----------
    draft : Draft
    plane, box
    before : ndarray of int (h, w)
        The labels of the box before.
    taken : ndarray of bool (h, w)
    number : int
        The object that has them now.
    keep_scores : bool
        Whether a propagated mask that loses pixels is still one.
    """
    for other in (int(n) for n in np.unique(before[taken]) if n not in (0, number)):
        record = draft.get(other)
        if record is not None:
            lost = taken & (before == other)
            won = np.zeros_like(lost)
            _reshape(draft, record, plane, box, lost, won, keep_score=keep_scores)


def _reshape(
    draft: Draft,
    record: ObjectRecord,
    plane: ArrayPlane,
    box: Box,
    lost: NDArray[np.bool_],
    won: NDArray[np.bool_],
    *,
    keep_score: bool = False,
) -> None:
    """Change a mask of an object in a box; without any mask left it is taken out."""
    masks = {mask.plane: mask for mask in record.masks}
    old = masks.get(plane)
    new = changed(old, plane, box, lost=lost, won=won)
    if new is None:
        masks.pop(plane, None)
    else:
        masks[plane] = replace(new, score=old.score) if old and keep_score else new
    if masks:
        draft.put(replace(record, masks=tuple(masks.values())))
    else:
        draft.remove(record.id)


def relabel(draft: Draft, mask: PlaneMask, old: int, new: int) -> None:
    """Give the visible pixels of a mask another label."""
    labels = draft.read(mask.plane, mask.bbox)
    after = labels.copy()
    after[(labels == old) & mask.data] = new
    draft.write(mask.plane, mask.bbox, labels, after)


def _handmade(record: ObjectRecord, masks: tuple[PlaneMask, ...]) -> ObjectRecord:
    """An object whose masks are no longer what its prompts gave."""
    return ObjectRecord(record.id, masks, record.class_name)
