from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaozarrs
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from numpy.typing import NDArray

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images import open_image
from napari_hqsam.labels.levels import Levels
from napari_hqsam.labels.store import LabelStore

SHAPE = (2, 13, 21)
QUICK = settings(
    deadline=None,
    max_examples=8,
    stateful_step_count=12,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def small(folder: Path, **options: Any) -> LabelStore:
    """A store of three levels, in chunks that are not halved as a whole."""
    options = {"axes": "zyx", "dtype": "uint16", "chunk": 3} | options
    return LabelStore.create(folder / "labels.zarr", SHAPE, **options)


def coarser(plane: NDArray[Any]) -> NDArray[Any]:
    """The largest label of each 2 × 2 pixels, pixel by pixel."""
    out = np.zeros([-(-n // 2) for n in plane.shape], plane.dtype)
    for y, x in np.ndindex(*out.shape):
        out[y, x] = plane[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].max()
    return out


def check(store: LabelStore, truth: NDArray[Any]) -> None:
    """Level 0 is the truth, and each coarser level is what it makes."""
    for z, plane in enumerate(truth):
        for level in store.levels:
            np.testing.assert_array_equal(level[z], plane)
            plane = coarser(plane)


def chunk_files(store: LabelStore) -> list[Path]:
    return [p for p in store.path.rglob("*") if p.is_file() and p.name != "zarr.json"]


@st.composite
def writes(draw: st.DrawFn) -> tuple[int, int, int, NDArray[Any], NDArray[Any] | None]:
    """A plane, a place, labels, and which of them are written."""
    z = draw(st.integers(0, SHAPE[0] - 1))
    y, x = (draw(st.integers(0, n - 1)) for n in SHAPE[1:])
    h, w = draw(st.integers(0, SHAPE[1] - y)), draw(st.integers(0, SHAPE[2] - x))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    constant = draw(st.booleans())
    label = draw(st.integers(0, 5))
    pixels = np.full((h, w), label) if constant else rng.integers(0, 4, (h, w))
    where = rng.random((h, w)) < 0.6 if draw(st.booleans()) else None
    return z, y, x, pixels.astype("i8"), where


class StoreAgainstArray(RuleBasedStateMachine):
    """Whatever is written, undone and redone, the store holds what an array in memory would."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.store = small(self.folder)
        self.truth = np.zeros(SHAPE, np.uint16)
        self.highest = 0
        self.done: list[tuple[Any, tuple[NDArray[Any], ...]]] = []

    @rule(write=writes())
    def write(self, write: tuple[Any, ...]) -> None:
        z, y, x, pixels, where = write
        change = self.store.write((z,), y, x, pixels, where)
        h, w = pixels.shape
        before = self.truth.copy()
        chosen = np.ones((h, w), bool) if where is None else where
        self.truth[z, y : y + h, x : x + w][chosen] = pixels[chosen]
        self.highest = max(self.highest, int(pixels[chosen].max(initial=0)))
        changed = before != self.truth
        assert change.plane == (z,)
        assert change.area == np.count_nonzero(changed)
        y0, x0, y1, x1 = change.bbox
        ys, xs = np.nonzero(changed[z])
        if len(ys):
            assert change.bbox == (ys.min(), xs.min(), ys.max() + 1, xs.max() + 1)
        else:
            assert (y0, x0) == (y1, x1) == (y, x)
        self.done.append((change, (changed, before, self.truth.copy())))

    @precondition(lambda self: self.done)
    @rule(which=st.integers(0, 99), back=st.booleans())
    def undo_or_redo(self, which: int, back: bool) -> None:
        change, (changed, before, after) = self.done[which % len(self.done)]
        (change.undo if back else change.redo)()
        found, wanted = (after, before) if back else (before, after)
        as_left = changed & (self.truth == found)
        self.truth[as_left] = wanted[as_left]

    @rule(write=writes())
    def read(self, write: tuple[Any, ...]) -> None:
        z, y, x, pixels, _ = write
        h, w = pixels.shape
        found = self.store.read((z,), y, x, y + h, x + w)
        np.testing.assert_array_equal(found, self.truth[z, y : y + h, x : x + w])
        assert found.dtype == np.uint16

    @rule()
    def open_again(self) -> None:
        self.store = LabelStore.open(self.store.path)
        self.done.clear()

    @invariant()
    def all_levels_agree(self) -> None:
        check(self.store, self.truth)
        assert self.store.highest == self.highest

    def teardown(self) -> None:
        shutil.rmtree(self.folder)


TestStoreAgainstArray = StoreAgainstArray.TestCase
TestStoreAgainstArray.settings = QUICK


@QUICK
@given(writing=st.lists(writes(), min_size=1, max_size=5))
def test_all_undone_is_nothing_and_all_redone_is_all(
    tmp_path_factory: pytest.TempPathFactory, writing: list[tuple[Any, ...]]
) -> None:
    store = small(tmp_path_factory.mktemp("undone"))
    changes = [store.write((z,), *rest) for z, *rest in writing]
    truth = store.levels[0][...]
    for change in reversed(changes):
        change.undo()
    check(store, np.zeros(SHAPE, int))
    assert chunk_files(store) == []
    for change in changes:
        change.redo()
    check(store, truth)


def test_undo_leaves_what_others_changed_since(tmp_path: Path) -> None:
    store = small(tmp_path)
    ours = store.write((0,), 2, 2, np.full((4, 4), 7))
    store.write((0,), 2, 2, np.full((2, 2), 9))
    ours.undo()
    truth = np.zeros(SHAPE, int)
    truth[0, 2:4, 2:4] = 9
    check(store, truth)
    ours.redo()
    truth[0, 2:6, 2:6] = 7
    truth[0, 2:4, 2:4] = 9
    check(store, truth)


def test_a_huge_store_is_made_at_once_and_takes_what_is_drawn(tmp_path: Path) -> None:
    started = time.perf_counter()
    store = LabelStore.create(
        tmp_path / "huge.zarr", (100_000, 100_000), axes="yx", scale=(0.5, 0.25), units="µm"
    )
    assert time.perf_counter() - started < 5
    assert [level.shape[0] for level in store.levels[:3]] == [100_000, 50_000, 25_000]
    assert max(store.levels[-1].shape) <= 1024
    change = store.write((), 60_000, 70_000, np.full((500, 500), 3), np.tri(500, dtype=bool))
    assert change.area == 125_250
    assert change.nbytes < 20_000
    assert sum(p.stat().st_size for p in chunk_files(store)) < 50_000
    assert int(store.levels[-1][...].max()) == 3
    np.testing.assert_array_equal(store.read((), 60_000, 70_000, 60_002, 70_002), [[3, 0], [3, 3]])


@pytest.mark.parametrize("axes", ["yx", "zyx", "tyx", "tzyx"])
def test_a_store_is_a_valid_label_image_with_its_scale(tmp_path: Path, axes: str) -> None:
    shape = (2, 3, 40, 50)[-len(axes) :]
    scale, units = (2.5, 3, 0.5, 0.25)[-len(axes) :], ["s" if a == "t" else "µm" for a in axes]
    store = LabelStore.create(
        tmp_path / "a.zarr", shape, axes=axes, scale=scale, units=units, chunk=8
    )
    plane = (1,) * (len(axes) - 2)
    store.write(plane, 5, 6, np.arange(12).reshape(3, 4))
    store = LabelStore.open(store.path)
    assert (store.axes, store.scale, store.shape) == (axes, scale, shape)
    assert store.dtype == np.uint32
    document = json.loads((store.path / "zarr.json").read_text())
    image = yaozarrs.validate_ome_object(document["attributes"]).ome
    assert isinstance(image, yaozarrs.v05.LabelImage)
    assert len(image.multiscales[0].datasets) == len(store.levels) == 3
    with open_image(store.path) as source:
        assert source.scale == scale
        found = source.read(plane, 5, 6, 8, 10)[..., 0]
    np.testing.assert_array_equal(found, np.arange(12).reshape(3, 4))


def test_small_and_thin_objects_stay_visible_in_every_level(tmp_path: Path) -> None:
    store = LabelStore.create(tmp_path / "a.zarr", (65, 63), axes="yx", chunk=8)
    store.write((), 64, 62, np.full((1, 1), 5))
    store.write((), 33, 0, np.full((1, 40), 6))
    for level in store.levels:
        assert set(np.unique(level[...])) == {0, 5, 6}


def test_numbers_are_not_given_twice(tmp_path: Path) -> None:
    store = small(tmp_path)
    assert store.highest == 0
    store.write((0,), 0, 0, np.full((2, 2), 4))
    change = store.write((1,), 0, 0, np.full((2, 2), 9))
    change.undo()
    assert store.highest == LabelStore.open(store.path).highest == 9
    masked = np.zeros((2, 2), bool)
    store.write((1,), 0, 0, np.full((2, 2), 60), masked)
    assert store.highest == 9


@pytest.mark.parametrize(
    ("write", "message"),
    [
        ((0, 0, np.full((2, 2), 65_536)), "label 65,536 does not fit uint16"),
        ((0, 0, np.full((2, 2), -1)), "from 0 up, but -1 occurs"),
        ((0, 0, np.ones((2, 2))), "whole numbers, not 2-D float64"),
        ((0, 0, np.ones((2, 2, 1), int)), "not 3-D"),
        ((0, 0, np.ones((2, 2), int), np.ones((2, 3), bool)), "shape of the pixels"),
        ((12, 0, np.ones((2, 2), int)), "box 12,0,14,2 is outside the labels of 13 x 21"),
        ((-1, 0, np.ones((2, 2), int)), "outside"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, write: tuple[Any, ...], message: str) -> None:
    store = small(tmp_path)
    with pytest.raises(HQSAMError, match=message) as caught:
        store.write((0,), *write)
    assert str(caught.value).startswith(str(store.path))
    assert "\n" not in str(caught.value)
    assert chunk_files(store) == []


@pytest.mark.parametrize("plane", [(), (2,), (-1,), (0, 0)])
def test_a_plane_that_is_not_there_is_refused(tmp_path: Path, plane: tuple[int, ...]) -> None:
    with pytest.raises(HQSAMError, match=r'there is no plane .*"z"'):
        small(tmp_path).read(plane, 0, 0, 2, 2)


def test_an_empty_box_is_nothing(tmp_path: Path) -> None:
    store = small(tmp_path)
    assert store.read((0,), 3, 4, 3, 9).shape == (0, 5)
    assert store.write((0,), 3, 4, np.zeros((0, 5), int)).bbox == (3, 4, 3, 4)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("a.tif", {}, "change the suffix"),
        ("nowhere/a.zarr", {}, "there is no folder"),
        ("there.zarr", {}, "exists already"),
        ("image.zarr", {"overwrite": True}, "is no label image"),
        ("a.zarr", {"axes": "xy"}, "do not fit"),
        ("a.zarr", {"scale": (1, 0)}, "greater than 0"),
        ("a.zarr", {"dtype": float}, "whole numbers"),
    ],
)
def test_a_store_that_cannot_be_made(
    tmp_path: Path, name: str, options: dict[str, Any], message: str
) -> None:
    LabelStore.create(tmp_path / "there.zarr", (9, 9), axes="yx")
    zarr.create_array(tmp_path / "image.zarr", shape=(9, 9), dtype="u1")
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(HQSAMError, match=message):
        LabelStore.create(tmp_path / name, (9, 9), **{"axes": "yx"} | options)
    assert sorted(os.listdir(tmp_path)) == before


def test_labels_of_that_name_are_replaced_only_if_told(tmp_path: Path) -> None:
    small(tmp_path).write((0,), 0, 0, np.ones((2, 2), int))
    check(small(tmp_path, overwrite=True), np.zeros(SHAPE, int))
    assert os.listdir(tmp_path) == ["labels.zarr"]


def test_an_image_is_no_store(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "image.zarr", data=np.ones((9, 9), "u1"))
    with pytest.raises(HQSAMError, match="is no label image that can be edited"):
        LabelStore.open(tmp_path / "image.zarr")
    with pytest.raises(HQSAMError, match="no such file or folder"):
        LabelStore.open(tmp_path / "nothing.zarr")


def test_a_process_killed_between_the_levels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = small(tmp_path)
    store.write((1,), 0, 0, np.full((13, 21), 2))
    follow = Levels._follow

    def photograph(levels: Levels, *args: Any) -> None:
        """Keep the disk as a kill at this moment would leave it."""
        shutil.copytree(store.path, tmp_path / "killed.zarr", dirs_exist_ok=True)
        follow(levels, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Levels, "_follow", photograph)
        store.write((1,), 3, 5, np.full((4, 7), 8))
    truth = store.levels[0][...]
    stale = zarr.open_group(tmp_path / "killed.zarr", mode="r")
    assert int(stale["2"][...].max()) == 2
    killed = LabelStore.open(tmp_path / "killed.zarr")
    check(killed, truth)
    assert killed.highest == 8
    assert len(chunk_files(killed)) == len(chunk_files(store))


def test_a_number_is_taken_before_its_pixels_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = small(tmp_path)
    write, known = Levels.write, []

    def spy(levels: Levels, *args: Any) -> None:
        known.append(LabelStore.open(store.path).highest)
        write(levels, *args)

    monkeypatch.setattr(Levels, "write", spy)
    store.write((0,), 0, 0, np.full((2, 2), 5))
    assert known == [5]


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let so many pieces be stored, slowly, and then no more."""
    store_piece, left, slow = zarr.storage.LocalStore.set, [10**9], [0.0]

    async def store_or_refuse(self: Any, *args: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        await asyncio.sleep(slow[0])
        await store_piece(self, *args)

    monkeypatch.setattr(zarr.storage.LocalStore, "set", store_or_refuse)

    def fill(pieces: int, seconds: float = 0.0) -> None:
        left[0], slow[0] = pieces, seconds

    return fill


@pytest.mark.parametrize("pieces", [0, 1, 3, 27, 34])
def test_a_full_disk_is_told_and_nothing_is_lost(
    tmp_path: Path, full_disk: Callable[..., None], pieces: int
) -> None:
    store = small(tmp_path)
    pixels = np.arange(1, 10 * 17 + 1).reshape(10, 17)
    full_disk(pieces, 0.05)  # some chunks are still on their way when one is refused
    with pytest.raises(HQSAMError, match=r"written \(No space left on device\)") as caught:
        store.write((1,), 2, 3, pixels)
    assert str(caught.value).startswith(str(store.path))
    assert "\n" not in str(caught.value)
    check(LabelStore.open(store.path), np.zeros(SHAPE, int))
    full_disk(1000)
    change = store.write((1,), 2, 3, pixels)
    np.testing.assert_array_equal(store.read((1,), 2, 3, 12, 20), pixels)
    change.undo()
    check(store, np.zeros(SHAPE, int))


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    store = small(tmp_path, chunk=4)
    store.write((0,), 0, 0, np.arange(16).reshape(4, 4))
    (chunk,) = (p for p in chunk_files(store) if p.relative_to(store.path).parts[0] == "0")
    damaged = bytearray(chunk.read_bytes())
    damaged[len(damaged) // 2] ^= 16
    chunk.write_bytes(damaged)
    with pytest.raises(HQSAMError, match="cannot be read") as caught:
        store.read((0,), 0, 0, 4, 4)
    assert "\n" not in str(caught.value)
    np.testing.assert_array_equal(store.read((0,), 4, 4, 8, 8), 0)


def test_rebuilding_mends_coarser_levels(tmp_path: Path) -> None:
    store = small(tmp_path)
    store.write((1,), 0, 0, np.random.default_rng(0).integers(0, 50, (13, 21)))
    truth = store.levels[0][...]
    for chunk in chunk_files(store):
        if chunk.relative_to(store.path).parts[0] == "1":
            chunk.write_bytes(b"damaged")
    store.levels[2][0] = 77
    store.rebuild()
    check(store, truth)
    assert store.highest == truth.max()


def test_a_reader_never_sees_half_a_write(tmp_path: Path) -> None:
    store = small(tmp_path)
    stop, seen = threading.Event(), []

    def look() -> None:
        while not stop.is_set():
            seen.append(np.unique(store.read((0,), 0, 0, 13, 21)))

    reader = threading.Thread(target=look)
    reader.start()
    for label in range(1, 15):
        store.write((0,), 0, 0, np.full((13, 21), label))
    stop.set()
    reader.join()
    assert len(seen) > 3
    assert all(len(labels) == 1 for labels in seen)


def foreign(path: Path, labels: NDArray[Any], *others: NDArray[Any], version: int = 2) -> None:
    """A label image as another program writes it: OME-Zarr 0.4 or 0.5, no attributes of ours."""
    levels = [labels, *others]
    datasets = [
        {
            "path": f"s{i}",
            "coordinateTransformations": [
                {"type": "scale", "scale": [2.0, 0.5 * 2**i, 0.5 * 2**i]}
            ],
        }
        for i in range(len(levels))
    ]
    axes = [{"name": a, "type": "space", "unit": "micrometer"} for a in "zyx"]
    described = {"multiscales": [{"axes": axes, "datasets": datasets}], "image-label": {}}
    attributes = described if version == 2 else {"ome": {"version": "0.5"} | described}
    group = zarr.open_group(path, mode="w", zarr_format=version, attributes=attributes)
    for i, level in enumerate(levels):
        group.create_array(f"s{i}", data=level, chunks=(2, 5, 6))


@pytest.mark.parametrize("version", [2, 3])
def test_labels_of_another_program(tmp_path: Path, version: int) -> None:
    truth = np.random.default_rng(1).integers(0, 40, SHAPE).astype(">u4")
    truth[0, 0, 0] = 40
    foreign(tmp_path / "a.zarr", truth, version=version)
    store = LabelStore.open(tmp_path / "a.zarr")
    assert (store.axes, store.scale, len(store.levels)) == ("zyx", (2, 0.5, 0.5), 1)
    assert store.highest == 40
    change = store.write((1,), 3, 4, np.full((6, 9), 41))
    assert store.highest == LabelStore.open(store.path).highest == 41
    changed = truth.copy()
    changed[1, 3:9, 4:13] = 41
    check(store, changed)
    change.undo()
    check(store, truth)


def test_levels_that_are_not_kept_up_to_date_are_no_longer_shown(tmp_path: Path) -> None:
    truth = np.random.default_rng(1).integers(0, 40, SHAPE).astype("u2")
    half = np.stack([coarser(plane) for plane in truth])
    foreign(tmp_path / "a.zarr", truth, half, half[:, ::4, ::4])
    store = LabelStore.open(tmp_path / "a.zarr")
    assert len(store.levels) == 2
    with open_image(tmp_path / "a.zarr") as source:
        assert len(source.levels) == 3
    store.write((0,), 0, 0, np.full((5, 5), 50))
    truth[0, :5, :5] = 50
    check(store, truth)
    with open_image(tmp_path / "a.zarr") as source:
        assert len(source.levels) == 2
        assert source.scale == (2, 0.5, 0.5)
