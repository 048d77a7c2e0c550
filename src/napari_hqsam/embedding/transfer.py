"""To a GPU and back, beside what it computes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from napari_hqsam.embedding.half import to_half
from napari_hqsam.modeling import TileFeatures


def ready_to_send(image: Tensor, device: torch.device) -> Tensor:
    """The same image where a GPU can fetch it by itself."""
    return image.pin_memory() if device.type == "cuda" else image


def fetching(features: TileFeatures, device: torch.device) -> Callable[[], TileFeatures]:
    """What gives features on the CPU, in float16 as they are stored, to be called by a thread.

    They are rounded at once: a thread that does so in small steps, beside a CPU that encodes, would
    hold it up at each of them. The call waits for these features, and not for what a GPU was given
    to compute after them.
    """
    hq = None if features.hq is None else to_half(features.hq)
    halves = TileFeatures(to_half(features.embedding), hq)
    if device.type != "cuda":
        return lambda: halves
    computed = torch.cuda.current_stream(device).record_event()

    def fetch() -> TileFeatures:
        beside = torch.cuda.Stream(device)
        with torch.cuda.stream(beside):
            beside.wait_event(computed)
            return halves.to("cpu")

    return fetch
