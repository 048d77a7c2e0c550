"""`napari-hqsam propagate`: what it asks of the Segmenter, what it writes, how it goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
from numpy.typing import NDArray

from napari_hqsam.benchmark.instant import Instant
from napari_hqsam.embedding.job import Job
from napari_hqsam.labels.export import write_labels
from napari_hqsam.labels.frame import LabelFrame
from napari_hqsam.labels.label_array import StoreLabels
from napari_hqsam.labels.store import LabelStore
from napari_hqsam.segmentation import Segmenter
from napari_hqsam.segmentation.volume import Propagation
from napari_hqsam.storage.work import Work

from .conftest import BoxModel, Command

# What the stand-in finds of every object on every slice.
FOUND = (10, 20, 30, 50)


class Killed(BaseException):
    """As a process that is killed: nothing of ours catches it."""


class FollowJob(Job[Any, LabelStore]):
    """Every object is the same box on every slice, and less sure from slice to slice."""

    def __init__(self, frame: LabelFrame, out: Path, fault: Callable[[int], None]) -> None:
        work = Work.open(out.with_name(f"{out.name}.job"), {"fake": 1})
        if not out.exists():
            of = {"axes": frame.axes, "scale": frame.scale, "units": frame.units}
            LabelStore.create(out, frame.shape, dtype="uint32", **of)
        store, y, x = LabelStore.open(out), slice(*FOUND[::2]), slice(*FOUND[1::2])
        self.done: list[int] = []

        def run(i: int) -> None:
            fault(i)
            pixels = np.zeros(frame.plane_shape, np.uint32)
            pixels[y, x] = 1
            plane = frame.plane(planes[i])
            StoreLabels(store).write(plane, 0, 0, pixels, pixels > 0)
            work.mark(str(i))
            self.done.append(i)

        def result() -> LabelStore:
            work.remove()
            return store

        planes = list(frame.planes())
        super().__init__(range(len(planes)), run, lambda i: str(i) in work, result)

    @property
    def table(self) -> pd.DataFrame:
        about = [(1, i, 19.5, 34.5, 600, np.nan if i == 2 else 1 - i / 10) for i in self.plan]
        return pd.DataFrame(about, columns=["label", "position", "y", "x", "area", "score"])


@dataclass
class FakeJobs:
    """What `Segmenter.propagate` was called with, and the jobs that it made."""

    calls: list[tuple[Any, ...]] = field(default_factory=list)
    jobs: list[FollowJob] = field(default_factory=list)
    fault: Callable[[int], None] = lambda i: None

    def propagate(
        self, segmenter: Segmenter, seeds: Any, start: Any, stop: Any, **options: Any
    ) -> FollowJob:
        out = options.pop("out")
        self.calls.append((seeds, start, stop, options))
        frame = LabelFrame.of(segmenter.source, segmenter.level)
        self.jobs.append(FollowJob(frame, out, lambda i: self.fault(i)))
        return self.jobs[-1]


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch, model: BoxModel) -> FakeJobs:
    jobs = FakeJobs()

    def propagate(self: Segmenter, *given: Any, **options: Any) -> FollowJob:
        return jobs.propagate(self, *given, **options)

    monkeypatch.setattr(Segmenter, "propagate", propagate, raising=False)
    return jobs


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def read(path: Path) -> NDArray[Any]:
    if path.suffix == ".zarr":
        return np.asarray(LabelStore.open(path).levels[0])
    return np.asarray(tifffile.imread(path))


def prompts_csv(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "prompts.csv"
    path.write_text("\n".join(lines or ("object,kind,y0,x0,y1,x1,z", "a,box,10,20,29,49,2")))
    return path


@pytest.mark.parametrize("suffix", [".tif", ".zarr", ".geojson"])
def test_labels_are_written_with_a_table_and_a_sidecar(
    command: Command, jobs: FakeJobs, stack: Path, tmp_path: Path, suffix: str
) -> None:
    target, prompts = tmp_path / f"out{suffix}", prompts_csv(tmp_path)
    numbers = tmp_path / "n.csv"
    done = command("propagate", stack, "-o", target, "--prompts", prompts, "--table", numbers)
    assert (done.status, done.err) == (0, "")
    first, estimate, *rest = done.out.splitlines()
    assert first == "5 steps"
    assert estimate.startswith("about ")
    assert rest == [
        f"{numbers}: table",
        "4 masks; the least sure is label 1 on z = 4, score 0.60",
        f"{target}: 1 object; z 5, y 64, x 80",
    ]
    mine = [stack, target, Path(f"{target}.json"), prompts, numbers]
    assert names(tmp_path) == sorted(p.name for p in mine)  # no folder of the job
    table = pd.read_csv(numbers)
    assert table.columns.tolist() == ["label", "position", "y", "x", "area", "score"]
    assert table["position"].tolist() == [0, 1, 2, 3, 4]
    assert table["score"].isna().tolist() == [False, False, True, False, False]
    if suffix != ".geojson":
        assert (read(target) == 1).sum(axis=(1, 2)).tolist() == [600] * 5
    ((seeds, start, stop, options),) = jobs.calls
    ((plane, ((label, only),)),) = seeds.items()
    assert (plane, label, only.box) == ((2,), 1, (10, 20, 29, 49))
    assert (start, stop) == (None, None)
    assert options == {
        "axis": "z",
        "direction": "both",
        "min_score": 0.5,
        "smooth": 0.0,
        "labels": None,
        "mode": "hq+sam",
        "threshold": 0.0,
    }
    about = json.loads(Path(f"{target}.json").read_text())
    assert about["model"]["name"] == "micro"
    assert about["command"].startswith(f"napari-hqsam propagate {stack} -o {target} --prompts ")


def test_options_arrive_and_the_sidecar_repeats_them(
    command: Command, jobs: FakeJobs, stack: Path, tmp_path: Path
) -> None:
    target = tmp_path / "out.tif"
    words = "--box 10,20,29,49 --negative 12,22 --plane 2 --axis z --direction forward --from 1"
    words += " --to 3 --min-score 0.7 --smooth 1.5 --mode sam --threshold 0.5 --contrast 5,250"
    done = command("propagate", stack, "-o", target, *words.split())
    assert (done.status, done.err) == (0, "")
    ((seeds, start, stop, options),) = jobs.calls
    ((_, only),) = seeds[2,]
    assert (only.box, only.points.tolist(), only.labels.tolist()) == (
        (10, 20, 29, 49),
        [[12, 22]],
        [0],
    )
    assert (start, stop) == (1, 4)  # --to is the last one
    assert options == {
        "axis": "z",
        "direction": "forward",
        "min_score": 0.7,
        "smooth": 1.5,
        "labels": None,
        "mode": "sam",
        "threshold": 0.5,
    }
    about = json.loads((tmp_path / "out.tif.json").read_text())
    assert about["contrast_limits"] == [[5, 250]]
    again = command(*about["command"].split()[1:], "--overwrite")
    assert again.status == 0
    assert jobs.calls[1][1:] == jobs.calls[0][1:]


def test_labels_say_where_objects_begin(
    command: Command, jobs: FakeJobs, stack: Path, tmp_path: Path
) -> None:
    masks = np.zeros((5, 64, 80), np.uint16)
    masks[3, 5:9, 5:9], masks[1, 5:9, 5:9] = 40, 7
    given = write_labels(tmp_path / "seeds.tif", masks, axes="zyx")
    call = ("propagate", stack, "-o", tmp_path / "out.tif", "--labels", given)
    assert command(*call).status == 0
    ((seeds, *_),) = jobs.calls
    assert str(seeds) == str(given)
    assert "give another name" in command("propagate", stack, "-o", given, "--labels", given).error
    write_labels(given, masks * 0, axes="zyx")
    assert "all of it is 0" in command(*call, "--overwrite").error
    write_labels(given, masks[:4], axes="zyx")
    assert "do not fit the image" in command(*call, "--overwrite").error


def test_new_objects_are_numbered_after_those_that_exist(
    command: Command, jobs: FakeJobs, stack: Path, tmp_path: Path
) -> None:
    masks = np.zeros((5, 64, 80), np.uint16)
    masks[0, 5:9, 5:9] = 40
    there = write_labels(tmp_path / "there.tif", masks, axes="zyx")
    lines = ("object,kind,y,x,z", "a,point,12,25,0", "b,point,40,40,0", "a,point,12,25,4")
    prompts = ("--prompts", prompts_csv(tmp_path, *lines), "--existing", there)
    assert command("propagate", stack, "-o", tmp_path / "out.zarr", *prompts).status == 0
    ((seeds, _, _, options),) = jobs.calls
    labels = {plane: [label for label, _ in of] for plane, of in seeds.items()}
    assert labels == {(0,): [41, 42], (4,): [41]}  # an object on two slices is one
    assert str(options["labels"]) == str(there)
    write_labels(there, masks * 0, axes="zyx")
    call = ("propagate", stack, "-o", tmp_path / "first.zarr", *prompts)
    assert command(*call).status == 0
    assert [label for label, _ in jobs.calls[1][0][0,]] == [1, 2]


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Three time points of two slices."""
    path = tmp_path / "film.tif"
    pixels = np.random.default_rng(0).integers(0, 255, (3, 2, 64, 80), np.uint8)
    tifffile.imwrite(path, pixels, imagej=True, metadata={"axes": "TZYX"})
    return path


