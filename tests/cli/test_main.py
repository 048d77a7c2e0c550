from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import napari_hqsam
from napari_hqsam.cli import main


def shell(*arguments: object) -> subprocess.CompletedProcess[str]:
    source = str(Path(napari_hqsam.__file__).parents[1])
    paths = [source, *filter(None, [os.environ.get("PYTHONPATH")])]
    code = "import sys; from napari_hqsam.cli import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )


def test_an_error_in_a_shell_is_one_line_and_status_2(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.tif"
    damaged.write_bytes(b"II*\0" + bytes(range(200)))
    done = shell("segment", damaged, "-o", tmp_path / "l.tif", "--box", "1,1,9,9")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == [done.stderr.rstrip("\n")]
    assert done.stderr.startswith(f"napari-hqsam: {damaged}: the TIFF is damaged")


def test_debug_shows_the_traceback_wherever_it_stands(tmp_path: Path) -> None:
    done = shell("models", "--debug", "extra")
    assert done.returncode != 0
    assert "Traceback" in done.stderr


def test_without_arguments_the_help_is_shown(command) -> None:
    shown = command()
    assert shown.status == 0
    assert "Commands:" in shown.out
    assert shown.out == command("--help").out


def test_version(command) -> None:
    assert command("--version").out == f"napari-hqsam {napari_hqsam.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["segmnt"], "segmnt"),
        (["segment"], "IMAGE"),
        (["segment", "a.tif"], "--out"),
        (["segment", "a.tif", "-o", "b.tif", "--bx", "1"], "--bx"),
        (["segment", "a.tif", "-o", "b.tif", "--level", "x"], "--level"),
        (["train", "data"], "--run"),
    ],
)
def test_a_wrong_call_is_one_line_that_names_the_help(command, arguments, part) -> None:
    error = command(*arguments).error
    assert part in error
    assert error.endswith("--help")


def failing_with(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr("napari_hqsam.weights.list_models", fail)


def test_an_error_of_the_system_names_the_file(command, monkeypatch) -> None:
    failing_with(PermissionError(13, "Permission denied", "/locked/weights"), monkeypatch)
    assert command("models").error == "/locked/weights: Permission denied"


def test_out_of_memory_is_told_with_a_remedy(command, monkeypatch) -> None:
    failing_with(MemoryError(), monkeypatch)
    assert "--level" in command("models").error


def test_a_fault_of_the_program_is_one_line_too(command, monkeypatch) -> None:
    failing_with(RuntimeError("two\nlines"), monkeypatch)
    done = command("models")
    assert done.status == 1
    assert done.err.startswith("napari-hqsam: unexpected RuntimeError: two lines; --debug")
    with pytest.raises(RuntimeError):
        main(["models", "--debug"])


def test_an_interruption_is_status_130(command, monkeypatch) -> None:
    failing_with(KeyboardInterrupt(), monkeypatch)
    done = command("models")
    assert (done.status, done.err) == (130, "napari-hqsam: interrupted\n")


def test_models_are_listed_with_what_one_must_know(command, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("NAPARI_HQSAM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "160")
    out = command("models").out
    for word in ("micro", "vit_tiny", "vit_b", "vit_l", "vit_h", "Apache-2.0", "HQSeg-44K"):
        assert word in out
    assert "no (379 MB)" in out
    assert str(tmp_path / "cache" / "models") in out
