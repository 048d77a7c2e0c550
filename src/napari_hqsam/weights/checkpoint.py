"""Read a weights file without trusting it, and say what it is."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from napari_hqsam.errors import HQSAMError
from napari_hqsam.weights.layout import from_transformers, has_hq, unwrap

Kind = Literal["hq-sam", "sam", "micro-sam", "transformers", "decoder"]

_FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
_VIT_WIDTHS = {768: "vit_b", 1024: "vit_l", 1280: "vit_h"}
# Under these keys, trainers keep the weights beside the optimizer's state and more.
_NESTED = ("model_state", "state_dict", "model")


@dataclass(frozen=True)
class Checkpoint:
    """Weights read from a file.

    Attributes
    ----------
    path : Path
    kind : {"hq-sam", "sam", "micro-sam", "transformers", "decoder"}
        The layout of the file: official HQ-SAM; plain SAM (Meta's, MobileSAM's); micro-sam's, which
        is SAM too; transformers' SamHQ or Sam; the mask decoder alone, as HQ-SAM's training saves.
    variant : str or None
        The architecture. None for a decoder, whose encoder is elsewhere.
    state : dict of str to Tensor
        Dense, finite CPU tensors by their official names (``image_encoder.…``,
        ``prompt_encoder.…``, ``mask_decoder.…``), whatever the file calls them.
    """

    path: Path
    kind: Kind
    variant: str | None
    state: dict[str, Tensor]

    @property
    def has_hq(self) -> bool:
        """Whether the file holds HQ-SAM's own tensors."""
        return has_hq(self.state)


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a safetensors or torch file.

    The format is told by the content, not by the suffix. Nothing in the file is run: pickles may
    hold plain tensors and nothing else.

    Raises
    ------
    HQSAMError
        If the file cannot be read, is damaged, holds code, NaN or infinity, or is not of a model
        that is known here.
    """
    path = Path(path)
    state, nested_in = _tensors(path, _read(path))
    kind, state = _recognise(path, unwrap(state))
    if nested_in == "model_state" and kind == "sam":
        kind = "micro-sam"
    checkpoint = Checkpoint(path, kind, None if kind == "decoder" else _variant(path, state), state)
    _check_values(checkpoint)
    return checkpoint


def _read(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except FileNotFoundError:
        raise HQSAMError(f"{path}: no such file") from None
    except OSError as error:
        raise HQSAMError(f"{path}: cannot be read ({error.strerror or error})") from error
    if head.startswith(b"PK\x03\x04"):
        return _read_zip(path)
    if head.startswith(b"\x80"):
        return _unpickle(path)
    if head[8:9] == b"{":
        try:
            return load_file(path)
        except (SafetensorError, OSError, ValueError, RuntimeError) as error:
            raise _damaged(path, error) from error
    what = "is empty" if not head else "is not a weights file (safetensors or torch)"
    if head.lstrip().startswith((b"<", b"version https:")):
        what = "is a web page or a Git LFS pointer, not the weights that it leads to"
    raise HQSAMError(f"{path} {what}: download it again")


def _read_zip(path: Path) -> Any:
    """Read what torch.save writes: an uncompressed zip of one pickle and the tensors' bytes."""
    try:
        with zipfile.ZipFile(path) as archive:
            compressed = [i for i in archive.infolist() if i.compress_type != zipfile.ZIP_STORED]
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise _damaged(path, error) from error
    if compressed:  # torch never writes that, and a few kilobytes could unpack to terabytes
        raise HQSAMError(f"{path} is a compressed zip, not a torch file: unpack it first")
    return _unpickle(path)


def _unpickle(path: Path) -> Any:
    # An open file, because torch.load goes by the suffix of a path. Not mapped into memory: torch
    # checks the sizes that a pickle claims against the data only when it reads them.
    try:
        with path.open("rb") as file:
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        raise HQSAMError(
            f"{path} holds more than tensors ({found[1] if found else 'Python objects'}), which "
            f"could run code, and was not opened: save the model's state_dict alone, best as "
            f"safetensors"
        ) from error
    except Exception as error:  # damage shows as almost any error, from struct.error to OSError
        raise _damaged(path, error) from error


