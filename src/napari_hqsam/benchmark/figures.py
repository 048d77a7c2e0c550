"""Figures, each beside the target that it is held to."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari_hqsam.modeling import HQSam


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes
    ----------
    name : str
        What was measured.
    value : float or bool
    unit : str
        "" for a ratio, a count, or yes and no.
    target : float or bool, optional
        What the value must not exceed; of yes and no, what it must be. None for a figure that
        only informs.
    about : str
        Where it comes from: what the target is made of, how many times it was measured.
    at_least : bool
        Whether the value must reach the target instead.
    """

    name: str
    value: float | bool
    unit: str = ""
    target: float | bool | None = None
    about: str = ""
    at_least: bool = False

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.target is None:
            return None
        if isinstance(self.target, bool):
            return bool(self.value) == self.target
        if self.at_least:
            return bool(self.value >= self.target)
        return bool(self.value <= self.target)  # never by NaN


Cell = str | int | float | None


@dataclass
class Table:
    """Figures of many cases, a row for each.

    Attributes
    ----------
    name : str
    columns : tuple of str
        Their headings, each once.
    rows : list of tuple of str, int, float or None
        A value for each column; None where there is none.
    """

    name: str
    columns: tuple[str, ...]
    rows: list[tuple[Cell, ...]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The table, ready for JSON."""
        rows = [dict(zip(self.columns, row, strict=True)) for row in self.rows]
        return {"table": self.name, "rows": rows}


@dataclass
class Report:
    """All figures of one benchmark.

    Attributes
    ----------
    name : str
        Of the benchmark.
    setting : dict of str to str or number
        What they depend on: model, device, threads, sizes.
    figures : list of Figure
    tables : list of Table
        What the figures are made of, where that is of interest.
    """

    name: str
    setting: dict[str, str | float]
    figures: list[Figure] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The report, ready for JSON."""
        figures = [asdict(figure) | {"met": figure.met} for figure in self.figures]
        report = {"benchmark": self.name, "setting": self.setting, "figures": figures}
        if self.tables:
            report["tables"] = [table.to_json() for table in self.tables]
        return report


def setting_of(model: HQSam) -> dict[str, str | float]:
    """What any figure depends on: the model, and what computes."""
    import torch

    from napari_hqsam.benchmark.models import is_random

    on_gpu = model.device.type == "cuda"
    return {
        "model": model.name + (", random weights: speed only" if is_random(model) else ""),
        "input size": model.input_size,
        "device": torch.cuda.get_device_name(model.device) if on_gpu else str(model.device),
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count() or 1,
        "system": f"{platform.system()} {platform.machine()}",
    }


def median(values: Sequence[float]) -> float:
    """The median; NaN of none."""
    return float(np.median(values)) if len(values) else float("nan")


def percentile(values: Sequence[float], percent: float) -> float:
    """A percentile; NaN of none."""
    return float(np.percentile(values, percent)) if len(values) else float("nan")
