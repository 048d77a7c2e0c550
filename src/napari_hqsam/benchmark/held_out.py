"""Labelled planes that training did not see, cut to a size that takes seconds."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain, product, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.evaluation.data import LabelledPlane, spread
from napari_hqsam.training.data import find_data_sets, read_data_set

SIDE = 1024
"""Of what is cut out of a large plane, at most."""

# It is so many diameters of the set's objects, and no smaller than this: windows in which an object
# spans a part of the side are then about as many in each set.
_DIAMETERS, _LEAST = 24, 256
# A set is one of instances if its planes show at least so many objects, in the median.
_SEVERAL = 2
# What is held out of a small stack may be a strip that shows no whole object.
_NARROWEST = 32


def held_out(
    folder: Path,
    most: int,
    *,
    side: int = SIDE,
    tell: Callable[[str], object] = lambda _: None,
) -> dict[str, list[LabelledPlane]]:
    """The planes of each data set that `train` holds out, evenly chosen from its files.

    Parameters
    ----------
    folder : pathlib.Path
        A data set, or a folder of them.
    most : int
        Planes of a set, at most; a slice of a stack is a plane.
    side : int
        Of larger planes the part with the most objects: 24 typical objects wide, but 256 pixels at
        least and `side` at most.
    tell : callable
        Takes a line on what is done now.

    Returns
    -------
    dict of str to list of LabelledPlane
        By the name of the set. One without objects in its held-out part is not there, nor one of
        which that is a strip of less than 32 pixels.

    Raises
    ------
    HQSAMError
        If the folder holds no data set, or a file cannot be read.
    """
    found = {}
    for path in find_data_sets(folder):
        tell(f"reading {path.name}")
        planes = [p for p in read_data_set(path).validation if min(p.labels.shape) >= _NARROWEST]
        if planes:
            chosen = choose(planes, most)
            wide = min(side, max(_LEAST, round(_DIAMETERS * median_diameter(chosen))))
            found[path.name] = [cut_out(plane, wide) for plane in chosen]
    return found


def median_diameter(planes: Sequence[LabelledPlane]) -> float:
    """The diameter of the circle that has the median area of the objects, in pixels."""
    areas = [np.unique(p.labels[p.labels != 0], return_counts=True)[1] for p in planes]
    return float(np.sqrt(4 * np.median(np.concatenate(areas)) / np.pi))


def of_instances(sets: dict[str, list[LabelledPlane]]) -> dict[str, list[LabelledPlane]]:
    """The sets whose planes show several objects each."""
    counts = {name: [_count(p.labels) for p in planes] for name, planes in sets.items()}
    return {name: sets[name] for name, n in counts.items() if n and np.median(n) >= _SEVERAL}


def choose(planes: Sequence[LabelledPlane], most: int) -> list[LabelledPlane]:
    """At most so many planes, in turn from each of the files, evenly within a stack."""
    stacks: dict[str, list[LabelledPlane]] = {}
    for plane in planes:
        stacks.setdefault(re.sub(r"(_[a-z]\d{4})+$", "", plane.name), []).append(plane)
    files = spread(list(stacks.values()), most)
    each = -(-most // len(files))
    turns = zip_longest(*(spread(stack, each) for stack in files))
    return [plane for plane in chain.from_iterable(turns) if plane is not None][:most]


def cut_out(plane: LabelledPlane, side: int) -> LabelledPlane:
    """The square of a plane, of `side` pixels at most, that shows the most objects."""
    shape = plane.labels.shape
    if max(shape) <= side:
        return plane
    corners = product(*(_starts(length, side) for length in shape))
    boxes = [(slice(y, y + side), slice(x, x + side)) for y, x in corners]

    def shown(box: tuple[slice, slice]) -> tuple[int, int]:
        labels = plane.labels[box]
        return _count(labels), int(np.count_nonzero(labels))

    best = max(boxes, key=shown)
    return replace(plane, image=plane.image[best], labels=plane.labels[best])


def _starts(length: int, side: int) -> list[int]:
    """Where squares of `side` begin that overlap by half."""
    last = max(0, length - side)
    return sorted({*range(0, last, max(1, side // 2)), last})


def _count(labels: NDArray[Any]) -> int:
    return int(np.count_nonzero(np.unique(labels)))
