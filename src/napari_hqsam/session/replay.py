"""A journal replayed: the same labels and objects again, exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.label_array import LabelArray, MemoryLabels, StoreLabels
from napari_hqsam.session.action import Action
from napari_hqsam.session.header import Header
from napari_hqsam.session.history import History, edits_of, write_edits
from napari_hqsam.session.journal import (
    TURNS,
    count_steps,
    read_header,
    read_records,
    snapshot_path,
)
from napari_hqsam.session.start import fill, highest, read_snapshot
from napari_hqsam.session.tiles import TiledLabels

Progress = Callable[[int, int], None]
"""Takes the steps that are done, and how many there are."""


def replay(
    path: Path,
    labels: LabelArray,
    *,
    until: int | None = None,
    in_place: bool = False,
    progress: Progress | None = None,
) -> History:
    """Do all steps of a journal again.

    Where labels hold what a step has made of them already, as those on disk do, they stay as they
    are: from any state in between they become what they were at the end.

    Parameters
    ----------
    path : pathlib.Path
    labels : LabelArray
        Of the shape and dtype of the session's; empty, or the very labels that it changed.
    until : int, optional
        How many steps to do; undo and redo are steps, too. All by default.
    in_place : bool
        Whether labels on disk are those that the session has changed. If not, they get what these
        held when the session began.
    progress : callable, optional

    Returns
    -------
    History
        With the labels, and every step to be undone.

    Raises
    ------
    HQSAMError
        If it cannot be read, does not fit the labels, or these cannot be written.
    """
    header, dtype = read_header(path), np.dtype(labels.dtype).name
    if (tuple(labels.shape), dtype) != (header.shape, header.dtype):
        raise HQSAMError(
            f"{path}: is about labels {header.shape}, {header.dtype}, not "
            f"{tuple(labels.shape)}, {dtype}; choose those that it was made with"
        )
    total = count_steps(path)
    last = total if until is None else min(until, total)
    if header.start == "snapshot":
        _fill_from_snapshot(path, header, labels)
    elif header.start == "store" and not in_place:
        _fill_from_store(path, header, labels)
    next_id = highest(labels) + 1
    if header.start == "store" and last < total:
        # what the labels were is known only from what they became
        _rewind(path, labels, last)
    # on disk most steps are there already: each tile is read once, and written if it is different
    tiled = TiledLabels(labels)
    history = History(tiled, next_id)
    done = 0
    for record in _records(path, last):
        _turn(path, header, history, record)
        done += record["kind"] in TURNS
        if progress is not None:
            progress(done, last)
    tiled.flush()
    history.labels = labels
    return history


def _fill_from_snapshot(path: Path, header: Header, labels: LabelArray) -> None:
    before = read_snapshot(snapshot_path(path))
    if before.shape != header.shape or before.dtype != header.dtype:
        raise HQSAMError(f"{snapshot_path(path)}: is of other labels; restore the right file")
    fill(labels, MemoryLabels(before))


def _fill_from_store(path: Path, header: Header, labels: LabelArray) -> None:
    from napari_hqsam.labels.store import LabelStore

    if header.store is None or not header.store.exists():
        raise HQSAMError(
            f"{path}: began with labels in {header.store}, which are not there; bring them back"
        )
    source = StoreLabels(LabelStore.open(header.store))
    if source.shape != header.shape:
        raise HQSAMError(f"{header.store}: has another shape now; restore it from a backup")
    fill(labels, source)


def _rewind(path: Path, labels: LabelArray, steps: int) -> None:
    """Take labels that are as a journal has left them back to where they were after some steps."""
    header = read_header(path)
    tiled = TiledLabels(labels)
    history = History(tiled)
    turns = [_turn(path, header, history, record) for record in read_records(path)]
    kept = sum(1 for _ in _records(path, steps))
    for turn in reversed(turns[kept:]):
        if turn is not None:
            actions, back = turn
            write_edits(tiled, edits_of(actions), back=not back)
    tiled.flush()


def _records(path: Path, steps: int) -> Iterator[dict[str, Any]]:
    """The records up to that many steps, and what is said about the last of them."""
    done = 0
    for record in read_records(path):
        if record.get("kind") in TURNS:
            if done == steps:
                return
            done += 1
        yield record


def _turn(
    path: Path, header: Header, history: History, record: dict[str, Any]
) -> tuple[list[Action], bool] | None:
    """Follow one record; which actions were done, and whether they were taken back."""
    kind = record.get("kind")
    try:
        if kind == "do":
            action = Action.from_json(record, header.shape, header.dtype, history.objects)
            return [history.do(action)], False
        if kind == "undo":
            return history.undo(), True
        if kind == "redo":
            return history.redo(), False
        if kind == "revoke":
            return history.revoke()
        if kind == "saved":
            history.turns.mark_saved(datetime.fromisoformat(record["time"]))
            return None
        raise ValueError(f"{kind!r} is no step")
    except HQSAMError:
        raise
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        raise HQSAMError(
            f"{path}: a step in it makes no sense ({error}); the file was changed by another "
            "program, restore it from a backup"
        ) from error
