"""Models to measure, also those whose weights are not on this computer."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_hqsam.modeling import HQSam


def timing_model(name: str, device: str = "auto") -> HQSam:
    """A model; with random weights, the same in every process, if its own are not here.

    Nothing is downloaded: how fast a model is does not depend on its weights.

    Parameters
    ----------
    name : str
        From `list_models`.
    device : str
        As for `load_model`.

    Raises
    ------
    HQSAMError
        If the name or the device is unknown.
    """
    from napari_hqsam.modeling.device import choose_device
    from napari_hqsam.weights import load_model, model_info

    info, target = model_info(name), choose_device(device)
    if info.installed:
        return load_model(name, device=device)
    import torch

    from napari_hqsam.modeling import build

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build(info.variant).requires_grad_(False)
    model.name = name
    return model.to(target)


def is_random(model: HQSam) -> bool:
    """Whether the weights come from no file."""
    return model.weights_sha256 is None
