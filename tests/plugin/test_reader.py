from __future__ import annotations

import gc
import tracemalloc
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import tifffile
import zarr
from napari.components import ViewerModel
from napari.utils.notifications import notification_manager
from npe2 import PluginManager, PluginManifest
from PIL import Image

import napari_hqsam
from napari_hqsam.images import IntensityMapping, open_image
from napari_hqsam.images.layer import limits_from_layers, source_from_layers
from napari_hqsam.labels.export import write_labels
from napari_hqsam.plugin import reader, writer

STACK = np.random.default_rng(0).integers(100, 60_000, (4, 64, 80), dtype=np.uint16)


def read(path: Path) -> list[Any]:
    """Read a file as napari does and return the layers that it becomes."""
    function = reader.get_reader(str(path))
    assert function is not None
    viewer = ViewerModel()
    for data, options, kind in function(str(path)):
        getattr(viewer, f"add_{kind}")(data, **options)
    return list(viewer.layers)


def test_a_calibrated_stack(tmp_path: Path) -> None:
    path = tmp_path / "my cells.tif"
    metadata = {"axes": "ZYX", "unit": "micron", "spacing": 2}
    options = {"imagej": True, "resolution": (2, 2), "metadata": metadata}
    tifffile.imwrite(path, STACK, compression="zlib", **options)
    (layer,) = read(path)
    assert layer.name == "my cells"
    assert layer.axis_labels == ("z", "y", "x")
    assert layer.scale.tolist() == [2, 0.5, 0.5]
    assert [str(unit) for unit in layer.units] == ["micrometer"] * 3
    assert isinstance(layer.data, zarr.Array)
    low, high = layer.contrast_limits
    assert 100 <= low < 300
    assert 59_000 < high < 60_000
    np.testing.assert_array_equal(np.asarray(layer.data[2]), STACK[2])


def test_without_calibration_napari_keeps_its_defaults(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK[0])
    (layer,) = read(path)
    assert layer.scale.tolist() == [1, 1]
    assert [str(unit) for unit in layer.units] == ["pixel"] * 2
    assert layer.axis_labels == ("y", "x")


