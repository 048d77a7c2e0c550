"""The job that finds every object of an image, or those that were asked for."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from napari_hqsam.embedding.features import Features
from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.frame import LabelFrame
from napari_hqsam.labels.given import as_label_array
from napari_hqsam.labels.pyramid import Plane
from napari_hqsam.segmentation.automatic.automatic import Automatic
from napari_hqsam.segmentation.automatic.objects import Found, objects_from_labels
from napari_hqsam.segmentation.automatic.prompted import Prompted
from napari_hqsam.segmentation.automatic.settings import METHODS, AutomaticSettings
from napari_hqsam.segmentation.blocks import LabelJob
from napari_hqsam.segmentation.prompts import Prompts
from napari_hqsam.segmentation.region import Region
from napari_hqsam.segmentation.tissue import Tissue
from napari_hqsam.segmentation.whole import Finder, label_job

# IoU of an object with its best match in the next slice from which on they are one.
_SAME = 0.25


def segment_job(
    features: Features,
    prompts: Any,
    settings: AutomaticSettings,
    level: int,
    *,
    planes: Sequence[Plane] | None = None,
    region: ArrayLike | None = None,
    skip_background: bool = True,
    link_slices: bool = True,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> LabelJob:
    """A job that segments whole planes.

    Parameters
    ----------
    features : Features
        Of the image.
    prompts
        As for `Segmenter.segment_all`.
    settings : AutomaticSettings
        The method is that of `prompts`, if these name one.
    level : int
        Pyramid level worked on.
    planes, region, out, overwrite
        As for `label_job`.
    skip_background : bool
        Do not search windows of background alone; counts for what is found without prompts.
    link_slices : bool
        Give objects that overlap from slice to slice one label; counts for those, too.
    """
    frame = LabelFrame.of(features.source, level)
    finder: Finder
    if isinstance(prompts, str):
        if prompts not in METHODS:
            raise HQSAMError(
                f"prompts {prompts!r}: give one of {', '.join(METHODS)}, a list of Prompts, or "
                "labels"
            )
        finder = Automatic(features, frame.plane_shape, level, settings)
        tissue = Tissue(features.source, features.mapping, level) if skip_background else None
        return label_job(
            finder,
            frame,
            planes=planes,
            region=region,
            out=out,
            overwrite=overwrite,
            between_slices=_SAME if link_slices else None,
            skip=None if tissue is None else lambda window: window not in tissue,
        )
    box = None if region is None else Region.of(region, frame.plane_shape).box
    finder = Prompted(
        features,
        frame.plane_shape,
        level,
        _objects(prompts, frame, planes, box),
        mode=settings.mode,
        threshold=settings.threshold,
        fill_holes=settings.fill_holes,
        min_size=settings.min_size,
        max_size=settings.max_size,
        diameter=settings.diameter,
    )
    return label_job(finder, frame, planes=planes, region=region, out=out, overwrite=overwrite)


def _objects(
    prompts: Any,
    frame: LabelFrame,
    planes: Sequence[Plane] | None,
    box: tuple[int, int, int, int] | None,
) -> Found:
    """The prompts of each plane, with the labels that their objects will have."""
    if isinstance(prompts, Mapping):
        of_plane = {tuple(plane): list(several) for plane, several in prompts.items()}
    elif _are_prompts(prompts):
        if frame.order:
            raise HQSAMError(
                f'prompts: the image has the axes "{frame.axes}"; give a dict from planes, such '
                "as (3,), to lists of Prompts"
            )
        of_plane = {(): list(prompts)}
    else:
        found = objects_from_labels(as_label_array(prompts, frame), frame, planes, box)
        if not found:
            raise HQSAMError("labels: there is no label in them; give labels, or prompts")
        return found
    numbered: Found = {}
    number = 0
    for plane, several in of_plane.items():
        if not _are_prompts(several):
            numbered[plane] = _labelled(plane, several)
        else:
            numbered[plane] = [(number + i, p) for i, p in enumerate(several, start=1)]
        number += len(several)
    if number == 0:
        raise HQSAMError("prompts: there are none; give at least one")
    return numbered


def _labelled(plane: Plane, several: Sequence[Any]) -> list[tuple[int, Prompts]]:
    """The pairs of a label and Prompts that a plane was given."""
    try:
        pairs = [(int(label), prompts) for label, prompts in several]
    except (TypeError, ValueError):
        pairs = [(0, None)]
    if not _are_prompts([prompts for _, prompts in pairs]):
        raise HQSAMError(
            f"prompts of plane {plane}: give a list of Prompts, or of pairs of a label and Prompts"
        )
    return pairs


def _are_prompts(values: Any) -> bool:
    if isinstance(values, np.ndarray) or not isinstance(values, Sequence):
        return False
    return all(isinstance(value, Prompts) for value in values)
