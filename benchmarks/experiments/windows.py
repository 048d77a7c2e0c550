"""The fixed windows that every variant learns from and is measured on, with their features.

The image encoder is frozen in all variants, so each window is encoded once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from napari_hqsam.embedding.encode import read_window, resize
from napari_hqsam.errors import HQSAMError
from napari_hqsam.evaluation.data import LabelledPlane
from napari_hqsam.images.windows import Window, window_around
from napari_hqsam.modeling import HQSam
from napari_hqsam.segmentation import Segmenter
from napari_hqsam.training.augment import WindowSampler
from napari_hqsam.training.data import DataSet, read_data_set

# What is measured, and the data set of each. Variants learn from the thin sets; what they do to
# the general ones, which they do not see again, is their generality.
THIN = {"vessels": "chase_db1_retina", "neurons": "pfc_neurons_phase"}
GENERAL = {"nuclei": "dsb2018_nuclei", "axons": "axon_myelin_sem"}
GROUPS = (*THIN, *GENERAL)
# Shares of the training windows; of sets with fine masks, as HQSeg-44K is put together.
TRAINING = {
    "chase_db1_retina": 0.4,
    "pfc_neurons_phase": 0.4,
    "plant_em_chloroplast_3d": 0.1,
    "plant_sem_pores": 0.1,
}
OBJECTS = 4
# Width of the boundary, in pixels of the image.
BAND = 2
_TUNING_SHARE = 1 / 6  # windows kept aside from training, as a share of those trained on
_FEWEST_PIXELS = 16  # of an object, in the image
_FEWEST_THIN = 1 / 200  # of the window that an object covers
_BATCH = 8


@dataclass(frozen=True)
class Windows:
    """W windows of S × S model pixels and K objects of each.

    Attributes
    ----------
    images : Tensor
        (W, 3, S, S), uint8; what lies beyond the plane is 0.
    embedding : Tensor
        (W, 256, S/16, S/16).
    early : Tensor
        (W, 24, S/4, S/4).
    masks : Tensor
        (W, K, S, S), bool.
    bands : Tensor
        (W,), int64: `BAND` pixels of the image in pixels of the window, at least 1.
    """

    images: Tensor
    embedding: Tensor
    early: Tensor
    masks: Tensor
    bands: Tensor

    def __len__(self) -> int:
        return len(self.masks)


# From labels, S and a generator: a window, its object, the fewest model pixels it may have there.
_Chooser = Callable[[np.ndarray, int, np.random.Generator], tuple[Window, int, float]]


class _Cut(NamedTuple):
    """A window before it is encoded: pixels (3, h, w), masks (K, S, S), magnification."""

    image: Tensor
    masks: Tensor
    scale: float


def read_sets(folder: Path) -> dict[str, DataSet]:
    """The data sets that the study needs, by name."""
    names = sorted({*TRAINING, *THIN.values(), *GENERAL.values()})
    missing = [name for name in names if not (folder / name).is_dir()]
    if missing:
        raise HQSAMError(f"{folder}: the data sets {', '.join(missing)} are not here; add them")
    return {name: read_data_set(folder / name) for name in names}


def build_windows(
    model: HQSam, sets: Mapping[str, DataSet], *, train: int, validation: int
) -> dict[str, Windows]:
    """Draw and encode all windows: "train", "tune", and one entry for each of `GROUPS`.

    Parameters
    ----------
    model : HQSam
        Its `input_size` is S.
    sets : mapping of str to DataSet
        See `read_sets`.
    train, validation : int
        How many windows to train on, and to measure on in each group.
    """
    rng = np.random.default_rng(0)
    learn: list[_Cut] = []
    tune: list[_Cut] = []
    for name, share in TRAINING.items():
        samplers = [WindowSampler(plane) for plane in sets[name].train]
        learn += _draw(samplers, rng, model.input_size, _count(share * train))
        tune += _draw(samplers, rng, model.input_size, _count(share * train * _TUNING_SHARE))
    out = {"train": _encode(model, learn), "tune": _encode(model, tune)}
    for group, name in (THIN | GENERAL).items():
        cut = _part_of_tree if group in THIN else _around_object
        out[group] = _encode(model, _cut_all(model, sets[name].validation, validation, rng, cut))
    return out


def save(windows: Mapping[str, Windows], path: Path) -> None:
    part = path.with_suffix(".part")
    torch.save({name: asdict(w) for name, w in windows.items()}, part)
    part.replace(path)


def load(path: Path) -> dict[str, Windows]:
    return {name: Windows(**w) for name, w in torch.load(path, weights_only=True).items()}


def _count(share: float) -> int:
    return max(1, round(share))


def _draw(
    samplers: Sequence[WindowSampler], rng: np.random.Generator, size: int, count: int
) -> list[_Cut]:
    """Augmented windows, as in training; how much they magnify is not known, and taken as 1."""
    out: list[_Cut] = []
    for _ in range(1000 + 100 * count):
        if len(out) == count:
            break
        sample = samplers[int(rng.integers(len(samplers)))].draw(rng, size, OBJECTS)
        if sample is not None:
            out.append(_Cut(sample.image, sample.masks, 1.0))
    return out


def _cut_all(
    model: HQSam,
    planes: Sequence[LabelledPlane],
    count: int,
    rng: np.random.Generator,
    cut: _Chooser,
) -> list[_Cut]:
    """Windows as they are, the planes taking turns."""
    out: list[_Cut] = []
    segmenters = [Segmenter(plane.image, model=model) for plane in planes]
    for i in range(100 * count):
        if len(out) == count:
            break
        plane, segmenter = planes[i % len(planes)], segmenters[i % len(planes)]
        window, label, fewest = cut(plane.labels, model.input_size, rng)
        mask = _true_mask(plane.labels == label, window)
        if mask.sum() >= fewest:
            image = read_window(segmenter.source, segmenter.mapping, window)[0]
            out.append(_Cut(image, mask[None], window.scale))
    return out


def _part_of_tree(
    labels: np.ndarray, size: int, rng: np.random.Generator
) -> tuple[Window, int, float]:
    """A window at 1:1 on a part of a thin object, where its width can be resolved."""
    pixels = np.argwhere(labels)
    at = pixels[rng.integers(len(pixels))]
    height, width = (min(size, n) for n in labels.shape)
    y = int(np.clip(at[0] - height // 2, 0, labels.shape[0] - height))
    x = int(np.clip(at[1] - width // 2, 0, labels.shape[1] - width))
    window = Window((), 0, (y, x), size, (height, width), size)
    return window, labels[tuple(at)], _FEWEST_THIN * size**2


def _around_object(
    labels: np.ndarray, size: int, rng: np.random.Generator
) -> tuple[Window, int, float]:
    """The window that the Segmenter would choose for an object's box."""
    ids = np.unique(labels)
    label = rng.choice(ids[ids > 0])
    pixels = np.argwhere(labels == label)
    window = window_around(pixels.min(axis=0), pixels.max(axis=0), labels.shape, size)
    return window, label, 1 if len(pixels) >= _FEWEST_PIXELS else np.inf


