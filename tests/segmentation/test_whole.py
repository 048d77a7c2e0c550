"""A job over a whole image: the labels, what is on disk meanwhile, and going on after the worst."""

from __future__ import annotations

import math
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.store import LabelStore
from napari_hqsam.segmentation import output
from napari_hqsam.segmentation.region import Region
from napari_hqsam.segmentation.whole import block_job, blocks_of

from .crops import SHAPE, Crops, begin, contents, frame_of, picture

PROGRAM = """
import runpy, sys
sys.path.insert(0, sys.argv[1])
runpy.run_module("segmentation.crops", run_name="__main__")
"""


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a run without a break leaves on disk."""
    out = tmp_path_factory.mktemp("clean") / "out.zarr"
    begin(out).result()
    return contents(out)


def test_the_labels_are_those_of_the_picture_in_memory_and_on_disk(tmp_path: Path) -> None:
    there = begin(None).result()
    assert there.dtype == np.uint32
    np.testing.assert_array_equal(there, picture())
    store = begin(tmp_path / "out.zarr").result()
    assert isinstance(store, LabelStore)
    assert store.highest == picture().max()
    np.testing.assert_array_equal(store.read((), 0, 0, *SHAPE), picture())
    assert [p.name for p in tmp_path.iterdir()] == ["out.zarr"]


def test_progress_counts_windows_and_blocks_and_bytes(tmp_path: Path) -> None:
    finder = Crops(picture())
    out = tmp_path / "out.zarr"
    job = begin(out, finder)
    assert job.labels is None
    steps = []
    for step in job:
        steps.append(step)
        if 0 < step.done < step.total:
            taken = sum(p.stat().st_size for p in (tmp_path / "out.zarr.job/records").rglob("*/*"))
            chunks = sum(p.stat().st_size for p in out.glob("0/c/**/*") if p.is_file())
            assert step.bytes == taken + chunks
    windows = len(finder.windows([()], None))
    blocks = math.ceil(SHAPE[0] / output.BLOCK) * math.ceil(SHAPE[1] / output.BLOCK)
    assert [s.done for s in steps] == list(range(1, windows + 1 + blocks + 1 + 1))
    assert steps[-1].total == steps[-1].done
    assert steps[-1].seconds_left == 0
    assert all(s.seconds_left > 0 for s in steps[: windows - 1])
    assert len(finder.found) == windows
    assert job.labels is not None
    assert begin(None).result().any()


def test_stopping_keeps_what_is_done(tmp_path: Path, clean: dict[str, bytes]) -> None:
    out, finder = tmp_path / "out.zarr", Crops(picture())
    with begin(out, finder) as job:
        for step in job:
            if step.done == 5:
                break
    assert len(finder.found) == 5
    last = list(begin(out, finder))[-1]
    assert last.skipped == 5
    assert len(set(finder.found)) == len(finder.found)
    assert contents(out) == clean


@pytest.fixture(scope="module")
def children() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that run the job when they are told where to."""
    command = [sys.executable, "-c", PROGRAM, str(Path(__file__).parents[1])]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    found = [subprocess.Popen(command, **pipes) for _ in range(3)]
    yield list(found)
    for child in found:
        child.kill()
        child.communicate()