def test_a_pyramid_with_channels(tmp_path: Path) -> None:
    path = tmp_path / "cells.ome.tif"
    full = np.stack([STACK, STACK // 2])
    names = {"Channel": {"Name": ["DAPI", "Actin"]}}
    sizes = {f"PhysicalSize{a}": v for a, v in zip("ZYX", (2, 0.5, 0.5), strict=True)}
    with tifffile.TiffWriter(path, ome=True) as out:
        options = {"tile": (32, 32), "compression": "zlib"}
        out.write(full, subifds=1, metadata={"axes": "CZYX"} | names | sizes, **options)
        out.write(full[..., ::2, ::2], subfiletype=1, **options)
    layers = read(path)
    assert [layer.name for layer in layers] == ["cells DAPI", "cells Actin"]
    for i, layer in enumerate(layers):
        assert layer.multiscale
        assert [level.shape for level in layer.data] == [(4, 64, 80), (4, 32, 40)]
        assert not isinstance(layer.data[0], np.ndarray)
        assert layer.scale.tolist() == [2, 0.5, 0.5]
        assert layer.axis_labels == ("z", "y", "x")
        np.testing.assert_array_equal(np.asarray(layer.data[0][3]), full[i, 3])
    assert layers[0].contrast_limits[1] > 1.9 * layers[1].contrast_limits[1]


def test_a_multiscale_ome_zarr_without_singletons(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.zarr"
    axes = [{"name": a, "type": k} for a, k in (("t", "time"), ("c", "channel"))]
    axes += [{"name": a, "type": "space", "unit": "micrometer"} for a in "zyx"]
    datasets = [
        {
            "path": str(i),
            "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 2, 0.5 * f, 0.5 * f]}],
        }
        for i, f in enumerate((1, 2))
    ]
    ome = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    group = zarr.open_group(path, mode="w", attributes={"ome": ome})
    for i, level in enumerate((STACK[None, None], STACK[None, None, :, ::2, ::2])):
        group.create_array(str(i), data=level, chunks=(1, 1, 1, 32, 32))
    (layer,) = read(path)
    assert (layer.name, layer.ndim, layer.multiscale) == ("a", 3, True)
    assert layer.scale.tolist() == [2, 0.5, 0.5]
    assert layer.axis_labels == ("z", "y", "x")
    np.testing.assert_array_equal(np.asarray(layer.data[0]), STACK)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "planar.tif"])
def test_colours(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    image = np.full((30, 40, 3), (200, 100, 50), "u1")
    if name.endswith("tif"):
        planes = np.moveaxis(image, -1, 0)
        tifffile.imwrite(
            path, planes, photometric="rgb", planarconfig="separate", compression="zlib"
        )
    else:
        Image.fromarray(image).save(path)
    (layer,) = read(path)
    assert layer.rgb
    assert layer.axis_labels == ("y", "x")
    np.testing.assert_allclose(np.asarray(layer.data), image, atol=3)


def test_a_constant_image_gets_usable_contrast(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.full((30, 40), 7.0, "f4"))
    assert read(path)[0].contrast_limits == [7, 8]


def test_our_labels_come_back_as_labels_to_paint_on(tmp_path: Path) -> None:
    path = write_labels(tmp_path / "a.zarr", STACK, scale=(2, 1, 1), units="µm", axes="zyx")
    (layer,) = read(path)
    assert type(layer).__name__ == "Labels"
    assert layer.scale.tolist() == [2, 1, 1]
    layer.data_setitem((np.array([0]), np.array([3]), np.array([4])), 9)
    assert layer.data[0, 3, 4] == 9


def test_a_long_stack_opens_without_being_read(tmp_path: Path) -> None:
    path = tmp_path / "long.zarr"
    zarr.create_array(path, shape=(10**6, 2000, 2000), chunks=(1, 500, 500), dtype="u2")
    (layer,) = read(path)
    assert isinstance(layer.data, zarr.Array)
    assert layer.data.shape == (10**6, 2000, 2000)


def test_a_plane_over_8192_opens_with_a_virtual_pyramid(tmp_path: Path) -> None:
    path = tmp_path / "large.zarr"
    options = {"chunks": (1, 1000, 1000), "dtype": "u2"}
    array = zarr.create_array(
        path, shape=(2, 9000, 9000), dimension_names=["c", "y", "x"], **options
    )
    array[1, 5000:5400, 4000:4200] = 500
    tracemalloc.start()
    layers = read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150 * 2**20  # the two planes have 309 MiB
    for layer in layers:
        assert layer.multiscale
        shapes = [level.shape for level in layer.data]
        assert shapes == [(9000, 9000), (2250, 2250), (563, 563)]
    dark, bright = (np.asarray(layer.data[1]) for layer in layers)
    assert not dark.any()
    assert (bright[1250:1350, 1000:1050] == 500).all()
    assert bright.sum() == 100 * 50 * 500
    source = source_from_layers([layers[1]])
    assert source.fingerprint() == open_image(path, axes="cyx", channels=1).fingerprint()


def test_large_labels_are_shown_without_mixing_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / "labels.zarr"
    axes = [{"name": a, "type": "space"} for a in "yx"]
    ome = {
        "version": "0.5",
        "image-label": {},
        "multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}],
    }
    group = zarr.open_group(path, mode="w", attributes={"ome": ome})
    array = group.create_array("0", shape=(8193, 8192), chunks=(2048, 2048), dtype="u4")
    array[:100, :101] = 7
    (layer,) = read(path)
    assert type(layer).__name__ == "Labels"
    assert layer.multiscale
    assert set(np.unique(layer.data[1][:64, :64])) == {0, 7}


def test_axes_in_any_order_show_y_and_x(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    names = ["y", "x", "c", "z"]
    image = np.random.default_rng(0).integers(0, 999, (30, 40, 2, 5), dtype=np.uint16)
    zarr.create_array(path, data=image, dimension_names=names)
    layers = read(path)
    assert [layer.axis_labels for layer in layers] == [("z", "y", "x")] * 2
    for c, layer in enumerate(layers):
        np.testing.assert_array_equal(np.asarray(layer.data[3]), image[:, :, c, 3])


def test_the_contrast_shown_is_what_the_shell_takes(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK, photometric="minisblack", metadata={"axes": "CYX"})
    layers = read(path)
    assert [layer.colormap.name for layer in layers] == ["cyan", "magenta", "yellow", "blue"]
    source = open_image(path, channels=(3, 1))
    shown = limits_from_layers([layers[3], layers[1]])
    assert IntensityMapping.from_percentiles(source) == IntensityMapping.choose(source, shown)
    stacked = source_from_layers([layers[3], layers[1]])
    assert stacked.fingerprint() == source.fingerprint()
    np.testing.assert_array_equal(
        stacked.read((), 3, 4, 40, 50), np.moveaxis(STACK[[3, 1], 3:40, 4:50], 0, -1)
    )


def test_a_remote_image(tmp_path: Path) -> None:
    zarr.create_array("memory://test_reader/a.zarr", data=STACK, chunks=(1, 64, 64))
    try:
        viewer = ViewerModel()
        for data, options, _ in reader.read_file("memory://test_reader/a.zarr"):
            viewer.add_image(data, **options)
        assert viewer.layers[0].name == "a"
        np.testing.assert_array_equal(np.asarray(viewer.layers[0].data[2]), STACK[2])
    finally:
        fsspec.filesystem("memory").rm("/test_reader", recursive=True)


def test_a_stack_of_files_is_left_to_others() -> None:
    assert reader.get_reader(["a.tif", "b.tif"]) is None


def test_a_damaged_file_is_a_notification(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(b"II\x2a\0")
    with notification_manager:
        assert reader.read_file(str(path)) == [(None,)]
        messages = [record.message for record in notification_manager.records]
    assert str(path) in messages[-1]


class Window:
    def __init__(self, *, closed: bool = False) -> None:
        self.opened: list[tuple[str, ...]] = []
        self.closed = closed

    def add_plugin_dock_widget(self, *names: str) -> None:
        self.opened.append(names)
        if self.closed:
            raise RuntimeError("wrapped C/C++ object has been deleted")


class Viewer:
    def __init__(self, window: Window) -> None:
        self.window = window


def test_the_dock_opens_once_for_each_viewer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qtbot: Any
) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.zeros((9, 9), "u1")).save(path)
    viewers = [Viewer(Window()), Viewer(Window(closed=True))]
    for viewer in (viewers[0], viewers[0], viewers[1]):
        monkeypatch.setattr("napari.current_viewer", lambda viewer=viewer: viewer)
        reader.read_file(str(path))
        # not before napari has added the picture
        assert viewer is not viewers[1] or not viewer.window.opened
        qtbot.waitUntil(lambda viewer=viewer: bool(viewer.window.opened))
    qtbot.wait(20)
    assert [viewer.window.opened for viewer in viewers] == [[("napari-hqsam", "Annotate")]] * 2
    del viewer
    viewers.clear()
    monkeypatch.undo()
    gc.collect()
    assert not len(reader._with_dock)


def test_no_dock_for_a_file_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qtbot: Any
) -> None:
    viewer = Viewer(Window())
    monkeypatch.setattr("napari.current_viewer", lambda: viewer)
    reader.read_file(str(tmp_path / "missing.tif"))
    qtbot.wait(20)
    assert not viewer.window.opened


@pytest.fixture
def plugin() -> Any:
    """The manifest in a plugin manager of its own."""
    path = Path(napari_hqsam.__file__).with_name("napari.yaml")
    manager = PluginManager()
    manager.register(PluginManifest.from_file(path))
    return manager


def test_napari_finds_reader_and_writer(plugin: PluginManager, tmp_path: Path) -> None:
    for name in ("a.tif", "b.TIFF", "c.ome.zarr", "d.png", "e.jpeg"):
        readers = [r.command for r in plugin.iter_compatible_readers([str(tmp_path / name)])]
        assert readers == ["napari-hqsam.get_reader"], name
    for name in ("a.tif", "b.zarr"):
        found, path = plugin.get_writer(str(tmp_path / name), ["labels"], "napari-hqsam")
        assert found.command == "napari-hqsam.write_labels"
        assert path.endswith(name)
    assert plugin.get_writer(str(tmp_path / "a.tif"), ["image"], "napari-hqsam")[0] is None


def layer_data(data: Any, **options: Any) -> tuple[Any, dict[str, Any]]:
    layer = ViewerModel().add_labels(data, **options)
    data, meta, _ = layer.as_layer_data_tuple()
    return data, meta


def test_a_labels_layer_is_written_with_its_scale(tmp_path: Path) -> None:
    options = {"scale": (2, 0.5, 0.5), "units": ("µm",) * 3}
    for path in (tmp_path / "a.tif", tmp_path / "a.zarr"):
        data, meta = layer_data(STACK.astype(int), **options)
        assert writer.write_layer(str(path), data, meta) == [str(path)]
        (layer,) = read(path)
        assert layer.scale.tolist() == pytest.approx([2, 0.5, 0.5])
        np.testing.assert_array_equal(np.asarray(layer.data), STACK)


def test_other_layers_of_labels_are_written(tmp_path: Path) -> None:
    path = str(tmp_path / "a.tif")
    named = layer_data(STACK.astype(int), axis_labels=("T", "Y", "X"))
    writer.write_layer(path, *named)
    with tifffile.TiffFile(path) as tif:
        assert tif.series[0].axes == "TYX"
    pyramid = layer_data([STACK.astype(int), STACK[:, ::2, ::2].astype(int)], multiscale=True)
    writer.write_layer(path, *pyramid)
    np.testing.assert_array_equal(tifffile.imread(path), STACK)


def test_labels_that_are_not_saved_are_an_error(tmp_path: Path) -> None:
    data, meta = layer_data(STACK.astype(int))
    with pytest.raises(OSError, match="there is no folder"):
        writer.write_layer(str(tmp_path / "missing" / "a.tif"), data, meta)
