"""How long a window takes with a model on this computer; remembered from one day to the next."""

from __future__ import annotations

import json
import os
import platform
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from hashlib import file_digest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_hqsam.weights import data_dir

if TYPE_CHECKING:
    import torch

    from napari_hqsam.modeling import HQSam
    from napari_hqsam.weights import ModelInfo

# A first encode that took longer than this is not repeated: warming up is a small part of it.
_LONG = 10.0


@dataclass(frozen=True)
class Timing:
    """What one window and one prompt took.

    Attributes
    ----------
    encode, decode : float
        Seconds.
    input_size : int
        Side of the window in model pixels.
    """

    encode: float
    decode: float
    input_size: int


def measure(model: HQSam, check: Callable[[], None] = lambda: None) -> Timing:
    """Time one encode and one decode; of a model that is to be compiled, when it is.

    Parameters
    ----------
    model : HQSam
    check : callable
        Called between the encoder's blocks; it may raise to stop.
    """
    import torch

    from napari_hqsam.modeling import PromptBatch

    size = model.input_size
    image = torch.zeros(1, 3, size, size, device=model.device)
    box = torch.tensor([[size / 4, size / 4, size / 2, size / 2]], device=model.device)
    first = torch.zeros(1, dtype=torch.int64, device=model.device)
    with torch.inference_mode():

        def encode() -> Any:
            features = model.encode(image, check)
            features.embedding.sum().item()  # waits for a GPU
            return features

        def decode() -> None:
            decoded = model.decode(features, first, PromptBatch(boxes=box), hq=model.has_hq)
            decoded.sam.sum().item()

        seconds, features = _clock(encode)
        if model.compiled is not None:
            model.compiled.wait(check)
        if seconds < _LONG or model.compiled is not None:
            seconds, features = _clock(encode)
        decode()
        check()
        return Timing(seconds, _clock(decode)[0], size)


def _clock(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def device_label(device: torch.device) -> str:
    """What tells one device from another: the GPU's name, or the computer and its threads."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = f", {torch.get_num_threads()} threads" if device.type == "cpu" else ""
    return f"{platform.node()}, {device.type}{threads}"


def encoder_label(precision: str, compiled: bool) -> str:
    """What the encoder computes in, as timings are kept under."""
    return f"{precision}, compiled if faster" if compiled else precision


def weights_hash(info: ModelInfo) -> str | None:
    """sha256 of a model's file; None if it is not there."""
    if info.sha256 is not None:
        return info.sha256
    with suppress(OSError):
        about = info.path.stat()
        return _sha256(info.path, about.st_size, about.st_mtime_ns)
    return None


@lru_cache
def _sha256(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def remembered(weights: str | None, device: str, precision: str) -> Timing | None:
    """The timing of a model with these weights, on that device, in that precision."""
    with suppress(KeyError, TypeError, ValueError):
        found = Timing(**_read()[_key(weights, device, precision)])
        return Timing(float(found.encode), float(found.decode), int(found.input_size))
    return None


def remember(timing: Timing, weights: str | None, device: str, precision: str) -> None:
    """Keep a timing in the user's data folder; a folder that cannot be written keeps none."""
    file = _file()
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        timings = _read() | {_key(weights, device, precision): asdict(timing)}
        partial = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
        partial.write_text(json.dumps(timings, indent=1), "utf-8")
        os.replace(partial, file)


def _file() -> Path:
    return data_dir() / "timings.json"


def _read() -> dict[str, Any]:
    try:
        found = json.loads(_file().read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _key(weights: str | None, device: str, precision: str) -> str:
    return f"{(weights or '')[:16]} on {device} in {precision}"
