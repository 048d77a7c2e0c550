"""A folder of embedding stores, one for each image, and a budget for all of them together."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from napari_hqsam.embedding.eviction import Freed, prune, status, uses
from napari_hqsam.embedding.key import digest, image_fingerprint
from napari_hqsam.embedding.layout import on_disk, read_root
from napari_hqsam.errors import HQSAMError
from napari_hqsam.images.source import ImageSource

SUFFIX = ".embeddings"


@dataclass(frozen=True)
class FolderStatus:
    """What the stores of a folder take together.

    Attributes
    ----------
    path : pathlib.Path
    stores, windows, bytes : int
    """

    path: Path
    stores: int
    windows: int
    bytes: int


def store_path(folder: str | os.PathLike[str], source: ImageSource, name: str) -> Path:
    """Where in `folder` the embeddings of an image are kept.

    Images of one name, shape and data type share a store: windows of the wrong one are noticed by
    their pixels, and computed again.

    Parameters
    ----------
    folder : path
    source : ImageSource
        The image.
    name : str
        What it is called: of its layer, or of its file.
    """
    stem = re.sub(r"[^\w.-]+", "-", name).strip(".-")[:60] or "image"
    return Path(folder) / f"{stem}-{digest(image_fingerprint(source))[:8]}{SUFFIX}"


def stores_in(folder: str | os.PathLike[str]) -> list[Path]:
    """The stores right in `folder`, or `folder` itself if it is one; none if it is not there.

    Raises
    ------
    StoreUnavailable
        If it cannot be read.
    """
    path = Path(folder).expanduser().absolute()
    with on_disk(path):
        if not path.is_dir():
            return []
        return [each for each in (path, *sorted(path.iterdir())) if _is_store(each)]


def folder_status(
    folder: str | os.PathLike[str], check: Callable[[], None] = lambda: None
) -> FolderStatus:
    """What the stores of a folder hold; `check` is called between them and may raise to stop."""
    windows = taken = 0
    stores = stores_in(folder)
    for store in stores:
        check()
        found = status(store)
        windows, taken = windows + found.windows, taken + found.bytes
    return FolderStatus(Path(folder), len(stores), windows, taken)


def prune_folder(
    folder: str | os.PathLike[str], max_bytes: int, check: Callable[[], None] = lambda: None
) -> Freed:
    """Delete windows, those not used for longest in any of the stores first: see `prune`.

    Parameters
    ----------
    folder : path
        A folder of stores, or one store.
    max_bytes : int
        Budget in bytes for all of them together.
    check : callable
        Called between stores; it may raise to stop. What is deleted by then stays deleted.

    Raises
    ------
    HQSAMError
        If a store cannot be pruned; the others are.
    """
    if max_bytes < 0:
        raise HQSAMError(f"a budget of {max_bytes} bytes: give 0 or more")
    taken = {store: status(store).bytes for store in stores_in(folder)}
    excess = sum(taken.values()) - max_bytes
    oldest_first = sorted(
        ((used, size, store) for store in taken for used, size in uses(store)),
        key=lambda use: use[0],
    )
    dropped: dict[Path, int] = defaultdict(int)
    for _, size, store in oldest_first:
        if excess <= 0:
            break
        dropped[store] += size
        excess -= size
    windows = freed = 0
    failure: HQSAMError | None = None
    for store, before in taken.items():
        check()
        try:
            done = prune(store, before - dropped[store])
        except HQSAMError as error:  # in use, or read-only
            failure = failure or error
            continue
        windows, freed = windows + done.windows, freed + done.bytes
    if failure is not None:
        raise failure
    return Freed(windows, freed)


def _is_store(path: Path) -> bool:
    with suppress(HQSAMError, OSError):
        return path.is_dir() and read_root(path) is not None
    return False
