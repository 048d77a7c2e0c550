"""Making a worklist, image by image: on a server it takes long, and can be stopped."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images.location import Url, locate
from napari_hqsam.session.worklist.files import find_images, naturally, read_list
from napari_hqsam.session.worklist.queue import Worklist

_OFTEN = 50  # files between two words about how far it is


def scan_folder(
    folder: Path,
    pattern: str = "*",
    *,
    labels_folder: Path | None = None,
    suffix: str = "_labels",
) -> Generator[int, None, Worklist]:
    """Make the worklist of the images in a folder whose names fit a pattern (`find_images`).

    Yields
    ------
    int
        How many were found until now. The list is the generator's value.

    Raises
    ------
    HQSAMError
        If the folder cannot be read, or has no such image; and as `Worklist`.
    """
    folder = folder.expanduser().absolute()
    found = []
    for path in find_images(folder, pattern, suffix):
        found.append(path)
        if len(found) % _OFTEN == 1:
            yield len(found)
    if not found:
        raise HQSAMError(f"{folder}: no image fits {pattern!r}; choose another folder or pattern")
    return Worklist(naturally(found), folder, labels_folder=labels_folder, suffix=suffix)


def scan_list(
    file: Path, *, labels_folder: Path | None = None, suffix: str = "_labels"
) -> Generator[int, None, Worklist]:
    """Make the worklist of the images that a text file names, in its order (`read_list`).

    Paths are relative to the file's folder. What is not there is no error: it is skipped.

    Yields
    ------
    int
        How many were looked for until now. The list is the generator's value.

    Raises
    ------
    HQSAMError
        If the file cannot be read, or names nothing; and as `Worklist`.
    """
    file = file.expanduser().absolute()
    wrong: dict[Path, str] = {}
    paths = []
    for line in read_list(file):
        place = locate(line)
        if isinstance(place, Url):
            path = Path(line)
            wrong[path] = f"{place}: a list takes files; copy the image to this machine"
        else:
            path = Path(os.path.normpath(file.parent / place))
            if not path.exists():
                wrong[path] = f"{path}: no such file; check {file.name}"
        paths.append(path)
        if len(paths) % _OFTEN == 1:
            yield len(paths)
    made = Worklist(paths, file.parent, labels_folder=labels_folder, suffix=suffix)
    for path, error in wrong.items():
        made.report(path, error)
    return made
