"""A queue of images to annotate: what is done, what comes next, where the labels go. No Qt."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Literal

from napari_hqsam.errors import HQSAMError
from napari_hqsam.session.worklist.places import LabelPlaces
from napari_hqsam.session.worklist.state import WorklistState

Skip = Literal["nothing", "done", "labelled"]
"""What `Worklist.next` passes over; ``"labelled"`` is what has labels, and what is done."""


@dataclass(frozen=True)
class WorkImage:
    """One image of a worklist, as it is now.

    Attributes
    ----------
    path : pathlib.Path
    name : str
        The path within the folder of the list.
    labels : pathlib.Path or None
        The file of its labels, if there is one.
    done : bool
        Marked as done, and its labels are still there.
    error : str
        One line if it cannot be opened.
    """

    path: Path
    name: str
    labels: Path | None
    done: bool
    error: str = ""

    def skipped(self, skip: Skip) -> bool:
        """Whether `Worklist.next` passes it over."""
        by_labels = skip == "labelled" and self.labels is not None
        return bool(self.error) or by_labels or (skip != "nothing" and self.done)


class Worklist:
    """Images in a fixed order; which are done is kept on disk, beside their labels.

    Parameters
    ----------
    paths : iterable of pathlib.Path
    base : pathlib.Path
        The folder that they are found from.
    labels_folder : pathlib.Path, optional
        Where the labels go, in the same folders as below `base`; by default beside the images.
    suffix : str
        The labels of ``a.tif`` are in ``a<suffix>.tif``, or ``.zarr``; those of ``a.png``, where
        both are on the list, in ``a.png<suffix>.tif``.

    Raises
    ------
    HQSAMError
        If the labels would take the place of the images, or what is marked cannot be read.
    """

    def __init__(
        self,
        paths: Iterable[Path],
        base: Path,
        *,
        labels_folder: Path | None = None,
        suffix: str = "_labels",
    ) -> None:
        self._paths = list(dict.fromkeys(paths))
        self._position = {path: i for i, path in enumerate(self._paths)}
        self._places = LabelPlaces(self._paths, base, labels_folder, suffix)
        self.base = base
        self._listed: dict[Path, tuple[int, set[str]]] = {}  # when each folder had which files
        self._states: dict[Path, WorklistState] = {}
        self._about: dict[Path, dict[str, list[Path]]] = {}  # the images that a name matters to
        for path, folder in self._places.folder.items():
            if folder not in self._states:
                self._states[folder], self._about[folder] = WorklistState(folder), {}
                self._list(folder)
            for name in (path.name, *self._places.names[path]):
                self._about[folder].setdefault(name, []).append(path)
        self._images = {path: self._first_look(path) for path in self._paths}

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, position: int) -> WorkImage:
        return self._images[self._paths[position]]

    def __iter__(self) -> Iterator[WorkImage]:
        return (self._images[path] for path in self._paths)

    def find(self, path: Path) -> WorkImage:
        """What is known of an image."""
        return self._images[path]

    def position(self, path: Path) -> int | None:
        """Where an image stands, from 0; None if it is not on the list."""
        return self._position.get(path)

    @property
    def progress(self) -> tuple[int, int]:
        """How many are done, of how many."""
        return sum(image.done for image in self._images.values()), len(self)

    def target(self, path: Path, *, large: bool = False) -> Path:
        """Where the labels of an image are to be written: where they are, if they are there.

        Parameters
        ----------
        path : pathlib.Path
        large : bool
            Whether new ones are a zarr, not a TIFF.

        Raises
        ------
        HQSAMError
            If they would replace those of another image, or an image.
        """
        if path in self._places.clash:
            raise HQSAMError(self._places.clash[path])
        return self.find(path).labels or self._places.folder[path] / self._names(path)[large]

    def next(self, after: Path | None = None, skip: Skip = "done") -> WorkImage | None:
        """The image that comes after one, round the end of the list if something is skipped."""
        return next(self._ahead(after, skip), None)

    def upcoming(self, after: Path | None, count: int, skip: Skip = "done") -> list[WorkImage]:
        """The next few."""
        return list(islice(self._ahead(after, skip), count))

    def previous(self, before: Path) -> WorkImage | None:
        """The image before one, done or not."""
        earlier = (self[i] for i in range(self._position.get(before, 0) - 1, -1, -1))
        return next((image for image in earlier if not image.error), None)

    def report(self, path: Path, error: str) -> None:
        """Note in one line why an image cannot be opened, or "" that it can: it is skipped."""
        line = error or self._places.clash.get(path, "")
        self._images[path] = replace(self._images[path], error=line)

    def mark(self, path: Path, *, done: bool, labels: Path | None = None) -> None:
        """Write down that an image is done, or is not, and where its labels are.

        Parameters
        ----------
        path : pathlib.Path
        done : bool
        labels : pathlib.Path, optional
            Where they were saved. By default where they are found; if there are none, there is
            nothing in the image to label.

        Raises
        ------
        HQSAMError
            If it cannot be written.
        """
        self.refresh()
        folder = self._places.folder[path]
        found = labels or self._find_labels(path)
        name = None
        if found is not None:
            name = found.name if found.parent == folder else str(found.absolute())
            self._listed[folder][1].add(name)  # just saved, perhaps within the clock's last tick
        self._states[folder].mark(path.name, done=done, labels=name)
        self._look_at(path)

    def refresh(self) -> None:
        """See what others have saved and marked.

        Raises
        ------
        HQSAMError
            If what is marked cannot be read.
        """
        for folder, state in self._states.items():
            about = self._about[folder]
            names = state.refresh() | self._list(folder)
            for path in {path for name in names for path in about.get(name, ())}:
                self._look_at(path)

    def _ahead(self, after: Path | None, skip: Skip) -> Iterator[WorkImage]:
        at = -1 if after is None else self._position.get(after, -1)
        order = self._paths[at + 1 :]
        if skip != "nothing" and at >= 0:
            order = order + self._paths[:at]
        return (image for path in order if not (image := self._images[path]).skipped(skip))

    def _first_look(self, path: Path) -> WorkImage:
        near = path.is_relative_to(self.base)
        name = path.relative_to(self.base).as_posix() if near else str(path)
        return self._seen(WorkImage(path, name, None, False, self._places.clash.get(path, "")))

    def _look_at(self, path: Path) -> None:
        self._images[path] = self._seen(self._images[path])

    def _seen(self, image: WorkImage) -> WorkImage:
        """An image with the labels and the mark that it has now."""
        labels = self._find_labels(image.path)
        entry = self._states[self._places.folder[image.path]].entry(image.path.name)
        done = bool(entry.get("done")) and (labels is not None or entry.get("labels") is None)
        return replace(image, labels=labels, done=done)

    def _find_labels(self, path: Path) -> Path | None:
        """The labels that are there: where it was written down, or where they would go."""
        folder = self._places.folder[path]
        there = self._listed[folder][1]
        recorded = self._states[folder].entry(path.name).get("labels")
        if isinstance(recorded, str) and (
            recorded in there or (os.path.isabs(recorded) and os.path.exists(recorded))
        ):
            return folder / recorded
        names = () if path in self._places.clash else self._names(path)
        return next((folder / name for name in names if name in there), None)

    def _names(self, path: Path) -> tuple[str, str]:
        """Names for labels that are not there yet: as a TIFF, and as a zarr."""
        state, names = self._states[self._places.folder[path]], self._places.names[path]
        if all(state.owner(name) in (None, path.name) for name in names):
            return names
        # another image with that stem was on a list before this one
        return self._places.whole_names(path)

    def _list(self, folder: Path) -> set[str]:
        """See which files there are: to ask for each of thousands takes long on a server.

        Returns
        -------
        set of str
            The names that came or went.
        """
        before, changed, names = self._listed.get(folder, (0, set[str]())), -1, set[str]()
        with suppress(OSError):  # it is made with the first labels
            changed = folder.stat().st_mtime_ns
            if before[0] == changed:
                return set()
            names = set(os.listdir(folder))
        self._listed[folder] = (changed, names)
        return before[1] ^ names
