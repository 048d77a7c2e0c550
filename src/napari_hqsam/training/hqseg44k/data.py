"""HQSeg-44K on disk: six sets in seven folders of pictures and fine masks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images.files import open_file

_PICTURES = {".jpg", ".jpeg"}


@dataclass(frozen=True)
class Subset:
    """One of the sets, and its folders below HQSeg-44K's own: JPEG pictures, PNG masks."""

    name: str
    images: str
    masks: str


# The folders are those of the authors' archive (huggingface.co/sam-hq-team/sam-hq-training).
SUBSETS = (
    Subset("DIS5K-TR", "DIS5K/DIS-TR/im", "DIS5K/DIS-TR/gt"),
    Subset(
        "ThinObject5K-TR",
        "thin_object_detection/ThinObject5K/images_train",
        "thin_object_detection/ThinObject5K/masks_train",
    ),
    *(
        Subset(name, f"cascade_psp/{folder}", f"cascade_psp/{folder}")
        for name, folder in (
            ("FSS-1000", "fss_all"),
            ("DUTS-TR", "DUTS-TR"),
            ("DUTS-TE", "DUTS-TE"),
            ("ECSSD", "ecssd"),
            ("MSRA10K", "MSRA_10K"),
        )
    ),
)


class Pair(NamedTuple):
    """The files of a picture and of its mask."""

    image: Path
    mask: Path


def find_pairs(
    folder: Path, subsets: Iterable[Subset] = SUBSETS
) -> tuple[dict[str, list[Pair]], list[Subset]]:
    """List the files; none is opened.

    Parameters
    ----------
    folder : Path
        The folder that holds `DIS5K`, `cascade_psp` and `thin_object_detection`.
    subsets : iterable of Subset

    Returns
    -------
    found : dict
        The pairs of each set that is there, by its name, sorted.
    missing : list of Subset
        Those that are not.

    Raises
    ------
    HQSAMError
        If none is there, or a picture has no mask.
    """
    found: dict[str, list[Pair]] = {}
    missing: list[Subset] = []
    for subset in subsets:
        images, masks = folder / subset.images, folder / subset.masks
        files = sorted(images.iterdir()) if images.is_dir() else []
        pairs = [Pair(f, masks / f"{f.stem}.png") for f in files if f.suffix.lower() in _PICTURES]
        if not pairs:
            missing.append(subset)
            continue
        # One listing: to ask for each of 44,000 files takes minutes on a network drive.
        there = {f.name for f in masks.iterdir()} if masks.is_dir() else set()
        alone = [pair for pair in pairs if pair.mask.name not in there]
        if alone:
            raise HQSAMError(
                f"{alone[0].image}: no mask {alone[0].mask} ({len(alone)} of {len(pairs)} pictures "
                f"of {subset.name} lack theirs); complete the folder, or take it away"
            )
        found[subset.name] = pairs
    if not found:
        wanted = ", ".join(s.images for s in missing)
        raise HQSAMError(f"{folder}: nothing of HQSeg-44K here; looked for JPEGs in {wanted}")
    return found, missing


def read_pair(pair: Pair) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Read a picture (H, W, 3) and its mask (H, W), both 0-255.

    Raises
    ------
    HQSAMError
        If one cannot be read, or they do not fit.
    """
    image, mask = (np.asarray(open_file(path).levels[0]) for path in pair)
    if mask.ndim == 3:
        mask = mask[..., 0]
    if mask.dtype == bool:
        mask = np.where(mask, np.uint8(255), np.uint8(0))
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    if mask.dtype != np.uint8:
        raise HQSAMError(f"{pair.mask}: a mask of HQSeg-44K has 8 bits, 0 to 255, not {mask.dtype}")
    if image.shape[:2] != mask.shape:
        raise HQSAMError(
            f"{pair.mask}: its {mask.shape[1]} × {mask.shape[0]} pixels do not fit the picture's "
            f"{image.shape[1]} × {image.shape[0]}"
        )
    return image[..., :3], mask
