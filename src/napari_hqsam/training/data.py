"""Labelled pictures from folders, and which of them are kept for validation.

A data set is a folder with `images/` and `masks/`, files of the same stem: label images, 0 for
background and a number for each object (255 for one object in all is fine). Further folders
named `masks_*` hold other labels of the same pictures and are used only if asked for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from napari_hqsam.errors import HQSAMError
from napari_hqsam.evaluation.data import LabelledPlane, labelled_files

# Every fifth group of a set is for validation; sets of fewer than this many are cut in space.
_FOLD, _HELD_OUT, _FEWEST = 5, 2, 4
_HELD_OUT_BLOCK = 0.25


@dataclass(frozen=True)
class DataSet:
    """The planes of one folder, divided.

    Attributes
    ----------
    name : str
        Folder name.
    train, validation : list of LabelledPlane
    """

    name: str
    train: list[LabelledPlane]
    validation: list[LabelledPlane]


def find_data_sets(folder: Path) -> list[Path]:
    """The data-set folders at or directly below `folder`.

    Raises
    ------
    HQSAMError
        If there is none.
    """
    found = [p for p in (folder, *sorted(folder.glob("*"))) if (p / "images").is_dir()]
    if not found:
        raise HQSAMError(f"{folder}: no data set here; it needs the folders images/ and masks/")
    return found


def read_data_set(folder: Path, masks: str = "masks") -> DataSet:
    """Read a data set and divide it.

    The division is by file, never by slice: files are grouped by stem without a trailing L or R
    (left and right eye of one person), and every fifth group is held out, the third one first. A
    set of fewer than four files, or three groups, gives the rightmost quarter of each plane for
    validation instead.

    Parameters
    ----------
    folder : Path
        With `images/` and the folder named by `masks`.
    masks : str
        Which labels.

    Raises
    ------
    HQSAMError
        If there are no images, or a mask is missing or does not fit its image.
    """
    files = labelled_files(folder, masks)
    held_out = sorted({_group(f.image) for f in files})[_HELD_OUT::_FOLD]
    by_space = len(files) < _FEWEST or not held_out
    train: list[LabelledPlane] = []
    validation: list[LabelledPlane] = []
    for file in files:
        planes = file.planes()
        if by_space:
            for plane in planes:
                cut = round(plane.labels.shape[1] * (1 - _HELD_OUT_BLOCK))
                train.append(_columns(plane, slice(None, cut)))
                validation.append(_columns(plane, slice(cut, None)))
        elif _group(file.image) in held_out:
            validation += planes
        else:
            train += planes
    return DataSet(
        folder.name,
        [p for p in train if p.labels.any()],
        [p for p in validation if p.labels.any()],
    )


def _group(path: Path) -> str:
    return re.sub(r"(?<=\d)[LR]$", "", path.stem)


def _columns(plane: LabelledPlane, columns: slice) -> LabelledPlane:
    return replace(plane, image=plane.image[:, columns], labels=plane.labels[:, columns])
