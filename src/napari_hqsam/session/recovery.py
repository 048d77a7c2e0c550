"""Sessions that ended before their work was saved: killed, crashed, or closed in a hurry."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.label_array import LabelArray
from napari_hqsam.session.fingerprint import Fingerprint
from napari_hqsam.session.header import Header
from napari_hqsam.session.journal import (
    SUFFIX,
    Journal,
    in_use,
    journals_folder,
    read_header,
    read_records,
    remove,
)
from napari_hqsam.session.replay import Progress, replay
from napari_hqsam.session.session import Session
from napari_hqsam.session.turns import Turns


@dataclass(frozen=True)
class Unfinished:
    """A journal with steps that were not saved.

    Attributes
    ----------
    path : pathlib.Path
    when : datetime
        Of its last step, in local time.
    objects : int
        How many it would bring back; those that the labels held before are not counted.
    prompts : int
        How many prompts were pending.
    saved : datetime or None
        When it was saved last.
    header : Header
        Which image and labels it is about.
    """

    path: Path
    when: datetime
    objects: int
    prompts: int
    saved: datetime | None
    header: Header


def unfinished(fingerprint: Fingerprint, folder: Path | None = None) -> list[Unfinished]:
    """The journals about an image that no process writes and that have steps since the last save.

    Parameters
    ----------
    fingerprint : Fingerprint
    folder : pathlib.Path, optional
        Where to look. By default where journals of that image are kept.

    Returns
    -------
    list of Unfinished
        The newest first. What cannot be read is left out, and left alone.
    """
    place = folder or journals_folder() / fingerprint.key
    found = []
    for path in sorted(place.glob(f"*{SUFFIX}")):
        try:
            header = read_header(path)
            if header.image.matches(fingerprint) and not in_use(path):
                about = _look(path, header)
                found += [about] if about else []
        except (HQSAMError, OSError, KeyError, TypeError, ValueError, IndexError):
            continue
    return sorted(found, key=lambda about: about.when, reverse=True)


def restore(path: Path, labels: LabelArray, progress: Progress | None = None) -> Session:
    """Do all steps of a journal again, and go on in it.

    Parameters
    ----------
    path : pathlib.Path
    labels : LabelArray
        Of the shape and dtype in its header: empty ones in memory, or those in the folder
        `Header.store`, which hold some of the steps already. Objects that were there before are
        to be made known by `Session.adopt`, as when the session began.
    progress : callable, optional
        Takes the steps that are done, and how many there are.

    Raises
    ------
    HQSAMError
        If another process writes the journal, it cannot be read, or does not fit the labels.
    """
    journal = Journal.open(path)
    try:
        history = replay(path, labels, in_place=True, progress=progress)
    except BaseException:
        journal.close()
        raise
    return Session(labels, journal, history=history)


def discard(path: Path) -> None:
    """Delete a journal, and what lies beside it.

    Raises
    ------
    HQSAMError
        If a living process writes it.
    """
    if path.exists() and in_use(path):
        raise HQSAMError(f"{path}: is in use by another window; close that first")
    remove(path)


def _look(path: Path, header: Header) -> Unfinished | None:
    """What would come back, without decoding a mask; None if all is saved."""
    turns: Turns[dict[str, Any]] = Turns(lambda outline: str(outline["group"]))
    for record in read_records(path):
        kind = record["kind"]
        if kind == "do":
            turns.do(_outline(record))
        elif kind == "saved":
            turns.mark_saved(datetime.fromisoformat(record["time"]))
        elif kind in ("undo", "redo", "revoke"):
            getattr(turns, kind)()
    if not turns.dirty:
        return None
    objects: set[int] = set()
    for outline in turns.done:
        objects -= outline["gone"]
        objects |= outline["there"]
    prompts = turns.done[-1]["prompts"] if turns.done else 0
    when = datetime.fromtimestamp(path.stat().st_mtime)
    return Unfinished(path, when, len(objects), prompts, turns.saved, header)


def _outline(record: dict[str, Any]) -> dict[str, Any]:
    """Which objects and how many prompts there are after a step."""
    changes = record["objects"]
    return {
        "there": {number for number, _, after in changes if after is not None},
        "gone": {number for number, _, after in changes if after is None},
        "prompts": len(record["prompts"][1]),
        "group": record.get("group", ""),
    }