def test_a_film_gives_tracks(command: Command, jobs: FakeJobs, film: Path, tmp_path: Path) -> None:
    tracks = tmp_path / "tracks.csv"
    box = ("--box", "10,20,29,49", "--plane", "0,1")
    call = ("propagate", film, "-o", tmp_path / "out.zarr", *box, "--tracks", tracks)
    assert "--tracks: objects are followed along z; give --axis t" in command(*call).error
    done = command(*call, "--axis", "t")
    assert (done.status, done.err) == (0, "")
    assert jobs.calls[0][3]["axis"] == "t"
    found = pd.read_csv(tracks)
    assert found.columns.tolist() == ["id", "t", "z", "y", "x"]
    assert found["z"].unique().tolist() == [1]
    assert found["t"].tolist()[:3] == [0, 1, 2]
    assert found[["y", "x"]].iloc[0].tolist() == [19.5, 34.5]
    flat = tmp_path / "flat.tif"
    tifffile.imwrite(flat, tifffile.imread(film)[:, 0], imagej=True, metadata={"axes": "TYX"})
    call = ("propagate", flat, "-o", tmp_path / "flat.zarr", *box[:3], "0", "--tracks", tracks)
    assert command(*call, "--overwrite").status == 0
    assert pd.read_csv(tracks).columns.tolist() == ["id", "t", "y", "x"]


