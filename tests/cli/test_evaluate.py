from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_hqsam.errors import HQSAMError
from napari_hqsam.evaluation.data import labelled_files, read_labels, spread

SHAPE = (72, 80)


@pytest.fixture(autouse=True)
def _coarse(request: pytest.FixtureRequest) -> None:
    if "model" in request.fixturenames:
        model = request.getfixturevalue("model")
        model.refines_parts = model.trusts_boxes = False


def labels_of(seed: int = 0) -> np.ndarray:
    labels = np.zeros(SHAPE, np.uint8)
    labels[8:32, 8 + seed : 30] = 1
    labels[40:66, 36:60] = 2
    return labels


def image_of(labels: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 60, labels.shape)
    return (noise + 150 * (labels > 0)).astype(np.uint8)


def folders(root: Path) -> tuple[Path, Path]:
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    return root / "images", root / "masks"


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    """Six pictures of two squares each: 16-bit TIFF."""
    images, masks = folders(tmp_path / "data" / "cells")
    for i in range(6):
        labels = labels_of(i)
        tifffile.imwrite(images / f"{i}.tif", image_of(labels).astype(np.uint16) * 200)
        tifffile.imwrite(masks / f"{i}.tif", labels.astype(np.uint16))
    return tmp_path / "data" / "cells"


@pytest.fixture
def kinds(tmp_path: Path) -> Path:
    """One picture of each kind, labels with a palette or as colours; and a stack."""
    images, masks = folders(tmp_path / "data" / "kinds")
    labels = labels_of()
    grey = image_of(labels)
    rgb = np.stack([grey, grey // 2, 255 - grey], axis=-1)
    rgba = np.concatenate([rgb, np.full((*SHAPE, 1), 255, np.uint8)], axis=-1)
    Image.fromarray(rgb).save(images / "rgb.png")
    Image.fromarray(rgba).save(images / "rgba.png")
    Image.fromarray(rgb).quantize(16).save(images / "palette.png")
    Image.fromarray(grey).save(images / "jpeg.jpg")
    tifffile.imwrite(images / "float.tif", grey.astype(np.float32) / 255)
    tifffile.imwrite(images / "rgba_tiff.tif", rgba, photometric="rgb", extrasamples=["unassalpha"])
    with_palette = Image.fromarray(labels, "L").convert("P")
    with_palette.putdata(labels.ravel().tolist())
    with_palette.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0])
    with_palette.save(masks / "palette.png")
    Image.fromarray(np.repeat(labels[..., None], 3, axis=2)).save(masks / "rgb.png")
    Image.fromarray(labels > 0).save(masks / "rgba.png")
    Image.fromarray(labels.astype(np.uint16)).save(masks / "jpeg.png")
    tifffile.imwrite(masks / "float.tif", labels.astype(np.float32))
    tifffile.imwrite(masks / "rgba_tiff.tif", labels[None].astype(np.int32))
    stack = np.stack([labels * (z > 0) for z in range(8)]).astype(np.uint8)
    tifffile.imwrite(images / "stack.tif", np.stack([grey] * 8), metadata={"axes": "ZYX"})
    tifffile.imwrite(masks / "stack.tif", stack)
    return tmp_path / "data" / "kinds"


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_report_with_the_defaults(command, model, cells, tmp_path) -> None:
    out = tmp_path / "new" / "report"
    done = command("evaluate", cells, "-o", out)
    assert (done.status, done.err) == (0, "")
    assert sorted(p.name for p in out.iterdir()) == ["index.html", "scores.csv", "summary.csv"]
    summary = table(out / "summary.csv")
    assert [(s["prompt"], s["method"]) for s in summary] == [
        *(("box", m) for m in ("filled box", "in-box Otsu", "sam", "hq", "hq+sam")),
        *(("click", m) for m in ("sam", "hq", "hq+sam")),
    ]
    assert {(s["images"], s["objects"]) for s in summary} == {("6", "12")}
    by_box = {s["method"]: float(s["miou"]) for s in summary if s["prompt"] == "box"}
    assert by_box["filled box"] == 1
    assert by_box["hq+sam"] > 0.8  # the model draws the box, the objects are squares
    assert len(table(out / "scores.csv")) == 12 * 8
    for part in ("cells, box: 12 objects, 6 images", "mBIoU", "filled box", "cells: 6 of 6"):
        assert part in done.out
    assert str(out / "index.html") in done.out


