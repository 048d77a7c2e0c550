"""How a file came about, kept beside it: ``labels.tif`` has ``labels.tif.json``.

The keys stay as they are; a reader passes over those it does not know. What is not known is left
out.

==================== ==========================================================================
``format``           ``"napari-hqsam sidecar"``
``version``          1, of this list
``file``             name of the file beside it
``written``          date and time, ISO 8601 in UTC
``versions``         ``napari-hqsam``, ``python``, and ``numpy``, ``torch``, ``napari`` if loaded
``image``            ``name``, ``path``, and ``fingerprint``: `ImageSource.fingerprint`
``contrast_limits``  [[low, high], ...] of the channels that the network saw
``model``            ``name``, ``weights`` (hash of the weights) and ``device``
``parameters``       whatever else the job was told
``command``          the same job for a shell, on one line
==================== ==========================================================================
"""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_hqsam.labels.document import writing

if TYPE_CHECKING:
    from napari_hqsam.images import ImageSource, IntensityMapping


def sidecar_path(path: str | os.PathLike[str]) -> Path:
    """Where the sidecar of a file lies."""
    target = Path(path).expanduser()
    return target.with_name(f"{target.name}.json")


def write_sidecar(
    path: str | os.PathLike[str],
    *,
    image: ImageSource | None = None,
    mapping: IntensityMapping | None = None,
    model: str | None = None,
    weights: str | None = None,
    device: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    command: Sequence[object] = (),
) -> Path:
    """Write down how a file came about, complete or not at all.

    Parameters
    ----------
    path : str or path-like
        The file; a sidecar that it has is replaced.
    image : ImageSource, optional
        What was segmented, or measured.
    mapping : IntensityMapping, optional
        What the network saw of it.
    model, weights, device : str, optional
        Name of the model, hash of its weights, and where it ran.
    parameters : mapping, optional
        Of JSON's types; anything else is written as its text.
    command : sequence of object
        The words of `command_line`.

    Returns
    -------
    pathlib.Path
        The sidecar.

    Raises
    ------
    HQSAMError
        If it cannot be written.
    """
    target = Path(path).expanduser()
    about: dict[str, Any] = {
        "format": "napari-hqsam sidecar",
        "version": 1,
        "file": target.name,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": _versions(),
    }
    if image is not None:
        about["image"] = {"name": image.name, "fingerprint": image.fingerprint()}
        if image.path is not None:
            about["image"]["path"] = str(image.path)
    if mapping is not None:
        about["contrast_limits"] = [list(limits) for limits in mapping.limits]
    known = {"name": model, "weights": weights, "device": device}
    if any(known.values()):
        about["model"] = {key: value for key, value in known.items() if value}
    if parameters:
        about["parameters"] = dict(parameters)
    if command:
        about["command"] = command_line(command)
    sidecar = sidecar_path(target)
    with writing(sidecar, ".json") as file:
        file.write(json.dumps(about, indent=2, ensure_ascii=False, default=str).encode() + b"\n")
    return sidecar


def command_line(words: Sequence[object]) -> str:
    """A command as one line that a POSIX shell takes apart into the same words.

    Parameters
    ----------
    words : sequence of object
        Paths and numbers count by their text.

    Examples
    --------
    >>> command_line(["napari-hqsam", "segment", "my cells.tif", "--box", "1,2,30,40"])
    "napari-hqsam segment 'my cells.tif' --box 1,2,30,40"
    """
    return shlex.join(str(word) for word in words)


def _versions() -> dict[str, str]:
    from napari_hqsam import __version__

    versions = {"napari-hqsam": __version__, "python": platform.python_version()}
    for name in ("numpy", "torch", "napari"):
        found = getattr(sys.modules.get(name), "__version__", None)
        if found:
            versions[name] = str(found)
    return versions
