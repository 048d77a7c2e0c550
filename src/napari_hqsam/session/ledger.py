"""Steps that go to the journal first and are done then; taken back, and done again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from os import PathLike, fspath
from types import MappingProxyType
from typing import Any

from psygnal import Signal

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.label_array import LabelArray
from napari_hqsam.session.action import Action
from napari_hqsam.session.history import History
from napari_hqsam.session.journal import Journal
from napari_hqsam.session.prompt import PromptItem
from napari_hqsam.session.record import ObjectRecord
from napari_hqsam.session.start import highest


class Ledger:
    """A history, its journal, and those who want to know of each step: the base of `Session`.

    Every step is written to the journal first, then to the labels. If the labels refuse it,
    nothing has changed and HQSAMError tells why. If the journal cannot be written, work goes on,
    `failed` tells so once, and the next step tries again.
    """

    changed = Signal(frozenset)
    prompts_changed = Signal()
    stepped = Signal()
    failed = Signal(str)

    def __init__(
        self,
        labels: LabelArray,
        journal: Journal | None = None,
        *,
        history: History | None = None,
    ) -> None:
        self.labels, self.journal = labels, journal
        self._history = history or History(labels, highest(labels) + 1)
        self.objects: Mapping[int, ObjectRecord] = MappingProxyType(self._history.objects)
        self._failing = self._closed = False

    @property
    def prompts(self) -> tuple[PromptItem, ...]:
        """The pending prompts."""
        return self._history.prompts

    @property
    def editing(self) -> int | None:
        """The object that the pending prompts improve."""
        return self._history.editing

    @property
    def saved(self) -> datetime | None:
        """When `mark_saved` was called last."""
        return self._history.turns.saved

    @property
    def dirty(self) -> bool:
        """Whether something is different from when it was saved, or from the beginning."""
        return self._history.turns.dirty

    @property
    def last_step(self) -> Action | None:
        """The step that was done last: another object after every step, None before any."""
        done = self._history.turns.done
        return done[-1] if done else None

    @property
    def can_undo(self) -> str | None:
        """What `undo` would take back, in words."""
        done = self._history.turns.done
        return done[-1].what if done else None

    @property
    def can_redo(self) -> str | None:
        """What `redo` would do again, in words."""
        steps = self._history.turns.to_redo
        return steps[-1].what if steps else None

    def is_undone(self, group: str) -> bool:
        """Whether steps of a group were undone, and can be done again."""
        return any(action.group == group for action in self._history.turns.undone)

    def undo(self) -> str:
        """Take the last step back, with those of its group; what it was.

        Raises
        ------
        HQSAMError
            If there is none, or the labels cannot be written.
        """
        self._check_open()
        if not self._history.turns.done:
            raise HQSAMError("nothing to undo")
        with self._ahead({"kind": "undo"}):
            actions = self._history.undo()
        self._tell(actions)
        return actions[-1].what

    def redo(self) -> str:
        """Do again what was undone last; what it was.

        Raises
        ------
        HQSAMError
            If there is nothing, or the labels cannot be written.
        """
        self._check_open()
        if not self._history.turns.undone:
            raise HQSAMError("nothing to redo")
        with self._ahead({"kind": "redo"}):
            actions = self._history.redo()
        self._tell(actions)
        return actions[-1].what

    def mark_saved(self, path: str | PathLike[str]) -> None:
        """Note that what is there now was saved to `path`."""
        self._check_open()
        now = datetime.now(UTC).replace(microsecond=0)
        self._append({"kind": "saved", "path": fspath(path), "time": now.isoformat()})
        self._history.turns.mark_saved(now)
        self.stepped.emit()

    def move_to(self, labels: LabelArray) -> None:
        """Go on with other labels, which hold the same."""
        self.labels = self._history.labels = labels

    def close(self) -> None:
        """Let go of the journal; there are no more steps."""
        if self._closed:
            return
        self._closed = True
        if self.journal is not None:
            try:
                self.journal.close()
            except OSError as error:
                self._warn(error, "the last steps are not in it")

    def _do(self, action: Action, *, written: bool = False, quiet: bool = False) -> None:
        """Do a new step.

        Parameters
        ----------
        action : Action
        written : bool
            Whether the labels are changed already.
        quiet : bool
            Whether the view shows the prompts already.

        Raises
        ------
        HQSAMError
            If the labels cannot be written; then nothing is changed.
        """
        self._check_open()
        record = action.to_json(self._history.known) if self.journal else {}
        with self._ahead({"kind": "do", **record}):
            self._history.do(action, written=written)
        self._tell([action], quiet=quiet)

    def _tell(self, actions: Sequence[Action], *, quiet: bool = False) -> None:
        touched = frozenset(number for action in actions for number in action.objects)
        if touched:
            self.changed.emit(touched)
        if any(before != after for before, after in (a.prompts for a in actions)) and not quiet:
            self.prompts_changed.emit()
        self.stepped.emit()

    @contextmanager
    def _ahead(self, record: dict[str, Any]) -> Iterator[None]:
        """Write a record; if what it is about fails, another one that takes it back."""
        self._append(record)
        try:
            yield
        except BaseException:
            self._append({"kind": "revoke"})
            raise

    def _append(self, record: dict[str, Any]) -> None:
        if self.journal is None:
            return
        try:
            self.journal.append(record)
        except OSError as error:
            if not self._failing:
                self._failing = True
                self._warn(error, "your work goes on in memory: save it elsewhere, or make room")
        else:
            self._failing = False

    def _warn(self, error: OSError, what: str) -> None:
        path = self.journal.path if self.journal else ""
        reason = error.strerror or str(error)
        self.failed.emit(f"{path}: the journal cannot be written ({reason}); {what}")

    def _check_open(self) -> None:
        if self._closed:
            raise HQSAMError("this session is closed: open Annotate again")
