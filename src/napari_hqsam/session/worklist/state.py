"""Which images of a folder are done: a small file beside their labels, shared by colleagues."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels import place
from napari_hqsam.storage import exclusive, write_mark

STATE = "hqsam-worklist.json"
_LOCK = ".hqsam-worklist.lock"
_LOCK_SECONDS = 3  # somebody waits at the window
_VERSION = 1


class WorklistState:
    """The file of one folder.

    It is written as a whole, complete or not at all, and only what is marked here changes: what
    others have marked meanwhile is read again first, under a lock, and stays.

    Parameters
    ----------
    folder : pathlib.Path
        Where the labels are.

    Raises
    ------
    HQSAMError
        If the file is damaged, or of a later version. It is left as it is.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / STATE
        self._stamp: tuple[int, ...] | None = None
        self._images: dict[str, Any] = {}
        self._owners: dict[str, str] = {}
        self.refresh()

    def refresh(self) -> set[str]:
        """Read it again if it has changed; the names of images and labels that it is about."""
        try:
            status = self.path.stat()
        except OSError:
            stamp = None  # not there yet, or the folder is gone
        else:
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        if stamp == self._stamp:
            return set()
        before, after = self._images, self._read()["images"]
        self._images, self._stamp = after, stamp
        self._owners = {str(self.entry(name).get("labels")): name for name in after}
        changed = {n for n in {*before, *after} if before.get(n) != after.get(n)}
        labels = (
            e.get("labels") for e in (*map(before.get, changed), *map(after.get, changed)) if e
        )
        return changed | {str(name) for name in labels}

    def entry(self, name: str) -> Mapping[str, Any]:
        """What is known of an image: ``done`` and ``labels`` (file name), perhaps neither."""
        found = self._images.get(name)
        return found if isinstance(found, dict) else {}

    def owner(self, labels: str) -> str | None:
        """The image for which these labels were written down."""
        return self._owners.get(labels)

    def mark(self, name: str, *, done: bool, labels: str | None) -> None:
        """Write down that an image is done, or is not.

        Parameters
        ----------
        name : str
            Of the image's file.
        done : bool
        labels : str or None
            Name of the file of its labels; None if there is nothing in the image to label.

        Raises
        ------
        HQSAMError
            If it cannot be written.
        """
        folder = self.path.parent
        with place.writing(self.path):
            folder.mkdir(parents=True, exist_ok=True)
            with exclusive(folder / _LOCK, str(self.path), timeout=_LOCK_SECONDS):
                document = self._read()
                images = document["images"]
                when = datetime.now(UTC).isoformat(timespec="seconds")
                old = images.get(name)
                images[name] = {
                    **(old if isinstance(old, dict) else {}),
                    "done": done,
                    "labels": labels,
                    "changed": when,
                }
                text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
                write_mark(self.path, text.encode())
        # all that others have marked meanwhile is noticed by the next `refresh`
        self._images[name] = images[name]
        if labels is not None:
            self._owners[labels] = name

    def _read(self) -> dict[str, Any]:
        try:
            document = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {"version": _VERSION, "images": {}}
        except OSError as error:
            reason = error.strerror or str(error)
            raise HQSAMError(f"{self.path}: cannot be read ({reason}); check the folder") from error
        except ValueError as error:
            raise HQSAMError(
                f"{self.path}: damaged ({error}); delete it, or restore it from a backup"
            ) from error
        if not isinstance(document, dict) or not isinstance(document.get("images"), dict):
            raise HQSAMError(f"{self.path}: no list of images; delete it, or rename it")
        if document.get("version") != _VERSION:
            raise HQSAMError(
                f"{self.path}: written by another version of napari-hqsam; update this one"
            )
        return document


def _labels(entry: Any) -> str:
    name = entry.get("labels") if isinstance(entry, dict) else None
    return name if isinstance(name, str) else ""
