"""Where the labels of each image go, so that none take the place of others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from napari_hqsam.errors import HQSAMError
from napari_hqsam.session.worklist.files import SUFFIXES, stem

_RANK = {suffix: i for i, suffix in enumerate(SUFFIXES)}
_REMEDY = "choose another suffix, or another folder for the labels"


class LabelPlaces:
    """The names of label files for the images of a list.

    Parameters
    ----------
    paths : sequence of pathlib.Path
    base : pathlib.Path
        The folder that they are found from.
    labels_folder : pathlib.Path or None
        Where the labels go, in the same folders as below `base`; None for beside the images.
    suffix : str
        See `Worklist`.

    Attributes
    ----------
    folder : dict of Path to Path
        For each image, where its labels go.
    names : dict of Path to (str, str)
        Names of its labels: as a TIFF, and as a zarr.
    clash : dict of Path to str
        For some, one line why they cannot be written.

    Raises
    ------
    HQSAMError
        If the labels would take the place of the images.
    """

    def __init__(
        self, paths: Sequence[Path], base: Path, labels_folder: Path | None, suffix: str
    ) -> None:
        if "/" in suffix or "\\" in suffix:
            raise HQSAMError(f"suffix {suffix!r}: give a part of a file name, without / or \\")
        if not suffix and labels_folder in (None, base):
            raise HQSAMError("suffix: give one, or another folder: labels would replace the images")
        self._suffix = suffix
        self.folder = {path: _folder(path, base, labels_folder) for path in paths}
        self.names = {path: self._named(begin) for path, begin in self._choose_stems().items()}
        self.clash = self._find_clashes()

    def whole_names(self, path: Path) -> tuple[str, str]:
        """Names that have all of that of the image: where another one has taken the short ones."""
        return self._named(path.name)

    def _named(self, begin: str) -> tuple[str, str]:
        return f"{begin}{self._suffix}.tif", f"{begin}{self._suffix}.zarr"

    def _choose_stems(self) -> dict[Path, str]:
        """What the names of labels begin with; of alike ones the first format has the short one."""
        short: dict[tuple[Path, str], Path] = {}
        for path in sorted(self.folder, key=lambda path: _RANK.get(path.suffix.lower(), 99)):
            short.setdefault((self.folder[path], stem(path).casefold()), path)
        chosen = set(short.values())
        return {path: stem(path) if path in chosen else path.name for path in self.folder}

    def _find_clashes(self) -> dict[Path, str]:
        clashes: dict[Path, str] = {}
        first: dict[tuple[Path, str], Path] = {}
        images = {(path.parent, path.name) for path in self.folder}
        for path, folder in self.folder.items():
            for name in self.names[path]:
                if (folder, name) in images:
                    clashes[path] = f"{path}: its labels would replace {folder / name}; {_REMEDY}"
            other = first.setdefault((folder, path.name), path)
            if other != path:
                clashes[path] = f"{path}: its labels would replace those of {other}; {_REMEDY}"
        return clashes


def _folder(path: Path, base: Path, labels_folder: Path | None) -> Path:
    if labels_folder is None:
        return path.parent
    if path.is_relative_to(base):
        return labels_folder / path.parent.relative_to(base)
    return labels_folder / path.parent.name
