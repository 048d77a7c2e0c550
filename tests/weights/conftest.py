from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from napari_hqsam.weights import ModelInfo, download, registry

REVISION = "0123abcd"


@dataclass
class Hub:
    """A file server on 127.0.0.1 that notes what it is asked and can be told to misbehave.

    Each entry of `faults` spoils one request: ("cut", n) closes the connection after n bytes,
    ("status", code), ("send", bytes) answers with other bytes, ("whole",) ignores the range.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    faults: list[tuple] = field(default_factory=list)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    bytes_sent: int = 0

    @property
    def ranges(self) -> list[str | None]:
        return [byte_range for _, byte_range in self.requests]

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.requests.append((handler.path, handler.headers["Range"]))
        fault, *how = self.faults.pop(0) if self.faults else (None,)
        if fault == "status" or handler.path not in self.files:
            handler.send_error(how[0] if how else 404)
            return
        whole = how[0] if fault == "send" else self.files[handler.path]
        start = 0
        if handler.headers["Range"] and fault not in ("whole", "send"):
            start = int(handler.headers["Range"].removeprefix("bytes=").rstrip("-"))
            handler.send_response(206)
            handler.send_header("Content-Range", f"bytes {start}-{len(whole) - 1}/{len(whole)}")
        else:
            handler.send_response(200)
        body = whole[start:]
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        sent = body[: how[0]] if fault == "cut" else body
        self.bytes_sent += len(sent)
        handler.wfile.write(sent)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                hub.answer(self)
            except OSError:  # the client has gone, as in the test of cancelling
                self.close_connection = True

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False  # joined on closing: no socket is left behind
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("NAPARI_HQSAM_MIRROR", hub.url)
    monkeypatch.setattr(download, "_WAITS", (0.0, 0.0))
    yield hub
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "a cache"
    monkeypatch.setenv("NAPARI_HQSAM_CACHE", str(folder))
    return folder


@pytest.fixture
def publish(
    hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, bytes], ModelInfo]:
    """Put a file on the hub in place of a model's official weights."""

    def publish(name: str, content: bytes) -> ModelInfo:
        file_name = f"{name}.pth"
        path = f"/lkeab/hq-sam/resolve/{REVISION}/{file_name}"
        info = replace(
            registry.model_info(name),
            file_name=file_name,
            url=f"https://huggingface.co{path}",
            revision=REVISION,
            sha256=hashlib.sha256(content).hexdigest(),
            bytes=len(content),
        )
        hub.files[path] = content
        monkeypatch.setitem(registry._MODELS, name, info)
        return info

    return publish
