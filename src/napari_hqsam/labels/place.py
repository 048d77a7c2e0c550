"""Where label images go: under another name until they are complete, then in one step."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from napari_hqsam.errors import HQSAMError


def partial(target: Path) -> Path:
    """The name beside `target` under which it is made."""
    return target.with_name(f".{target.stem[:60]}.{os.getpid()}.partial{target.suffix}")


def check_target(target: Path) -> None:
    """Refuse places where a rename would fail or would destroy something else than labels.

    Raises
    ------
    HQSAMError
        If the folder is missing, or something that is no label image has that name.
    """
    if not target.parent.is_dir():
        raise HQSAMError(f"{target}: there is no folder {target.parent}; make it first")
    if target.suffix.lower() != ".zarr":
        if target.is_dir():
            raise HQSAMError(f"{target}: this is a folder; choose another name")
    elif target.exists() and not _holds_labels(target):
        raise HQSAMError(f"{target}: exists and is no label image; choose another name")


def replace(made: Path, target: Path) -> None:
    """Rename what is complete to `target`; an older file or label zarr of that name goes."""
    if target.is_dir():
        # a folder cannot be renamed over another
        old = target.with_name(f".{target.stem[:60]}.{os.getpid()}.old")
        target.rename(old)
        try:
            made.rename(target)
        except OSError:
            old.rename(target)
            raise
        remove(old)
    else:
        made.replace(target)


def remove(place: Path) -> None:
    """Delete a file or folder, if it is there."""
    if place.is_dir():
        shutil.rmtree(place, ignore_errors=True)
    elif place.exists():
        place.unlink()


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Tell what a disk refuses in one line that names the file."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise HQSAMError(
            f"{target}: cannot be written ({reason}); choose a folder with space and permission"
        ) from error


def lies_in(array: Any, folder: Path) -> bool:
    """Whether the chunks of a zarr array, or of a dask array over one, lie in `folder`."""
    if hasattr(array, "__dask_graph__"):
        graph = dict(array.__dask_graph__()).values()
        return any(lies_in(node, folder) for node in graph if hasattr(node, "store"))
    root = getattr(getattr(array, "store", None), "root", None)
    if root is None:
        return False
    place = Path(str(root)).resolve() / str(getattr(array, "path", ""))
    return folder.resolve() in (place, *place.parents)


def _holds_labels(folder: Path) -> bool:
    documents = [folder / name for name in ("zarr.json", ".zattrs")]
    return any(d.is_file() and "image-label" in d.read_text(errors="replace") for d in documents)