@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
def test_a_killed_job_goes_on_where_it_was(
    command: Command, jobs: FakeJobs, stack: Path, tmp_path: Path, suffix: str
) -> None:
    target, prompts = tmp_path / f"out{suffix}", prompts_csv(tmp_path)
    call = ("propagate", stack, "-o", target, "--prompts", prompts)

    def kill(i: int) -> None:
        if i == 3:
            raise Killed

    jobs.fault = kill
    with pytest.raises(Killed):
        command(*call)
    assert not target.exists()
    jobs.fault = lambda i: None
    assert "begun with other settings" in command(*call, "--smooth", 2).error
    # a table may be asked for now
    done = command(*call, "--table", tmp_path / "n.csv")
    assert (done.status, done.err) == (0, "")
    assert jobs.jobs[-1].done == [3, 4]
    assert len(pd.read_csv(tmp_path / "n.csv")) == 5
    assert (read(target) == 1).sum(axis=(1, 2)).tolist() == [600] * 5
    assert not (tmp_path / f"out{suffix}.job").exists()


@pytest.mark.parametrize("moment", ["before its table", "after its table"])
def test_what_was_finished_as_the_process_ended_is_written_with_its_table(
    command: Command,
    jobs: FakeJobs,
    stack: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
) -> None:
    numbers = tmp_path / "n.csv"
    call = ("propagate", stack, "-o", tmp_path / "out.tif", "--prompts", prompts_csv(tmp_path))

    def kill(*args: object, **options: object) -> None:
        raise Killed

    place = "cli.followed.write_table" if "before" in moment else "labels.sidecar.write_sidecar"
    with monkeypatch.context() as patched:
        patched.setattr(f"napari_hqsam.{place}", kill)
        with pytest.raises(Killed):
            command(*call)
    done = command(*call, "--table", numbers)
    assert (done.status, done.err) == (0, "")
    assert len(pd.read_csv(numbers)) == 5
    assert len(jobs.jobs) == (2 if "before" in moment else 1)
    assert not (tmp_path / "out.tif.job").exists()


