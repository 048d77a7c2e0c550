"""What a run keeps on disk: the state that it is taken up from, and its log."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from napari_hqsam.errors import HQSAMError
from napari_hqsam.training.hqseg44k.ranks import Ranks


class State:
    """The tensors that learn, their optimizer, and the file that holds both.

    Parameters
    ----------
    path : Path
    tensors : mapping of str to Tensor
    optimizer : torch.optim.Optimizer
    """

    def __init__(
        self, path: Path, tensors: Mapping[str, Tensor], optimizer: torch.optim.Optimizer
    ) -> None:
        self.path, self.tensors, self.optimizer = path, tensors, optimizer

    def restore(self, ranks: Ranks) -> int:
        """Take up the leader's saved run, if there is one, on all processes; the next step.

        Without one, all start from the leader's tensors.
        """
        found = ranks.share(self._read() if ranks.leads else None)
        if found is None:
            ours = {name: t.detach().cpu() for name, t in self.tensors.items()}
            found = {"step": 0, "tensors": ranks.share(ours), "optimizer": None}
        with torch.no_grad():
            for name, tensor in self.tensors.items():
                tensor.copy_(found["tensors"][name])
        if found["optimizer"] is not None:
            self.optimizer.load_state_dict(found["optimizer"])
        return int(found["step"])

    def save(self, step: int) -> None:
        """Save; `step` is the one to go on with."""
        tensors = {name: t.detach().cpu() for name, t in self.tensors.items()}
        optimizer = self.optimizer.state_dict()
        self.write(self.path, {"step": step, "tensors": tensors, "optimizer": optimizer})

    @staticmethod
    def write(path: Path, content: Mapping[str, Any]) -> None:
        """Write a torch file that is there in full or not at all."""
        part = path.with_name(f"{path.name}.part")
        try:
            torch.save(dict(content), part)
            part.replace(path)
        except (OSError, RuntimeError) as error:  # torch's writer raises the latter
            raise HQSAMError(f"{path}: cannot be written ({_reason(error)})") from error

    def _read(self) -> dict[str, Any] | None:
        if not self.path.exists():
            return None
        try:
            found = torch.load(self.path, map_location="cpu", weights_only=True)
        except Exception as error:  # damage shows as almost any error
            raise HQSAMError(
                f"{self.path}: cannot be read ({_reason(error)}); choose another --run folder"
            ) from error
        known = isinstance(found, dict) and found.keys() == {"step", "tensors", "optimizer"}
        if not known or found["tensors"].keys() != self.tensors.keys():
            raise HQSAMError(
                f"{self.path}: not the state of such a run; choose another --run folder"
            )
        return found


class Log:
    """`log.csv`: a line for each step, with the mean loss of each kind of prompt.

    Parameters
    ----------
    path : Path
    kinds : sequence of str
    start : int
        The step that the run goes on with; lines from there on are dropped.
    writes : bool
        False for a log that takes lines and leaves no file.
    """

    def __init__(self, path: Path, kinds: Sequence[str], start: int, *, writes: bool) -> None:
        self._stack = ExitStack()
        self._file = None
        if not writes:
            return
        earlier = self._rows_before(path, start)
        try:
            self._file = self._stack.enter_context(path.open("w", newline="", encoding="utf-8"))
        except OSError as error:
            raise HQSAMError(f"{path}: cannot be written ({error.strerror})") from error
        self._writer = csv.writer(self._file)
        columns = ("step", "epoch", "learning_rate", "loss", *(f"loss_{k}" for k in kinds))
        self._writer.writerows([columns, *earlier])

    def write(
        self, step: int, epoch: int, rate: float, loss: float, by_kind: Sequence[float]
    ) -> None:
        """Add a line; a kind of prompt that the step did not have (NaN) is left empty."""
        if self._file is None:
            return
        cells = ("" if math.isnan(x) else f"{x:.5f}" for x in by_kind)
        self._writer.writerow([step, epoch, f"{rate:g}", f"{loss:.5f}", *cells])
        self._file.flush()

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    @staticmethod
    def _rows_before(path: Path, step: int) -> list[list[str]]:
        if step == 0 or not path.exists():
            return []
        with path.open(newline="", encoding="utf-8") as file:
            return [row for row in csv.reader(file) if row[:1] and _is_before(row[0], step)]


def _is_before(cell: str, step: int) -> bool:
    return cell.isdigit() and int(cell) < step


def _reason(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
