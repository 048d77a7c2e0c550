from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images import ome_zarr, open_image
from napari_hqsam.images.files import open_file

IMAGE = np.random.default_rng(0).integers(0, 4000, (2, 4, 64, 96), dtype=np.uint16)


def axis(name: str, unit: str | None = None) -> dict[str, str]:
    kind = {"c": "channel", "t": "time"}.get(name, "space")
    return {"name": name, "type": kind} | ({"unit": unit} if unit else {})


CZYX = [axis("c"), *(axis(a, "micrometer") for a in "zyx")]


def write(path: Path, version: str, levels: list[np.ndarray], **ome: Any) -> Path:
    """Write an OME-Zarr; `ome` overrides fields of its multiscale or adds omero and the like."""
    datasets = []
    for i, level in enumerate(levels):
        ratios = [a / b for a, b in zip(levels[0].shape[-2:], level.shape[-2:], strict=True)]
        scale = [1, 2, 0.5 * ratios[0], 0.25 * ratios[1]][-level.ndim :]
        transforms = [{"type": "scale", "scale": scale}]
        datasets.append({"path": f"s{i}", "coordinateTransformations": transforms})
    multiscale = {"axes": CZYX, "datasets": datasets} | ome.pop("multiscale", {})
    document: dict[str, Any] = {"multiscales": [multiscale]} | ome
    if version == "0.5":
        document = {"ome": {"version": "0.5"} | document}
    else:
        multiscale["version"] = version
    zarr_format = 3 if version == "0.5" else 2
    group = zarr.open_group(path, mode="w", zarr_format=zarr_format, attributes=document)
    for i, level in enumerate(levels):
        group.create_array(f"s{i}", data=level, chunks=(1,) * (level.ndim - 2) + (32, 32))
    return path


