"""The SAM that stays as it is, with a new HQ part."""

from __future__ import annotations

from pathlib import Path

import torch

from napari_hqsam.errors import HQSAMError
from napari_hqsam.modeling import HQSam, build
from napari_hqsam.weights import load_hq_base, read_checkpoint


def starting_model(base: Path, variant: str | None = None, *, seed: int = 0) -> HQSam:
    """SAM from a file, and the 25 tensors of the HQ part, random; or those of an HQ-SAM file.

    Parameters
    ----------
    base : Path
        SAM or HQ-SAM, whole, in any layout that `read_checkpoint` knows.
    variant : str, optional
        The architecture that the file must hold; what it holds is told from its tensors.
    seed : int
        Of the random tensors.

    Raises
    ------
    HQSAMError
        If the file cannot be used, or is of another variant.
    """
    found = read_checkpoint(base).variant
    if found is None:
        raise HQSAMError(f"{base} is a mask decoder alone: give the whole SAM file as base")
    if variant not in (None, found):
        raise HQSAMError(f"{base} holds {found} weights, not {variant}: give another base")
    torch.manual_seed(seed)
    model = build(found)
    load_hq_base(model, base)
    return model
