from __future__ import annotations

import logging
import random
import socket
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pooch
import pytest

from napari_hqsam.errors import HQSAMError
from napari_hqsam.weights import DownloadCancelled, ModelInfo, download, fetch

from .conftest import Hub

CONTENT = random.Random(0).randbytes(1_500_000)
Publish = Callable[[str, bytes], ModelInfo]


@pytest.fixture
def info(publish: Publish) -> ModelInfo:
    return publish("vit_b", CONTENT)


def part_of(info: ModelInfo) -> Path:
    return next(info.path.parent.glob("*.part"))


def files(info: ModelInfo) -> set[str]:
    return {path.name for path in info.path.parent.iterdir()} - {"lock"}


def check_installed(info: ModelInfo) -> None:
    assert info.path.read_bytes() == CONTENT
    assert files(info) == {info.file_name}
    assert info.installed


def check_one_line(error: HQSAMError) -> str:
    message = str(error)
    assert "\n" not in message
    return message


def test_download_with_progress(hub: Hub, info: ModelInfo, cache: Path) -> None:
    seen: list[tuple[int, int]] = []
    assert fetch(info, progress=lambda *both: seen.append(both)) == info.path
    check_installed(info)
    assert cache in info.path.parents
    assert seen[0] == (0, len(CONTENT))
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert seen == sorted(seen)
    assert len(seen) > 4
    assert hub.ranges == [None]


def test_the_mirror_keeps_the_path(hub: Hub, info: ModelInfo) -> None:
    fetch(info)
    assert hub.requests[0][0] == info.url.removeprefix("https://huggingface.co")


def test_nothing_is_printed(hub: Hub, info: ModelInfo) -> None:
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logger = pooch.get_logger()
    logger.addHandler(handler)
    try:
        fetch(info)
        logger.info("what another package downloads")
    finally:
        logger.removeHandler(handler)
    assert lines == ["what another package downloads"]
    assert not logger.filters


def test_what_is_installed_is_not_downloaded_again(hub: Hub, info: ModelInfo) -> None:
    info.path.parent.mkdir(parents=True)
    info.path.write_bytes(CONTENT)
    assert fetch(info) == info.path
    assert hub.requests == []
    # Not even a lock: the cache may be a read-only folder that someone else has filled.
    assert [path.name for path in info.path.parent.iterdir()] == [info.file_name]


def test_a_corrupt_installed_file_is_replaced(hub: Hub, info: ModelInfo) -> None:
    info.path.parent.mkdir(parents=True)
    info.path.write_bytes(CONTENT[:-1] + b"?")
    fetch(info)
    check_installed(info)


def test_a_cut_download_goes_on_by_itself(hub: Hub, info: ModelInfo) -> None:
    hub.faults = [("cut", 600_000)]
    seen: list[int] = []
    fetch(info, progress=lambda done, total: seen.append(done))
    check_installed(info)
    (first, second) = hub.ranges
    assert first is None
    resumed_at = int(second.removeprefix("bytes=").rstrip("-"))
    assert 300_000 < resumed_at <= 600_000
    assert seen == sorted(seen)
    assert hub.bytes_sent == 600_000 + len(CONTENT) - resumed_at


def test_a_cut_download_goes_on_another_day(hub: Hub, info: ModelInfo) -> None:
    hub.faults = [("cut", 600_000), ("cut", 300_000), ("cut", 0)]
    with pytest.raises(HQSAMError, match=r"'vit_b' broke off after \d MB of \d MB: try again"):
        fetch(info)
    assert not info.path.exists()
    done = part_of(info).stat().st_size
    assert part_of(info).read_bytes() == CONTENT[:done]
    fetch(info)
    check_installed(info)
    assert hub.ranges[-1] == f"bytes={done}-"


def test_a_server_without_ranges_sends_all_again(hub: Hub, info: ModelInfo) -> None:
    hub.faults = [("cut", 600_000), ("whole",)]
    fetch(info)
    check_installed(info)


@pytest.mark.parametrize("status", [416, 429, 503])
def test_a_passing_refusal_is_tried_again(hub: Hub, info: ModelInfo, status: int) -> None:
    hub.faults = [("status", status)]
    fetch(info)
    check_installed(info)


def test_an_overlong_part_is_dropped(hub: Hub, info: ModelInfo) -> None:
    hub.faults = [("cut", 600_000), ("cut", 0), ("cut", 0)]
    with pytest.raises(HQSAMError):
        fetch(info)
    part_of(info).write_bytes(bytes(len(CONTENT) + 1))
    fetch(info)
    check_installed(info)
    assert hub.ranges[-1] is None