def refused(path: Path, message: str) -> None:
    with pytest.raises(HQSAMError, match=message) as caught:
        open_image(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr(tmp_path: Path, version: str) -> None:
    omero = {"channels": [{"label": "DAPI"}, {"label": "GFP"}]}
    levels = [IMAGE, IMAGE[..., ::2, ::2]]
    path = write(tmp_path / "an image.ome.zarr", version, levels, omero=omero)
    file = open_file(path)
    assert (file.axes, file.scale) == ("czyx", (1, 2, 0.5, 0.25))
    assert file.units == ("pixel", "micrometer", "micrometer", "micrometer")
    assert file.channel_names == ("DAPI", "GFP")
    assert not file.is_labels
    with open_image(path) as source:
        assert source.name == "an image.ome.zarr"
        assert source.channels == (0, 1)
        pixels = source.read((3,), 10, 20, 60, 90)
        coarse = source.read((3,), 0, 0, 32, 48, level=1)
    np.testing.assert_array_equal(pixels, np.moveaxis(IMAGE[:, 3, 10:60, 20:90], 0, -1))
    np.testing.assert_array_equal(coarse, np.moveaxis(IMAGE[:, 3, ::2, ::2], 0, -1))


def test_scales_of_dataset_and_image_multiply(tmp_path: Path) -> None:
    both = {"coordinateTransformations": [{"type": "scale", "scale": [1, 1, 10, 10]}]}
    path = write(tmp_path / "a.zarr", "0.4", [IMAGE], multiscale=both)
    assert open_file(path).scale == (1, 2, 5, 2.5)


@pytest.mark.parametrize(
    ("axes", "letters"),
    [
        (["c", "z", "y", "x"], "czyx"),
        ([{"name": "Channel", "type": "channel"}, {"name": "Z"}, {"name": "Y"}, {"name": "X"}],) * 1
        + ("czyx",),
        ([{"name": "time", "type": "time"}, {"name": "angle"}, axis("y"), axis("x")], "tqyx"),
    ],
)
def test_axes_of_older_and_looser_files(tmp_path: Path, axes: list, letters: str) -> None:
    path = write(tmp_path / "a.zarr", "0.3", [IMAGE], multiscale={"axes": axes})
    assert open_file(path).axes == letters


def test_version_0_1_has_no_axes_and_no_transformations(tmp_path: Path) -> None:
    multiscale = {"axes": None, "datasets": [{"path": "s0"}]}
    multiscale["axes"] = []
    path = write(tmp_path / "a.zarr", "0.1", [IMAGE[None]], multiscale=multiscale)
    file = open_file(path)
    assert (file.axes, file.scale, file.units) == ("tczyx", None, None)


def test_slides_with_a_channel_for_each_colour_are_rgb(tmp_path: Path) -> None:
    colours = {"channels": [{"color": c} for c in ("FF0000", "00FF00", "0000FF")]}
    slide = np.random.default_rng(1).integers(0, 255, (3, 64, 64), dtype=np.uint8)
    axes = {"axes": [axis("c"), axis("y"), axis("x")]}
    assert open_file(write(tmp_path / "a.zarr", "0.4", [slide], multiscale=axes, omero=colours)).rgb
    assert not open_file(write(tmp_path / "b.zarr", "0.4", [slide], multiscale=axes)).rgb


def test_labels_say_so(tmp_path: Path) -> None:
    axes = {"axes": [axis("y"), axis("x")]}
    path = write(tmp_path / "a.zarr", "0.5", [IMAGE[0, 0]], multiscale=axes, **{"image-label": {}})
    assert open_file(path).is_labels


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_plain_arrays(tmp_path: Path, zarr_format: int) -> None:
    path = tmp_path / "a.zarr"
    zarr.create_array(path, data=IMAGE, chunks=(1, 1, 32, 32), zarr_format=zarr_format)
    with open_image(path) as source:
        assert source.axes == "tzyx"
        np.testing.assert_array_equal(source.read((1, 2), 0, 0, 64, 96)[..., 0], IMAGE[1, 2])


def test_dimension_names(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    zarr.create_array(
        path, data=IMAGE, chunks="auto", dimension_names=["channel", "time", "y", "x"]
    )
    assert open_file(path).axes == "ctyx"
    zarr.create_array(path, data=IMAGE, dimension_names=["a", None, "b", "c"], overwrite=True)
    assert open_file(path).axes == "tzyx"


def test_a_group_with_one_array(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    zarr.open_group(path, mode="w").create_array("raw", data=IMAGE, chunks="auto")
    assert open_image(path).shape == IMAGE.shape


def test_bioformats2raw_series(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    zarr.open_group(path, mode="w", attributes={"ome": {"bioformats2raw.layout": 3}})
    write(path / "0", "0.5", [IMAGE])
    assert open_image(path).axes == "czyx"


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"plate": {"wells": [{"path": "A/1"}]}}, r"a plate; give one image of it.*A/1/0"),
        ({"well": {"images": [{"path": "0"}]}}, "a well; give one image"),
        ({}, "without an image"),
        ({"multiscales": [{"datasets": [{"path": "s0"}]}]}, "'s0' is missing"),
        ({"multiscales": [{"datasets": [{"path": "../secret"}]}]}, "outside the folder"),
        ({"multiscales": [{"datasets": [{"path": "/etc"}]}]}, "outside the folder"),
        ({"multiscales": [{"datasets": [{}]}]}, "metadata cannot be used"),
        ({"multiscales": 3}, "metadata cannot be used"),
    ],
)
def test_groups_that_are_no_image_are_refused(
    tmp_path: Path, attributes: dict, message: str
) -> None:
    zarr.create_array(tmp_path / "secret", data=IMAGE)
    path = tmp_path / "a.zarr"
    zarr.open_group(path, mode="w", attributes=attributes)
    refused(path, message)


@pytest.mark.parametrize("separator", ["/../../secret/", "..", "\\"])
def test_chunk_names_that_lead_outside_are_refused(tmp_path: Path, separator: str) -> None:
    refused(array_v2(tmp_path / "a.zarr", dimension_separator=separator), "cannot be used")


@pytest.mark.parametrize("key", ["a/../../secret", "..\\secret", "", "/"])
def test_levels_that_lead_outside_are_refused(tmp_path: Path, key: str) -> None:
    zarr.create_array(tmp_path / "secret", data=IMAGE)
    path = tmp_path / "a.zarr"
    attributes = {"multiscales": [{"datasets": [{"path": key}]}]}
    zarr.open_group(path, mode="w", attributes=attributes)
    refused(path, "outside the folder|missing|cannot be used")


