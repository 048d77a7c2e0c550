from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from napari_hqsam.modeling import build
from napari_hqsam.weights import save_model


def calibration(path: Path) -> tuple[object, ...]:
    """What Fiji shows: unit, and the size of a pixel along z, y, x."""
    with tifffile.TiffFile(path) as tif:
        assert tif.imagej_metadata is not None
        tags = tif.pages[0].tags
        x, y = (tags[name].value for name in ("XResolution", "YResolution"))
        about = tif.imagej_metadata
        sizes = (about.get("spacing"), y[1] / y[0], x[1] / x[0])
    return about["unit"], *(size and pytest.approx(size, rel=1e-5) for size in sizes)


def test_labels_have_the_shape_and_the_calibration_of_the_image(command, model, image) -> None:
    out = image.with_name("some labels.tif")
    done = command("segment", image, "-o", out, "--box", "10,20,39,59", "--box", "60,70,79,99")
    assert (done.status, done.err) == (0, "")
    labels = tifffile.imread(out)
    assert labels.shape == (96, 128)
    assert labels.dtype == np.uint16
    assert sorted(np.unique(labels)) == [0, 1, 2]
    ys, xs = np.nonzero(labels == 1)
    np.testing.assert_allclose([ys.min(), xs.min(), ys.max(), xs.max()], [10, 20, 39, 59], atol=2)
    assert calibration(out) == calibration(image) == ("micron", None, 0.25, 0.5)


def test_each_object_is_reported(command, model, image, tmp_path) -> None:
    done = command("segment", image, "-o", tmp_path / "l.tif", "--box", "10,20,39,59")
    area = int(np.count_nonzero(tifffile.imread(tmp_path / "l.tif")))
    heading, row, _, last = done.out.splitlines()
    assert heading.split() == ["label", "area", "px", "area", "µm²", "score"]
    assert row.split() == ["1", str(area), f"{area / 8:.4g}", "0.90"]
    assert last == f"{tmp_path / 'l.tif'}: y 96, x 128; uint16"


def test_where_objects_overlap_the_first_keeps_the_pixels(command, model, image, tmp_path) -> None:
    out = tmp_path / "l.tif"
    boxes = ["--box", "20,20,39,39", "--box", "10,10,59,59", "--box", "22,22,36,36"]
    done = command("segment", image, "-o", out, *boxes)
    labels = tifffile.imread(out)
    assert labels[30, 30] == 1
    assert labels[50, 50] == 2
    assert done.status == 0
    assert done.err == "napari-hqsam: warning: object 3 is hidden by those before it\n"
    assert not (labels == 3).any()


def test_points_make_one_object(command, model, image, tmp_path) -> None:
    points = ["--point", "40,50", "--point", "42,52", "--negative", "5,5"]
    assert command("segment", image, "-o", tmp_path / "l.tif", *points).status == 0
    labels = tifffile.imread(tmp_path / "l.tif")
    assert labels[40, 50] == 1
    assert labels.max() == 1
    assert model.batches[0].points.shape == (1, 3, 2)
    assert model.batches[0].labels.tolist() == [[1, 1, 0]]


def test_points_refine_a_single_box(command, model, image, tmp_path) -> None:
    prompts = ["--box", "10,20,39,59", "--negative", "12,22"]
    assert command("segment", image, "-o", tmp_path / "l.tif", *prompts).status == 0
    (batch,) = model.batches
    assert batch.boxes.shape == (1, 4)
    assert batch.labels.tolist() == [[0]]


def test_an_empty_mask_is_warned_of(command, model, image, tmp_path) -> None:
    model.radius = -1
    done = command("segment", image, "-o", tmp_path / "l.tif", "--point", "40,50")
    assert done.status == 0
    assert done.err == "napari-hqsam: warning: object 1 is empty: move its prompts, or add some\n"
    assert not tifffile.imread(tmp_path / "l.tif").any()


def test_a_plane_of_a_stack(command, model, stack, tmp_path) -> None:
    out = tmp_path / "l.tif"
    box = ["--box", "10,10,30,30"]
    assert command("segment", stack, "-o", out, "--plane", 3, *box).status == 0
    labels = tifffile.imread(out)
    assert labels.shape == (5, 64, 80)
    assert labels.any(axis=(1, 2)).tolist() == [False, False, False, True, False]
    assert calibration(stack) == ("um", 2.0, 0.5, 0.5)
    assert calibration(out) == ("micron", 2.0, 0.5, 0.5)


def test_a_table_of_prompts_on_several_planes(command, model, stack, tmp_path) -> None:
    table = tmp_path / "prompts.csv"
    rows = ["object,kind,y,x,y0,x0,y1,x1,z", "b,box,,,10,10,30,30,1"]
    rows += ["a,point,40,40,,,,,1", "b,box,,,12,12,30,30,2"]
    table.write_text("\n".join(rows))
    done = command("segment", stack, "-o", tmp_path / "l.tif", "--prompts", table)
    assert (done.status, done.err) == (0, "")
    labels = tifffile.imread(tmp_path / "l.tif")
    assert [sorted(np.unique(plane)) for plane in labels] == [[0], [0, 1, 2], [0, 1], [0], [0]]
    assert labels[1, 20, 20] == labels[2, 20, 20] == 1
    assert labels[1, 40, 40] == 2
    assert [line.split()[:3] for line in done.out.splitlines()[1:4]] == [
        ["1", "b", "1"],
        ["2", "a", "1"],
        ["1", "b", "2"],
    ]


