"""`napari-hqsam auto`: what it asks of the Segmenter, what it writes, how it goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch

from napari_hqsam.labels.export import write_labels
from napari_hqsam.labels.store import LabelStore
from napari_hqsam.modeling import build
from napari_hqsam.segmentation.automatic.automatic import Automatic

from .conftest import BoxModel, Command
from .fake_job import FakeJobs, replace_jobs


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch, model: BoxModel) -> FakeJobs:
    """Rows 10 to 19, 30 to 39, ... of the image become objects 1, 3, ..."""
    return replace_jobs(monkeypatch)


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


@pytest.mark.parametrize("suffix", [".tif", ".zarr", ".png", ".geojson"])
def test_every_object_is_written(
    command: Command, jobs: FakeJobs, image: Path, tmp_path: Path, suffix: str
) -> None:
    target = tmp_path / f"out{suffix}"
    done = command("auto", image, "-o", target)
    assert (done.status, done.err) == (0, "")
    first, estimate, last = done.out.splitlines()
    assert first == "12 steps"
    assert estimate.startswith("about ")
    assert estimate.endswith(" GB of disk for the job")
    assert last == f"{target}: 5 objects; y 96, x 128"
    assert names(tmp_path) == sorted([image.name, target.name, f"{target.name}.json"])
    ((prompts, options),) = jobs.calls
    options.pop("out")
    assert prompts == "grid"
    assert options == {
        "planes": None,
        "region": None,
        "diameter": None,
        "min_size": 0,
        "max_size": None,
        "exclude_edges": False,
        "skip_background": True,
        "link_slices": True,
        "mode": "hq+sam",
        "threshold": 0.0,
        "fill_holes": False,
        "min_iou": None,
    }


def test_options_arrive(command: Command, jobs: FakeJobs, stack: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.tif"
    words = "--find threshold --diameter 6um --min-size 9 --max-size 99 --exclude-edges"
    words += " --no-skip-background --no-link-slices --fill-holes --plane 4 --plane 0"
    words += " --region 0,8,64,80 --mode sam --min-iou 0.7 --threshold 0.5"
    done = command("auto", stack, "-o", target, *words.split())
    assert (done.status, done.err) == (0, "")
    ((prompts, options),) = jobs.calls
    options.pop("out")
    assert prompts == "threshold"
    assert options == {
        "planes": [(4,), (0,)],
        "region": (0, 8, 64, 80),
        "diameter": pytest.approx(12),
        "min_size": 9,
        "max_size": 99,
        "exclude_edges": True,
        "skip_background": False,
        "link_slices": False,
        "mode": "sam",
        "threshold": 0.5,
        "fill_holes": True,
        "min_iou": 0.7,
    }
    about = json.loads((tmp_path / "out.tif.json").read_text())
    # the same command again
    again = command(*about["command"].split()[1:], "--overwrite")
    assert again.status == 0
    assert jobs.calls[1][0] == prompts
    assert jobs.calls[1][1] | {"out": 0} == options | {"out": 0}


def test_measurements(command: Command, jobs: FakeJobs, image: Path, tmp_path: Path) -> None:
    table = tmp_path / "n.csv"
    call = ("auto", image, "-o", tmp_path / "out.tif", "--measurements", table)
    done = command(*call)
    assert done.status == 0
    assert f"{table}: measurements" in done.out
    found = pd.read_csv(table)
    assert found["label"].tolist() == [1, 3, 5, 7, 9]
    assert found["area_um2"].tolist() == pytest.approx([160.0] * 4 + [96.0])
    pixels = tifffile.imread(image)
    assert found["mean_c0"][0] == pytest.approx(pixels[10:20].mean())
    (tmp_path / "out.tif").unlink()
    assert "--measurements" in command(*call).error


def table(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "table.csv"
    path.write_text("\n".join(lines))
    return path


def test_points_and_boxes_out_of_tables(
    command: Command, jobs: FakeJobs, stack: Path, tmp_path: Path
) -> None:
    def prompts(option: str, *lines: str) -> dict[tuple[int, ...], list[Any]]:
        call = ("auto", stack, "-o", tmp_path / "out.tif", "--overwrite")
        done = command(*call, option, table(tmp_path, *lines))
        assert (done.status, done.err) == (0, "")
        return {
            plane: [q for _, q in sorted(of, key=lambda pair: pair[0])]
            for plane, of in jobs.calls[-1][0].items()
        }

    found = prompts("--points", "z;x;y;note", "1;20;10;a", "", "1;21.5;30;", "4;0;0;b")
    assert {p: [q.points.tolist() for q in of] for p, of in found.items()} == {
        (1,): [[[10, 20]], [[30, 21.5]]],
        (4,): [[[0, 0]]],
    }
    # as napari saves a Points layer
    found = prompts("--points", "index,axis-0,axis-1,axis-2", "0.0,2.0,10.0,20.0")
    assert {p: [q.points.tolist() for q in of] for p, of in found.items()} == {(2,): [[[10, 20]]]}
    found = prompts("--boxes", "z,y0,x0,y1,x1", "0,5,6,20,30")
    assert {p: [q.box for q in of] for p, of in found.items()} == {(0,): [(5, 6, 20, 30)]}
    lines = ("object,kind,y,x,y0,x0,y1,x1,z", "a,box,,,10,10,30,30,1", "a,point,20,20,,,,,1")
    ((plane, (only,)),) = prompts("--prompts", *lines).items()
    assert (plane, only.box, only.points.tolist()) == ((1,), (10, 10, 30, 30), [[20, 20]])
    lines = ("object,kind,y0,x0,y1,x1,z", "a,box,10,10,30,30,1", "a,box,10,10,30,30,2")
    prompts("--prompts", *lines)
    assert [[n for n, _ in of] for of in jobs.calls[-1][0].values()] == [[1], [1]]  # one object


def test_labels_say_where(command: Command, jobs: FakeJobs, image: Path, tmp_path: Path) -> None:
    masks = np.zeros((96, 128), np.uint16)
    masks[5:9, 5:9] = 40
    given = write_labels(tmp_path / "masks.tif", masks)
    call = ("auto", image, "-o", tmp_path / "out.tif", "--from-labels", given)
    assert command(*call).status == 0
    ((prompts, _),) = jobs.calls
    assert prompts.shape == (96, 128)
    tifffile.imwrite(given, np.zeros((96, 128), np.float32))
    assert "labels are whole numbers" in command(*call, "--overwrite").error


class Killed(BaseException):
    """As a process that is killed: nothing of ours catches it."""


@pytest.mark.parametrize("suffix", [".tif", ".zarr", ".geojson"])
def test_a_killed_job_goes_on_where_it_was(
    command: Command, jobs: FakeJobs, image: Path, tmp_path: Path, suffix: str
) -> None:
    target = tmp_path / f"out{suffix}"
    numbers = tmp_path / "n.csv"
    call = ("auto", image, "-o", target, "--measurements", numbers)

    def kill(n: int) -> None:
        if n == 7:
            raise Killed

    jobs.fault = kill
    with pytest.raises(Killed):
        command(*call)
    assert not target.exists()
    jobs.fault = lambda n: None
    done = command(*call)
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines()[1].startswith("7 there already; about ")
    assert len(jobs.blocks) == 12
    assert not (tmp_path / f"out{suffix}.job").exists()
    if suffix == ".zarr":
        made = np.asarray(LabelStore.open(target).levels[0])
        assert np.unique(made).tolist() == [0, 1, 3, 5, 7, 9]


@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
def test_the_real_job_goes_on_to_the_same_labels(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """Bright squares, and a network of random weights."""
    torch.manual_seed(0)
    network = build("micro", input_size=64).eval()
    network.refines_parts = network.trusts_boxes = False
    monkeypatch.setattr("napari_hqsam.weights.load_model", lambda *args, **options: network)
    pixels = np.random.default_rng(0).integers(0, 20, (70, 100), np.uint8)
    for y, x in ((10, 12), (20, 70), (50, 40)):
        pixels[y : y + 12, x : x + 12] += 200
    image = tmp_path / "squares.tif"
    tifffile.imwrite(image, pixels)
    options = ("--find", "threshold", "--diameter", 12, "--min-iou", 0, "--threshold", -2)
    clean, target = tmp_path / f"clean{suffix}", tmp_path / f"out{suffix}"
    done = command("auto", image, "-o", clean, *options)
    assert (done.status, done.err) == (0, "")

    find, searched = Automatic.find, []

    def watched(self: Automatic, window: Any) -> Any:
        searched.append(window)
        if len(searched) == 4:
            raise Killed
        return find(self, window)

    monkeypatch.setattr(Automatic, "find", watched)
    with pytest.raises(Killed):
        command("auto", image, "-o", target, *options)
    assert command("auto", image, "-o", target, *options).status == 0
    assert len(set(searched)) == len(searched) - 1  # the one that was cut short, twice
    made, wanted = (
        np.asarray(LabelStore.open(p).levels[0]) if suffix == ".zarr" else tifffile.imread(p)
        for p in (target, clean)
    )
    assert wanted.any()
    np.testing.assert_array_equal(made, wanted)
    assert not (tmp_path / f"out{suffix}.job").exists()


def test_a_table_that_was_edited_meanwhile_is_another_job(
    command: Command, jobs: FakeJobs, image: Path, tmp_path: Path
) -> None:
    def kill(n: int) -> None:
        raise KeyboardInterrupt if n else Killed

    jobs.fault = lambda n: None if n < 3 else kill(n)
    call = ("auto", image, "-o", tmp_path / "out.tif", "--points")
    assert command(*call, table(tmp_path, "y,x", "5,5")).status == 130
    error = command(*call, table(tmp_path, "y,x", "5,5", "8,8")).error
    assert "other settings" in error
    assert "table.csv as of" in error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--find", "magic"], "--find magic: choose grid or threshold"),
        (["--find", "grid", "--points", "a.csv"], "--points and --find: give one of them"),
        (["--boxes", "a.csv", "--prompts", "b.csv"], "--boxes and --prompts: give one of them"),
        (
            ["--points", "a.csv"],
            "a.csv: cannot be read (No such file or directory); check --points",
        ),
        (["--diameter", "0um"], "--diameter 0um: give a length greater than 0"),
        (["--min-size", "9", "--max-size", "8"], "--max-size 8: is less than --min-size 9"),
        (["--min-iou", "1.5"], "min-iou"),
        (["--plane", "2"], "is a single plane"),
        (["--region", "9,0,9,20"], "--region 9,0,9,20: it must lie within the plane"),
        (["--mode", "better"], "mode 'better'"),
        (["--measurements", "{tmp}/n.txt"], "the name must end in .csv"),
        (["--measurements", "{tmp}/there.csv"], "exists already; add --overwrite"),
        (["--from-labels", "{tmp}/no.tif"], "no.tif"),
        (["-o", "{tmp}/out.gif"], "give a name that ends in"),
        (["-o", "{tmp}/an image.tif", "--overwrite"], "is what is read"),
    ],
)
def test_bad_options_are_told_before_a_model_is_loaded(
    command: Command,
    no_model: None,
    image: Path,
    tmp_path: Path,
    options: list[str],
    message: str,
) -> None:
    (tmp_path / "there.csv").write_text("mine")
    before = names(tmp_path)
    words = [option.format(tmp=tmp_path) for option in options]
    assert message in command("auto", image, "-o", tmp_path / "out.tif", *words).error
    assert names(tmp_path) == before


@pytest.mark.parametrize(
    ("option", "lines", "message"),
    [
        ("--points", [""], "line 1: column z is missing; --points needs z, y, x"),
        ("--points", ["y,x", "1,2"], "line 1: column z is missing"),
        ("--points", ["z,y,x"], "there are no rows in this table"),
        ("--points", ["z,y,x", "1,2,three"], "line 2: x = 'three': give a number"),
        ("--points", ["z,y,x", "1,2"], "line 2: x = '': give a number"),
        ("--points", ["z,y,x", "nan,2,3"], "line 2: z = 'nan': give a number"),
        ("--points", ["z,y,x", "0.5,2,3"], "line 2: [0.5]: planes are whole numbers"),
        ("--points", ["z,y,x", "9,2,3"], "line 2: "),
        ("--points", ["z,y,x", "0,2,3", "0,2,80"], "line 3: point 2,80 is outside the image"),
        ("--boxes", ["z,y0,x0,y1,x1", "0,5,5,2,9"], "line 2: "),
        ("--boxes", ["z,y,x", "0,5,5"], "column y0 is missing; --boxes needs z, y0, x0, y1, x1"),
    ],
)
def test_a_table_that_is_wrong_is_told_with_its_line(
    command: Command,
    no_model: None,
    stack: Path,
    tmp_path: Path,
    option: str,
    lines: list[str],
    message: str,
) -> None:
    path = table(tmp_path, *lines)
    error = command("auto", stack, "-o", tmp_path / "out.tif", option, path).error
    assert error.startswith(f"{path}")
    assert message in error


def test_outlines_of_a_coarser_level_are_refused(
    command: Command, no_model: None, tmp_path: Path
) -> None:
    path = tmp_path / "pyramid.ome.tif"
    pixels = np.zeros((96, 128), np.uint8)
    with tifffile.TiffWriter(path, ome=True) as tif:
        tif.write(pixels, subifds=1, metadata={"axes": "YX"}, tile=(32, 32))
        tif.write(pixels[::2, ::2], subfiletype=1, tile=(32, 32))
    error = command("auto", path, "-o", tmp_path / "a.geojson", "--level", 1).error
    assert "outlines are in pixels of --level 0" in error
