"""A process that commits objects, and propagates some, until it is killed."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_hqsam.labels.label_array import LabelArray, MemoryLabels, StoreLabels
from napari_hqsam.labels.objects import PlaneMask
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.labels.store import LabelStore
from napari_hqsam.session.fingerprint import Fingerprint
from napari_hqsam.session.header import Header
from napari_hqsam.session.journal import Journal
from napari_hqsam.session.prompt import PromptItem
from napari_hqsam.session.record import NewObject
from napari_hqsam.session.session import Session

SHAPE = (3, 64, 80)
IMAGE = Fingerprint(SHAPE, "uint8", {0: "abc"})
PLANES = [ArrayPlane((1, 2), (z,)) for z in range(3)]
PLANE = PLANES[0]


def labels_in(folder: Path, kind: str) -> LabelArray:
    """Empty labels, in memory or on disk; those that are there, if there are."""
    if kind == "memory":
        return MemoryLabels(np.zeros(SHAPE, np.uint16))
    folder.mkdir(exist_ok=True)
    path = folder / "labels.zarr"
    if path.exists():
        return StoreLabels(LabelStore.open(path))
    return StoreLabels(LabelStore.create(path, SHAPE, axes="zyx", dtype="uint16", chunk=32))


def begin(folder: Path, kind: str) -> Session:
    labels = labels_in(folder, kind)
    about = Header.of(labels, IMAGE, "cells.tif", "zyx")
    return Session(labels, Journal.create(folder, about, labels))


def made(number: int) -> NewObject:
    """An object with a ragged mask, somewhere."""
    rng = np.random.default_rng(number)
    y, x = (int(rng.integers(0, n - 20)) for n in SHAPE[1:])
    data = rng.random((20, 20)) < 0.8
    prompt = PromptItem("box", PLANE, ((y, x), (y + 19, x + 19)))
    masks = (PlaneMask.of(PLANE, (y, x, y + 20, x + 20), data),)
    return NewObject(masks, prompts=(prompt,))


def step(session: Session, number: int) -> None:
    """Commit the `number`-th object; now and then propagate it, undo that and redo it."""
    new = made(number)
    session.set_prompts(new.prompts)
    (label,) = session.commit([new], overlap=("keep", "overwrite")[number % 2])
    if number % 2:
        for plane in PLANES[1:]:
            mask = replace(new.masks[0], plane=plane, score=0.75)
            session.grow({label: [mask]}, f"propagation {number}")
    if number % 4 == 3:
        session.undo()
        session.redo()


def main(folder: Path, kind: str) -> None:
    session = begin(folder, kind)
    for number in range(10_000):
        step(session, number)
        print(number + 1, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])

PROGRAM = f"import runpy, sys; runpy.run_path({__file__!r}, run_name='__main__')"