def test_every_kind_of_picture_is_read(command, model, kinds, tmp_path) -> None:
    done = command("evaluate", kinds, "-o", tmp_path / "report", "--prompt", "box", "--planes", 3)
    assert (done.status, done.err) == (0, "")
    rows = [r for r in table(tmp_path / "report" / "scores.csv") if r["method"] == "sam"]
    objects = {}
    for row in rows:
        objects.setdefault(row["image"], []).append(row["label"])
    planes = {name for name in objects if name.startswith("stack")}
    assert planes == {"stack_z0002", "stack_z0004", "stack_z0006"}
    assert objects.pop("rgba") == ["1"]  # a mask of black and white
    assert all(labels == ["1", "2"] for labels in objects.values())
    assert set(objects) - planes == {"rgb", "palette", "jpeg", "float", "rgba_tiff"}
    # The palette's colours, and colours for greys, have not changed the labels.
    areas = {r["area"] for r in rows if r["label"] == "2"}
    assert areas == {str(26 * 24)}


def test_a_folder_of_sets_and_what_is_chosen(command, model, cells, kinds, tmp_path) -> None:
    out = tmp_path / "report"
    choice = ["--images", 2, "--objects-per-image", 1, "--mode", "sam", "--prompt", "click"]
    done = command("evaluate", cells.parent, cells, "-o", out, *choice, "--band", "3px")
    assert (done.status, done.err) == (0, "")
    summary = table(out / "summary.csv")
    assert [(s["data_set"], s["method"]) for s in summary] == [("cells", "sam"), ("kinds", "sam")]
    assert summary[0]["objects"] == "2"
    assert "cells: 2 of 6" in done.out
    assert [name for name in summary[0] if name.startswith("mbiou")] == ["mbiou_3px"]


def test_the_part_that_training_holds_out(command, model, cells, tmp_path) -> None:
    images = {}
    for split in ("validation", "train"):
        out = tmp_path / split
        done = command("evaluate", cells, "-o", out, "--split", split, "--prompt", "box")
        assert (done.status, done.err) == (0, "")
        images[split] = {row["image"] for row in table(out / "scores.csv")}
    assert images == {"validation": {"2"}, "train": {"0", "1", "3", "4", "5"}}


def test_correction_and_negative_clicks_have_their_figures(
    command, model, cells, tmp_path, monkeypatch
) -> None:
    options = ["--images", 1, "--mode", "sam", "--prompt", "correction"]
    out = tmp_path / "report"
    done = command("evaluate", cells, "-o", out, *options, "--prompt", "click-then-negative")
    assert (done.status, done.err) == (0, "")
    correction, negative = table(out / "summary.csv")
    assert 1 <= float(correction["noc85"]) <= float(correction["noc90"]) <= 20
    assert negative["not_grown"] == "1"
    assert "NoC@85" in done.out


def test_a_report_is_replaced_only_if_asked(command, model, cells, tmp_path) -> None:
    call = ["evaluate", cells, "-o", tmp_path / "r", "--images", 1, "--prompt", "box"]
    assert command(*call).status == 0
    assert "--overwrite" in command(*call).error
    assert command(*call, "--overwrite").status == 0


