"""Whatever is done, undone, killed and recovered: a session is what a simple model is."""

from __future__ import annotations

import shutil
import tempfile
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from numpy.typing import NDArray

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.label_array import LabelArray, MemoryLabels, StoreLabels
from napari_hqsam.labels.objects import PlaneMask
from napari_hqsam.labels.store import LabelStore
from napari_hqsam.session.prompt import PromptItem
from napari_hqsam.session.record import NewObject
from napari_hqsam.session.recovery import restore
from napari_hqsam.session.session import Session
from napari_hqsam.session.shape import trimmed

from .scene import SHAPE, array, box_prompt, full, on_disk, paint, plane, session

Z, H, W = SHAPE
Masks = dict[int, NDArray[np.bool_]]
Scored = dict[int, tuple[NDArray[np.bool_], float]]


@dataclass
class Object:
    masks: Masks  # by z, each of the whole plane
    prompts: tuple[PromptItem, ...] = ()
    name: str = ""
    status: str = "new"
    scores: dict[int, float] = field(default_factory=dict)  # by z, of propagated masks


@dataclass
class Model:
    """What a session holds, in arrays of whole planes."""

    labels: NDArray[Any]
    objects: dict[int, Object] = field(default_factory=dict)
    prompts: tuple[PromptItem, ...] = ()
    editing: int | None = None

    def draw(self, number: int, new: Object, overlap: str) -> bool:
        old = self.objects.get(number)
        masks = {} if old is None else dict(old.masks)
        scores = {} if old is None else dict(old.scores)
        drawn = []
        for z, mask in new.masks.items():
            before = self.labels[z]
            after = before.copy()
            if z in masks:
                after[(before == number) & masks[z]] = 0
            data = mask & (after == 0) if overlap == "background" else mask
            after[data if overlap == "overwrite" else data & (after == 0)] = number
            if data.any():
                drawn.append((z, data, after))
        for z, data, after in drawn:
            for other, found in list(self.objects.items()):
                if overlap == "overwrite" and other != number and z in found.masks:
                    self.lose(other, z, (after == number) & (self.labels[z] == other))
            self.labels[z], masks[z] = after, data
            scores.pop(z, None)
        if drawn:
            name = new.name or (old.name if old else "")
            self.objects[number] = Object(masks, new.prompts, name, scores=scores)
        return bool(drawn)

    def lose(self, number: int, z: int, lost: NDArray[np.bool_], by_hand: bool = True) -> None:
        found = self.objects[number]
        if lost.any():
            found.masks[z] = found.masks[z] & ~lost
            if by_hand or not found.masks[z].any():
                found.scores.pop(z, None)
        found.masks = {k: mask for k, mask in found.masks.items() if mask.any()}
        if not found.masks:
            del self.objects[number]

    def grow(self, found: dict[int, Scored], overlap: str, remove: dict[int, set[int]]) -> bool:
        """Whether anything has changed."""
        touched = False
        new = {}
        for number in [n for n in {**found, **remove} if n in self.objects]:
            o = self.objects[number]
            free = {z for z in range(Z) if z not in o.masks or z in o.scores}
            new[number] = {z: m for z, m in found.get(number, {}).items() if z in free}
            for z in (new[number].keys() | remove.get(number, set())) & o.scores.keys():
                gone = o.masks.pop(z)
                self.labels[z][gone & (self.labels[z] == number)] = 0
                del o.scores[z]
                touched = True
        for number, drawn in new.items():
            for z, (mask, score) in drawn.items():
                if number not in self.objects:
                    break
                before = self.labels[z].copy()
                data = mask & (before == 0) if overlap == "background" else mask
                self.labels[z][data if overlap == "overwrite" else data & (before == 0)] = number
                if not data.any():
                    continue
                touched = True
                taken = (self.labels[z] == number) & (before != number)
                for other in [n for n, o in self.objects.items() if n != number and z in o.masks]:
                    self.lose(other, z, taken & (before == other), by_hand=False)
                o = self.objects[number]
                o.masks[z], o.scores[z] = data, score
        for number in new:
            if number in self.objects and not self.objects[number].masks:
                del self.objects[number]
        return touched


def from_session(of: Session) -> dict[int, Any]:
    return {
        number: (
            {m.plane.index[0]: full(m).tolist() for m in record.masks},
            record.prompts,
            record.class_name,
            record.status,
            {m.plane.index[0]: m.score for m in record.masks if m.score is not None},
        )
        for number, record in of.objects.items()
    }


def from_model(of: Model) -> dict[int, Any]:
    return {
        number: (
            {z: m.tolist() for z, m in o.masks.items()},
            o.prompts,
            o.name,
            o.status,
            o.scores,
        )
        for number, o in of.objects.items()
    }