def test_channels_are_chosen_and_are_no_axis_of_the_labels(command, model, tmp_path) -> None:
    path = tmp_path / "channels.ome.tif"
    pixels = np.zeros((2, 4, 32, 40), np.uint8)
    metadata = {"axes": "TCYX", "PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm"}
    tifffile.imwrite(path, pixels, ome=True, metadata=metadata)
    options = ["--channels", "3,1", "--contrast", "0,99", "--contrast", "5,50", "--plane", "1"]
    out = tmp_path / "l.tif"
    done = command("segment", path, "-o", out, "--box", "5,5,20,20", *options)
    assert (done.status, done.err) == (0, "")
    assert tifffile.imread(out).shape == (2, 32, 40)
    with tifffile.TiffFile(out) as tif:
        assert tif.series[0].axes == "TYX"


def test_a_coarser_level_has_larger_pixels(command, model, tmp_path) -> None:
    path = tmp_path / "pyramid.ome.tif"
    pixels = np.arange(96 * 128, dtype=np.uint16).reshape(96, 128)
    metadata = {"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    with tifffile.TiffWriter(path, ome=True) as tif:
        tif.write(pixels, subifds=1, metadata=metadata, tile=(32, 32))
        tif.write(pixels[::2, ::2], subfiletype=1, tile=(32, 32))
    out = tmp_path / "l.tif"
    done = command("segment", path, "-o", out, "--box", "5,5,40,60", "--level", 1)
    assert (done.status, done.err) == (0, "")
    assert tifffile.imread(out).shape == (48, 64)
    assert calibration(out) == ("micron", None, 1.0, 1.0)


def test_existing_labels_are_replaced_only_if_told(command, model, image, tmp_path) -> None:
    out = tmp_path / "l.tif"
    call = ["segment", image, "-o", out, "--box", "10,20,39,59"]
    assert command(*call).status == 0
    before = out.read_bytes()
    assert "--overwrite" in command(*call, "--box", "60,70,79,99").error
    assert out.read_bytes() == before
    assert command(*call, "--box", "60,70,79,99", "--overwrite").status == 0
    assert tifffile.imread(out).max() == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--box", "200,200,250,250"], "box 200,200,250,250 is outside the image"),
        (["--point", "96,10"], "point 96,10 is outside the image"),
        (["--box", "10,20,30"], "--box 10,20,30: give numbers y0,x0,y1,x1"),
        (["--box", "10,20,30,forty"], "--box 10,20,30,forty: give numbers"),
        (["--box", "30,20,10,40"], "y0 <= y1"),
        (["--box", "nan,20,10,40"], "y0 <= y1"),
        (["--point", "5"], "--point 5: give numbers y,x"),
        ([], "no prompts: give --box"),
        (["--negative", "5,5"], "negative points alone"),
        (["--box", "1,1,9,9", "--box", "2,2,8,8", "--point", "5,5"], "--prompts"),
        (["--box", "1,1,9,9", "--plane", "2"], "is a single plane"),
        (["--box", "1,1,9,9", "--plane", "two"], "--plane two: give whole numbers"),
        (["--box", "1,1,9,9", "--model", "vit_g"], "model 'vit_g' is unknown"),
        (["--box", "1,1,9,9", "--channels", "4"], "has 1 channel(s)"),
        (["--box", "1,1,9,9", "--axes", "zyx"], "axes 'zyx': 3 letter(s)"),
        (["--box", "1,1,9,9", "--contrast", "7"], "--contrast 7: give numbers lo,hi"),
        (["--box", "1,1,9,9", "--level", "2"], "level 2"),
        (["--prompts", "nowhere.csv"], "nowhere.csv: cannot be read"),
        (["--prompts", "a.csv", "--box", "1,1,9,9"], "put them all into the table"),
    ],
)
def test_bad_options_are_told_before_a_model_is_loaded(
    command, no_model, image, tmp_path, options, message
) -> None:
    assert message in command("segment", image, "-o", tmp_path / "l.tif", *options).error
    assert not (tmp_path / "l.tif").exists()


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("nowhere/l.tif", "there is no folder"),
        ("l.jpg", "change the suffix"),
        ("labels", "change the suffix"),
        ("an image.tif", "is the image itself"),
        ("folder.tif", "is a folder"),
        ("there.tif", "add --overwrite"),
    ],
)
def test_a_place_that_cannot_be_written_is_told_before(
    command, no_model, image, tmp_path, out, message
) -> None:
    (tmp_path / "folder.tif").mkdir()
    (tmp_path / "there.tif").write_text("mine")
    before = image.read_bytes()
    error = command("segment", image, "-o", tmp_path / out, "--box", "1,1,9,9").error
    assert message in error
    assert str(tmp_path / out) in error
    assert image.read_bytes() == before
    assert (tmp_path / "there.tif").read_text() == "mine"


