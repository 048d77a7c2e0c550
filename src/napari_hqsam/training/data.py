"""Labelled pictures from folders, and which of them are kept for validation.

A data set is a folder with `images/` and `masks/`, files of the same stem: label images, 0 for
background and a number for each object (255 for one object in all is fine). Further folders
named `masks_*` hold other labels of the same pictures and are used only if asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images.files import open_file

_SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff"}
# Every fifth group of a set is for validation; sets of fewer than this many are cut in space.
_FOLD, _HELD_OUT, _FEWEST = 5, 2, 4
_HELD_OUT_BLOCK = 0.25


@dataclass(frozen=True)
class LabelledPlane:
    """One 2-D picture with its objects.

    Attributes
    ----------
    name : str
        File stem, with the slice number for a plane of a stack.
    image : ndarray
        (H, W) or (H, W, 3), as in the file.
    labels : ndarray
        (H, W), 0 background, one number per object.
    """

    name: str
    image: np.ndarray
    labels: np.ndarray


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
    if not (folder / "images").is_dir():
        raise HQSAMError(f"{folder}: no data set; it needs the folders images/ and {masks}/")
    files = sorted(p for p in (folder / "images").iterdir() if p.suffix.lower() in _SUFFIXES)
    if not files:
        raise HQSAMError(f"{folder / 'images'}: no PNG, JPEG or TIFF here")
    held_out = sorted({_group(p) for p in files})[_HELD_OUT::_FOLD]
    by_space = len(files) < _FEWEST or not held_out
    train: list[LabelledPlane] = []
    validation: list[LabelledPlane] = []
    for path in files:
        planes = list(_planes(path, folder / masks))
        if by_space:
            for plane in planes:
                cut = round(plane.labels.shape[1] * (1 - _HELD_OUT_BLOCK))
                train.append(_columns(plane, slice(None, cut)))
                validation.append(_columns(plane, slice(cut, None)))
        elif _group(path) in held_out:
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
    return LabelledPlane(plane.name, plane.image[:, columns], plane.labels[:, columns])


def _planes(path: Path, masks: Path) -> Iterator[LabelledPlane]:
    candidates = sorted(masks.iterdir()) if masks.is_dir() else []
    found = [p for p in candidates if p.stem == path.stem and p.suffix.lower() in _SUFFIXES]
    if not found:
        raise HQSAMError(f"{path}: no label image {masks / path.stem}.png or .tif beside it")
    mask_path = found[0]
    image, labels = _read(path), _read(mask_path)
    if labels.dtype == bool:
        labels = labels.view(np.uint8)
    if labels.dtype.kind not in "iu":
        raise HQSAMError(f"{mask_path}: labels must be whole numbers, not {labels.dtype}")
    colour = image.ndim > 2 and image.shape[-1] in (3, 4)
    spatial = image.shape[:-1] if colour else image.shape
    if spatial != labels.shape:
        raise HQSAMError(f"{mask_path}: shape {labels.shape} does not fit its image {spatial}")
    if labels.ndim not in (2, 3):
        raise HQSAMError(f"{mask_path}: {labels.ndim} dimensions; planes and stacks are possible")
    if labels.ndim == 2:
        yield LabelledPlane(path.stem, image, labels)
        return
    for z in range(labels.shape[0]):
        yield LabelledPlane(f"{path.stem}_z{z:04d}", image[z], labels[z])


def _read(path: Path) -> np.ndarray:
    if path.suffix.lower() not in {".tif", ".tiff"}:
        return np.asarray(open_file(path).levels[0])
    import tifffile

    try:
        return tifffile.imread(path)
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise HQSAMError(f"{path}: cannot be read as an image ({reason})") from error