def test_a_stopped_job_says_how_it_goes_on(
    command: Command, jobs: FakeJobs, stack: Path, tmp_path: Path
) -> None:
    def stop(i: int) -> None:
        if i == 1:
            raise KeyboardInterrupt

    jobs.fault = stop
    box = ("--box", "10,20,29,49", "--plane", 2)
    done = command("propagate", stack, "-o", tmp_path / "out.zarr", *box)
    assert done.status == 130
    assert "the same command goes on from there" in done.err


BOX = ["--box", "10,20,29,49", "--plane", "2"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "no prompts: give --prompts, --labels, --box or --point"),
        (["--plane", "2"], "no prompts: give --prompts"),
        (["--prompts", "a.csv", *BOX], "--prompts and --box: give one of them"),
        (["--labels", "a.tif", "--point", "1,2"], "--labels and --point: give one of them"),
        (["--labels", "a.tif", "--plane", "2"], "--plane with --labels"),
        (["--labels", "{tmp}/no.tif"], "no.tif"),
        (["--prompts", "{tmp}/no.csv"], "no.csv: cannot be read"),
        (["--box", "10,20,29,49"], "give --plane z"),
        (["--box", "10,20,29,49", "--plane", "5"], "z = 5 is outside stack.tif"),
        (["--box", "10,90,29,99", "--plane", "2"], "is outside the image"),
        (["--negative", "10,20", "--plane", "2"], "negative points alone"),
        ([*BOX, "--axis", "t"], "there is no axis t to follow objects along"),
        ([*BOX, "--axis", "y"], 'axis "y": objects are followed along z or t'),
        ([*BOX, "--direction", "up"], "--direction up: choose both, forward, backward"),
        ([*BOX, "--from", "5"], "--from 5: z goes from 0 to 4 in this image"),
        ([*BOX, "--to", "9"], "--to 9: z goes from 0 to 4 in this image"),
        ([*BOX, "--from", "3", "--to", "1"], "--to 1: comes before --from 3"),
        ([*BOX, "--from", "-1"], "--from"),
        ([*BOX, "--min-score", "2"], "--min-score"),
        ([*BOX, "--smooth", "-1"], "--smooth"),
        ([*BOX, "--mode", "better"], "mode 'better'"),
        ([*BOX, "--tracks", "{tmp}/t.csv"], "objects are followed along z; give --axis t"),
        ([*BOX, "--table", "{tmp}/t.txt"], "the name must end in .csv"),
        ([*BOX, "--table", "{tmp}/there.csv"], "exists already; add --overwrite"),
        ([*BOX, "--existing", "{tmp}/no.tif"], "no.tif"),
        ([*BOX, "-o", "{tmp}/out.png"], "a PNG holds one plane"),
        ([*BOX, "-o", "{tmp}/stack.tif", "--overwrite"], "is what is read"),
    ],
)
def test_bad_options_are_told_before_a_model_is_loaded(
    command: Command,
    no_model: None,
    stack: Path,
    tmp_path: Path,
    options: list[str],
    message: str,
) -> None:
    (tmp_path / "there.csv").write_text("mine")
    before = names(tmp_path)
    words = [option.format(tmp=tmp_path) for option in options]
    assert message in command("propagate", stack, "-o", tmp_path / "out.tif", *words).error
    assert names(tmp_path) == before


def test_prompts_outside_the_stack_are_told_with_their_line(
    command: Command, no_model: None, stack: Path, tmp_path: Path
) -> None:
    path = prompts_csv(tmp_path, "object,kind,y,x,z", "a,point,10,20,2", "a,point,10,20,7")
    error = command("propagate", stack, "-o", tmp_path / "out.tif", "--prompts", path).error
    assert error.startswith(f"{path}, line 3: ")
    assert "z = 7 is outside stack.tif, choose z from 0 to 4" in error