def _damaged(path: Path, error: BaseException) -> HQSAMError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
    return HQSAMError(f"{path} is truncated or damaged ({reason}): download it again")


def _tensors(path: Path, content: Any) -> tuple[dict[str, Tensor], str | None]:
    """The state dict in `content`, and the key that it was found under, if any."""
    nested_in = None
    if isinstance(content, Mapping):
        nested_in = next((k for k in _NESTED if isinstance(content.get(k), Mapping)), None)
        content = content[nested_in] if nested_in else content
    if not isinstance(content, Mapping) or not content:
        raise HQSAMError(f"{path} holds no state dict but a {type(content).__name__}")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise HQSAMError(
                f"{path} is not a state dict: {str(name)[:60]!r} is a {type(value).__name__}, "
                f"not a tensor"
            )
    return dict(content), nested_in


def _recognise(path: Path, state: dict[str, Tensor]) -> tuple[Kind, dict[str, Tensor]]:
    """The kind of the file, and its tensors by their official names."""
    rooms = {name.split(".", 1)[0] for name in state}
    if "vision_encoder" in rooms:
        return "transformers", {from_transformers(name): t for name, t in state.items()}
    if {"image_encoder", "mask_decoder"} <= rooms:
        return "hq-sam" if has_hq(state) else "sam", state
    if {"iou_token", "mask_tokens", "transformer"} <= rooms:
        return "decoder", {f"mask_decoder.{name}": t for name, t in state.items()}
    if "sam_mask_decoder" in rooms:
        raise HQSAMError(f"{path} holds a SAM 2 model, which is not supported: use SAM or HQ-SAM")
    some = ", ".join(sorted(state)[:3])
    raise HQSAMError(
        f"{path} holds neither HQ-SAM nor SAM weights but {len(state)} tensors such as {some}"
    )


def _variant(path: Path, state: dict[str, Tensor]) -> str:
    """The architecture, by its encoder's tensors."""
    if any(name.startswith("image_encoder.backbone.") for name in state):
        return "micro"
    if any(name.startswith("image_encoder.patch_embed.seq.") for name in state):
        return "vit_tiny"
    patches = state.get("image_encoder.patch_embed.proj.weight")
    if patches is None or patches.ndim != 4:
        raise HQSAMError(f"{path} has an image encoder that is not known here")
    width = patches.shape[0]
    if width not in _VIT_WIDTHS:
        known = ", ".join(f"{name} {width}" for width, name in _VIT_WIDTHS.items())
        raise HQSAMError(f"{path} has a ViT of width {width}, which is none of {known}")
    return _VIT_WIDTHS[width]


def _check_values(checkpoint: Checkpoint) -> None:
    """Refuse what is not a dense tensor of finite numbers."""
    for name, tensor in checkpoint.state.items():
        if tensor.layout != torch.strided or tensor.device.type != "cpu":
            raise HQSAMError(f"{checkpoint.path}: {name} is not a dense tensor")
        if tensor.dtype == torch.int64 and tensor.ndim == 0:  # BatchNorm's counter
            continue
        if tensor.dtype not in _FLOATS:
            raise HQSAMError(f"{checkpoint.path}: {name} is {tensor.dtype}, not a float tensor")
        # A stride of 0 lets a few bytes pose as terabytes.
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise HQSAMError(f"{checkpoint.path}: {name} is larger than its data")
        if not is_finite(tensor.float() if tensor.dtype == torch.float64 else tensor):
            raise HQSAMError(
                f"{checkpoint.path}: {name} has NaN or infinite values; the weights are unusable"
            )


def is_finite(tensor: Tensor) -> bool:
    """Whether a CPU tensor has neither NaN nor infinity.

    In numpy, on one thread: a model has hundreds of small tensors, and on a busy computer torch's
    threads wait for each other at every one of them (40 × slower beside a training run).
    """
    tensor = tensor.detach()
    array = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return bool(np.isfinite(array).all())
