"""From a name, or a file, to a model that is ready to use."""

from __future__ import annotations

import hashlib
from collections.abc import Container
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from napari_hqsam.errors import HQSAMError
from napari_hqsam.modeling.compiled import CompiledEncoder
from napari_hqsam.modeling.device import choose_device, choose_precision
from napari_hqsam.modeling.graphs import GraphedDecoder
from napari_hqsam.modeling.hq_sam import HQSam
from napari_hqsam.modeling.variants import build, hq_parameter_names
from napari_hqsam.weights.checkpoint import Checkpoint, read_checkpoint
from napari_hqsam.weights.download import Cancelled, Progress, fetch
from napari_hqsam.weights.registry import model_info


def load_model(
    name: str = "micro",
    *,
    checkpoint: str | Path | None = None,
    base: str | Path | None = None,
    device: str = "auto",
    precision: str = "auto",
    compile: bool = False,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> HQSam:
    """Load a model for inference.

    Parameters
    ----------
    name : str
        A name from `list_models`. Its weights come with the package, or are downloaded on first
        use.
    checkpoint : path, optional
        A file to take the weights from instead: safetensors or torch, in the layout of HQ-SAM, SAM,
        MobileSAM, micro-sam or transformers. It must hold the architecture called `name`. A plain
        SAM file gives a model without the HQ part (``model.has_hq`` is False), for mode "sam".
    base : path, optional
        If `checkpoint` is a mask decoder alone (what HQ-SAM's training saves at every epoch), the
        SAM or HQ-SAM file with the encoders that it was trained on.
    device : str
        "auto", "cpu", "cuda", "cuda:N" or "mps".
    precision : {"auto", "float32", "bfloat16"}
        What the image encoder computes in: float32 is exact; "auto" takes bfloat16 on a CUDA GPU
        made for it. Features of one precision are not found by a model of the other.
    compile : bool
        Let torch compile the image encoder: in the background, for each shape of input, and used
        once it has been found equal and faster; see `CompiledEncoder`. It needs a C++ compiler, or
        Triton on a GPU. Features count as the same: they differ by rounding, in float32 by about
        1e-6 of the largest value, and a store keeps float16. On a CUDA GPU clicks are then also
        replayed as CUDA graphs; see `GraphedDecoder`.
    progress, cancelled : callable, optional
        See `fetch`.

    Returns
    -------
    HQSam
        In eval mode, float32 weights, without gradients; ``model.name`` is `name`,
        ``model.weights_sha256`` identifies the file and ``model.precision`` is what was chosen.

    Raises
    ------
    HQSAMError
        One line that names the model or the file, and what to do.

    Examples
    --------
    >>> model = load_model("micro")                                     # doctest: +SKIP
    >>> model = load_model("vit_b", checkpoint="sam_hq_vit_b.pth")      # doctest: +SKIP
    """
    info = model_info(name)
    target = choose_device(device)
    chosen = choose_precision(precision, target)
    if checkpoint is None:
        path = fetch(info, progress=progress, cancelled=cancelled)
        sha256 = None if info.added else info.sha256
    else:
        path = Path(checkpoint).expanduser()
        sha256 = None
    weights = read_checkpoint(path)
    sha256 = sha256 or _sha256(path)
    if checkpoint is None and info.added and sha256 != info.sha256:
        raise HQSAMError(
            f"model {name!r}: {path} is another file than the one that was added: remove the model "
            "in the Models dock and add it again, or give the file as checkpoint"
        )
    if weights.kind == "decoder":
        weights, base_sha256 = _on_base(weights, base, name)
        sha256 = hashlib.sha256(f"{sha256} on {base_sha256}".encode()).hexdigest()
    elif base is not None:
        raise HQSAMError(f"{path} is a whole model: a base is only for a mask decoder alone")

    _check_variant(weights, info.variant)
    with _SkipInit():
        model = build(info.variant, hq=weights.has_hq)
    _move_into(model, weights)
    model.name = name
    model.weights_sha256 = sha256
    model.precision = chosen
    model = model.to(target).eval().requires_grad_(False)
    if compile:
        model.compiled = CompiledEncoder(model.image_encoder)
        model.graphed = GraphedDecoder(model.mask_decoder)
    return model


def inspect_checkpoint(path: str | Path) -> tuple[Checkpoint, str]:
    """Read a checkpoint, and make sure that it is a whole model of a kind known here.

    Returns
    -------
    checkpoint : Checkpoint
    sha256 : str
        Of the file.

    Raises
    ------
    HQSAMError
        If it cannot be loaded as a model.
    """
    weights = read_checkpoint(path)
    if weights.variant is None:
        raise HQSAMError(
            f"{weights.path} is a mask decoder alone ({len(weights.state)} tensors): save it "
            "together with the encoders that it was trained on"
        )
    with torch.device("meta"):  # shapes without numbers
        model = build(weights.variant, hq=weights.has_hq)
    _check_fits(model, weights)
    return weights, _sha256(weights.path)


def load_hq_base(model: HQSam, checkpoint: str | Path) -> None:
    """Load SAM's weights into an HQ-SAM model, as the frozen base of its training.

    Of a plain SAM file, the 25 tensors of the HQ part are the only ones that may be missing; they
    keep their values. A file that has them fills them too.

    Parameters
    ----------
    model : HQSam
        Changed in place, or left exactly as it was if there is an error.
    checkpoint : path

    Raises
    ------
    HQSAMError
        If the file is unusable, or of another architecture than `model`.
    """
    weights = read_checkpoint(checkpoint)
    if weights.kind == "decoder":
        raise HQSAMError(f"{weights.path} is a mask decoder alone: a base needs the encoders too")
    _check_variant(weights, model.variant)
    added = hq_parameter_names(model)
    _move_into(model, weights, may_miss=() if weights.has_hq else added)


def _on_base(decoder: Checkpoint, base: str | Path | None, name: str) -> tuple[Checkpoint, str]:
    """The decoder with the encoders of another file, and that file's hash."""
    if base is None:
        raise HQSAMError(
            f"{decoder.path} is a mask decoder alone ({len(decoder.state)} tensors): give the "
            f"{name} file with its image and prompt encoder as base"
        )
    whole = read_checkpoint(Path(base).expanduser())
    if whole.kind == "decoder":
        raise HQSAMError(f"{whole.path} is a mask decoder alone: the base needs the encoders")
    encoders = {k: t for k, t in whole.state.items() if not k.startswith("mask_decoder.")}
    merged = Checkpoint(decoder.path, whole.kind, whole.variant, encoders | decoder.state)
    return merged, _sha256(whole.path)


def _check_variant(weights: Checkpoint, variant: str) -> None:
    if weights.variant != variant:
        raise HQSAMError(
            f"{weights.path} holds {weights.variant} weights, not {variant}: "
            f"choose the model {weights.variant!r}, or give a file of {variant}"
        )


def _move_into(model: HQSam, weights: Checkpoint, *, may_miss: Container[str] = ()) -> None:
    """Move all tensors into the model, once every name and shape is known to fit.

    `weights` is empty afterwards: each tensor is freed when it has been copied, so that a large
    model needs its memory once and not twice.
    """
    _check_fits(model, weights, may_miss)
    own = model.state_dict()
    with torch.no_grad():
        for name in list(weights.state):
            own[name].copy_(weights.state.pop(name))


def _check_fits(model: HQSam, weights: Checkpoint, may_miss: Container[str] = ()) -> None:
    """Raise HQSAMError unless every tensor has its place in the model, and every place one."""
    own = model.state_dict()
    missing = [name for name in own if name not in weights.state and name not in may_miss]
    unknown = [name for name in weights.state if name not in own]
    misshapen = [
        f"{name} is {_shape(weights.state[name])} and not {_shape(tensor)}"
        for name, tensor in own.items()
        if name in weights.state and not _same_form(weights.state[name], tensor)
    ]
    faults = [
        f"{len(names)} tensors {what} (first: {names[0]})"
        for what, names in (
            ("are missing", missing),
            ("are unknown", unknown),
            ("do not fit", misshapen),
        )
        if names
    ]
    if faults:
        kind = "HQ-SAM" if model.has_hq else "SAM"
        raise HQSAMError(f"{weights.path} does not fit {kind} {model.variant}: {'; '.join(faults)}")


def _same_form(theirs: Tensor, ours: Tensor) -> bool:
    return theirs.shape == ours.shape and theirs.is_floating_point() == ours.is_floating_point()


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a scalar"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _SkipInit(TorchFunctionMode):
    """Leave new parameters unset: all of them are about to be loaded (ViT-H: 7 s less)."""

    _FILLS = ("kaiming_uniform_", "uniform_", "normal_", "trunc_normal_")

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in self._FILLS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)
