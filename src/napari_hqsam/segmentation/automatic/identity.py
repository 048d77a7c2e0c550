"""What the objects found depend on besides the settings: the image, how it is read, the model."""

from __future__ import annotations

import hashlib
from typing import Any

import torch

from napari_hqsam.embedding.features import Features
from napari_hqsam.embedding.key import run_key
from napari_hqsam.modeling import HQSam


def identity(features: Features, level: int) -> dict[str, Any]:
    """The image, its intensity mapping, the level and the model, of JSON's types."""
    model = features.model
    return {
        **run_key(features.source, features.mapping, model),
        "level": level,
        "model_name": model.name,
        "weights": model.weights_sha256,
        "decoder": decoder_hash(model),
    }


def decoder_hash(model: HQSam) -> str:
    """sha256 of the weights that make masks of features: a fine-tuned decoder finds others."""
    found = hashlib.sha256()
    for part in (model.prompt_encoder, model.mask_decoder):
        for name, tensor in sorted(part.state_dict().items()):
            values = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
            found.update(values.numpy().data)
    return found.hexdigest()
