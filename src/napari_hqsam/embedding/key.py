"""What features depend on: the image, how it is looked at, the weights. Never on a path."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_hqsam.images.intensity import IntensityMapping
from napari_hqsam.images.source import ImageSource
from napari_hqsam.modeling import HQSam

STORED_DTYPE = "float16"

# To be raised when the way from pixels to features changes for the same weights.
_ENCODING = 1

# Per module: the versions of its tensors when they were hashed, and the hash.
_hashes: WeakKeyDictionary[nn.Module, tuple[tuple[Any, ...], str]] = WeakKeyDictionary()


def image_fingerprint(source: ImageSource) -> dict[str, Any]:
    """What tells one image from another without reading its pixels: lengths and data type.

    It is the same for all channels of an image, and along whichever axis it is looked at.
    """
    found = source.fingerprint()
    lengths = dict(zip(found["axes"], found["shapes"][0], strict=True))
    shape = [lengths[axis] for axis in sorted(lengths) if lengths[axis] > 1]
    return {"shape": shape, "dtype": found["dtype"]}


def describe_image(fingerprint: dict[str, Any]) -> str:
    """A fingerprint for an error message: ``10 × 2341 × 3293, uint16``."""
    return f"{' × '.join(map(str, fingerprint['shape'])) or '1'}, {fingerprint['dtype']}"


def run_key(source: ImageSource, mapping: IntensityMapping, model: HQSam) -> dict[str, Any]:
    """What all windows of a run have in common, ready for JSON.

    Features of two windows that agree in this, in `Window` and in their pixels are the same up to
    the rounding of the device they were computed on: a laptop takes those of a GPU, if the GPU
    computed in the precision that the laptop asks for.
    """
    return {
        "encoding": _ENCODING,
        "image": source.fingerprint(),
        # + 0.0 makes the limits 0 and -0.0 one
        "intensity": [[float(low) + 0.0, float(high) + 0.0] for low, high in mapping.limits],
        "model": model.variant,
        "input_size": model.input_size,
        "encoder": encoder_hash(model),
        "hq_head": head_hash(model),
        "precision": model.precision,
        "dtype": STORED_DTYPE,
    }


def digest(key: dict[str, Any]) -> str:
    """A short name for a key: 16 hexadecimal digits."""
    text = json.dumps(key, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def encoder_hash(model: HQSam) -> str:
    """sha256 of the image encoder's weights and of the normalisation before it.

    It is kept for as long as the model lives and its weights are not changed: ViT-H has 2.5 GB.
    """
    pixels = [("pixel_mean", model.pixel_mean), ("pixel_std", model.pixel_std)]
    return _hash(model.image_encoder, pixels)


def head_hash(model: HQSam) -> str | None:
    """sha256 of the weights that make the HQ features of what the encoder gives; None for SAM."""
    if not model.has_hq:
        return None
    decoder = model.mask_decoder
    parts = [_hash(part) for part in (decoder.compress_vit_feat, decoder.embedding_encoder)]
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def pixels_hash(pixels: Tensor | NDArray[Any]) -> str:
    """Hash of the pixels that a window was encoded from: an image edited in place shows.

    Parameters
    ----------
    pixels : Tensor or numpy.ndarray
        Any shape and dtype. Take them before they are resized: the last digit of a resized float
        differs between computers.
    """
    array = pixels.detach().cpu().numpy() if isinstance(pixels, Tensor) else np.asarray(pixels)
    array = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    found = hashlib.sha256(f"{array.dtype.str} {array.shape} ".encode())
    found.update(array.data)
    return found.hexdigest()[:32]


def _hash(module: nn.Module, more: Iterable[tuple[str, Tensor]] = ()) -> str:
    tensors = sorted([*module.named_parameters(), *module.named_buffers(), *more])
    versions = tuple((t.data_ptr(), _version(t)) for _, t in tensors)
    known = _hashes.get(module)
    if known is not None and known[0] == versions:
        return known[1]
    found = hashlib.sha256()
    for name, tensor in tensors:
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        found.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    _hashes[module] = versions, found.hexdigest()
    return found.hexdigest()


def _version(tensor: Tensor) -> int:
    """How often a tensor was written to; those made for inference do not count."""
    return 0 if tensor.is_inference() else int(tensor._version)
