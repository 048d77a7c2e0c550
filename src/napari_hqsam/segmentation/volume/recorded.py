"""A walk that keeps a record of each step, and goes on from the last one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.segmentation.volume.score import Judge
from napari_hqsam.segmentation.volume.slice_mask import SliceMask
from napari_hqsam.segmentation.volume.walk import Track, Walk
from napari_hqsam.storage.work import Work

_UNREAD: Any = None  # a track that is on its way, while steps are replayed


class RecordedWalk(Walk):
    """A `Walk` whose steps are recorded: those that are need not be computed again.

    Where its objects are is kept for the last two steps only, in turn: one of the two always
    belongs to the last record, whenever the process is killed.

    Parameters
    ----------
    work : Work
    name : str
        Of this walk, in the records.
    *about
        As for `Walk`.
    """

    def __init__(self, work: Work, name: str, *about: Any) -> None:
        super().__init__(*about)
        self._work, self._name = work, name
        self._replays = False
        self._last = 0  # the last position that was replayed
        self._due: list[SliceMask] = []  # seeds that are set out from with the next step

    @property
    def going(self) -> bool:
        """As of a walk."""
        return bool(self.tracks or self._due)

    def begin(self, seeds: Iterable[SliceMask]) -> None:
        """As of a walk; put off until it is known whether the next step is recorded."""
        self._due += list(seeds)

    def step(self, position: int, seeds: Sequence[SliceMask] = ()) -> list[SliceMask]:
        """As of a walk."""
        key = f"{self._name}/{position}"
        if key in self._work:
            self._replays, self._due = True, []
            record = self._work.read(key)
            self.tracks = dict.fromkeys(record["active"].tolist(), _UNREAD)
            self._last = position
            return _masks(record)
        if self._replays:
            self._restore()
        super().begin(self._due)
        self._due = []
        found = super().step(position, seeds)
        tracks: dict[str, NDArray[Any]] = {}
        for label, track in self.tracks.items():
            tracks |= {f"track/{label}/{name}": array for name, array in track.arrays().items()}
        for label, judge in self.judges.items():
            tracks |= {f"judge/{label}/{name}": array for name, array in judge.arrays().items()}
        self._work.write(f"{self._name}/tracks{position % 2}", tracks)
        record = {f"{i}.{k}": v for i, mask in enumerate(found) for k, v in mask.packed().items()}
        record["active"] = np.array(list(self.tracks), np.int64)
        self._work.write(key, record)
        return found

    def _restore(self) -> None:
        kept = set(self.tracks)
        parts: dict[tuple[str, int], dict[str, NDArray[Any]]] = defaultdict(dict)
        for key, array in self._work.read(f"{self._name}/tracks{self._last % 2}").items():
            kind, label, name = key.split("/", 2)
            parts[kind, int(label)][name] = array
        self.judges = {n: Judge.from_arrays(a) for (k, n), a in parts.items() if k == "judge"}
        self.tracks = {
            n: Track.from_arrays(a) for (k, n), a in parts.items() if k == "track" and n in kept
        }
        self._replays = False


def _masks(record: dict[str, NDArray[Any]]) -> list[SliceMask]:
    count = sum(key.endswith(".about") for key in record)
    keys = ("about", "score", "bits")
    return [SliceMask.unpacked({k: record[f"{i}.{k}"] for k in keys}) for i in range(count)]
