"""The data sets that a command is given: which there are, and their planes, file by file."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_hqsam.errors import HQSAMError

if TYPE_CHECKING:
    from napari_hqsam.evaluation.data import LabelledImage

SPLITS = ("all", "train", "validation")


@dataclass(frozen=True)
class Files:
    """Those files of a data set that are to be read.

    Attributes
    ----------
    planes : list of callable
        Each reads the planes of a file, when it is its turn.
    total : int
        How many files there are.
    """

    planes: list[Callable[[], Sequence[LabelledImage]]]
    total: int


def data_sets(paths: Sequence[Path]) -> dict[str, Path]:
    """The data sets at or directly below `paths`, each once, by the names of their folders.

    Where two have one name, that of the folder around them is put before it.

    Raises
    ------
    HQSAMError
        If there is no such folder, or none of them is a data set.
    """
    from napari_hqsam.training.data import find_data_sets

    for path in paths:
        if not path.is_dir():
            raise HQSAMError(f"{path}: no such folder; give one with images/ and masks/")
    every = list(dict.fromkeys(p.resolve() for path in paths for p in find_data_sets(path)))
    names = [p.name for p in every]
    return {p.name if names.count(p.name) == 1 else "/".join(p.parts[-2:]): p for p in every}


def read_files(
    path: Path,
    *,
    split: str = "all",
    masks: str = "masks",
    most_files: int | None = None,
    most_planes: int | None = None,
) -> Files:
    """Find what there is to read of a data set.

    Parameters
    ----------
    path : Path
        Of the data set.
    split : {"all", "train", "validation"}
        All files, or the part that training uses or holds out.
    masks : str
        Which labels.
    most_files, most_planes : int, optional
        At most so many files, and planes of a stack, evenly chosen.

    Raises
    ------
    HQSAMError
        If a file is missing; those of which a part is wanted are read at once.
    """
    from napari_hqsam.evaluation.data import labelled_files, spread

    if split == "all":
        files = labelled_files(path, masks)
        chosen = spread(files, most_files)
        return Files([partial(file.planes, most_planes) for file in chosen], len(files))

    from napari_hqsam.training.data import read_data_set

    divided = read_data_set(path, masks)
    planes = divided.validation if split == "validation" else divided.train
    stacks: list[list[Any]] = [list(stack) for _, stack in groupby(planes, _stack_of)]
    kept = spread(stacks, most_files)
    return Files([partial(spread, stack, most_planes) for stack in kept], len(stacks))


def _stack_of(plane: LabelledImage) -> str:
    return re.sub(r"_z\d{4}$", "", plane.name)
