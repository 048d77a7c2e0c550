from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import numpy as np
import pytest
import zarr

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images import open_image
from napari_hqsam.images.files import open_file
from napari_hqsam.images.location import Url, locate

IMAGE = np.random.default_rng(0).integers(0, 4000, (2, 64, 96), dtype=np.uint16)


class Handler(SimpleHTTPRequestHandler):
    """Serves parts of files, as the servers do that hold images."""

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        wanted = self.headers.get("Range", "").removeprefix("bytes=")
        if not wanted or not path.is_file():
            return super().do_GET()
        content = path.read_bytes()
        first, last = wanted.split("-")
        start, stop = (int(first), int(last or len(content)) + 1) if first else (-int(last), None)
        part = content[start:stop]
        self.send_response(206)
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)
        return None

    def log_message(self, *args: object) -> None:
        pass


class Server:
    """A folder on a web server of this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    served = Server(tmp_path)
    yield served
    served.stop()


def write_ome(where: str, version: str) -> None:
    axes = [{"name": a, "type": "space", "unit": "micrometer"} for a in "zyx"]
    datasets = [
        {
            "path": str(i),
            "coordinateTransformations": [{"type": "scale", "scale": [2, 0.5 * f, 0.5 * f]}],
        }
        for i, f in enumerate((1, 2))
    ]
    document: dict = {"multiscales": [{"axes": axes, "datasets": datasets}]}
    if version == "0.5":
        document = {"ome": {"version": "0.5"} | document}
    zarr_format = 3 if version == "0.5" else 2
    group = zarr.open_group(where, mode="w", zarr_format=zarr_format, attributes=document)
    for i, level in enumerate((IMAGE, IMAGE[:, ::2, ::2])):
        group.create_array(str(i), data=level, chunks=(1, 32, 32))


def refused(url: str, message: str) -> None:
    with pytest.raises(HQSAMError, match=message) as caught:
        open_image(url)
    assert str(caught.value).startswith(url)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr_on_a_web_server(server: Server, version: str) -> None:
    write_ome(str(server.folder / "my cells.ome.zarr"), version)
    with open_image(f"{server.url}/my%20cells.ome.zarr/") as source:
        assert source.name == "my cells.ome.zarr"
        assert (source.axes, source.scale, len(source.levels)) == ("zyx", (2, 0.5, 0.5), 2)
        pixels = source.read((1,), 10, 20, 60, 90)
        np.testing.assert_array_equal(pixels[..., 0], IMAGE[1, 10:60, 20:90])
        coarse = source.read((0,), 0, 0, 32, 48, level=1)
        np.testing.assert_array_equal(coarse[..., 0], IMAGE[0, ::2, ::2])


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_plain_array_on_a_web_server(server: Server, zarr_format: int) -> None:
    path = server.folder / "a.zarr"
    zarr.create_array(path, data=IMAGE, chunks=(1, 32, 32), zarr_format=zarr_format)
    source = open_image(f"{server.url}/a.zarr")
    np.testing.assert_array_equal(source.read((1,), 0, 0, 64, 96)[..., 0], IMAGE[1])


def test_a_shard_on_a_web_server(server: Server) -> None:
    path = server.folder / "a.zarr"
    zarr.create_array(path, data=IMAGE, chunks=(1, 16, 16), shards=(2, 64, 96))
    source = open_image(f"{server.url}/a.zarr")
    np.testing.assert_array_equal(source.read((1,), 9, 9, 50, 90)[..., 0], IMAGE[1, 9:50, 9:90])


def test_bioformats2raw_on_a_web_server(server: Server) -> None:
    path = server.folder / "a.zarr"
    zarr.open_group(path, mode="w", attributes={"ome": {"bioformats2raw.layout": 3}})
    write_ome(str(path / "0"), "0.5")
    assert open_image(f"{server.url}/a.zarr").axes == "zyx"


def test_a_store_in_memory() -> None:
    write_ome("memory://test_remote/a.zarr", "0.5")
    try:
        source = open_image("memory://test_remote/a.zarr")
        np.testing.assert_array_equal(source.read((1,), 0, 0, 64, 96)[..., 0], IMAGE[1])
        with pytest.raises(ValueError, match="read-only"):
            source.levels[0][0] = 0
    finally:
        fsspec.filesystem("memory").rm("/test_remote", recursive=True)


def test_a_wrong_address_is_named(server: Server) -> None:
    refused(f"{server.url}/missing.zarr", "no zarr at this address")


def test_a_server_that_is_not_there(server: Server) -> None:
    write_ome(str(server.folder / "a.zarr"), "0.5")
    source = open_image(f"{server.url}/a.zarr")
    server.stop()
    refused(f"{server.url}/b.zarr", "server cannot be read")
    with pytest.raises(HQSAMError, match="cannot be read") as caught:
        source.read((0,), 0, 0, 64, 96)
    assert str(caught.value).startswith(f"{server.url}/a.zarr")
    assert "\n" not in str(caught.value)


def test_damaged_metadata_on_a_server(server: Server) -> None:
    (server.folder / "a.zarr").mkdir()
    (server.folder / "a.zarr" / "zarr.json").write_text('{"zarr_format": ')
    refused(f"{server.url}/a.zarr", "metadata cannot be used")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(protocol: str) -> type:
        raise ImportError(f"Install what reads {protocol}")

    monkeypatch.setattr("fsspec.core.get_filesystem_class", missing)
    refused("s3://bucket/a.zarr", "pip install s3fs")
    refused("gs://bucket/a.zarr", "pip install gcsfs")
    refused("rare://bucket/a.zarr", "Install what reads rare")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense://host/a.zarr", "no kind of server"),
        ("https://host/a.ome.tif", "only zarr can be read"),
        ("https://host/a.png", "only zarr can be read"),
    ],
)
def test_urls_that_cannot_be_images(url: str, message: str) -> None:
    refused(url, message)


def test_locations(tmp_path: Path) -> None:
    assert locate("a/b.tif") == Path("a/b.tif")
    assert locate((tmp_path / "a b.tif").as_uri()) == tmp_path / "a b.tif"
    url = locate("https://host/x/y.ome.zarr/")
    assert url == Url("https://host/x/y.ome.zarr")
    assert (url.name, url.suffix, str(url / "0")) == (
        "y.ome.zarr",
        ".zarr",
        "https://host/x/y.ome.zarr/0",
    )
    assert locate("~/a.tif") == Path.home() / "a.tif"


def test_a_file_url_is_a_path(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "a.zarr", data=IMAGE)
    assert open_file((tmp_path / "a.zarr").as_uri()).path == tmp_path / "a.zarr"
