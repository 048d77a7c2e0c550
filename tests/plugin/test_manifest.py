from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from npe2 import PluginManifest
from skimage.data import _fetchers

import napari_hqsam
from napari_hqsam.plugin import sample_data

MANIFEST = Path(str(files(napari_hqsam))) / "napari.yaml"


@pytest.fixture(scope="module")
def manifest() -> PluginManifest:
    return PluginManifest.from_file(MANIFEST)


def test_the_manifest_is_valid_and_its_commands_exist(manifest: PluginManifest) -> None:
    assert (manifest.name, manifest.display_name) == ("napari-hqsam", "HQ-SAM")
    assert manifest.categories == ["Segmentation", "Annotation"]
    manifest.validate_imports()


def test_what_it_offers(manifest: PluginManifest) -> None:
    offers = manifest.contributions
    patterns = {p for reader in offers.readers for p in reader.filename_patterns}
    assert patterns == {"*.tif", "*.tiff", "*.zarr", "*.png", "*.jpg", "*.jpeg"}
    assert all(reader.accepts_directories for reader in offers.readers)
    extensions = [e for writer in offers.writers for e in writer.filename_extensions]
    assert extensions == [".tif", ".tiff", ".zarr"]
    assert [widget.display_name for widget in offers.widgets] == ["Annotate"]
    assert set(offers.menus) == {"napari/layers/segment", "napari/layers/annotate"}
    used = [*offers.readers, *offers.writers, *offers.widgets, *offers.sample_data]
    used += [item for items in offers.menus.values() for item in items]
    assert {item.command for item in used} == {command.id for command in offers.commands}


@pytest.mark.parametrize(
    ("key", "shape"),
    [("retina", (1411, 1411, 3)), ("ihc", (512, 512, 3)), ("cell", (660, 550))],
)
def test_samples_need_no_download(
    key: str, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Offline:
        abspath = tmp_path

    monkeypatch.setattr(_fetchers, "_image_fetcher", Offline())
    ((data, options, kind),) = getattr(sample_data, key)()
    assert (kind, options["name"]) == ("image", key)
    assert (data.shape, data.dtype) == (shape, np.uint8)