def _true_mask(inside: np.ndarray, window: Window) -> Tensor:
    """(S, S), 0 or 1: the mask brought to model pixels."""
    (y, x), (h, w) = window.origin, window.shape
    part = torch.from_numpy(inside[y : y + h, x : x + w].astype(np.float32))[None, None]
    mh, mw = window.model_shape
    mask = (resize(part, (mh, mw)) > 0.5).float()
    return F.pad(mask, (0, window.input_size - mw, 0, window.input_size - mh))[0, 0]


def _encode(model: HQSam, cuts: Sequence[_Cut]) -> Windows:
    if not cuts:
        raise HQSAMError("no window shows an object: check the label images")
    size = model.input_size
    embeddings, earlies = [], []
    with torch.no_grad():
        for start in range(0, len(cuts), _BATCH):
            pixels = [model.preprocess(c.image[None]) for c in cuts[start : start + _BATCH]]
            batch = torch.cat(pixels).to(memory_format=torch.channels_last)
            embedding, early = model.image_encoder(batch)
            embeddings.append(embedding.contiguous())
            earlies.append(early.contiguous())
    padded = [
        F.pad(c.image, (0, size - c.image.shape[2], 0, size - c.image.shape[1])) for c in cuts
    ]
    return Windows(
        torch.stack(padded).round().to(torch.uint8),
        torch.cat(embeddings),
        torch.cat(earlies),
        torch.stack([c.masks for c in cuts]) > 0.5,
        torch.tensor([max(1, round(BAND * c.scale)) for c in cuts]),
    )
