"""Labels and objects, and the steps that made them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.change import Patch
from napari_hqsam.labels.label_array import LabelArray
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.session.action import Action, Edit, Prompts
from napari_hqsam.session.record import ObjectRecord
from napari_hqsam.session.tiles import TiledLabels
from napari_hqsam.session.turns import Turns

# More edits than this are put together in memory, and each part of the labels is written once.
_MANY = 64


class History:
    """What a session holds, and how it became so. It knows no journal and tells nobody.

    Every step is done as a whole or, if the labels cannot be written, not at all.

    Parameters
    ----------
    labels : LabelArray
    next_id : int
        The number of the first new object.

    Attributes
    ----------
    objects : dict
        By number.
    prompts : tuple of PromptItem
        The pending ones.
    editing : int or None
        The object that they improve.
    next_id : int
    turns : Turns of Action
    known : set of int
        The objects that steps have touched: whoever follows the steps knows them, too. Others
        were there before.
    """

    def __init__(self, labels: LabelArray, next_id: int = 1) -> None:
        self.labels = labels
        self.objects: dict[int, ObjectRecord] = {}
        self.prompts: Prompts = ()
        self.editing: int | None = None
        self.next_id = self._former_id = next_id
        self.turns: Turns[Action] = Turns(lambda action: action.group)
        self.known: set[int] = set()

    def do(self, action: Action, *, written: bool = False) -> Action:
        """Do a new step; what was undone before cannot be done again.

        Parameters
        ----------
        action : Action
        written : bool
            Whether the labels are changed already.

        Raises
        ------
        HQSAMError
            If the labels cannot be written.
        """
        if not written:
            write_edits(self.labels, action.edits, back=False)
        self.turns.do(action)
        self._set([action], back=False)
        self._former_id, self.next_id = self.next_id, action.next_id
        return action

    def undo(self) -> list[Action]:
        """Take the last step back, with its group; what it was, the last one last.

        Raises
        ------
        HQSAMError
            If there is none, or the labels cannot be written.
        """
        if not self.turns.done:
            raise HQSAMError("nothing to undo")
        actions = self.turns.to_undo
        write_edits(self.labels, edits_of(actions), back=True)
        self.turns.undo()
        self._set(actions, back=True)
        self._former_id = self.next_id
        return actions

    def redo(self) -> list[Action]:
        """Do again what was undone last, in the order in which it was done.

        Raises
        ------
        HQSAMError
            If there is nothing, or the labels cannot be written.
        """
        if not self.turns.undone:
            raise HQSAMError("nothing to redo")
        actions = self.turns.to_redo
        write_edits(self.labels, edits_of(actions), back=False)
        self.turns.redo()
        self._set(actions, back=False)
        self._former_id = self.next_id
        return actions

    def revoke(self) -> tuple[list[Action], bool]:
        """Go back to before the last turn: when it was made, the labels had refused it.

        Returns
        -------
        list of Action, bool
            What was changed, and whether it was taken back now.

        Raises
        ------
        HQSAMError
            If the labels cannot be written.
        ValueError
            If there is no last turn.
        """
        actions, taken_back = self.turns.last
        back = not taken_back
        write_edits(self.labels, edits_of(actions), back=back)
        self.turns.revoke()
        self._set(actions, back=back)
        self.next_id = self._former_id
        return actions, back

    def _set(self, actions: Sequence[Action], *, back: bool) -> None:
        """Give objects and prompts what they are after actions, or before them."""
        side = 0 if back else 1
        for action in reversed(actions) if back else actions:
            for number, change in action.objects.items():
                record = change[side]
                if record is None:
                    self.objects.pop(number, None)
                else:
                    self.objects[number] = record
            self.known.update(action.objects)
            self.prompts = action.prompts[side]
            self.editing = action.editing[side]


def edits_of(actions: Iterable[Action]) -> list[Edit]:
    """All that actions change in the labels, in their order."""
    return [edit for action in actions for edit in action.edits]


def write_edits(labels: LabelArray, edits: Sequence[Edit], *, back: bool) -> None:
    """Change labels, or change them back, where they are as the edits left them; all or none.

    Raises
    ------
    HQSAMError
        If the labels cannot be written; they are as before, as far as the disk lets.
    """
    tiled = None
    if len(edits) > _MANY and not isinstance(labels, TiledLabels):
        labels = tiled = TiledLabels(labels)
    written: list[Edit] = []
    try:
        for plane, patch in reversed(edits) if back else edits:
            real = _apply(labels, plane, patch, back=back)
            if real is not None:
                written.append((plane, real))
        if tiled is not None:
            tiled.flush()
    except BaseException as error:
        for plane, real in reversed(written):
            with suppress(Exception):  # the first failure is the one to tell of
                _apply(labels, plane, real, back=True)
        if tiled is not None:
            with suppress(Exception):
                tiled.flush()
        if isinstance(error, OSError):
            reason = error.strerror or str(error)
            line = f"the labels cannot be written ({reason}); make room, and try again"
            raise HQSAMError(line) from error
        raise


def _apply(labels: LabelArray, plane: ArrayPlane, patch: Patch, *, back: bool) -> Patch | None:
    """Write one patch; what it really changed."""
    before: NDArray[Any] = labels.read(plane, patch.box)
    after = before.copy()
    patch.apply(after, back=back)
    y0, x0 = patch.box[:2]
    where: NDArray[np.bool_] = before != after
    if not where.any():
        return None
    labels.write(plane, y0, x0, after, where)
    return Patch.between(before, after, (y0, x0))
