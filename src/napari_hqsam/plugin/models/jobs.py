"""What the Models dock does in a thread. No Qt here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_hqsam.plugin.models.timing import (
    Timing,
    device_label,
    encoder_label,
    measure,
    remember,
    weights_hash,
)

if TYPE_CHECKING:
    from napari_hqsam.embedding.eviction import Freed
    from napari_hqsam.embedding.folder import FolderStatus
    from napari_hqsam.plugin.task import Reporter
    from napari_hqsam.weights import ModelInfo


@dataclass(frozen=True)
class Computer:
    """What models run on.

    Attributes
    ----------
    devices : tuple of (str, str)
        What can be chosen, and what it is.
    label : str
        The device chosen, as timings are kept under.
    precision : str
        What "auto" is there, and whether compiled; as timings are kept under.
    problem : str
        Why the device of the settings cannot be used; "" if it can.
    """

    devices: tuple[tuple[str, str], ...]
    label: str
    precision: str
    problem: str = ""


def look_around(device: str, precision: str, compile: bool, report: Reporter) -> Computer:
    """Find out what this computer can do; torch is loaded for that."""
    from napari_hqsam.errors import HQSAMError
    from napari_hqsam.modeling import choose_device, choose_precision, list_devices

    devices, problem = tuple(list_devices()), ""
    try:
        chosen = choose_device(device)
    except HQSAMError as error:
        chosen, problem = choose_device(), str(error)
    used = encoder_label(choose_precision(precision, chosen), compile)
    return Computer(devices, device_label(chosen), used, problem)


def download(info: ModelInfo, report: Reporter) -> Path:
    """Download a model's weights; what has arrived stays if it is cancelled."""
    from napari_hqsam.weights import fetch

    return fetch(info, progress=report.progress, cancelled=report.cancelled)


def add(checkpoint: Path, name: str, report: Reporter) -> ModelInfo:
    """Check a checkpoint, and give it a name."""
    from napari_hqsam.weights import add_model

    return add_model(checkpoint, name, check=report.check)


def time_model(
    info: ModelInfo, device: str, precision: str, compile: bool, report: Reporter
) -> Timing:
    """Load a model, time it, once it is compiled, and keep the result."""
    from napari_hqsam.weights import load_model

    model = load_model(info.name, device=device, precision=precision, compile=compile)
    report.check()
    timing = measure(model, report.check)
    used = encoder_label(model.precision, compile)
    remember(timing, weights_hash(info), device_label(model.device), used)
    return timing


def look_into(folder: Path, report: Reporter) -> FolderStatus:
    """What the embeddings in a folder take."""
    from napari_hqsam.embedding.folder import folder_status

    return folder_status(folder, report.check)


def free_space(folder: Path, gigabytes: float, report: Reporter) -> Freed:
    """Delete what was not used for longest, until so much is left."""
    from napari_hqsam.embedding.folder import prune_folder

    return prune_folder(folder, round(gigabytes * 1e9), report.check)
