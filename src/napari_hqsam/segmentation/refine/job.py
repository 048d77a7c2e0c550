"""The job that refines the labels of an image, block by block."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_hqsam.embedding.features import Features
from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.frame import LabelFrame
from napari_hqsam.labels.given import GivenLabels
from napari_hqsam.labels.pyramid import Box
from napari_hqsam.segmentation.automatic.identity import identity
from napari_hqsam.segmentation.blocks import LabelJob, block_job, blocks_of
from napari_hqsam.segmentation.refine.refiner import Plane, Refiner, RefineSettings
from napari_hqsam.segmentation.region import Region
from napari_hqsam.storage import crc32c

# So many blocks of the labels tell them from others.
_SAMPLES = 64


def refine_job(
    features: Features,
    frame: LabelFrame,
    labels: GivenLabels,
    level: int,
    settings: RefineSettings,
    *,
    planes: Sequence[Plane] | None = None,
    region: ArrayLike | None = None,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> LabelJob:
    """A job that gives labels with refined boundaries.

    Parameters
    ----------
    features : Features
        Of the image.
    frame : LabelFrame
    labels : GivenLabels
    level : int
        Pyramid level worked on.
    settings : RefineSettings
    planes, region
        What is refined, as for `label_job`: objects the middle of whose box lies in the region.
        Everything else is as it was.
    out, overwrite
        As for `label_job`.
    """
    part = None if region is None else Region.of(region, frame.plane_shape)
    chosen = None if planes is None else {tuple(plane) for plane in planes}
    refiner = Refiner(features, frame, labels, level, settings, part)
    blocks = blocks_of(frame)

    def compute(plane: Plane, box: Box) -> NDArray[np.uint64]:
        if chosen is not None and plane not in chosen:
            return labels.read(frame.plane(plane), box)
        return refiner.block(plane, box)

    about: dict[str, Any] = {
        "refine": asdict(settings),
        **identity(features, level),
        "labels": _fingerprint(labels, frame, blocks),
        "planes": None if chosen is None else sorted(chosen),
        "region": part and part.to_json(),
    }
    return block_job(
        compute,
        blocks,
        frame,
        dtype=_dtype(labels.dtype),
        out=out,
        overwrite=overwrite,
        settings=about,
    )


def _dtype(given: np.dtype[Any]) -> np.dtype[Any]:
    """The unsigned type that holds what labels of a type may be."""
    return np.dtype(f"u{max(given.itemsize, 1)}")


def _fingerprint(
    labels: GivenLabels, frame: LabelFrame, blocks: Sequence[tuple[Plane, Box]]
) -> list[Any]:
    """What tells labels from others: their type, and a checksum of some of them.

    Raises
    ------
    HQSAMError
        If there is none.
    """
    chosen = np.unique(np.linspace(0, len(blocks) - 1, _SAMPLES).round().astype(int))
    found, any_label = 0, False
    for i in chosen.tolist():
        plane, box = blocks[i]
        pixels = labels.read(frame.plane(plane), box)
        any_label |= bool(pixels.any())
        found = (found * 31 + crc32c(np.ascontiguousarray(pixels).tobytes())) % 2**32
    if not any_label and len(chosen) == len(blocks):
        raise HQSAMError(f"{labels.name}: there is no label in them; give labels to refine")
    return [labels.dtype.str, found]
