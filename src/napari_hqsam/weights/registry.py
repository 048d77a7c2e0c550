"""The models by name: what they are, what they were trained on, where their weights come from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from napari_hqsam.errors import HQSAMError
from napari_hqsam.weights.cache import cache_dir

_PACKAGE_DATA = Path(__file__).parent
_HQ_SAM = "https://huggingface.co/lkeab/hq-sam"


@dataclass(frozen=True)
class ModelInfo:
    """A model that `load_model` knows.

    Attributes
    ----------
    name : str
        What the user calls it.
    variant : str
        The architecture, as `napari_hqsam.modeling.variants.build` names it.
    description, trained_on : str
        One line each.
    licence : str
        SPDX identifier of the weights' licence.
    source : str
        Where the weights come from.
    file_name : str
    url : str or None
        None for weights that come with this package.
    revision : str or None
        Commit that `url` is pinned to.
    sha256 : str or None
        Of the file to download.
    bytes : int or None
        Size of the file; None if embedded weights are missing.
    added : pathlib.Path or None
        The user's own file, wherever it lies; None for the models that this package knows.
    """

    name: str
    variant: str
    description: str
    trained_on: str
    licence: str
    source: str
    file_name: str
    url: str | None = None
    revision: str | None = None
    sha256: str | None = None
    bytes: int | None = None
    added: Path | None = None

    @property
    def path(self) -> Path:
        """Where the file is, or will be once it is downloaded."""
        if self.added is not None:
            return self.added
        if self.url is None:
            return _PACKAGE_DATA / self.file_name
        return cache_dir() / "models" / self.name / self.file_name

    @property
    def installed(self) -> bool:
        """Whether the file is there, in full; its hash is checked when it is loaded."""
        try:
            return self.path.stat().st_size == self.bytes or self.bytes is None
        except OSError:
            return False


def _embedded(name: str, description: str) -> ModelInfo:
    weights, text = (_PACKAGE_DATA / f"{name}.{suffix}" for suffix in ("safetensors", "txt"))
    return ModelInfo(
        name=name,
        variant=name,
        description=description,
        trained_on=text.read_text("utf-8").strip() if text.is_file() else "not stated",
        licence="Apache-2.0",
        source="this package",
        file_name=weights.name,
        bytes=weights.stat().st_size if weights.is_file() else None,
    )


def _official(
    variant: str, description: str, sam_trained_on: str, *, revision: str, sha256: str, size: int
) -> ModelInfo:
    file_name = f"sam_hq_{variant}.pth"
    return ModelInfo(
        name=variant,
        variant=variant,
        description=description,
        trained_on=f"{sam_trained_on}; HQ part: HQSeg-44K",
        licence="Apache-2.0",
        source=_HQ_SAM,
        file_name=file_name,
        url=f"{_HQ_SAM}/resolve/{revision}/{file_name}",
        revision=revision,
        sha256=sha256,
        bytes=size,
    )


_MODELS: dict[str, ModelInfo] = {
    info.name: info
    for info in (
        _embedded("micro", "EfficientNet-Lite0, trained on microscopy; works offline"),
        _official(
            "vit_tiny",
            "Light HQ-SAM, TinyViT: the fastest of the authors' models",
            "SA-1B, 1 % of it (MobileSAM, distilled from ViT-H)",
            revision="a3a77cd0a2e5e50eaa76faccf61b964732d9b35f",
            sha256="0f32c075ccdd870ae54db2f7630e7a0878ede5a2b06d05d6fe02c65a82fb7196",
            size=42_526_881,
        ),
        _official(
            "vit_b",
            "HQ-SAM, ViT-B",
            "SA-1B",
            revision="8a94b5e92b6a4997d813d9057f37a8cb6213082a",
            sha256="14a9d662cd6f5a9c2dba6d40ab0058d88d287e4a18fd6fdc6ad5fb1a3fdeaa57",
            size=379_335_069,
        ),
        _official(
            "vit_l",
            "HQ-SAM, ViT-L: the paper's main model",
            "SA-1B",
            revision="519b37f36c603d27fadf4000b8f8e10258b213eb",
            sha256="e1a6c385d62bf005ded91a54d5ec55c985cfc4103ef89c08d90f39f04934c343",
            size=1_254_865_805,
        ),
        _official(
            "vit_h",
            "HQ-SAM, ViT-H: the largest; wants a GPU",
            "SA-1B",
            revision="67ab82412bc794d5ce2e9799b8b6a3c0a8cfe1d2",
            sha256="a7ac14a085326d9fa6199c8c698c4f0e7280afdbb974d2c4660ec60877b45e35",
            size=2_570_940_653,
        ),
    )
}


def list_models() -> list[ModelInfo]:
    """All models: those of this package, smallest first, then those that the user has added.

    Examples
    --------
    >>> [info.name for info in list_models()][:5]
    ['micro', 'vit_tiny', 'vit_b', 'vit_l', 'vit_h']
    """
    from napari_hqsam.weights.added import added_models

    return [*_MODELS.values(), *added_models()]


def model_info(name: str) -> ModelInfo:
    """The model called `name`.

    Raises
    ------
    HQSAMError
        If there is none; the message names those that there are.
    """
    if name in _MODELS:
        return _MODELS[name]
    models = {info.name: info for info in list_models()}
    if name in models:
        return models[name]
    close = get_close_matches(name.lower(), models, n=1)
    hint = f"did you mean {close[0]!r}? The models are" if close else "use one of"
    raise HQSAMError(f"model {name!r} is unknown: {hint} {', '.join(models)}")


def check_name(name: str) -> None:
    """Raise HQSAMError if a model that the user adds cannot be called `name`."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}", name):
        raise HQSAMError(
            f"model name {name!r}: use up to 40 letters, digits and . _ - and begin with a letter "
            "or digit"
        )
    if name.lower() in _MODELS:
        raise HQSAMError(f"model name {name!r} is taken by a model of this package: choose another")
