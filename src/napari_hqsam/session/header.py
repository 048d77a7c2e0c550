"""The first record of a journal: which image and labels it is about, and how it was begun."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from napari_hqsam.labels.label_array import LabelArray
from napari_hqsam.session.fingerprint import Fingerprint
from napari_hqsam.session.start import highest, store_path

FORMAT = 2
"""Version of the journal's format; to be raised when an older program would misread it."""

Start = Literal["nothing", "snapshot", "store"]


@dataclass(frozen=True)
class Header:
    """What a journal is about.

    Attributes
    ----------
    image : Fingerprint
    name : str
        Of the image, as the user knows it.
    axes : str
        One letter for each axis of the labels.
    shape : tuple of int
        Of the labels.
    dtype : str
        Of the labels.
    store : pathlib.Path or None
        The folder of labels on disk.
    start : {"nothing", "snapshot", "store"}
        What the labels held at the beginning: nothing, what is kept beside the journal, or what
        the store held; there only steps change it, so that it can be told from the store.
    model : str
    weights : str
        sha256, or another name of the model's weights.
    contrast : tuple of ((float, float) or None), or None
        Intensities shown as black and white, for each channel; None for what suits the image.
    extra : Mapping
        Whatever the caller wants to find again, as JSON knows it.
    created : datetime
    version : str
        Of the package that began it.
    """

    image: Fingerprint
    name: str
    axes: str
    shape: tuple[int, ...]
    dtype: str
    store: Path | None = None
    start: Start = "nothing"
    model: str = ""
    weights: str = ""
    contrast: tuple[tuple[float, float] | None, ...] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    version: str = ""

    @classmethod
    def of(
        cls,
        labels: LabelArray,
        image: Fingerprint,
        name: str,
        axes: str,
        *,
        model: str = "",
        weights: str = "",
        contrast: Sequence[Sequence[float] | None] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Self:
        """The header of a session that begins now; labels in memory are looked through.

        Raises
        ------
        ValueError
            If there is not one letter for each axis of the labels.
        """
        from napari_hqsam import __version__

        if len(axes) != len(labels.shape):
            raise ValueError(f"axes {axes!r} of labels {labels.shape}")

        store = store_path(labels)
        held: Start = "nothing"
        if highest(labels) > 0:
            held = "snapshot" if store is None else "store"
        shape = tuple(int(n) for n in labels.shape)
        return cls(
            image,
            name,
            axes,
            shape,
            np.dtype(labels.dtype).name,
            store,
            held,
            model,
            weights,
            _limits(contrast),
            dict(extra or {}),
            version=__version__,
        )

    def to_json(self) -> dict[str, Any]:
        """As plain numbers and texts."""
        return {
            "format": FORMAT,
            "version": self.version,
            "created": self.created.isoformat(timespec="seconds"),
            "image": self.image.to_json() | {"name": self.name, "axes": self.axes},
            "labels": {
                "shape": list(self.shape),
                "dtype": self.dtype,
                "store": None if self.store is None else str(self.store),
                "start": self.start,
            },
            "model": self.model,
            "weights": self.weights,
            "contrast": self.contrast and [c and list(c) for c in self.contrast],
            "extra": dict(self.extra),
        }

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> Self:
        """What `to_json` gave.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it is something else.
        """
        image, labels, contrast = saved["image"], saved["labels"], saved["contrast"]
        if labels["start"] not in ("nothing", "snapshot", "store"):
            raise ValueError(f"labels that begin with {labels['start']!r}")
        if np.dtype(labels["dtype"]).kind not in "ui":
            raise ValueError(f"labels of {labels['dtype']!r}")
        found = cls(
            Fingerprint.from_json(image),
            str(image["name"]),
            str(image["axes"]),
            tuple(int(n) for n in labels["shape"]),
            str(labels["dtype"]),
            None if labels["store"] is None else Path(labels["store"]),
            labels["start"],
            str(saved["model"]),
            str(saved["weights"]),
            _limits(contrast),
            dict(saved["extra"]),
            datetime.fromisoformat(saved["created"]),
            str(saved["version"]),
        )
        if len(found.axes) != len(found.shape):
            raise ValueError(f"axes {found.axes!r} of labels {found.shape}")
        return found


def _limits(
    given: Sequence[Sequence[float] | None] | None,
) -> tuple[tuple[float, float] | None, ...] | None:
    if given is None:
        return None
    return tuple(None if pair is None else (float(pair[0]), float(pair[1])) for pair in given)
