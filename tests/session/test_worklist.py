"""The queue of images: what it finds, where labels go, what is done, also for several people."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from napari_hqsam.errors import HQSAMError
from napari_hqsam.session.worklist import Worklist, scan_folder, scan_list
from napari_hqsam.session.worklist.state import STATE, WorklistState


def made(generator: Any) -> Worklist:
    while True:
        try:
            next(generator)
        except StopIteration as end:
            return end.value


def touch(folder: Path, *names: str) -> list[Path]:
    paths = [folder / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return paths


def names(worklist: Worklist) -> list[str]:
    return [image.name for image in worklist]


def test_a_folder_is_read_in_natural_order_without_labels_and_other_files(tmp_path: Path) -> None:
    touch(tmp_path, "c10.tif", "C2.ome.tif", "c1.png", "c1_labels.tif", "notes.txt", ".c3.tif")
    touch(tmp_path, "big.zarr/zarr.json", "big.zarr/c/0.tif", "big_labels.zarr/zarr.json")
    touch(tmp_path, "sub/d.tif")
    assert names(made(scan_folder(tmp_path))) == ["big.zarr", "c1.png", "C2.ome.tif", "c10.tif"]
    assert names(made(scan_folder(tmp_path, "c1*.tif; *.png"))) == ["c1.png", "c10.tif"]
    assert names(made(scan_folder(tmp_path, "**/*.tif"))) == ["C2.ome.tif", "c10.tif", "sub/d.tif"]
    assert names(made(scan_folder(tmp_path, suffix="_mask", pattern="c1*.tif"))) == [
        "c1_labels.tif",
        "c10.tif",
    ]


def test_a_list_file_gives_the_order_and_what_is_missing_is_skipped(tmp_path: Path) -> None:
    a, b, far = touch(tmp_path, "lists/b.tif", "lists/sub/a.tif", "far/c.png")
    text = f"# made by hand\nsub/a.tif\n\nb.tif\ngone.tif\nb.tif\n{far}\nhttps://x.org/y.zarr\n"
    file = tmp_path / "lists" / "todo.txt"
    file.write_text(text, encoding="utf-8-sig")
    worklist = made(scan_list(file))
    assert [image.path for image in worklist][:2] == [b, a]
    assert names(worklist)[:4] == ["sub/a.tif", "b.tif", "gone.tif", str(far)]
    errors = [image.error for image in worklist]
    assert errors[:2] == ["", ""]
    assert "gone.tif: no such file; check todo.txt" in errors[2]
    assert "copy the image to this machine" in errors[4]
    order, at = [], None
    while (image := worklist.next(at, "nothing")) is not None:
        order.append(image.path)
        at = image.path
    assert order == [b, a, far]


def test_a_csv_file_may_have_a_heading_and_other_columns(tmp_path: Path) -> None:
    a, b = touch(tmp_path, "a.tif", "b, 2.tif")
    file = tmp_path / "plate.csv"
    file.write_text('well,Image\nA1,a.tif\nA2,"b, 2.tif"\n', encoding="utf-8")
    assert [image.path for image in made(scan_list(file))] == [a, b]
    file.write_text('a.tif,A1\n"b, 2.tif",A2\n', encoding="utf-8")
    assert [image.path for image in made(scan_list(file))] == [a, b]


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"\n# nothing\n", "names no image"), (b"\xff\xfe\x00", "no text in UTF-8")],
)
def test_a_useless_list_is_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "todo.txt"
    file.write_bytes(content)
    with pytest.raises(HQSAMError, match=message):
        made(scan_list(file))
    with pytest.raises(HQSAMError, match=r"none\.txt: cannot be read"):
        made(scan_list(tmp_path / "none.txt"))
    with pytest.raises(HQSAMError, match="no image fits"):
        made(scan_folder(tmp_path, "*.tif"))
    with pytest.raises(HQSAMError, match="cannot be read"):
        made(scan_folder(tmp_path / "nowhere"))


def test_labels_lie_beside_the_image_or_mirrored_in_a_folder(tmp_path: Path) -> None:
    (image,) = touch(tmp_path, "in/sub/a.ome.tif")
    near = made(scan_folder(tmp_path / "in", "**/*.tif"))
    assert near.target(image) == tmp_path / "in" / "sub" / "a_labels.tif"
    assert near.target(image, large=True).name == "a_labels.zarr"
    away = made(scan_folder(tmp_path / "in", "**/*", labels_folder=tmp_path / "out", suffix=""))
    assert away.target(image) == tmp_path / "out" / "sub" / "a.tif"
    away.mark(image, done=True, labels=touch(tmp_path, "out/sub/a.zarr/zarr.json")[0].parent)
    assert away.find(image).done
    assert away.target(image) == tmp_path / "out" / "sub" / "a.zarr"  # where they are


def test_images_that_are_alike_but_for_the_format_have_labels_of_their_own(tmp_path: Path) -> None:
    (png,) = touch(tmp_path, "a.png")
    alone = made(scan_folder(tmp_path))
    (labels,) = touch(tmp_path, "a_labels.tif")
    alone.mark(png, done=True, labels=labels)
    (tif,) = touch(tmp_path, "a.tif")  # comes later
    both = made(scan_folder(tmp_path))
    assert (both.find(png).labels, both.find(png).done) == (labels, True)
    assert (both.find(tif).labels, both.target(tif).name) == (None, "a.tif_labels.tif")

    other = tmp_path / "other"
    tif, png = touch(other, "a.tif", "a.png")
    both = made(scan_folder(other))
    assert {both.target(tif).name, both.target(png).name} == {"a_labels.tif", "a.png_labels.tif"}


def test_labels_never_take_the_place_of_images_or_of_others(tmp_path: Path) -> None:
    touch(tmp_path, "a.tif", "a_labels.tif", "x/1/c.tif", "y/1/c.tif")
    with pytest.raises(HQSAMError, match="suffix"):
        made(scan_folder(tmp_path, suffix=""))
    with pytest.raises(HQSAMError, match="suffix"):
        made(scan_folder(tmp_path, suffix="/labels"))
    file = tmp_path / "lists" / "todo.txt"
    file.parent.mkdir()
    file.write_text("../a.tif\n../a_labels.tif\n")
    listed = made(scan_list(file))
    assert "would replace" in listed[0].error
    with pytest.raises(HQSAMError, match=r"a\.tif: its labels would replace"):
        listed.target(tmp_path / "a.tif")
    listed.report(tmp_path / "a.tif", "")  # that it can be opened does not help
    assert listed[0].error
    file.write_text("../x/1/c.tif\n../y/1/c.tif\n")
    same = made(scan_list(file, labels_folder=tmp_path / "out"))
    assert [bool(image.error) for image in same] == [False, True]


@pytest.fixture
def worklist(tmp_path: Path) -> Worklist:
    touch(tmp_path, *(f"{letter}.tif" for letter in "abcd"))
    return made(scan_folder(tmp_path))


def letter(worklist: Worklist, *args: Any) -> str | None:
    image = worklist.next(*args)
    return None if image is None else image.path.stem


def test_done_are_skipped_and_the_end_goes_round(worklist: Worklist, tmp_path: Path) -> None:
    a, b, c, d = (image.path for image in worklist)
    touch(tmp_path, "b_labels.tif")
    worklist.mark(b, done=True)
    worklist.mark(d, done=True)  # nothing in it to label
    assert worklist.progress == (2, 4)
    assert letter(worklist) == "a"
    assert letter(worklist, a) == "c"
    assert letter(worklist, c) == "a"
    assert letter(worklist, a, "nothing") == "b"
    assert letter(worklist, d, "nothing") is None
    previous = worklist.previous(c)
    assert previous is not None
    assert previous.path == b  # done or not
    worklist.report(c, "c.tif: damaged")
    assert letter(worklist, a) is None
    assert [i.path for i in worklist.upcoming(None, 5, "nothing")] == [a, b, d]


def test_labels_alone_are_not_done_but_can_be_skipped(worklist: Worklist, tmp_path: Path) -> None:
    touch(tmp_path, "a_labels.tif")
    worklist.refresh()
    assert (worklist[0].done, worklist[0].labels) == (False, tmp_path / "a_labels.tif")
    assert letter(worklist) == "a"
    assert letter(worklist, None, "labelled") == "b"


def test_deleted_labels_are_to_be_done_again(worklist: Worklist, tmp_path: Path) -> None:
    (labels,) = touch(tmp_path, "a_labels.tif")
    worklist.mark(worklist[0].path, done=True, labels=labels)
    assert worklist[0].done
    labels.unlink()
    os.utime(tmp_path, ns=(1, 1))  # a clock may be coarse
    worklist.refresh()
    assert not worklist[0].done


def test_marks_survive_and_can_be_taken_back(worklist: Worklist, tmp_path: Path) -> None:
    for image in list(worklist)[:2]:
        worklist.mark(image.path, done=True)
    worklist.mark(worklist[0].path, done=False)
    again = made(scan_folder(tmp_path))
    assert [image.done for image in again] == [False, True, False, False]


def test_a_mark_is_there_after_a_kill(worklist: Worklist, tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path;"
        "from napari_hqsam.session.worklist import Worklist;"
        "paths = [Path(p) for p in sys.argv[1:]];"
        "worklist = Worklist(paths, paths[0].parent);"
        "[worklist.mark(path, done=True) for path in paths]; os.kill(os.getpid(), 9)"
    )
    paths = [str(image.path) for image in worklist]
    assert subprocess.run([sys.executable, "-c", code, *paths], check=False).returncode != 0
    worklist.refresh()
    assert worklist.progress == (4, 4)


def test_what_colleagues_mark_stays_and_is_seen(tmp_path: Path) -> None:
    paths = touch(tmp_path, *(f"{i}.tif" for i in range(6)))
    mine, theirs = (Worklist(paths, tmp_path) for _ in range(2))
    for mark, path in zip([mine, theirs] * 3, paths, strict=True):
        mark.mark(path, done=True)  # neither has seen the other's last mark
    assert made(scan_folder(tmp_path)).progress == (6, 6)
    mine.refresh()
    assert mine.progress == (6, 6)


def test_many_processes_marking_at_once_lose_nothing(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path;"
        "from napari_hqsam.session.worklist.state import WorklistState;"
        "state = WorklistState(Path(sys.argv[1]));"
        "[state.mark(f'{sys.argv[2]}-{i}.tif', done=True, labels=None) for i in range(15)]"
    )
    crowd = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(n)]) for n in range(3)
    ]
    assert [process.wait() for process in crowd] == [0, 0, 0]
    state = WorklistState(tmp_path)
    assert all(state.entry(f"{n}-{i}.tif")["done"] for n in range(3) for i in range(15))


def test_what_others_wrote_into_the_file_is_kept(worklist: Worklist, tmp_path: Path) -> None:
    file = tmp_path / STATE
    file.write_text(
        json.dumps({"version": 1, "by": "us", "images": {"a.tif": {"done": True, "note": "!"}}})
    )
    worklist.refresh()
    assert worklist[0].done
    worklist.mark(worklist[1].path, done=True)
    worklist.mark(worklist[0].path, done=False)
    saved = json.loads(file.read_text())
    assert saved["by"] == "us"
    assert saved["images"]["a.tif"]["note"] == "!"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"version": 1, "images": {"a.t', "damaged"),
        ("[]", "no list of images"),
        ('{"version": 99, "images": {}}', "another version"),
    ],
)
def test_a_file_that_is_not_understood_is_never_overwritten(
    worklist: Worklist, tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / STATE
    file.write_text(text)
    with pytest.raises(HQSAMError, match=f"{STATE}: .*{message}"):
        worklist.mark(worklist[0].path, done=True)
    with pytest.raises(HQSAMError, match=message):
        worklist.refresh()
    with pytest.raises(HQSAMError, match=message):
        made(scan_folder(tmp_path))
    assert file.read_text() == text


def test_a_disk_that_refuses_is_one_line(
    worklist: Worklist, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("napari_hqsam.session.worklist.state.write_mark", full)
    with pytest.raises(HQSAMError, match=rf"{STATE}: cannot be written \(No space left on device"):
        worklist.mark(worklist[0].path, done=True)
    assert not worklist[0].done


def test_thousands_of_images_ask_each_folder_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[Path] = []
    list_folder = os.listdir

    def count(folder: Path) -> list[str]:
        listed.append(folder)
        return list_folder(folder)

    monkeypatch.setattr(os, "listdir", count)
    worklist = Worklist([tmp_path / f"{i}.tif" for i in range(3000)], tmp_path)
    worklist.refresh()
    assert worklist.progress == (0, 3000)
    assert listed == [tmp_path]
