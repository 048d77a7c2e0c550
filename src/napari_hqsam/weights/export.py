"""Write a model's weights."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from napari_hqsam.errors import HQSAMError
from napari_hqsam.modeling.hq_sam import HQSam
from napari_hqsam.weights.checkpoint import is_finite


def save_model(
    model: HQSam,
    path: str | Path,
    *,
    dtype: Literal["float32", "float16"] = "float32",
    metadata: dict[str, str] | None = None,
) -> Path:
    """Save weights as safetensors, in the layout of the official HQ-SAM files.

    The file appears under its name when it is complete, and replaces an older one at once.

    Parameters
    ----------
    model : HQSam
    path : path
    dtype : {"float32", "float16"}
        "float16" halves the file: weight matrices and kernels are rounded; vectors (norms, biases)
        and buffers (BatchNorm statistics, the positional code) are small and stay float32.
    metadata : dict of str to str, optional
        Put into the file's header, beside the variant.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    HQSAMError
        If a weight is NaN or infinite, or too large for float16, or the file cannot be written.
    """
    path = Path(path)
    kernels = {name for name, p in model.named_parameters() if p.ndim > 1}
    state = {}
    for name, tensor in model.state_dict().items():
        half = dtype == "float16" and name in kernels
        tensor = tensor.detach().to("cpu", torch.float16 if half else None).contiguous()
        if tensor.is_floating_point() and not is_finite(tensor):
            raise HQSAMError(f"{path}: not saved, {name} is not finite in {tensor.dtype}")
        state[name] = tensor
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        part.touch()
        mode = part.stat().st_mode  # save_file would leave a file that only its owner can read
        save_file(state, part, metadata={"variant": model.variant, **(metadata or {})})
        part.chmod(mode)
        os.replace(part, path)
    except (OSError, SafetensorError) as error:
        raise HQSAMError(f"{path}: cannot be written ({error})") from error
    finally:
        part.unlink(missing_ok=True)
    return path
