"""`napari-hqsam refine`, from every kind of labels to every kind of file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
from numpy.typing import NDArray
from skimage.segmentation import expand_labels

from napari_hqsam.images import open_image
from napari_hqsam.labels.export import write_labels
from napari_hqsam.labels.find import objects_in
from napari_hqsam.labels.geojson import read_geojson, write_geojson
from napari_hqsam.labels.grid import Grid
from napari_hqsam.labels.store import LabelStore
from napari_hqsam.modeling import build

from .conftest import BoxModel, Command
from .fake_job import FakeJobs, replace_jobs


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch, model: BoxModel) -> FakeJobs:
    return replace_jobs(monkeypatch)


LABELS = np.zeros((96, 128), np.uint16)
LABELS[20:40, 20:50] = 3
LABELS[20:40, 50:70] = 700  # touches it
LABELS[60:80, 100:128] = 9
GROWN = expand_labels(LABELS, 1)


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """Labels of `image`, with its pixel size."""
    return write_labels(tmp_path / "masks.tif", LABELS, scale=(0.25, 0.5), units="um")


def read(path: Path) -> NDArray[Any]:
    if path.suffix == ".zarr":
        return np.asarray(LabelStore.open(path).levels[0])
    if path.suffix == ".png":
        with open_image(path) as source:
            return source.read((), 0, 0, 96, 128)[..., 0]
    return tifffile.imread(path)


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


@pytest.mark.parametrize("suffix", [".tif", ".zarr", ".png"])
def test_labels_come_out_under_their_numbers(
    command: Command, jobs: FakeJobs, image: Path, labels: Path, tmp_path: Path, suffix: str
) -> None:
    target = tmp_path / f"out{suffix}"
    done = command("refine", image, labels, "-o", target)
    assert (done.status, done.err) == (0, "")
    np.testing.assert_array_equal(read(target), GROWN)
    first, *_, last = done.out.splitlines()
    assert first == "12 steps"
    assert last == f"{target}: 3 objects; y 96, x 128"
    # nothing else is left beside it but the sidecar
    assert names(tmp_path) == sorted([image.name, labels.name, target.name, f"{target.name}.json"])
    if suffix != ".png":
        with open_image(target) as source:
            assert source.scale == pytest.approx((0.25, 0.5))
    ((_, options),) = jobs.calls
    assert (options["band"], options["thin"], options["mode"]) == (8, 0, "hq+sam")
    assert (options["planes"], options["region"]) == (None, None)


def test_the_sidecar_says_how(
    command: Command, jobs: FakeJobs, image: Path, labels: Path, tmp_path: Path
) -> None:
    target = tmp_path / "out.tif"
    options = ["--band", "1um", "--contrast", "5,3000", "--region", "0,0,64,128"]
    assert command("refine", image, labels, "-o", target, *options).status == 0
    about = json.loads((tmp_path / "out.tif.json").read_text())
    assert about["model"]["name"] == "micro"
    assert len(about["model"]["weights"]) == 64
    assert about["contrast_limits"] == [[5, 3000]]
    assert about["parameters"]["band"] == "1um"
    words = f"napari-hqsam refine '{image}' {labels} -o {target} "
    assert about["command"] == words + "--band 1um --region 0,0,64,128 --contrast 5,3000"
    ((_, given),) = jobs.calls
    assert given["band"] == pytest.approx(1 / (0.25 * 0.5) ** 0.5)
    assert given["region"] == (0, 0, 64, 128)


def test_planes_of_a_stack(command: Command, jobs: FakeJobs, stack: Path, tmp_path: Path) -> None:
    masks = np.zeros((5, 64, 80), np.int32)
    masks[:, 10:20, 10:20] = 5
    given = write_labels(tmp_path / "masks.tif", masks, axes="zyx", scale=(2, 0.5, 0.5), units="um")
    target = tmp_path / "out.tif"
    call = ("refine", stack, given, "-o", target, "--plane", 3, "--plane", 1, "--plane", 3)
    assert command(*call).status == 0
    assert jobs.calls[0][1]["planes"] == [(3,), (1,)]
    assert (read(target) > 0).sum(axis=(1, 2)).tolist() == [0, 140, 0, 140, 0]


def test_the_report(
    command: Command, jobs: FakeJobs, image: Path, labels: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "new" / "moved"
    call = ("refine", image, labels, "-o", tmp_path / "out.tif", "--report", folder)
    done = command(*call)
    assert (done.status, done.err) == (0, "")
    assert names(folder) == ["moved.csv", "report.html"]
    table = pd.read_csv(folder / "moved.csv")
    assert table["label"].tolist() == [3, 9, 700]
    assert (table["moved_max"] == 1).all()
    assert table["moved_mean_um"].between(0.2, 0.5).all()
    assert "3 objects; boundaries moved " in done.out
    assert "no label lost" in done.out
    assert f"{folder / 'report.html'}: look at it in a browser" in done.out
    assert "--report" in (folder / "report.html").read_text()
    again = command(*call, "--overwrite")
    assert again.status == 0
    (tmp_path / "out.tif").unlink()
    assert "has a report already" in command(*call).error


def test_the_report_is_of_what_was_refined(
    command: Command, jobs: FakeJobs, image: Path, labels: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "moved"
    part = ("--region", "50,90,96,128", "--report", folder)
    assert command("refine", image, labels, "-o", tmp_path / "out.tif", *part).status == 0
    assert pd.read_csv(folder / "moved.csv")["label"].tolist() == [9]


@pytest.mark.parametrize("suffix", [".tif", ".geojson"])
def test_the_real_job_keeps_every_object(
    command: Command,
    image: Path,
    labels: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    suffix: str,
) -> None:
    """A network of random weights wants something else, but may change the band alone."""
    torch.manual_seed(0)
    network = build("micro", input_size=64).eval()
    monkeypatch.setattr("napari_hqsam.weights.load_model", lambda *args, **options: network)
    target = tmp_path / f"out{suffix}"
    call = ("refine", image, labels, "-o", target, "--band", 3, "--report", tmp_path / "moved")
    done = command(*call)
    assert (done.status, done.err) == (0, "")
    assert "3 objects; boundaries moved" in done.out
    assert "no label lost" in done.out
    table = pd.read_csv(tmp_path / "moved" / "moved.csv")
    assert (table["area_after"] > 0).all()
    if suffix == ".tif":
        made = read(target)
        far = expand_labels(LABELS, 4) == 0
        assert not made[far].any()
        assert sorted(np.unique(made)) == [0, 3, 9, 700]


class Killed(BaseException):
    """As a process that is killed: nothing of ours catches it."""


@pytest.mark.parametrize("suffix", [".tif", ".zarr", ".geojson"])
def test_a_killed_job_goes_on_where_it_was(
    command: Command, jobs: FakeJobs, image: Path, labels: Path, tmp_path: Path, suffix: str
) -> None:
    target, clean = tmp_path / f"out{suffix}", tmp_path / f"clean{suffix}"
    assert command("refine", image, labels, "-o", clean).status == 0
    jobs.blocks.clear()
    call = ("refine", image, labels, "-o", target)

    def kill(n: int) -> None:
        if n == 5:
            raise Killed

    jobs.fault = kill
    with pytest.raises(Killed):
        command(*call)
    assert not target.exists()
    assert names(tmp_path / f"out{suffix}.job")
    jobs.fault = lambda n: None
    # other options are another job
    other = command(*call, "--band", 3).error
    assert "this job was begun with other settings (band: " in other
    # but a report may be asked for now
    assert command(*call, "--report", tmp_path / "moved").status == 0
    assert len(jobs.blocks) == 12  # none twice
    if suffix == ".geojson":
        assert target.read_text() == clean.read_text()
    else:
        np.testing.assert_array_equal(read(target), read(clean))
    assert not (tmp_path / f"out{suffix}.job").exists()


def test_a_job_that_was_killed_while_the_file_was_written_is_not_computed_again(
    command: Command,
    jobs: FakeJobs,
    image: Path,
    labels: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    call = ("refine", image, labels, "-o", tmp_path / "out.tif", "--report", tmp_path / "moved")

    def kill(*given: Any, **options: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("napari_hqsam.labels.export.write_labels", kill)
        with pytest.raises(Killed):
            command(*call)
    assert (tmp_path / "moved" / "report.html").exists()
    jobs.calls.clear()
    done = command(*call)
    assert (done.status, done.err) == (0, "")
    assert jobs.calls == []
    np.testing.assert_array_equal(read(tmp_path / "out.tif"), GROWN)


def test_a_job_of_other_settings_is_replaced_if_told(
    command: Command, jobs: FakeJobs, image: Path, labels: Path, tmp_path: Path
) -> None:
    target = tmp_path / "out.tif"

    def kill(n: int) -> None:
        if n == 5:
            raise Killed

    jobs.fault = kill
    with pytest.raises(Killed):
        command("refine", image, labels, "-o", target)
    jobs.fault = lambda n: None
    jobs.blocks.clear()
    done = command("refine", image, labels, "-o", target, "--band", 3, "--overwrite")
    assert (done.status, done.err) == (0, "")
    assert len(jobs.blocks) == 12
    np.testing.assert_array_equal(read(target), GROWN)


def test_labels_that_were_edited_meanwhile_are_another_job(
    command: Command, jobs: FakeJobs, image: Path, labels: Path, tmp_path: Path
) -> None:
    def kill(n: int) -> None:
        if n == 5:
            raise Killed

    jobs.fault = kill
    with pytest.raises(Killed):
        command("refine", image, labels, "-o", tmp_path / "out.tif")
    write_labels(labels, LABELS.T.copy().reshape(96, 128), scale=(0.25, 0.5), units="um")
    jobs.fault = lambda n: None
    error = command("refine", image, labels, "-o", tmp_path / "out.tif").error
    assert f"other settings ({labels} as of" in error


def test_ctrl_c_says_that_the_same_command_goes_on(
    command: Command, jobs: FakeJobs, image: Path, labels: Path, tmp_path: Path
) -> None:
    def interrupt(n: int) -> None:
        if n == 4:
            raise KeyboardInterrupt

    jobs.fault = interrupt
    call = ("refine", image, labels, "-o", tmp_path / "out.zarr")
    stopped = command(*call)
    assert stopped.status == 130
    assert stopped.err == "napari-hqsam: stopped; the same command goes on from there\n"
    jobs.fault = lambda n: None
    done = command(*call)
    assert done.status == 0
    assert len(jobs.blocks) == 12
    np.testing.assert_array_equal(read(tmp_path / "out.zarr"), GROWN)


def feature(y: int, x: int, side: int, **more: Any) -> dict[str, Any]:
    ring = [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]
    return {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}, **more}


@pytest.fixture
def outlines(tmp_path: Path) -> Path:
    """Three areas as QuPath has them; the second lies within the first."""
    path = tmp_path / "cells.geojson"
    tumor = {"name": "nucleus 1", "classification": {"name": "Tumor"}}
    features = [
        feature(10, 10, 30, id="aaa", properties=tumor),
        feature(15, 15, 5, id="bbb"),
        feature(10, 40, 20, id="ccc", properties={"classification": {"name": "Stroma"}}),
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def test_outlines_in_and_out_keep_their_ids_names_and_classes(
    command: Command, jobs: FakeJobs, image: Path, outlines: Path, tmp_path: Path
) -> None:
    target = tmp_path / "refined.geojson"
    done = command("refine", image, outlines, "-o", target)
    assert done.status == 0
    first, second = done.err.splitlines()
    assert "1 object(s) overlap others, which keep 25 of their pixels" in first
    assert "1 feature(s) lie under others as a whole, and keep their outline" in second
    before, after = (json.loads(p.read_text())["features"] for p in (outlines, target))
    assert [f["id"] for f in after] == ["aaa", "bbb", "ccc"]
    assert [f.get("properties") for f in after] == [f.get("properties") for f in before]
    assert after[1] == before[1]
    with open_image(image) as source:
        objects = read_geojson(target, Grid.of(source))
    flat = np.zeros((96, 128), int)
    flat[10:30, 40:60], flat[10:40, 10:40] = 3, 1
    grown = expand_labels(flat, 1)
    assert [o.area for o in objects] == [(grown == 1).sum(), 25, (grown == 3).sum()]
    assert done.out.splitlines()[-1] == f"{target}: 2 objects; y 96, x 128"


def test_outlines_become_labels_and_labels_outlines(
    command: Command, jobs: FakeJobs, image: Path, outlines: Path, labels: Path, tmp_path: Path
) -> None:
    assert command("refine", image, outlines, "-o", tmp_path / "a.tif").status == 0
    assert sorted(np.unique(read(tmp_path / "a.tif"))) == [0, 1, 3]
    target = tmp_path / "b.geojson"
    assert command("refine", image, labels, "-o", target).status == 0
    wanted = tmp_path / "wanted.geojson"
    with open_image(image) as source:
        write_geojson(wanted, objects_in(GROWN), Grid.of(source))
    assert target.read_text() == wanted.read_text()


def test_outlines_whose_job_is_killed_are_drawn_once(
    command: Command, jobs: FakeJobs, image: Path, outlines: Path, tmp_path: Path
) -> None:
    def kill(n: int) -> None:
        if n == 4:
            raise Killed

    jobs.fault = kill
    with pytest.raises(Killed):
        command("refine", image, outlines, "-o", tmp_path / "a.geojson")
    jobs.fault = lambda n: None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("napari_hqsam.labels.flatten.write_flat", None)
        assert command("refine", image, outlines, "-o", tmp_path / "a.geojson").status == 0
    assert len(jobs.blocks) == 12


def wrong_labels(tmp_path: Path, kind: str) -> Path:
    pixels: NDArray[Any] = LABELS
    path = tmp_path / "wrong.tif"
    if kind == "scale":
        return write_labels(path, LABELS, scale=(1.0, 1.0), units="um")
    if kind == "float":
        pixels = LABELS.astype(np.float32)
    elif kind == "negative":
        pixels = LABELS.astype(np.int16)
        pixels[90, 120] = -2
    elif kind == "shape":
        pixels = LABELS[:, :-1]
    elif kind == "empty":
        pixels = np.zeros_like(LABELS)
    elif kind == "colours":
        pixels = np.stack([LABELS] * 3, axis=-1).astype(np.uint8)
    tifffile.imwrite(path, pixels)
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("float", "labels are whole numbers, not float32"),
        ("negative", "labels are numbers from 0 up, but -2 occurs"),
        ("shape", "labels of shape (96, 127) do not fit the image"),
        ("scale", "its pixels are 1 µm along y, those of the image 0.25 µm"),
        ("empty", "there are no labels; all of it is 0"),
        ("colours", "do not fit the image"),
    ],
)
def test_what_are_no_labels_of_the_image_is_told_before_a_model_is_loaded(
    command: Command,
    no_model: None,
    image: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    message: str,
) -> None:
    monkeypatch.setattr("napari_hqsam.cli.label_job._SIDE", 16)  # several blocks
    given = wrong_labels(tmp_path, kind)
    before = names(tmp_path)
    error = command("refine", image, given, "-o", tmp_path / "out.tif").error
    assert message in error
    assert str(given) in error
    assert names(tmp_path) == before


def test_no_labels_where_they_are_to_be_refined(
    command: Command, no_model: None, image: Path, labels: Path, tmp_path: Path
) -> None:
    part = ("--region", "80,0,96,60")
    error = command("refine", image, labels, "-o", tmp_path / "out.tif", *part).error
    assert "there are no labels on these planes or in this region" in error
    assert not (tmp_path / "out.tif.job").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--band", "0"], "--band 0: give a length greater than 0"),
        (["--band", "-3"], "--band -3: give a length such as 8 (pixels) or 2um"),
        (["--band", "wide"], "--band wide: give a length"),
        (["--band", "nan"], "--band nan: give a length"),
        (["--thin", "x"], "--thin x: give a length"),
        (["--plane", "2"], "is a single plane"),
        (["--region", "0,0,97,20"], "--region 0,0,97,20: it must lie within the plane"),
        (["--region", "0,0,9"], "--region 0,0,9: give numbers"),
        (["--mode", "better"], "mode 'better'"),
        (["--model", "vit_g"], "model 'vit_g' is unknown"),
        (["--level", "3"], "level 3"),
        (["-o", "{tmp}/out.jpg"], "give a name that ends in .tif, .zarr, .png or .geojson"),
        (["-o", "{tmp}/masks.tif", "--overwrite"], "is what is read"),
        (["-o", "{tmp}/an image.tif", "--overwrite"], "is what is read"),
        (["-o", "{tmp}/mine.zarr", "--overwrite"], "exists and is no label image"),
        (["-o", "{tmp}/no/out.tif"], "there is no folder"),
        (["-o", "{tmp}/no/out.geojson"], "there is no folder"),
        (["-o", "{tmp}/there.tif"], "exists already; add --overwrite"),
        (["-o", "{tmp}/there.geojson"], "exists already; add --overwrite"),
        (["--report", "{tmp}/there.tif"], "is a file; give the name of a folder"),
    ],
)
def test_bad_options_are_told_before_a_model_is_loaded(
    command: Command,
    no_model: None,
    image: Path,
    labels: Path,
    tmp_path: Path,
    options: list[str],
    message: str,
) -> None:
    for name in ("there.tif", "there.geojson"):
        (tmp_path / name).write_text("mine")
    (tmp_path / "mine.zarr").mkdir()
    before = names(tmp_path)
    words = [option.format(tmp=tmp_path) for option in options]
    call = ["refine", image, labels, "-o", tmp_path / "out.tif", *words]
    assert message in command(*call).error
    assert names(tmp_path) == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "there are no areas in it"),
        ("{", "is no JSON"),
        (json.dumps([feature(200, 300, 9)]), "none of its 1 areas holds a pixel"),
    ],
)
def test_outlines_that_cannot_be_used(
    command: Command, no_model: None, image: Path, tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "cells.geojson"
    path.write_text(text)
    error = command("refine", image, path, "-o", tmp_path / "out.tif").error
    assert message in error
    assert not (tmp_path / "out.tif.job").exists()


def test_micrometers_need_a_pixel_size(
    command: Command, no_model: None, tmp_path: Path, labels: Path
) -> None:
    image = tmp_path / "plain.png"
    from PIL import Image

    Image.fromarray(np.zeros((96, 128), np.uint8)).save(image)
    call = ("refine", image, labels, "-o", tmp_path / "out.tif", "--band", "2um")
    assert "plain.png does not say how large its pixels are" in command(*call).error


def test_a_folder_of_something_else_is_left_alone(
    command: Command, no_model: None, image: Path, labels: Path, tmp_path: Path
) -> None:
    (tmp_path / "out.tif.job").mkdir()
    (tmp_path / "out.tif.job" / "mine.txt").write_text("mine")
    error = command("refine", image, labels, "-o", tmp_path / "out.tif", "--overwrite").error
    assert "the folder is not empty and holds no job" in error
    assert (tmp_path / "out.tif.job" / "mine.txt").read_text() == "mine"