def grown(z: int, mask: NDArray[np.bool_], score: float) -> PlaneMask:
    found = trimmed(plane(z), (0, 0), mask)
    assert found is not None
    return replace(found, score=score)


boxes = st.tuples(
    st.integers(0, H - 2), st.integers(0, W - 2), st.integers(1, 7), st.integers(1, 7)
).map(lambda b: (b[0], b[1], min(b[0] + b[2], H), min(b[1] + b[3], W)))
planes = st.integers(0, Z - 1)
prompts = st.lists(st.builds(box_prompt, boxes, planes), max_size=2).map(tuple)


@st.composite
def masks(draw: st.DrawFn) -> Masks:
    out = {}
    for z in draw(st.sets(planes, min_size=1)):
        y0, x0, y1, x1 = draw(boxes)
        ragged = np.random.default_rng(draw(st.integers(0, 9))).random((H, W)) < 0.8
        out[z] = np.zeros((H, W), bool)
        out[z][y0:y1, x0:x1] = ragged[y0:y1, x0:x1]
        out[z][y0, x0] = True
    return out


new_objects = st.builds(
    Object, masks(), prompts | st.just((box_prompt((0, 0, 1, 1)),)), st.sampled_from(["", "cell"])
)


class InMemory(RuleBasedStateMachine):
    """A session on an array that is lost with the process."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.kills = 0

    def new_labels(self) -> LabelArray:
        return MemoryLabels(np.zeros(SHAPE, np.uint16))

    def same_labels(self) -> LabelArray:
        """What is left of the labels after the process is killed."""
        return MemoryLabels(np.zeros(SHAPE, np.uint16))

    @initialize(held=st.none() | boxes)
    def begin(self, held: tuple[int, ...] | None) -> None:
        labels = self.new_labels()
        if held is not None:
            paint(labels, held, 50)  # of an object that nobody has made known
        self.session = session(labels, self.folder / "0.journal")
        self.model = Model(array(labels))
        self.next_id = self.recorded_id = int(self.model.labels.max()) + 1
        self.done: list[tuple[Model, str]] = []  # before each step, and its group
        self.undone: list[tuple[Model, str]] = []

    def before(self, former: Model | None = None, group: str = "") -> None:
        """Remember the model as it is, or was, before a step."""
        self.done.append((deepcopy(self.model) if former is None else former, group))
        self.undone.clear()

    def after(self) -> None:
        if self.model.editing not in self.model.objects:
            self.model.editing = None
        self.recorded_id = self.next_id

    def new_id(self) -> int:
        number = self.next_id
        while number in self.model.objects:
            number += 1
        self.next_id = number + 1
        return number

    @rule(items=prompts | st.just((box_prompt((0, 0, 1, 1)),)))
    def set_prompts(self, items: tuple[PromptItem, ...]) -> None:
        self.session.set_prompts(items)
        if items != self.model.prompts:
            self.before()
            self.model.prompts = items
            if not items:
                self.model.editing = None
            self.after()

    @rule(
        objects=st.lists(new_objects, min_size=1, max_size=3),
        overlap=st.sampled_from(["keep", "overwrite", "background"]),
    )
    def commit(self, objects: list[Object], overlap: str) -> None:
        new = []
        for o in objects:
            parts = (trimmed(plane(z), (0, 0), mask) for z, mask in o.masks.items())
            given = tuple(part for part in parts if part is not None)
            new.append(NewObject(given, prompts=o.prompts, class_name=o.name))
        former, former_id, made = deepcopy(self.model), self.next_id, []
        for o in objects:
            replaced = self.model.editing if not made else None
            number = self.new_id() if replaced is None else replaced
            if self.model.draw(number, o, overlap):
                made.append(number)
            elif replaced is None:
                self.next_id = number
        if not made:
            self.model, self.next_id = former, former_id
            with pytest.raises(HQSAMError, match="nothing to commit"):
                self.session.commit(new, overlap)  # type: ignore[arg-type]
            return
        assert self.session.commit(new, overlap) == made  # type: ignore[arg-type]
        self.before(former)
        used = [item for o in objects for item in o.prompts]
        self.model.prompts = tuple(item for item in self.model.prompts if item not in used)
        self.model.editing = None
        self.after()

    @rule(box=boxes, z=planes, value=st.sampled_from([0, 1, 2, 3, 7, 60]))
    def painted(self, box: tuple[int, ...], z: int, value: int) -> None:
        edits = paint(self.session.labels, box, value, z)
        self.session.painted(edits)
        if not edits:
            return
        self.before()
        y0, x0, y1, x1 = box
        here = np.zeros((H, W), bool)
        here[y0:y1, x0:x1] = True
        before = self.model.labels[z].copy()
        self.model.labels[z][here] = value
        here &= before != value
        for number in list(self.model.objects):
            if (here & (before == number)).any():
                self.model.lose(number, z, here & (before == number))
        if value:
            if value not in self.model.objects and value >= self.next_id:
                self.next_id = value + 1
            found = self.model.objects.setdefault(value, Object({}))
            found.masks[z] = found.masks.get(z, np.zeros((H, W), bool)) | here
            found.scores.pop(z, None)
        self.after()

    @rule(
        data=st.data(),
        group=st.sampled_from("ab"),
        overlap=st.sampled_from(["keep", "overwrite", "background"]),
        repeats=st.integers(1, 3),
    )
    def grow(self, data: st.DataObject, group: str, overlap: str, repeats: int) -> None:
        """Some slices of a propagation, also of an object that is not there."""
        numbers = st.sampled_from([*self.model.objects, 77])
        for _ in range(repeats):
            given = data.draw(st.dictionaries(numbers, masks(), max_size=3))
            remove = data.draw(st.dictionaries(numbers, st.sets(planes), max_size=2))
            score = data.draw(st.sampled_from([0.25, 0.75]))
            found = {n: {z: (m, score) for z, m in of.items()} for n, of in given.items()}
            self.session.grow(
                {n: [grown(z, m, score) for z, m in of.items()] for n, of in given.items()},
                group,
                overlap,  # type: ignore[arg-type]
                remove={n: [plane(z) for z in sorted(of)] for n, of in remove.items()},
            )
            former = deepcopy(self.model)
            if self.model.grow(found, overlap, remove):
                self.before(former, group)
                self.after()

    def some(self, data: st.DataObject, least: int = 1) -> list[int]:
        choice = st.lists(
            st.sampled_from(list(self.model.objects)), min_size=least, max_size=3, unique=True
        )
        return data.draw(choice)

    @precondition(lambda self: self.model.objects)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        numbers = self.some(data)
        self.session.delete(numbers)
        self.before()
        for number in numbers:
            for z, mask in self.model.objects.pop(number).masks.items():
                self.model.labels[z][mask & (self.model.labels[z] == number)] = 0
        self.after()

    @precondition(lambda self: len(self.model.objects) > 1)
    @rule(data=st.data())
    def merge(self, data: st.DataObject) -> None:
        first, *others = self.some(data, 2)
        assert self.session.merge([first, *others]) == first
        self.before()
        kept = self.model.objects[first]
        united, scores = dict(kept.masks), dict(kept.scores)
        for number in others:
            other = self.model.objects.pop(number)
            for z, mask in other.masks.items():
                self.model.labels[z][mask & (self.model.labels[z] == number)] = first
                if z in united:
                    scores.pop(z, None)
                elif z in other.scores:
                    scores[z] = other.scores[z]
                united[z] = united.get(z, np.zeros((H, W), bool)) | mask
        self.model.objects[first] = Object(united, (), kept.name, scores=scores)
        self.after()

    @precondition(lambda self: self.model.objects)
    @rule(data=st.data(), at=st.integers(0, W - 1), across=st.booleans())
    def split(self, data: st.DataObject, at: int, across: bool) -> None:
        """Which part is where is the session's business: nothing is lost, nothing is doubled."""
        (number,) = self.some(data)[:1]
        z = data.draw(st.sampled_from(list(self.model.objects[number].masks)))
        line = [(at, -2), (at, W + 2)] if across else [(-2, at), (H + 2, at)]
        try:
            parts = self.session.split(number, plane(z), line)
        except HQSAMError:
            return
        self.before()
        whole = self.model.objects[number]
        assert parts == [number, *(self.new_id() for _ in parts[1:])]
        of = {n: {m.plane.index[0]: full(m) for m in self.session.objects[n].masks} for n in parts}
        assert (sum(of[n][z].astype(int) for n in parts) == whole.masks[z]).all()
        visible = self.model.labels[z] == number
        for part in parts:
            self.model.labels[z][visible & of[part][z]] = part
            self.model.objects[part] = Object({z: of[part][z]}, (), whole.name)
        self.model.objects[number].masks = whole.masks | {z: of[number][z]}
        kept = {other: score for other, score in whole.scores.items() if other != z}
        self.model.objects[number].scores = kept
        self.after()

    @precondition(lambda self: self.model.objects)
    @rule(data=st.data())
    def smooth(self, data: st.DataObject) -> None:
        """What is smooth is the session's business: other objects keep all that they have."""
        (number,) = self.some(data)[:1]
        before = self.session.objects[number]
        try:
            self.session.smooth(number, radius=1)
        except HQSAMError:
            return
        if self.session.objects[number] is before:
            return
        self.before()
        found = self.model.objects[number]
        for record in self.session.objects[number].masks:
            z, new = record.plane.index[0], full(record)
            labels, old = self.model.labels[z], found.masks[z]
            assert not (new & ~old & (labels != 0) & (labels != number)).any()
            labels[old & ~new & (labels == number)] = 0
            if not np.array_equal(old, new):
                labels[new & (labels == 0)] = number
                found.scores.pop(z, None)
            found.masks[z] = new
        self.after()

    @precondition(lambda self: self.model.objects)
    @rule(data=st.data(), status=st.sampled_from(["new", "accepted", "to fix"]), name=st.text())
    def describe(self, data: st.DataObject, status: str, name: str) -> None:
        numbers = self.some(data)
        of = [self.model.objects[number] for number in numbers]
        self.session.set_status(numbers, status)
        if any(o.status != status for o in of):
            self.before()
            for o in of:
                o.status = status
            self.after()
        self.session.set_class(numbers, name)
        if any(o.name != name for o in of):
            self.before()
            for o in of:
                o.name = name
            self.after()

    @precondition(lambda self: self.model.objects)
    @rule(data=st.data())
    def reopen(self, data: st.DataObject) -> None:
        (number,) = self.some(data)[:1]
        self.session.reopen(number)
        found = self.model.objects[number]
        items = found.prompts
        if not items and len(found.masks) == 1:
            items = (PromptItem("label", plane(next(iter(found.masks))), label=number),)
        if (items, number) != (self.model.prompts, self.model.editing):
            self.before()
            self.model.prompts, self.model.editing = items, number
            self.after()

    @rule(number=st.integers(1, 80))
    def choose_number(self, number: int) -> None:
        if number not in self.model.objects:
            self.session.set_next_id(number)
            self.next_id = number

    @rule()
    def undo(self) -> None:
        if not self.done:
            with pytest.raises(HQSAMError, match="nothing to undo"):
                self.session.undo()
            return
        self.session.undo()
        group = self.done[-1][1]
        while True:  # all of a group
            before, _ = self.done.pop()
            self.undone.append((self.model, group))
            self.model = before
            if not (group and self.done and self.done[-1][1] == group):
                break

    @rule()
    def redo(self) -> None:
        if not self.undone:
            with pytest.raises(HQSAMError, match="nothing to redo"):
                self.session.redo()
            return
        self.session.redo()
        group = self.undone[-1][1]
        while True:
            after, _ = self.undone.pop()
            self.done.append((self.model, group))
            self.model = after
            if not (group and self.undone and self.undone[-1][1] == group):
                break

    @rule()
    def save(self) -> None:
        self.session.mark_saved("labels.tif")
        assert not self.session.dirty

    @rule()
    def kill(self) -> None:
        """The journal as it is now is all that is left, and the labels on disk."""
        assert self.session.journal is not None
        old = self.session.journal.path
        self.kills += 1
        left = self.folder / f"{self.kills}.journal"
        for suffix in ("", ".start.npz"):
            if Path(f"{old}{suffix}").exists():
                shutil.copy(f"{old}{suffix}", f"{left}{suffix}")
        saved = self.session.saved
        self.session.close()
        self.session = restore(left, self.same_labels())
        assert self.session.saved == saved
        self.next_id = self.recorded_id

    @invariant()
    def is_what_the_model_is(self) -> None:
        np.testing.assert_array_equal(array(self.session.labels), self.model.labels)
        assert from_session(self.session) == from_model(self.model)
        assert self.session.prompts == self.model.prompts
        assert self.session.editing == self.model.editing
        assert bool(self.session.can_undo) == bool(self.done)
        assert bool(self.session.can_redo) == bool(self.undone)
        number = self.next_id
        while number in self.model.objects:
            number += 1
        assert self.session.next_id == number

    def teardown(self) -> None:
        if hasattr(self, "session"):
            self.session.close()
        shutil.rmtree(self.folder)


class OnDisk(InMemory):
    """A session on a label store, which keeps what was written."""

    def new_labels(self) -> LabelArray:
        return on_disk(self.folder)

    def same_labels(self) -> LabelArray:
        return StoreLabels(LabelStore.open(self.folder / "labels.zarr"))


QUICK = settings(
    deadline=None,
    max_examples=40,
    stateful_step_count=25,
    suppress_health_check=[HealthCheck.too_slow],
)
TestInMemory = InMemory.TestCase
TestInMemory.settings = QUICK
TestOnDisk = OnDisk.TestCase
TestOnDisk.settings = settings(QUICK, max_examples=4, stateful_step_count=15)
