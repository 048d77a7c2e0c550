"""Masks read one by one, put together to objects."""

from __future__ import annotations

import math
import numbers
from typing import Any

from napari_hqsam.labels.objects import LabelObject, PlaneMask
from napari_hqsam.labels.plane import ArrayPlane

_HIGHEST = 2**53  # what every reader of JSON knows exactly
_STATUSES = ("new", "accepted", "to fix")


class Gathering:
    """The objects of a file in the making.

    A mask with the label of an object belongs to it, unless that has a mask on the plane already;
    all others are objects of their own and get the next free labels in the end.
    """

    def __init__(self) -> None:
        self._labelled: dict[int, tuple[dict[ArrayPlane, PlaneMask], dict[str, Any]]] = {}
        self._others: list[tuple[PlaneMask, dict[str, Any]]] = []

    def add(self, label: Any, mask: PlaneMask, **about: Any) -> None:
        """Take up a mask; an empty one is left out.

        Parameters
        ----------
        label : object
            What the file says: a whole number from 1 up, or its text, or anything else for none.
        mask : PlaneMask
        **about
            `class_name`, `score` and `status` of `LabelObject`.
        """
        if mask.area == 0:
            return
        try:
            known = 0 if isinstance(label, float) else int(label)
        except (TypeError, ValueError):
            known = 0
        if 1 <= known < _HIGHEST and not isinstance(label, bool):
            masks, _ = self._labelled.setdefault(known, ({}, about))
            if mask.plane not in masks:
                masks[mask.plane] = mask
                return
        self._others.append((mask, about))

    def objects(self) -> list[LabelObject]:
        """The objects, sorted by label; masks by plane."""
        found = []
        for label, (masks, about) in self._labelled.items():
            planes = sorted(masks, key=lambda plane: plane.index)
            found.append(LabelObject(label, tuple(masks[p] for p in planes), **about))
        free = max(self._labelled, default=0) + 1
        found += [
            LabelObject(free + i, (mask,), **about) for i, (mask, about) in enumerate(self._others)
        ]
        return sorted(found, key=lambda obj: obj.id)


def number(value: Any) -> float | None:
    """A finite number as a float; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return None
    return float(value) if math.isfinite(value) else None


def status(value: Any) -> str:
    """A status that `LabelObject` knows."""
    return value if value in _STATUSES else "new"