def test_wrong_content_is_not_installed(hub: Hub, info: ModelInfo) -> None:
    hub.faults = [("send", bytes(len(CONTENT)))]
    with pytest.raises(HQSAMError, match=r"wrong SHA-256.*deleted: try again") as caught:
        fetch(info)
    check_one_line(caught.value)
    assert files(info) == set()
    fetch(info)
    check_installed(info)


def test_a_corrupt_part_is_found_and_a_retry_works(hub: Hub, info: ModelInfo) -> None:
    hub.faults = [("cut", 600_000), ("cut", 0), ("cut", 0)]
    with pytest.raises(HQSAMError):
        fetch(info)
    part_of(info).write_bytes(bytes(500_000))
    with pytest.raises(HQSAMError, match="wrong SHA-256"):
        fetch(info)
    fetch(info)
    check_installed(info)


def test_a_login_page_is_not_taken_for_weights(hub: Hub, info: ModelInfo) -> None:
    hub.faults = [("send", b"<html>Please log in</html>")]
    with pytest.raises(HQSAMError, match=r"26 bytes where 1500000 bytes belong.*--checkpoint"):
        fetch(info)
    assert files(info) == set()


def test_a_missing_file_says_so(hub: Hub, info: ModelInfo) -> None:
    hub.files.clear()
    with pytest.raises(HQSAMError, match=r"answered 404 Not Found: get vit_b.pth elsewhere"):
        fetch(info)
    assert len(hub.requests) == 1


def test_offline(info: ModelInfo, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
    monkeypatch.setenv("NAPARI_HQSAM_MIRROR", f"http://{address}/")
    with pytest.raises(HQSAMError) as caught:
        fetch(info)
    message = check_one_line(caught.value)
    for part in ("'vit_b'", "2 MB", f"{address} cannot be reached", f"http://{address}/lkeab/",
                 str(info.path), "--checkpoint PATH", "'micro' works offline"):  # fmt: skip
        assert part in message
    assert not info.path.exists()


def test_offline_a_corrupt_installed_file_stays(
    info: ModelInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    info.path.parent.mkdir(parents=True)
    info.path.write_bytes(b"mine")
    monkeypatch.setenv("NAPARI_HQSAM_MIRROR", "http://127.0.0.1:9")
    with pytest.raises(HQSAMError, match="cannot be reached"):
        fetch(info)
    assert info.path.read_bytes() == b"mine"


def test_cancel_keeps_what_has_arrived(hub: Hub, info: ModelInfo) -> None:
    seen: list[int] = []
    with pytest.raises(DownloadCancelled):
        fetch(
            info,
            progress=lambda done, total: seen.append(done),
            cancelled=lambda: bool(seen) and seen[-1] > 500_000,
        )
    done = part_of(info).stat().st_size
    assert done == seen[-1] < len(CONTENT)
    assert not info.path.exists()
    fetch(info)
    check_installed(info)
    assert hub.ranges[-1] == f"bytes={done}-"


def test_cancel_before_the_start(hub: Hub, info: ModelInfo) -> None:
    with pytest.raises(DownloadCancelled):
        fetch(info, cancelled=lambda: True)
    assert hub.requests == []


def test_an_unusable_cache_folder(
    info: ModelInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NAPARI_HQSAM_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(HQSAMError, match=r"cannot write to .*set NAPARI_HQSAM_CACHE") as caught:
        fetch(info)
    check_one_line(caught.value)


def test_a_full_disk_is_seen_before_the_download(
    hub: Hub, info: ModelInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(download.shutil, "disk_usage", lambda folder: usage(10**9, 10**9, 400_000))
    with pytest.raises(HQSAMError, match=r"needs 2 MB in .*, which has 0 MB left: make room"):
        fetch(info)
    assert hub.requests == []


def test_a_disk_that_fills_up_on_the_way(
    hub: Hub, info: ModelInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(done: int, total: int) -> None:
        if done > 500_000:
            raise OSError(28, "No space left on device")

    with pytest.raises(HQSAMError, match=r"No space left on device\): make room there"):
        fetch(info, progress=full)
    fetch(info)
    check_installed(info)


def test_leftovers_of_a_killed_process_are_removed(hub: Hub, info: ModelInfo) -> None:
    info.path.parent.mkdir(parents=True)
    info.path.with_name("tmpabc123").write_bytes(CONTENT[:1000])
    fetch(info)
    check_installed(info)


def test_two_processes_download_once(hub: Hub, info: ModelInfo) -> None:
    code = (
        "import sys; from dataclasses import replace;"
        "from napari_hqsam.weights import fetch, model_info;"
        f"fetch(replace(model_info('vit_b'), file_name={info.file_name!r}, url={info.url!r}, "
        f"sha256={info.sha256!r}, bytes={info.bytes}))"
    )
    running = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [process.wait(30) for process in running] == [0, 0]
    check_installed(info)
    assert hub.ranges == [None]