def test_a_folder_without_permission_is_told_before(command, no_model, image, tmp_path) -> None:
    # In place of a folder's permissions, which bind neither root nor Windows.
    def refuse(**options: object) -> None:
        raise PermissionError(13, "Permission denied")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.TemporaryFile", refuse)
        done = command("segment", image, "-o", tmp_path / "l.tif", "--box", "1,1,9,9")
    assert "cannot be written (Permission denied)" in done.error


def test_a_stack_needs_a_plane_and_no_png(command, no_model, stack, tmp_path) -> None:
    box = ["--box", "1,1,9,9"]
    assert "give --plane z" in command("segment", stack, "-o", tmp_path / "l.tif", *box).error
    call = ["segment", stack, "-o", tmp_path / "l.tif", "--plane", 5, *box]
    assert "choose z from 0 to 4" in command(*call).error
    call = ["segment", stack, "-o", tmp_path / "l.png", "--plane", 1, *box]
    assert "a PNG holds one plane" in command(*call).error


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.tif", None, "no such file"),
        ("damaged.tif", b"II*\0nothing at all", "damaged"),
        ("empty.png", b"", "is empty"),
        ("image.czi", b"ZISRAWFILE", "cannot read .czi"),
    ],
)
def test_unusable_images(command, no_model, tmp_path, name, content, message) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    error = command("segment", tmp_path / name, "-o", tmp_path / "l.tif", "--box", "1,1,9,9").error
    assert message in error
    assert str(tmp_path / name) in error


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    return save_model(build("micro"), tmp_path_factory.mktemp("weights") / "my micro.safetensors")


def test_with_a_real_network_from_a_checkpoint(command, image, checkpoint, tmp_path) -> None:
    out = tmp_path / "l.tif"
    call = ["segment", image, "-o", out, "--box", "10,20,39,59", "--checkpoint", checkpoint]
    done = command(*call, "--device", "cpu", "--mode", "sam")
    assert done.status == 0, done.err
    assert tifffile.imread(out).shape == (96, 128)
    assert "micro (sam) on cpu" in done.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--mode", "hqsam"], "mode 'hqsam' is unknown"),
        (["--device", "tpu"], "device 'tpu' is unknown"),
        (["--model", "vit_b"], "holds micro weights"),
        (["--checkpoint", "none.pth"], "none.pth"),
    ],
)
def test_what_does_not_fit_the_model(command, image, checkpoint, tmp_path, options, message):
    call = ["segment", image, "-o", tmp_path / "l.tif", "--box", "1,1,9,9"]
    assert message in command(*call, "--checkpoint", checkpoint, *options).error
    assert not (tmp_path / "l.tif").exists()


def test_a_rounded_encoder_says_so(command, image, checkpoint, tmp_path) -> None:
    call = ("segment", image, "--box", "20,20,60,70", "--checkpoint", checkpoint, "--device", "cpu")
    done = command(*call, "-o", tmp_path / "a.tif", "--precision", "bfloat16", "--mode", "sam")
    assert "micro (sam) on cpu, bfloat16" in done.out
    exact = command(*call, "-o", tmp_path / "b.tif", "--mode", "sam")
    assert "bfloat16" not in exact.out
    wrong = command(*call, "-o", tmp_path / "c.tif", "--precision", "half")
    assert wrong.status == 2
    assert "precision 'half' is unknown: use auto, float32 or bfloat16" in wrong.err


def test_thresholds_and_what_is_done_with_the_masks(
    command, model, image, tmp_path, monkeypatch
) -> None:
    """The stand-in's mask gets a hole in its middle, and a speck."""
    decode = model.decode

    def with_flaws(*given, **options):
        found = decode(*given, **options)
        for logits in (found.sam, found.hq):
            logits[..., 18:22, 20:25] = -30.0
            logits[..., 44:46, 58:60] = 30.0
        return found

    monkeypatch.setattr(model, "decode", with_flaws)

    def areas(*options: object) -> list[int]:
        path = tmp_path / "l.tif"
        call = ["segment", image, "-o", path, "--overwrite", "--box", "20,20,59,69", *options]
        done = command(*call)
        assert (done.status, done.err) == (0, "")
        labels = tifffile.imread(path)
        inside = labels[20:60, 20:70]
        return [int(np.count_nonzero(part)) for part in (labels, inside)]

    whole, inside = areas()
    assert whole > inside  # the speck
    assert areas("--keep-to-box") == [inside, inside]
    assert areas("--min-size", 200) == [inside, inside]
    filled = areas("--fill-holes")
    assert filled[1] > inside
    assert areas("--fill-holes", "--min-size", 200, "--keep-to-box") == [filled[1]] * 2
    assert areas("--threshold", -8)[0] > whole
    assert areas("--threshold=8")[0] < whole


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--min-size", -1], "min-size"), (["--threshold", "nan"], "threshold nan: give a number")],
)
def test_such_options_are_checked(command, model, image, tmp_path, options, message) -> None:
    call = ["segment", image, "-o", tmp_path / "l.tif", "--box", "20,20,59,69", *options]
    assert message in command(*call).error
