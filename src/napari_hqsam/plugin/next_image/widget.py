"""The queue of images: save this one, open the next, encode those after it."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from napari.utils.notifications import notification_manager, show_info, show_warning
from qtpy.QtCore import QEvent, QModelIndex
from qtpy.QtCore import Signal as QtSignal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QWidget

from napari_hqsam.errors import HQSAMError
from napari_hqsam.plugin.next_image.ahead import Ahead
from napari_hqsam.plugin.next_image.controls import NextImageControls
from napari_hqsam.plugin.next_image.model import WorklistModel
from napari_hqsam.plugin.next_image.search import Scan, WorklistSearch
from napari_hqsam.session.worklist import WorkImage, Worklist, scan_folder, scan_list

_AHEAD = 2  # images that are prepared after the one on display
_BROKEN = 20  # images in a row that cannot be opened: then it is for the user to look


class NextImageWidget(QWidget):
    """A folder or list of images; see `Worklist` for what is kept where.

    Parameters
    ----------
    open_image : callable
        Shows an image, given its path, and the labels that `labels` names, if there are some. An
        exception means that it is broken: it is reported in one line, and skipped; what was on
        display before must still be there then.
    save : callable
        Writes the labels of the image on display where `target` says, and returns that path; None
        if there is nothing to save. HQSAMError keeps the user at this image.
    prepare : callable, optional
        Encodes an image ahead, given its path; returns at once.
    idle : callable, optional
        Whether nothing is being computed that `prepare` would slow down.
    parent : QWidget, optional

    Signals
    -------
    opened(Path)
        Another image is on display.
    """

    opened = QtSignal(object)

    def __init__(
        self,
        open_image: Callable[[Path], object],
        save: Callable[[], Path | None],
        prepare: Callable[[Path], object] | None = None,
        idle: Callable[[], bool] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._open, self._save = open_image, save
        self._rescan: Callable[[], None] = lambda: None
        self._source = Path()
        self._search = WorklistSearch(self)
        self._ahead = Ahead(prepare, idle, self)
        self._model = WorklistModel(self)
        self.controls = NextImageControls(self, self._model)
        self._connect()

    @property
    def worklist(self) -> Worklist | None:
        """The images, once they are found."""
        return self._model.worklist

    @property
    def current(self) -> Path | None:
        """The image of the list that is on display."""
        return self._model.current

    def labels(self, path: Path) -> Path | None:
        """The labels that an image has already."""
        return None if self.worklist is None else self.worklist.find(path).labels

    def target(self, *, large: bool = False) -> Path | None:
        """Where the labels of the image on display are saved; None if it is not of the list.

        Raises
        ------
        HQSAMError
            If they would replace something else.
        """
        if self.worklist is None or self.current is None:
            return None
        return self.worklist.target(self.current, large=large)

    # What the user does

    def open_folder(self, folder: Path) -> None:
        """Look for the images of a folder, and open the first that is not done."""
        self._rescan = partial(self.open_folder, folder)
        c = self.controls
        self._scan(folder, scan_folder, pattern=c.pattern.text().strip() or "*")

    def open_list(self, file: Path) -> None:
        """Look for the images that a text file names, and open the first that is not done."""
        self._rescan = partial(self.open_list, file)
        self._scan(file, scan_list)

    def next_image(self) -> bool:
        """Save, and go to the next image; whether one was opened."""
        return self._leave(done=False, forward=True)

    def done_and_next(self) -> bool:
        """Save, mark the image as done, and go to the next; whether one was opened."""
        return self._leave(done=True, forward=True)

    def previous_image(self) -> bool:
        """Save, and go to the image before; whether one was opened."""
        return self._leave(done=False, forward=False)

    def go(self, path: Path) -> bool:
        """Save, and open an image of the list; whether it is on display."""
        if path == self.current:
            return True
        if self.worklist is None or not self._saved(done=False):
            return False
        error = self._try(path)
        self._tell_skipped([error] if error else [])
        return not error

    def mark(self, path: Path, done: bool) -> None:
        """Say that an image is done, or is not."""
        if self.worklist is not None:
            try:
                self.worklist.mark(path, done=done)
            except HQSAMError as error:
                self._warn(str(error))
            self._show()

    def cancel(self) -> None:
        """Stop looking for images; what is shown stays."""
        self._search.cancel()
        self.controls.show_busy("")

    def shut_down(self) -> None:
        """End the thread; prepare nothing more."""
        self.cancel()
        self._ahead.stop()

    def event(self, event: Any) -> bool:
        """Notice that napari has taken the widget out of its dock, which it does to close it."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.shut_down()
        return bool(super().event(event))

    # What happens then

    def _leave(self, *, done: bool, forward: bool) -> bool:
        if self.worklist is None or not self._saved(done=done):
            return False
        return self._advance(forward=forward)

    def _advance(self, *, forward: bool) -> bool:
        """Open the first image of those that follow that is not broken."""
        assert self.worklist is not None
        at, errors, opened = self.current, list[str](), False
        while not opened and len(errors) < _BROKEN:
            image = self.worklist.next(at, self.controls.skip) if forward else None
            if not forward and at is not None:
                image = self.worklist.previous(at)
            if image is None:
                self._tell_end(forward)
                break
            at = image.path
            error = self._try(at)
            opened = not error
            errors += [error] if error else []
        self._tell_skipped(errors)
        return opened

    def _saved(self, *, done: bool) -> bool:
        """Save the image on display; whether one may leave it."""
        try:
            labels = self._save()
            if self.worklist is not None:
                if self.current is not None:
                    self._note(self.worklist.find(self.current), labels, done)
                self.worklist.refresh()
        except HQSAMError as error:
            self._warn(str(error))
            return False
        finally:
            self._show()
        return True

    def _note(self, image: WorkImage, labels: Path | None, done: bool) -> None:
        """Write down where the labels went, and what is done; nothing that is known already."""
        assert self.worklist is not None
        if done or (labels is not None and labels != image.labels):
            self.worklist.mark(image.path, done=done or image.done, labels=labels)

    def _try(self, path: Path) -> str:
        """Open an image; one line if it cannot be opened."""
        assert self.worklist is not None
        before, self._model.current = self._model.current, path
        error = ""
        try:
            self._open(path)
        except Exception as broken:  # whatever a reader makes of a broken file
            error = _one_line(path, broken)
            self._model.current = before
        self.worklist.report(path, error)
        self._show()
        if not error:
            self.controls.images.setCurrentIndex(self._model.index_of(path))
            ahead = self.worklist.upcoming(path, _AHEAD, self.controls.skip)
            self._ahead.start(image.path for image in ahead)
            self.opened.emit(path)
        return error

    def _scan(self, source: Path, scan: Scan, **options: Any) -> None:
        c, self._source = self.controls, source
        c.show_busy(f"Looking for images in {source.name}…")
        places = {"labels_folder": c.labels_place, "suffix": c.suffix.text().strip()}
        self._search.start(scan, source, **places, **options)

    def _found(self, worklist: Worklist) -> None:
        self.controls.show_busy("")
        if not self._saved(done=False):
            return
        self.controls.show_source(self._source)
        here = self.current
        self._model.show(worklist)
        if here is not None and worklist.position(here) is not None:
            self._model.current = here
        self._show()
        self._tell_skipped([image.error for image in worklist if image.error])
        if self.current is None:
            self._advance(forward=True)

    def _failed(self, error: Exception) -> None:
        self.controls.show_busy("")
        if isinstance(error, HQSAMError):
            self._warn(str(error))
        else:
            notification_manager.receive_error(type(error), error, error.__traceback__)

    def _tell_end(self, forward: bool) -> None:
        if not forward:
            show_info("HQ-SAM: this is the first image")
        elif self.controls.skip == "nothing":
            show_info("HQ-SAM: this is the last image")
        else:
            show_info("HQ-SAM: no other image is left to do")

    def _tell_skipped(self, errors: list[str]) -> None:
        if errors and self.worklist is not None:
            first = errors[0].replace(f"{self.worklist.base}{os.sep}", "")  # a notice is narrow
            more = f" (and {len(errors) - 1:,} more)" if len(errors) > 1 else ""
            self._warn(f"skipped: {first}{more}")

    def _show(self) -> None:
        self._model.refresh()
        self.controls.show_progress(self.worklist.progress if self.worklist else None)

    def _warn(self, line: str) -> None:
        show_warning(f"HQ-SAM: {line}")

    # How it is put together

    def _connect(self) -> None:
        c = self.controls
        c.folder_chosen.connect(self.open_folder)
        c.list_chosen.connect(self.open_list)
        c.places_chosen.connect(lambda: self._rescan())
        c.next.clicked.connect(lambda: self.next_image())
        c.previous.clicked.connect(lambda: self.previous_image())
        c.done.clicked.connect(lambda: self.done_and_next())
        c.cancel.clicked.connect(lambda: self.cancel())
        c.images.activated.connect(self._on_activated)
        c.skip_done.toggled.connect(c.skip_labelled.setEnabled)
        self._model.ticked.connect(self.mark)
        self._search.counted.connect(lambda n: c.show_busy(f"Found {n:,} images…"))
        self._search.found.connect(self._found)
        self._search.failed.connect(self._failed)

    def _on_activated(self, index: QModelIndex) -> None:
        if self.worklist is not None:
            self.go(self.worklist[index.row()].path)


def _one_line(path: Path, error: Exception) -> str:
    text = next(iter(str(error).splitlines()), "") or type(error).__name__
    return text if path.name in text else f"{path}: {text}"
