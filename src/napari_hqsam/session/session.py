"""A session: what an annotator does to the objects of one image, every step undoable and kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from numpy.typing import ArrayLike

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.label_array import LabelArray
from napari_hqsam.labels.objects import LabelObject, PlaneMask
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.session import edit
from napari_hqsam.session.action import Action, Edit
from napari_hqsam.session.draft import Draft, check_id
from napari_hqsam.session.growth import grow
from napari_hqsam.session.ledger import Ledger
from napari_hqsam.session.overlap import overlaps
from napari_hqsam.session.prompt import PromptItem
from napari_hqsam.session.record import STATUSES, NewObject, ObjectRecord

_PROMPTS = "prompts"
# A slice of more propagated objects than this is written, and drawn by the viewer, as one.
_FEW = 4


class Session(Ledger):
    """Objects, their labels, and the prompts of the next one.

    Every step is written to the journal first, then to the labels. If the labels refuse it,
    nothing has changed and HQSAMError tells why. If the journal cannot be written, work goes on,
    `failed` tells so once, and the next step tries again. For one thread.

    Parameters
    ----------
    labels : LabelArray
        What is in them already stays; the objects there are made known by `adopt`.
    journal : Journal, optional
        A new one. Without it nothing survives the process.
    history : History, optional
        What `replay` has made of the same labels; see `recovery.restore`.

    Attributes
    ----------
    labels, journal
    objects : Mapping of int to ObjectRecord
        A view, in the order in which they came.

    Signals
    -------
    changed(frozenset of int)
        These objects were made, changed or deleted.
    prompts_changed()
        Something else than `set_prompts` has changed the pending prompts.
    stepped()
        After every step, undo, redo and save.
    failed(str)
        One line: the journal cannot be written.
    """

    # The group that grows, and its objects.
    _grown: tuple[str, frozenset[int]] = "", frozenset()

    @property
    def next_id(self) -> int:
        """The number of the next new object."""
        number = self._history.next_id
        while number in self.objects:
            number += 1
        return number

    @property
    def overlapping(self) -> list[tuple[int, int]]:
        """The pairs of objects whose masks overlap; looked for anew each time."""
        return overlaps(self.objects.values())

    def set_next_id(self, n: int) -> None:
        """Choose the number of the next new object; those after it follow, where they are free.

        Raises
        ------
        HQSAMError
            If it is taken, or the labels cannot hold it.
        """
        if n < 1:
            raise HQSAMError(f"next label {n}: objects are numbered from 1 up")
        if n in self.objects:
            raise HQSAMError(f"next label {n}: there is such an object; choose another number")
        check_id(n, self.labels.dtype)
        self._history.next_id = n

    def set_prompts(self, items: Iterable[PromptItem]) -> None:
        """Make these the pending prompts; no step if they are already."""
        prompts = tuple(items)
        if not self._closed and prompts != self.prompts:
            # with the last prompt of a correction the correction is given up
            self._step(self._draft(), _PROMPTS, prompts, self.editing if prompts else None)

    def commit(self, objects: Sequence[NewObject], overlap: edit.Overlap = "keep") -> list[int]:
        """Make objects; the pending prompts that they were made from are pending no more.

        With `editing`, the first one takes the place of that object on the planes of its masks.

        Parameters
        ----------
        objects : sequence of NewObject
        overlap : {"keep", "overwrite", "background"}
            As of `edit.draw`: pixels of other objects keep their label, while the new mask stays
            whole; or the new object takes them; or its mask is cut to the background.

        Returns
        -------
        list of int
            The numbers of those that have pixels, in their order.

        Raises
        ------
        HQSAMError
            If none has; if there are no more numbers; if the labels cannot be written.
        """
        draft = self._draft()
        made: list[int] = []
        for new in objects:
            replaced = self.editing if self.editing is not None and not made else None
            number = draft.new_id() if replaced is None else replaced
            record = new.numbered(number)
            if replaced is not None and not new.class_name:
                record = replace(record, class_name=self.objects[number].class_name)
            if edit.draw(draft, record, overlap):
                made.append(number)
            elif replaced is None:
                draft.next_id = number
        if not made:
            raise HQSAMError(
                "nothing to commit: the mask is empty, or lies on objects already there"
            )
        what = "correction" if made[0] == self.editing else "commit"
        used = {item for new in objects for item in new.prompts}
        left = tuple(item for item in self.prompts if item not in used)
        self._step(draft, f"{what} of {_named(made)}", left, None)
        return made

    def painted(self, edits: Sequence[Edit]) -> None:
        """Record what was painted into the labels; the masks follow the pixels.

        A number that is new becomes an object; an object without a pixel left goes. What cannot be
        recorded on disk is kept in memory, as the labels have it already.
        """
        if edits:
            draft = self._draft()
            touched = edit.follow(draft, edits)
            of = f" of {_named(touched)}" if touched else ""
            self._step(draft, f"painting{of}", self.prompts, self.editing, written=True)

    def grow(
        self,
        found: Mapping[int, Sequence[PlaneMask]],
        group: str,
        overlap: edit.Overlap = "keep",
        *,
        remove: Mapping[int, Sequence[ArrayPlane]] | None = None,
    ) -> None:
        """Give objects propagated masks, each with its score, as `growth.grow` does.

        Parameters
        ----------
        group : str
            Steps of one group that follow each other are undone and done again together.
        found, overlap, remove
        """
        draft = self._draft()
        grow(draft, found, overlap, remove)
        if draft.objects:
            known = self._grown[1] if self._grown[0] == group else frozenset()
            self._grown = group, known | draft.objects.keys() & {*found, *(remove or ())}
            what = f"propagation of {_named(sorted(self._grown[1]))}"
            self._step(draft, what, self.prompts, self.editing, group=group)

    def delete(self, ids: Iterable[int]) -> None:
        """Delete objects and their pixels."""
        draft, numbers = self._draft(), list(dict.fromkeys(ids))
        for number in numbers:
            edit.erase(draft, number)
        if numbers:
            self._step(draft, f"deletion of {_named(numbers)}", self.prompts, self.editing)

    def merge(self, ids: Iterable[int]) -> int:
        """Make objects one; the first number is kept, and returned."""
        draft, numbers = self._draft(), list(dict.fromkeys(ids))
        if len(numbers) < 2:
            raise HQSAMError("merge: choose at least two objects")
        first = edit.unite(draft, numbers)
        self._step(draft, f"merging of {_named(numbers)}", self.prompts, self.editing)
        return first

    def split(self, id: int, plane: ArrayPlane, line: ArrayLike) -> list[int]:
        """Cut an object along a line (V, 2) on a plane; the numbers of its parts, largest first.

        The largest keeps the number.
        """
        draft = self._draft()
        numbers = edit.split(draft, id, plane, line)
        self._step(draft, f"splitting of {_named([id])}", self.prompts, self.editing)
        return numbers

    def smooth(self, id: int, radius: float = 2) -> None:
        """Round off what is finer than `radius` pixels, as `edit.smooth` does."""
        draft = self._draft()
        edit.smooth(draft, id, radius)
        if draft.objects:
            self._step(draft, f"smoothing of {_named([id])}", self.prompts, self.editing)

    def set_status(self, ids: Iterable[int], status: str) -> None:
        """Say of objects that they are "new", "accepted" or "to fix"."""
        if status not in STATUSES:
            raise HQSAMError(f"status {status!r}: choose one of {', '.join(STATUSES)}")
        self._set(ids, f"status {status!r}", status=status)

    def set_class(self, ids: Iterable[int], name: str) -> None:
        """Give objects a class; "" for none."""
        self._set(ids, f"class {name!r}", class_name=name)

    def reopen(self, id: int) -> None:
        """Go on with an object: its prompts become the pending ones.

        One that has none, but a mask on a single plane, is itself the prompt.
        """
        draft = self._draft()
        record = draft.find(id)
        prompts = record.prompts
        if not prompts and len(record.masks) == 1:
            prompts = (PromptItem("label", record.masks[0].plane, label=id),)
        if (prompts, id) != (self.prompts, self.editing):
            self._step(draft, f"reopening of {_named([id])}", prompts, id)

    def adopt(self, objects: Iterable[LabelObject]) -> None:
        """Make objects known that the labels hold already; known ones stay. No step."""
        history, fresh = self._history, set()
        for found in objects:
            if found.id not in history.objects:
                history.objects[found.id] = ObjectRecord.of(found)
                fresh.add(found.id)
        if fresh:
            history.next_id = max(history.next_id, max(fresh) + 1)
            self.changed.emit(frozenset(fresh))

    def move_to(self, labels: LabelArray) -> None:
        """Go on in other labels, which hold the same: those of a layer that was made of these."""
        if (tuple(labels.shape), labels.dtype) != (tuple(self.labels.shape), self.labels.dtype):
            raise ValueError(f"labels {labels.shape}, {labels.dtype} instead of others")
        self.labels = self._history.labels = labels

    def _draft(self) -> Draft:
        return Draft(self.labels, self.objects, self._history.next_id)

    def _set(self, ids: Iterable[int], what: str, **values: Any) -> None:
        """Change objects where they have other values."""
        draft = self._draft()
        for record in [draft.find(number) for number in dict.fromkeys(ids)]:
            if any(getattr(record, name) != value for name, value in values.items()):
                draft.put(replace(record, **values))
        if draft.objects:
            name = f"{what} of {_named(list(draft.objects))}"
            self._step(draft, name, self.prompts, self.editing)

    def _step(
        self,
        draft: Draft,
        what: str,
        prompts: tuple[PromptItem, ...],
        editing: int | None,
        *,
        written: bool = False,
        group: str = "",
    ) -> None:
        """Do what a draft says, and tell of it."""
        if editing is not None and draft.get(editing) is None:
            editing = None
        action = Action(
            what,
            (self.prompts, prompts),
            (self.editing, editing),
            draft.next_id,
            draft.objects,
            draft.finish(_FEW) if group else draft.finish(),
            group,
        )
        self._do(action, written=written, quiet=what == _PROMPTS)


def _named(numbers: Sequence[int]) -> str:
    return f"object {numbers[0]}" if len(numbers) == 1 else f"{len(numbers)} objects"