def test_links_within_a_folder_are_followed(tmp_path: Path) -> None:
    # storage that keeps chunks elsewhere, by link, is common; a link is the user's own
    path = tmp_path / "a.zarr"
    zarr.create_array(path, data=IMAGE[0, 0], chunks=(64, 96))
    (path / "c").rename(tmp_path / "chunks")
    (path / "c").symlink_to(tmp_path / "chunks")
    np.testing.assert_array_equal(open_image(path).read((), 0, 0, 64, 96)[..., 0], IMAGE[0, 0])


def test_wrong_number_of_axes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zarr", "0.4", [IMAGE], multiscale={"axes": CZYX[1:]})
    refused(path, "3 axes for arrays of 4")


def array_v2(path: Path, **fields: Any) -> Path:
    """Write the metadata of a zarr v2 array by hand, as an attacker would."""
    document = {
        "zarr_format": 2,
        "shape": [64, 64],
        "chunks": [64, 64],
        "dtype": "<u2",
        "compressor": {"id": "zlib", "level": 1},
        "fill_value": 0,
        "order": "C",
        "filters": None,
    }
    path.mkdir()
    (path / ".zarray").write_text(json.dumps(document | fields))
    return path


@pytest.mark.parametrize(
    "fields",
    [
        {"filters": [{"id": "pickle", "protocol": 5}]},
        {"filters": [{"id": "zlib"}, {"id": "pickle", "protocol": 5}]},
        {"compressor": {"id": "pickle", "protocol": 5}},
        {"dtype": "|O", "filters": [{"id": "pickle", "protocol": 5}]},
        {"dtype": "|O", "filters": [{"id": "vlen-utf8"}]},
        {"dtype": "|O", "filters": [{"id": "msgpack2"}]},
    ],
)
def test_codecs_that_run_code_and_objects_are_refused(tmp_path: Path, fields: dict) -> None:
    path = array_v2(tmp_path / "a.zarr", **fields)
    evidence = tmp_path / "evidence"
    (path / "0.0").write_bytes(f"cbuiltins\nopen\n(V{evidence}\nVw\ntR.".encode())
    refused(path, "pickle" if "pickle" in str(fields) else "not numbers|cannot be used")
    assert not evidence.exists()


@pytest.mark.parametrize(
    "metadata",
    [
        {"compressor": numcodecs.Pickle()},
        {"filters": (numcodecs.Delta("u2"), numcodecs.Pickle())},
        {
            "codecs": [
                {"name": "sharding_indexed", "configuration": {"codecs": [{"name": "x.pickle"}]}}
            ]
        },
    ],
)
def test_pickles_are_refused_even_where_zarr_accepts_them(tmp_path: Path, metadata: dict) -> None:
    array = SimpleNamespace(metadata=SimpleNamespace(to_dict=lambda: metadata))
    with pytest.raises(HQSAMError, match="pickles, which can run code"):
        ome_zarr._checked(tmp_path, array)


@pytest.mark.parametrize("chunks", [[2**21, 2**20], [1, 2**40]])
def test_absurd_chunks_are_refused(tmp_path: Path, chunks: list[int]) -> None:
    path = array_v2(tmp_path / "a.zarr", shape=[2**41, 2**41], chunks=chunks)
    refused(path, "GiB each")


def test_chunks_within_a_shard_are_what_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    size = 2**17
    zarr.create_array(path, shape=(size, size), chunks=(512, 512), shards=(size, size), dtype="u2")
    assert open_image(path).shape == (size, size)


@pytest.mark.parametrize("name", ["zarr.json", ".zarray", ".zgroup"])
def test_damaged_metadata(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.zarr"
    path.mkdir()
    (path / name).write_text('{"zarr_format": ')
    refused(path, "metadata cannot be used|no image")


def test_a_damaged_chunk_is_found_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    zarr.create_array(path, data=IMAGE[0, 0], chunks=(32, 32))
    chunk = next((path / "c").rglob("1"))
    chunk = path / "c" / "1" / "1"
    chunk.write_bytes(chunk.read_bytes()[:10])
    source = open_image(path)
    source.read((), 0, 0, 32, 32)
    with pytest.raises(HQSAMError, match=r"a\.zarr: the pixels cannot be read"):
        source.read((), 0, 0, 64, 64)


def test_a_folder_that_is_no_zarr(tmp_path: Path) -> None:
    refused(tmp_path, "no zarr; give")