@pytest.mark.parametrize(
    ("shape", "axes", "words", "message"),
    [
        ((64, 80), "YX", (), "is a single plane, there is nothing to propagate to"),
        ((1, 64, 80), "ZYX", (), "is a single plane, there is nothing to propagate to"),
        ((64, 80, 3), "YXS", ("--plane", "0"), "is a single plane"),
        ((3, 64, 80), "CYX", ("--axis", "z"), "is a single plane"),
        ((3, 4, 64, 80), "TCYX", ("--axis", "z"), "there is no axis z"),
        ((3, 4, 64, 80), "TCYX", ("--axis", "c"), 'axis "c": objects are followed along z or t'),
    ],
)
def test_what_is_no_stack_is_told(
    command: Command,
    no_model: None,
    tmp_path: Path,
    shape: tuple[int, ...],
    axes: str,
    words: tuple[str, ...],
    message: str,
) -> None:
    image = tmp_path / "image.tif"
    tifffile.imwrite(image, np.zeros(shape, np.uint8), ome=True, metadata={"axes": axes})
    call = ("propagate", image, "-o", tmp_path / "out.tif", "--box", "10,20,29,49")
    assert message in command(*call, *words).error
    assert names(tmp_path) == ["image.tif"]


def test_prompts_at_several_times_are_no_single_course(
    command: Command, no_model: None, film: Path, tmp_path: Path
) -> None:
    path = prompts_csv(tmp_path, "object,kind,y,x,t,z", "a,point,10,20,0,1", "b,point,9,9,2,1")
    call = ("propagate", film, "-o", tmp_path / "out.tif", "--prompts", path)
    assert "along z in one go, but they are on the planes (0, 1) and (2, 1)" in command(*call).error


@pytest.fixture
def rods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two bright rods through eight slices, and a network that sees what is bright."""
    monkeypatch.setattr("napari_hqsam.weights.load_model", lambda *args, **options: Instant(64))
    pixels = np.full((8, 64, 96), 30, np.uint8)
    pixels[:, 10:30, 10:30] = pixels[:, 35:55, 60:80] = 200
    path = tmp_path / "rods.tif"
    tifffile.imwrite(path, pixels, imagej=True, metadata={"axes": "ZYX"})
    return path


RODS = ("object,kind,y0,x0,y1,x1,z", "a,box,10,10,29,29,3", "b,box,35,60,54,79,5")


def test_the_real_job_follows_objects_from_their_slices(
    command: Command, rods: Path, tmp_path: Path
) -> None:
    target, numbers = tmp_path / "out.tif", tmp_path / "n.csv"
    prompts = ("--prompts", prompts_csv(tmp_path, *RODS), "--contrast", "0,255")
    done = command("propagate", rods, "-o", target, *prompts, "--table", numbers)
    assert (done.status, done.err) == (0, "")
    made = read(target)
    for label, box in ((1, np.s_[:, 10:30, 10:30]), (2, np.s_[:, 35:55, 60:80])):
        truth = np.zeros(made.shape, bool)
        truth[box] = True
        assert (truth & (made == label)).sum() > 0.8 * (truth | (made == label)).sum()
    table = pd.read_csv(numbers)
    assert table.columns.tolist() == ["label", "position", "y", "x", "area", "score"]
    assert table["position"].tolist() == [*range(8), *range(8)]
    assert table[table["score"].isna()]["position"].tolist() == [3, 5]
    areas = [(made[z] == n).sum() for n, z in zip(table["label"], table["position"], strict=True)]
    assert table["area"].tolist() == areas


@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
def test_the_real_job_goes_on_to_the_same_labels(
    command: Command, rods: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    clean, target = tmp_path / f"clean{suffix}", tmp_path / f"out{suffix}"
    prompts = ("--prompts", prompts_csv(tmp_path, *RODS), "--contrast", "0,255")
    numbers = [tmp_path / "clean.csv", tmp_path / "n.csv"]
    assert command("propagate", rods, "-o", clean, *prompts, "--table", numbers[0]).status == 0
    walk = Propagation.__iter__

    def cut_short(self: Propagation) -> Any:
        for i, masks in enumerate(walk(self)):
            if i == 4:
                raise Killed
            yield masks

    with monkeypatch.context() as patched:
        patched.setattr(Propagation, "__iter__", cut_short)
        with pytest.raises(Killed):
            command("propagate", rods, "-o", target, *prompts)
    assert not target.exists()
    done = command("propagate", rods, "-o", target, *prompts, "--table", numbers[1])
    assert (done.status, done.err) == (0, "")
    np.testing.assert_array_equal(read(target), read(clean))
    assert numbers[1].read_text() == numbers[0].read_text()
    assert not (tmp_path / f"out{suffix}.job").exists()
