"""Work that was not saved comes back: after a kill, a power cut, or a hasty goodbye."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.objects import LabelObject
from napari_hqsam.session.fingerprint import Fingerprint
from napari_hqsam.session.journal import Journal, count_steps, in_use, read_records
from napari_hqsam.session.recovery import discard, restore, unfinished
from napari_hqsam.session.replay import replay
from napari_hqsam.session.session import Session

from . import committing
from .scene import (
    IMAGE,
    SHAPE,
    array,
    box_prompt,
    contents,
    header,
    mask,
    memory,
    new,
    on_disk,
    paint,
    session,
)


def killed_after(folder: Path, kind: str, printed: int, pause: float) -> int:
    """Kill a process a moment after it has said that so many objects are committed; how many."""
    source = str(Path(sys.modules["napari_hqsam"].__file__ or "").parents[1])
    paths = [source, *filter(None, [os.environ.get("PYTHONPATH")])]
    child = subprocess.Popen(
        [sys.executable, "-c", committing.PROGRAM, str(folder), kind],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )
    assert child.stdout is not None
    count = 0
    while count < printed:
        count = int(child.stdout.readline())
    time.sleep(pause)
    child.kill()
    rest, _ = child.communicate()
    return max([count, *map(int, rest.split())])


def everything(of: Session) -> tuple[object, ...]:
    """What is to be recovered, labels to the byte."""
    whole = (0, 0, *committing.SHAPE[1:])
    labels = [of.labels.read(plane, whole).tobytes() for plane in committing.PLANES]
    objects = {number: record.to_json() for number, record in of.objects.items()}
    return labels, objects, of.prompts, of.can_undo, of.can_redo


@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_whatever_was_committed_before_a_kill_is_recovered(tmp_path: Path, kind: str) -> None:
    clean = committing.begin(tmp_path / "clean", kind)
    states, turns = [everything(clean)], [0]  # after each turn; how many turns the objects took
    clean.stepped.connect(lambda: states.append(everything(clean)))
    rng = random.Random(kind)
    for kill in range(3):
        folder = tmp_path / str(kill)
        committed = killed_after(folder, kind, rng.randint(1, 6), rng.random() * 0.02)
        (found,) = unfinished(committing.IMAGE, folder)  # the lock of the dead stops nobody
        done = count_steps(found.path)
        while len(turns) <= committed or len(states) <= done:
            committing.step(clean, len(turns) - 1)
            turns.append(len(states) - 1)
        assert done >= turns[committed]
        recovered = restore(found.path, committing.labels_in(folder, kind))
        assert everything(recovered) == states[done]
        assert found.objects == len(recovered.objects)
        recovered.commit([committing.made(99)])
        while recovered.can_undo:
            recovered.undo()
        assert everything(recovered)[:-1] == states[0][:-1]
        recovered.close()
    clean.close()


def test_a_last_step_that_is_torn_anywhere_is_as_if_it_had_not_been(tmp_path: Path) -> None:
    s = session(memory(), tmp_path / "a.journal")
    s.commit([new((0, 0, 3, 3))])
    before, length = contents(s), s.journal.path.stat().st_size
    s.commit([new((2, 2, 5, 5))])
    s.close()
    whole = s.journal.path.read_bytes()
    for end in range(length, len(whole)):
        s.journal.path.write_bytes(whole[:end])
        r = restore(s.journal.path, memory())
        assert contents(r) == before
        r.close()
    r = restore(s.journal.path, memory())
    assert r.commit([new((2, 2, 5, 5))]) == [2]
    assert contents(r) == contents(s)
    r.close()


def busy(s: Session) -> None:
    """All kinds of steps."""
    s.set_prompts([box_prompt((1, 1, 3, 3))])
    first, second = s.commit(
        [new((1, 1, 6, 6), prompts=s.prompts), new((4, 4, 9, 9), score=0.5)], "overwrite"
    )
    s.painted(paint(s.labels, (2, 2, 5, 12), 77))
    s.undo()
    s.redo()
    s.commit([new((0, 0, 3, 3), class_name="é")], overlap="overwrite")
    s.reopen(first)
    s.undo()
    s.delete([second])
    s.undo()
    s.undo()
    s.set_class([first, 77], "cell")
    s.split(77, s.objects[77].masks[0].plane, [(0, 8), (11, 8)])
    s.merge([first, 77])
    s.undo()
    s.set_prompts([box_prompt((5, 5, 6, 6), z=1)])


def test_all_that_was_done_comes_back_and_can_still_be_undone_and_done_again(
    tmp_path: Path,
) -> None:
    s = session(memory(), tmp_path / "a.journal")
    busy(s)
    s.undo()
    said = []
    s.close()
    r = restore(s.journal.path, memory())
    assert contents(r) == contents(s)
    assert (r.can_undo, r.can_redo, r.next_id) == (s.can_undo, s.can_redo, s.next_id)
    r.redo()
    while r.can_undo:
        said.append(r.undo())
    assert said[0] == "prompts"
    assert not array(r.labels).any()
    assert not r.objects
    r.close()


def test_labels_on_disk_that_hold_some_of_the_steps_get_the_others(tmp_path: Path) -> None:
    """From whatever step the store was left at, the end is the same."""
    labels = on_disk(tmp_path)
    s = session(labels, tmp_path / "a.journal")
    states = [array(labels)]
    s.stepped.connect(lambda: states.append(array(labels)))
    busy(s)
    s.close()
    everything = np.ones(SHAPE[1:], bool)
    for state in states:
        for z, pixels in enumerate(state):
            at = type(s.objects[1].masks[0].plane)((1, 2), (z,))
            labels.write(at, 0, 0, pixels, everything)
        r = restore(s.journal.path, labels)
        assert contents(r) == contents(s)
        r.close()


def test_labels_that_were_there_before_are_kept_and_come_back(tmp_path: Path) -> None:
    labels = memory("uint8")
    labels.array[0, :6, :6] = 9
    s = session(labels, tmp_path / "a.journal")
    s.adopt([LabelObject(9, (mask((0, 0, 6, 6)),))])
    s.commit([new((3, 3, 8, 8))], overlap="overwrite")
    s.delete([9])
    s.close()
    r = restore(s.journal.path, memory("uint8"))
    assert contents(r) == contents(s)
    r.undo()
    r.undo()
    assert (array(r.labels) == 9).sum() == 36
    assert r.objects[9].area == 36
    r.close()


def test_a_snapshot_that_is_gone_or_damaged_is_told(tmp_path: Path) -> None:
    labels = memory()
    labels.array[0, :6, :6] = 9
    s = session(labels, tmp_path / "a.journal")
    s.commit([new((7, 7, 8, 8))])
    s.close()
    (kept,) = tmp_path.glob("*.npz")
    whole = bytearray(kept.read_bytes())
    for damaged in (b"", bytes(whole[:-30]), b"PK", bytes(whole[:80] + b"\xff" + whole[81:])):
        kept.write_bytes(damaged)
        with pytest.raises(HQSAMError, match=r"start\.npz: what the labels held .* damaged"):
            restore(s.journal.path, memory())
        assert not in_use(s.journal.path)
    kept.unlink()
    with pytest.raises(HQSAMError, match="is missing"):
        restore(s.journal.path, memory())


def test_sessions_are_unfinished_from_a_step_until_they_are_saved(tmp_path: Path) -> None:
    def found() -> list[tuple[int, int, bool]]:
        return [(u.objects, u.prompts, u.saved is not None) for u in unfinished(IMAGE, tmp_path)]

    path = tmp_path / "a.journal"
    s = session(memory(), path)
    s.commit([new((1, 1, 6, 6)), new((7, 7, 9, 9))])
    assert found() == []  # somebody is at work on it
    s.set_prompts([box_prompt((1, 1, 2, 2))])
    s.close()
    assert found() == [(2, 1, False)]
    s = restore(path, memory())
    s.delete([1])
    s.mark_saved(tmp_path / "labels.tif")
    s.close()
    assert found() == []
    s = restore(path, memory())
    assert s.saved is not None
    assert not s.dirty
    s.undo()
    s.close()
    assert found() == [(2, 1, True)]
    (one,) = unfinished(IMAGE, tmp_path)
    assert one.header.name == "cells.tif"
    assert abs(one.when.timestamp() - time.time()) < 60
    s = restore(path, memory())
    s.redo()
    s.close()
    assert found() == []


def test_a_step_that_was_refused_does_not_count(tmp_path: Path) -> None:
    from .scene import Refusing

    path = tmp_path / "a.journal"
    labels = Refusing(memory())
    s = session(labels, path)
    with pytest.raises(HQSAMError):
        s.commit([new((1, 1, 6, 6))])
    s.close()
    assert unfinished(IMAGE, tmp_path) == []
    r = restore(path, memory())
    assert (r.next_id, r.can_undo, r.can_redo) == (1, None, None)
    r.close()


def test_only_journals_of_the_image_are_found_the_newest_first(tmp_path: Path) -> None:
    for i in range(3):
        s = session(memory(), tmp_path / f"{i}.journal")
        s.commit([new((1, 1, 6, 6))])
        s.close()
        os.utime(s.journal.path, (1e9 + i % 2, 1e9 + i % 2))
    (tmp_path / "3.journal").write_bytes(b"nothing of ours")
    found = unfinished(IMAGE, tmp_path)
    assert [one.path.name for one in found] == ["1.journal", "0.journal", "2.journal"]
    assert unfinished(Fingerprint(SHAPE, "uint16", {0: "other"}), tmp_path) == []
    assert unfinished(IMAGE, tmp_path / "nowhere") == []
    for one in found:
        discard(one.path)
    assert [p.name for p in tmp_path.iterdir() if ".journal" in p.name] == ["3.journal"]


def test_a_journal_in_use_is_neither_restored_nor_discarded(tmp_path: Path) -> None:
    s = session(memory(), tmp_path / "a.journal")
    s.commit([new((1, 1, 6, 6))])
    for way in (discard, lambda path: restore(path, memory())):
        with pytest.raises(HQSAMError, match=r"in use|works in"):
            way(s.journal.path)
    s.close()


def test_labels_of_another_shape_or_dtype_are_refused(tmp_path: Path) -> None:
    s = session(memory(), tmp_path / "a.journal")
    s.commit([new((1, 1, 6, 6))])
    s.close()
    with pytest.raises(HQSAMError, match=r"is about labels \(2, 12, 15\), uint16, not .* uint8"):
        restore(s.journal.path, memory("uint8"))
    assert not in_use(s.journal.path)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "jump"},
        {"edits": [{"axes": [1, 2], "index": [0], "bbox": [0, 0, 99, 99], "counts": [9801]}]},
        {"objects": [[1, None, {"masks": []}]]},
        {"objects": 3},
        {"prompts": None},
    ],
)
def test_a_step_that_makes_no_sense_is_told(tmp_path: Path, change: dict[str, object]) -> None:
    s = session(memory(), tmp_path / "a.journal")
    s.commit([new((1, 1, 6, 6))])
    s.close()
    journal = Journal.open(s.journal.path)
    (first,) = read_records(journal.path)
    journal.append(first | change)
    journal.close()
    with pytest.raises(HQSAMError, match=r"a\.journal: a step in it makes no sense"):
        replay(s.journal.path, memory())


@pytest.mark.parametrize("kind", ["memory", "disk", "disk with labels"])
def test_a_journal_is_replayed_up_to_any_step(tmp_path: Path, kind: str) -> None:
    labels = memory() if kind == "memory" else on_disk(tmp_path)
    if kind == "disk with labels":
        paint(labels, (0, 0, 4, 15), 3)
    s = session(labels, tmp_path / "a.journal")
    states = [contents(s)]
    s.stepped.connect(lambda: states.append(contents(s)))
    busy(s)
    s.close()
    told: list[tuple[int, int]] = []
    for step, state in enumerate(states):
        fresh = memory()
        replayed = replay(
            s.journal.path, fresh, until=step, progress=lambda *done: told.append(done)
        )
        assert contents(replayed) == state
        assert contents(s) == states[-1]
    assert told[-1] == (len(states) - 1, len(states) - 1)
    assert contents(replay(s.journal.path, memory(), until=999)) == states[-1]


def test_the_header_names_the_labels(tmp_path: Path) -> None:
    labels = on_disk(tmp_path)
    paint(labels, (0, 0, 4, 15), 3)
    about = header(labels)
    assert (about.start, about.store) == ("store", labels.store.path)