def test_an_interruption_leaves_nothing(command, model, cells, tmp_path, monkeypatch) -> None:
    decode, calls = model.decode, []

    def stop(*arguments, **options):
        calls.append(1)
        if len(calls) > 3:
            raise KeyboardInterrupt
        return decode(*arguments, **options)

    monkeypatch.setattr(model, "decode", stop)
    done = command("evaluate", cells, "-o", tmp_path / "report")
    assert done.status == 130
    assert done.err.count("\n") == 1
    assert "nothing was written" in done.err
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--prompt", "blob"], "prompt 'blob' is unknown: use one like box,"),
        (["--mode", "both"], "mode 'both' is unknown"),
        (["--band", "2"], "'2'"),
        (["--split", "test"], "--split test: choose all, train or validation"),
        (["--thin", "yes"], "--thin yes: choose auto, always or never"),
        (["--model", "huge"], "huge"),
        (["--pixel-size", "-1"], "--pixel-size -1"),
        (["--masks", "masks_fibre"], "images/ and masks_fibre/"),
        (["--objects-per-image", "0"], "--objects-per-image"),
    ],
)
def test_bad_options_are_told_before_a_model_is_loaded(
    command, no_model, cells, tmp_path, options, message
) -> None:
    error = command("evaluate", cells, "-o", tmp_path / "report", *options).error
    assert message in error
    assert not (tmp_path / "report").exists()


def test_bad_data(command, no_model, cells, tmp_path) -> None:
    out = ["-o", tmp_path / "report"]
    assert "no such folder" in command("evaluate", tmp_path / "none", *out).error
    assert (
        "no data set here"
        in command("evaluate", tmp_path / "data" / "cells" / "images", *out).error
    )
    assert "give the name of a folder" in command("evaluate", cells, "-o", __file__).error
    (cells / "masks" / "3.tif").unlink()
    error = command("evaluate", cells, *out).error
    assert f"{cells / 'images' / '3.tif'}: no label image" in error


def test_bad_files_are_named(command, model, cells, tmp_path) -> None:
    call = ["evaluate", cells, "-o", tmp_path / "report", "--prompt", "box"]
    mask = cells / "masks" / "0.tif"
    tifffile.imwrite(mask, np.zeros((5, 5), np.uint8))
    assert f"{mask}: shape (5, 5) does not fit" in command(*call).error
    mask.write_bytes(b"II*\0" + bytes(range(100)))
    assert f"{mask}: cannot be read as a label image" in command(*call).error
    tifffile.imwrite(mask, np.full(SHAPE, 0.5, np.float32))
    assert f"{mask}: labels must be whole numbers" in command(*call).error
    assert "pixel size" in command(*call[:-2], "--band", "1um", "--images", 1).error
    mask.write_bytes((cells / "masks" / "1.tif").read_bytes())
    assert "no object has that many pixels" in command(*call, "--smallest", 9999).error


def test_label_images(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.stack([labels_of() * 50, labels_of(), labels_of()], axis=-1)).save(path)
    with pytest.raises(HQSAMError, match="a colour picture"):
        read_labels(path)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.full((3, 4), -1, np.int16))
    assert (read_labels(path) == 0).all()
    tifffile.imwrite(path, np.ones((1, 5, 1, 6), np.uint8))
    assert read_labels(path).shape == (5, 6)
    with pytest.raises(HQSAMError, match="cannot be read"):
        read_labels(tmp_path / "none.png")


def test_three_slices_are_not_three_channels(tmp_path: Path) -> None:
    images, masks = folders(tmp_path / "set")
    labels = np.stack([labels_of()] * 3)
    tifffile.imwrite(images / "a.tif", image_of(labels), photometric="minisblack")
    tifffile.imwrite(masks / "a.tif", labels, photometric="minisblack")
    (file,) = labelled_files(tmp_path / "set")
    planes = file.planes()
    assert [p.name for p in planes] == ["a_z0000", "a_z0001", "a_z0002"]
    assert planes[0].image.shape == SHAPE


def test_pixel_sizes_are_read(tmp_path: Path) -> None:
    images, masks = folders(tmp_path / "set")
    metadata = {"unit": "um"}
    tifffile.imwrite(
        images / "a.tif", image_of(labels_of()), imagej=True, resolution=(4, 4), metadata=metadata
    )
    tifffile.imwrite(masks / "a.tif", labels_of())
    (plane,) = labelled_files(tmp_path / "set")[0].planes()
    assert plane.pixel_size == pytest.approx(0.25)


def test_what_is_chosen_is_spread_evenly() -> None:
    assert spread(list(range(10)), 3) == [1, 5, 8]
    assert spread([1, 2], 3) == [1, 2]
    assert spread([1, 2], None) == [1, 2]