def test_killed_again_and_again_it_comes_to_the_same_bytes(
    tmp_path: Path, children: list[subprocess.Popen[bytes]], clean: dict[str, bytes]
) -> None:
    rng = random.Random(0)
    out = tmp_path / "out.zarr"
    windows = len(Crops(picture()).windows([()], None))
    # while it finds, while it links, and while it draws
    ends = [rng.randint(1, windows // 2), windows, windows + rng.randint(2, 5)]
    for child, end in zip(children, ends, strict=True):
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        child.stdin.write(f"{out}\n".encode())
        child.stdin.flush()
        while int(child.stdout.readline()) < end:
            pass
        time.sleep(rng.random() * 0.02)
        child.kill()
        child.wait()
    assert (tmp_path / "out.zarr.job").is_dir()
    finder = Crops(picture())
    np.testing.assert_array_equal(begin(out, finder).result().read((), 0, 0, *SHAPE), picture())
    assert finder.found == []  # all of that was kept
    assert contents(out) == clean
    assert [p.name for p in tmp_path.iterdir()] == ["out.zarr"]


def stopped_before_the_end(out: Path) -> None:
    """All blocks are written, and the job is not finished."""
    with begin(out) as job:
        for step in job:
            if step.done == step.total - 1:
                break


@pytest.mark.parametrize("what", ["chunk", "lost chunk", "record", "labels", "leftover"])
def test_what_is_damaged_between_two_runs_is_made_again(
    tmp_path: Path, clean: dict[str, bytes], what: str
) -> None:
    out = tmp_path / "out.zarr"
    stopped_before_the_end(out)
    chunk = out / "0" / "c" / "1" / "0"
    if what == "chunk":
        data = bytearray(chunk.read_bytes())
        data[len(data) // 2] ^= 1
        chunk.write_bytes(bytes(data))
    elif what == "lost chunk":  # which reads as background
        chunk.unlink()
    elif what == "record":
        for path in (tmp_path / "out.zarr.job" / "records").rglob("*/*"):
            path.write_bytes(path.read_bytes()[:-1])
    elif what == "labels":
        shutil.rmtree(out)
    else:
        (out / "0" / "c" / "1" / "0.0123abcd.partial").write_bytes(b"half")
    begin(out).result()
    assert contents(out) == clean


def test_a_record_that_is_damaged_under_way_is_made_again(tmp_path: Path) -> None:
    out, finder = tmp_path / "out.zarr", Crops(picture())
    for step in (job := begin(out, finder)):
        if step.done == len(finder.windows([()], None)):
            for path in (tmp_path / "out.zarr.job" / "records").rglob("*/*"):
                path.write_bytes(b"")
    np.testing.assert_array_equal(job.result().read((), 0, 0, *SHAPE), picture())


def test_what_is_there_is_not_overwritten_unless_that_is_wanted(tmp_path: Path) -> None:
    out = tmp_path / "out.zarr"
    begin(out).result()
    before = contents(out)
    with pytest.raises(HQSAMError, match=r"out\.zarr: exists already.*another name.*overwrite"):
        begin(out)
    nothing = Crops(np.zeros(SHAPE, np.uint8), settings={"side": 1})
    job = begin(out, nothing, overwrite=True)
    next(iter(job))
    assert contents(out) == before  # the old labels are there until there are new ones
    store = job.result()
    assert store.highest == 0
    assert not store.read((), 0, 0, *SHAPE).any()


def test_a_job_of_other_settings_is_not_gone_on_with(tmp_path: Path) -> None:
    out = tmp_path / "out.zarr"
    next(iter(begin(out)))
    other = Crops(picture(), settings={"side": 500})
    with pytest.raises(HQSAMError, match=r"finder\.side: 512 then, 500 now"):
        begin(out, other)
    with pytest.raises(HQSAMError, match="region"):
        begin(out, region=(0, 0, 50, 50))
    with pytest.raises(HQSAMError, match="band: null then, 8 now"):
        begin(out, settings={"band": 8})
    again = Crops(picture())
    next(iter(begin(out, again, overwrite=True)))  # the same job goes on all the same
    assert again.found == []
    next(iter(begin(out, other, overwrite=True)))
    assert len(other.found) == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [("out.tif", r"\.zarr"), ("none/out.zarr", "no folder"), ("plain.zarr", "no label image")],
)
def test_a_bad_place_is_told_before_any_work(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "plain.zarr").mkdir()
    with pytest.raises(HQSAMError, match=message):
        begin(tmp_path / name, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["plain.zarr"]


def test_labels_too_large_for_memory_ask_for_a_place_on_disk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(output, "_LARGEST", 2500 * 1100 * 4 - 1)
    with pytest.raises(HQSAMError, match="out="):
        begin(None)


def test_a_place_that_may_not_be_written_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(HQSAMError, match=r"out\.zarr\.job.*Permission denied"):
        begin(tmp_path / "out.zarr")


def test_a_full_disk_while_drawing_leaves_a_job_to_go_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clean: dict[str, bytes]
) -> None:
    out = tmp_path / "out.zarr"

    def full(*args: object) -> None:
        raise HQSAMError(f"{out}: the labels cannot be written (No space left on device)")

    with monkeypatch.context() as patched:
        patched.setattr(LabelStore, "fill", full)
        with pytest.raises(HQSAMError, match="No space left"):
            begin(out).result()
    finder = Crops(picture())
    begin(out, finder).result()
    assert finder.found == []
    assert contents(out) == clean


def test_skipped_windows_have_no_objects_and_are_not_searched_later(tmp_path: Path) -> None:
    out, finder = tmp_path / "out.zarr", Crops(picture())

    def skip(window: object) -> bool:
        return window.origin[0] > 1000  # type: ignore[attr-defined]

    job = begin(out, finder, skip=skip)
    for step in job:
        if step.done == len(finder.windows([()], None)):
            break
    job.close()
    assert {w.origin[0] > 1000 for w in finder.found} == {False}
    labels = begin(out, finder, skip=lambda window: pytest.fail("asked again")).result()
    pixels = labels.read((), 0, 0, *SHAPE)
    np.testing.assert_array_equal(pixels[:1000] > 0, picture()[:1000] > 0)
    assert not pixels[1400:].any()


def test_a_box_keeps_the_objects_whose_middle_it_holds() -> None:
    box = (300, 200, 700, 620)
    finder = Crops(picture())
    labels = begin(None, finder, region=box).result()
    assert all(w.meets(box) for w in finder.found)
    assert len(finder.found) < len(finder.windows([()], None))
    for value in range(1, int(picture().max()) + 1):
        where = picture() == value
        y, x = (np.flatnonzero(where.any(axis=a)) for a in (1, 0))
        middle = (y[0] + y[-1]) / 2, (x[0] + x[-1]) / 2
        inside = 299.5 <= middle[0] < 699.5 and 199.5 <= middle[1] < 619.5
        shown = labels[where]
        assert (shown > 0).all() if inside else not shown.any()


def test_a_polygon_keeps_the_objects_whose_middle_it_holds() -> None:
    triangle = [(0, 0), (0, 1100), (1000, 0)]
    finder = Crops(picture())
    labels = begin(None, finder, region=triangle).result()
    assert labels[50:150, 0:300].any()
    y, x = np.nonzero(labels)
    assert (y / 1000 + x / 1100).max() < 1.1  # nothing but the rims of what lies across
    assert {w.origin for w in finder.windows([()], (0, 0, 1000, 1100))} > {
        w.origin for w in finder.found
    }


@pytest.mark.parametrize(
    "region", [(5, 5, 5, 9), (3000, 0, 3100, 9), [(0, 0), (1, 1)], (1, 2, 3), [(0, np.nan)] * 3]
)
def test_a_region_without_pixels_is_refused(region: object) -> None:
    with pytest.raises(HQSAMError):
        Region.of(region, SHAPE)


def test_a_region_over_the_edge_is_that_within_the_plane() -> None:
    assert Region.of((-10, 5.5, 20.2, 1e9), (100, 80)).box == (0, 5, 21, 80)
    crossed = Region.of([(0, 0), (10, 10), (0, 10), (10, 0)], (100, 80))  # a bow tie
    assert crossed.box == (0, 0, 11, 11)
    assert crossed.holds(np.array([[1.0, 5.0], [5.0, 1.0], [9.0, 5.0]])).tolist() in (
        [True, False, True],
        [False, True, False],
    )


def test_objects_of_a_volume_have_one_label_in_all_slices_and_only_there() -> None:
    small = picture()[:600, :600]
    volume = np.stack([small, small, np.zeros_like(small), small])
    finder = Crops(np.stack([volume, volume]))  # two time points
    labels = begin(None, finder, between_slices=0.5).result()
    assert labels.shape == (2, 4, 600, 600)
    np.testing.assert_array_equal(labels > 0, finder.labels > 0)
    count = len(np.unique(small)) - 1
    assert labels.max() == 4 * count
    np.testing.assert_array_equal(labels[:, 0], labels[:, 1])
    apart = begin(None, finder).result()
    assert apart.max() == 6 * count
    some = begin(None, finder, planes=[(1, 3)]).result()
    assert some[1, 3].max() == count
    assert np.count_nonzero(some) == np.count_nonzero(small)


def test_labels_above_two_to_the_32_have_room(tmp_path: Path) -> None:
    class Wanted(Crops):
        def find(self, window):  # type: ignore[no-untyped-def]
            found = super().find(window)
            (y, x), (h, w) = window.origin, window.shape
            box = (y, x, y + h, x + w)
            part = self.labels[y : y + h, x : x + w].astype(np.uint64)
            part[part > 0] += np.uint64(2**40)
            assert len(found) == len(np.unique(part[part > 0]))
            return found.of_labels(window.plane, box, part, keep_ids=True)

    expected = np.where(picture() > 0, picture() + np.uint64(2**40), 0)
    labels = begin(None, Wanted(picture())).result()
    assert labels.dtype == np.uint64
    np.testing.assert_array_equal(labels, expected)
    store = begin(tmp_path / "out.zarr", Wanted(picture())).result()
    assert store.dtype == np.uint64
    assert store.highest == expected.max()


def test_a_preview_is_what_the_job_will_show_and_commits_nothing(tmp_path: Path) -> None:
    finder = Crops(picture())
    job = begin(tmp_path / "out.zarr", finder)
    records = contents(tmp_path)
    box = (450, 300, 800, 700)
    seen = job.preview((), box)
    assert seen.shape == (350, 400)
    np.testing.assert_array_equal(seen > 0, picture()[450:800, 300:700] > 0)
    assert contents(tmp_path) == records
    assert len(finder.found) < len(finder.windows([()], None))
    for _ in job:
        pass
    np.testing.assert_array_equal(job.preview((), box), seen)


def doubled(seen: list[tuple[int, ...]]):  # type: ignore[no-untyped-def]
    def compute(plane: tuple[int, ...], box: tuple[int, ...]) -> np.ndarray:
        seen.append(box)
        y0, x0, y1, x1 = box
        return 2 * picture()[y0:y1, x0:x1].astype(np.int64)

    return compute


def test_a_job_of_blocks_alone_goes_on_after_a_stop(tmp_path: Path) -> None:
    frame, out = frame_of(picture()), tmp_path / "out.zarr"
    seen: list[tuple[int, ...]] = []
    blocks = blocks_of(frame)
    with block_job(doubled(seen), blocks, frame, out=out, settings={"band": 8}) as job:
        for step in job:
            if step.done == 2:
                break
    assert [box for _, box in blocks[:2]] == seen
    job = block_job(doubled(seen), blocks, frame, out=out, settings={"band": 8})
    store = job.result()
    assert sorted(seen) == sorted(box for _, box in blocks)
    np.testing.assert_array_equal(store.read((), 0, 0, *SHAPE), 2 * picture())
    assert store.highest == 2 * picture().max()
    np.testing.assert_array_equal(job.preview((), (0, 0, 90, 90)), 2 * picture()[:90, :90])
    assert [p.name for p in tmp_path.iterdir()] == ["out.zarr"]
    memory = block_job(doubled(seen), blocks, frame, dtype=np.uint64).result()
    assert memory.dtype == np.uint64
    np.testing.assert_array_equal(memory, 2 * picture())


def test_blocks_cover_a_region() -> None:
    frame = frame_of(picture())
    part = Region.of((100, 1030, 2060, 1100), SHAPE)
    assert [box for _, box in blocks_of(frame, region=part)] == [
        (0, 1024, 1024, 1100),
        (1024, 1024, 2048, 1100),
        (2048, 1024, 2500, 1100),
    ]


def test_an_image_without_windows_has_empty_labels(tmp_path: Path) -> None:
    job = begin(tmp_path / "out.zarr", planes=[])
    assert not job.result().read((), 0, 0, *SHAPE).any()
