"""Propagated masks, drawn where an object has none but such ones: a step in the making."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from napari_hqsam.labels.objects import PlaneMask
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.session.draft import Draft
from napari_hqsam.session.edit import Overlap, relabel, take
from napari_hqsam.session.shape import around, spread, trimmed

Former = dict[int, PlaneMask]
"""Propagated masks of a plane that go, by the number of their object."""


def grow(
    draft: Draft,
    found: Mapping[int, Sequence[PlaneMask]],
    overlap: Overlap = "keep",
    remove: Mapping[int, Sequence[ArrayPlane]] | None = None,
) -> None:
    """Give objects propagated masks; those that somebody vouches for stay.

    The former ones of all these objects give way before any new one is drawn, so that neighbours
    do not get into each other's way.

    Parameters
    ----------
    draft : Draft
    found : Mapping of int to sequence of PlaneMask
        By number of the object; objects that are gone are left out.
    overlap : {"keep", "overwrite", "background"}
        As of `edit.draw`. Where nothing is left of a mask the object has none.
    remove : Mapping of int to sequence of ArrayPlane, optional
        Where propagated masks go without a new one.
    """
    remove = remove or {}
    new: dict[int, list[PlaneMask]] = {}
    former: dict[ArrayPlane, Former] = defaultdict(dict)
    for number in {**found, **remove}:
        record = draft.get(number)
        if record is None:
            continue
        own = {mask.plane: mask for mask in record.masks}
        fixed = {plane for plane, mask in own.items() if mask.score is None}
        new[number] = [m for m in found.get(number, ()) if m.area and m.plane not in fixed]
        for plane in {*(m.plane for m in new[number]), *remove.get(number, ())} - fixed:
            if plane in own:
                former[plane][number] = own.pop(plane)
        if len(own) < len(record.masks):
            draft.put(replace(record, masks=tuple(own.values())))
    for number, masks in new.items():
        for mask in masks:
            _draw(draft, number, mask, former[mask.plane], overlap)
    for gone in former.values():
        for number, mask in gone.items():
            relabel(draft, mask, number, 0)
    for number in new:
        record = draft.get(number)
        if record is not None and not record.masks:
            draft.remove(number)


def _draw(draft: Draft, number: int, mask: PlaneMask, former: Former, overlap: Overlap) -> None:
    """Draw a mask as if the `former` ones were there no more; that of its object is not then."""
    if draft.get(number) is None:  # another object has just taken all of it
        return
    own = former.get(number)
    box = mask.bbox if own is None else around(mask.bbox, own.bbox)
    labels = draft.read(mask.plane, box)
    before = labels.copy()
    for other, gone in former.items():
        before[(before == other) & spread(gone, box)] = 0
    former.pop(number, None)
    data = spread(mask, box)
    if overlap == "background":
        data &= before == 0
    after = before.copy()
    after[data if overlap == "overwrite" else data & (before == 0)] = number
    draft.write(mask.plane, box, labels, after)
    if overlap == "overwrite":
        take(draft, mask.plane, box, before, after == number, number, keep_scores=True)
    kept = trimmed(mask.plane, box[:2], data)
    if kept is not None:
        record = draft.find(number)
        draft.put(replace(record, masks=(*record.masks, replace(kept, score=mask.score))))
