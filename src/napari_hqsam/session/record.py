"""What a session knows of an object: its masks, and how they were made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from napari_hqsam.labels.objects import LabelObject, PlaneMask
from napari_hqsam.session.prompt import PromptItem

STATUSES = ("new", "accepted", "to fix")


@dataclass(frozen=True, eq=False)
class ObjectRecord(LabelObject):
    """An object of a session.

    Attributes
    ----------
    id, masks, class_name, score, status
        As of `LabelObject`.
    prompts : tuple of PromptItem
        What `masks` were predicted from; none if they were painted, imported, split or merged.
    uncertainty : float or None
        How much the boundaries of SAM and of HQ-SAM differ: 0 if they agree, up to 1.
    model : str
        Name of the model; "" for what no model has made.
    mode : {"hq+sam", "hq", "sam"}
    threshold : float
        Logit from which on a pixel belongs to the object.
    """

    prompts: tuple[PromptItem, ...] = ()
    uncertainty: float | None = None
    model: str = ""
    mode: str = "hq+sam"
    threshold: float = 0.0

    @classmethod
    def of(cls, found: LabelObject) -> ObjectRecord:
        """An object that was found in labels, or imported."""
        if isinstance(found, ObjectRecord):
            return found
        return cls(**{f.name: getattr(found, f.name) for f in fields(LabelObject)})

    def to_json(self) -> dict[str, Any]:
        """As plain numbers and texts, without its number."""
        return {
            "masks": [mask.to_json() for mask in self.masks],
            "class": self.class_name,
            "score": _number(self.score),
            "status": self.status,
            "prompts": [item.to_json() for item in self.prompts],
            "uncertainty": _number(self.uncertainty),
            "model": self.model,
            "mode": self.mode,
            "threshold": float(self.threshold),
        }

    @classmethod
    def from_json(cls, number: int, saved: Mapping[str, Any]) -> Self:
        """What `to_json` gave.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it is something else.
        """
        return cls(
            int(number),
            tuple(PlaneMask.from_json(mask) for mask in saved["masks"]),
            str(saved["class"]),
            _number(saved["score"]),
            str(saved["status"]),
            tuple(PromptItem.from_json(item) for item in saved["prompts"]),
            _number(saved["uncertainty"]),
            str(saved["model"]),
            str(saved["mode"]),
            float(saved["threshold"]),
        )


@dataclass(frozen=True, eq=False)
class NewObject:
    """What `Session.commit` takes; the attributes are those of `ObjectRecord`."""

    masks: tuple[PlaneMask, ...]
    score: float | None = None
    uncertainty: float | None = None
    model: str = ""
    mode: str = "hq+sam"
    threshold: float = 0.0
    prompts: tuple[PromptItem, ...] = ()
    class_name: str = ""

    def numbered(self, number: int) -> ObjectRecord:
        """The object with its number."""
        values = {f.name: getattr(self, f.name) for f in fields(NewObject)}
        return ObjectRecord(number, tuple(values.pop("masks")), **values)


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)
