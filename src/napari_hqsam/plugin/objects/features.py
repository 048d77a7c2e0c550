"""The table of objects in `layer.features`, where napari shows it and other plugins read it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from qtpy.compat import isalive
from qtpy.QtCore import QTimer

from napari_hqsam.plugin.objects.table import ObjectTable
from napari_hqsam.session.record import STATUSES, ObjectRecord

if TYPE_CHECKING:
    import pandas as pd
    from napari.layers import Labels

    from napari_hqsam.labels.objects import LabelObject
    from napari_hqsam.session.session import Session

_MILLISECONDS = 300
_SIZE = ("area", "volume", "size")
_OURS = ("class", "score", "uncertainty", "status")


class LayerFeatures:
    """Keeps the features of Labels layers as the session's objects are.

    The features are those of the plugin (`feature_frame`) and, after them, the columns that others
    have put there. They are written once the session has been quiet for 0.3 s.

    Parameters
    ----------
    session : Session
    table : ObjectTable
        Of its objects.
    layers : iterable of napari.layers.Labels
        Each of them gets all objects.
    """

    def __init__(self, session: Session, table: ObjectTable, layers: Iterable[Labels]) -> None:
        self._session, self._table = session, table
        self._layers: WeakSet[Labels] = WeakSet(layers)
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(_MILLISECONDS)
        self._timer.timeout.connect(self._write)
        session.changed.connect(self._on_changed)
        if table.objects:
            self._timer.start()

    def add(self, layer: Labels) -> None:
        """Keep the features of another layer, too."""
        self._layers.add(layer)
        self._timer.start()

    def flush(self) -> None:
        """Write what waits, at once: before the layer is saved."""
        if self._timer.isActive():
            self._timer.stop()
            self._write()

    def close(self) -> None:
        """Write what waits, and nothing more."""
        self.flush()
        self._session.changed.disconnect(self._on_changed)
        self._layers.clear()

    def _on_changed(self, labels: frozenset[int]) -> None:
        self._table.forget(labels)
        if isalive(self._timer):  # not once the application has ended
            self._timer.start()

    def _write(self) -> None:
        frame = feature_frame(self._table)
        for layer in list(self._layers):
            layer.features = _joined(frame, layer.features)


def feature_frame(table: ObjectTable) -> pd.DataFrame:
    """The objects as napari wants the features of a Labels layer.

    Returns
    -------
    pandas.DataFrame
        One row an object, in the order of the session: ``index`` (the label), ``class``,
        ``area (µm²)`` or what the size is in, ``score``, ``uncertainty``, ``status``. What is
        unknown is missing, so that the status bar leaves it out.
    """
    import pandas as pd

    records = table.objects.values()
    numbers: dict[str, Iterable[float | None]] = {
        f"{table.size_name} ({table.unit})": (table.size(r.id) for r in records),
        "score": (r.score for r in records),
        "uncertainty": (r.uncertainty for r in records),
    }
    columns = {name: pd.Series(list(each), dtype=float) for name, each in numbers.items()}
    return pd.DataFrame(
        {
            "index": list(table.objects),
            "class": pd.Series([r.class_name or None for r in records], dtype=object),
            **columns,
            "status": pd.Series([r.status for r in records], dtype=object),
        }
    )


def with_features(objects: Iterable[LabelObject], features: Any) -> Iterator[ObjectRecord]:
    """Give objects the class, score, uncertainty and status that features tell of them.

    Parameters
    ----------
    objects : iterable of LabelObject
        As found in the labels of a layer.
    features : pandas.DataFrame
        Of the same layer. Where it tells nothing, or something that is no status, the object
        keeps what it has.
    """
    told = {row.pop("index"): row for row in _indexed(features).to_dict("records")}
    for each in objects:
        row = told.get(each.id, {})
        status = row.get("status")
        score = _number(row.get("score"))
        yield ObjectRecord(
            each.id,
            each.masks,
            class_name=_text(row.get("class")) or each.class_name,
            score=each.score if score is None else score,
            status=status if status in STATUSES else each.status,
            uncertainty=_number(row.get("uncertainty")),
        )


def _joined(ours: pd.DataFrame, there: pd.DataFrame) -> pd.DataFrame:
    """Our columns, and those of others."""
    there = _indexed(there)
    sizes = tuple(f"{name} (" for name in _SIZE)
    others = [c for c in there.columns if c not in _OURS and not str(c).startswith(sizes)]
    if others == ["index"]:
        return ours
    return ours.merge(there[others].drop_duplicates("index"), on="index", how="left")


def _indexed(features: pd.DataFrame) -> pd.DataFrame:
    """With a column of labels; where there is none napari takes the number of the row."""
    return features if "index" in features else features.assign(index=range(len(features)))


def _number(value: Any) -> float | None:
    """The value, if it is a number; not a number is none."""
    known = isinstance(value, (int, float)) and value == value
    return float(value) if known else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
