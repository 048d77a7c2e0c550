from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest
from npe2 import PluginManifest

import napari_hqsam

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
    docks = [widget.display_name for widget in offers.widgets]
    assert docks == ["Annotate", "Segment all", "Propagate", "Models"]
    assert set(offers.configurations) == {"models", "embeddings", "keys"}
    assert set(offers.menus) == {"napari/layers/segment", "napari/layers/annotate"}
    used = [*offers.readers, *offers.writers, *offers.widgets, *offers.sample_data]
    used += [item for items in offers.menus.values() for item in items]
    assert {item.command for item in used} == {command.id for command in offers.commands}


def test_every_sample_is_in_the_file_menu(manifest: PluginManifest) -> None:
    keys = [sample.key for sample in manifest.contributions.sample_data]
    assert keys == ["retina", "ihc", "cell", "coins", "microaneurysms", "nuclei", "slide"]


def test_settings_explain_themselves(manifest: PluginManifest) -> None:
    for section in manifest.contributions.configurations.values():
        for name, setting in section.properties.items():
            assert setting.title, name
            assert setting.description.endswith("."), name
