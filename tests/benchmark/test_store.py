from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from napari_hqsam.benchmark.kills import _contents, kill_and_resume
from napari_hqsam.benchmark.pictures import dense_plane
from napari_hqsam.benchmark.store import measure_store
from napari_hqsam.embedding.store import EmbeddingStore
from napari_hqsam.modeling import HQSam, build


def test_filling_and_reading_back(small: HQSam, tmp_path: Path) -> None:
    report = measure_store(lambda: small, tmp_path, windows=4, rounds=2, kills=0)
    values = {figure.name: figure.value for figure in report.figures}
    assert report.setting["windows"] == 4
    assert values["encoding into a store, against encoding alone"] > 0
    assert 0 < values["a window read back"] <= values["a window read back, p95"]
    assert values["a stored window"] == pytest.approx(2 * (256 * 4 * 4 + 32 * 16 * 16) / 1e6)


def test_a_job_that_is_killed_is_resumed_to_the_same_bytes(tmp_path: Path) -> None:
    dense_plane(tmp_path / "image.zarr", 112)
    make = partial(build, "micro", input_size=64)
    found = kill_and_resume(tmp_path / "image.zarr", tmp_path, make, kills=2)
    assert (found.kills, found.writing, found.windows) == (2, 1, 4)
    assert found.stores >= 1
    assert found.identical


@pytest.mark.parametrize("what", ["chunk", "mark", "missing"])
def test_one_other_byte_is_noticed(small: HQSam, tmp_path: Path, what: str) -> None:
    measure_store(lambda: small, tmp_path, windows=4, rounds=2, kills=0)
    one, other = tmp_path / "store-0", tmp_path / "store-1"
    assert _contents(one) == _contents(other)
    file = next(other.rglob("marks/*.json") if what == "mark" else other.rglob("c.*.0.0.0"))
    data = file.read_bytes()
    if what == "missing":
        file.unlink()
    elif what == "mark":
        file.write_bytes(data.replace(b'"pixels": "', b'"pixels": "0'))
    else:
        file.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    assert _contents(one) != _contents(other)


def test_a_store_that_forgets_is_no_good_figure(
    small: HQSam, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EmbeddingStore, "read", lambda self, window: None)
    with pytest.raises(AssertionError):
        measure_store(lambda: small, tmp_path, windows=4, rounds=1, kills=0)
