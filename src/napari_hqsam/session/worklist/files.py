"""The images of a worklist: those of a folder, or those that a text file names."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path

from napari_hqsam.errors import HQSAMError

SUFFIXES = (".tif", ".tiff", ".btf", ".tf8", ".png", ".jpg", ".jpeg", ".zarr")
_HEADINGS = ("path", "paths", "image", "images", "file", "files", "filename", "name")
_LABELS = (".tif", ".tiff", ".zarr")


def find_images(folder: Path, pattern: str = "*", labels_suffix: str = "_labels") -> Iterator[Path]:
    """The images in a folder, one by one, in no order.

    Parameters
    ----------
    folder : pathlib.Path
    pattern : str
        Of file names, such as ``"*.tif"``; several are separated by ``;``. One that begins with
        ``**/`` looks into all folders below, too. Only files that can be read are found.
    labels_suffix : str
        Files of labels, whose names end so, are no images.

    Raises
    ------
    HQSAMError
        If the folder cannot be read.
    """
    patterns = [part.strip() for part in pattern.split(";") if part.strip()] or ["*"]
    deep = any(part.startswith("**/") for part in patterns)
    names = [part.removeprefix("**/") for part in patterns]
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        shallow = names if here == folder else [p[3:] for p in patterns if p.startswith("**/")]
        try:
            with os.scandir(here) as entries:
                found = list(entries)
        except OSError as error:
            if here != folder:
                continue  # one folder of many that may not be read
            reason = error.strerror or str(error)
            raise HQSAMError(f"{folder}: cannot be read ({reason}); choose a folder") from error
        for entry in found:
            path = Path(entry.path)
            suffix = path.suffix.lower()
            if entry.name.startswith("."):
                continue
            if entry.is_dir() and suffix != ".zarr":
                if deep:
                    waiting.append(path)
                continue
            is_labels = labels_suffix and suffix in _LABELS and stem(path).endswith(labels_suffix)
            wanted = any(fnmatch(entry.name, each) for each in shallow)
            if suffix in SUFFIXES and wanted and not is_labels:
                yield path


def read_list(file: Path) -> list[str]:
    """The paths that a text file names, one a line, as they are written there.

    Of a ``.csv`` file the first column is taken, or the one that is called path, image or file.
    Empty lines, and lines that begin with ``#``, do not count.

    Raises
    ------
    HQSAMError
        If it cannot be read, or names nothing.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        reason = error.strerror or str(error)
        raise HQSAMError(f"{file}: cannot be read ({reason}); choose a list of paths") from error
    except ValueError as error:
        raise HQSAMError(f"{file}: no text in UTF-8; save the list as plain text") from error
    lines = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if file.suffix.lower() == ".csv":
        try:
            lines = _first_column(lines)
        except csv.Error as error:
            raise HQSAMError(f"{file}: no table ({error}); save it as CSV again") from error
    paths = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not paths:
        raise HQSAMError(f"{file}: names no image; write one path a line")
    return paths


def naturally(paths: Iterable[Path]) -> list[Path]:
    """Sorted as people do: ``cell2`` before ``cell10``."""

    def key(path: Path) -> tuple[list[tuple[int, str]], str]:
        parts = re.split(r"(\d+)", path.as_posix().casefold())
        numbers = [(int(part), "") if part.isdecimal() else (0, part) for part in parts]
        return numbers, path.as_posix()

    return sorted(paths, key=key)


def stem(path: Path) -> str:
    """The name without what says that it is an image: ``a`` of ``a.ome.tif``."""
    name = path.name
    for suffix in (".ome.tiff", ".ome.tif", ".ome.zarr"):
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return path.stem


def _first_column(lines: list[str]) -> list[str]:
    rows = [row for row in csv.reader(lines) if row]
    heads = [cell.strip().lower() for cell in rows[0]] if rows else []
    column = next((i for i, head in enumerate(heads) if head in _HEADINGS), None)
    if column is not None:
        del rows[0]
    return [row[column or 0] for row in rows if len(row) > (column or 0)]
