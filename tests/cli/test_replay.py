from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_hqsam.images import open_image
from napari_hqsam.labels import pixels
from napari_hqsam.labels.label_array import MemoryLabels, StoreLabels
from napari_hqsam.labels.objects import PlaneMask
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.labels.store import LabelStore
from napari_hqsam.session.fingerprint import Fingerprint
from napari_hqsam.session.header import Header
from napari_hqsam.session.journal import Journal, read_records
from napari_hqsam.session.prompt import PromptItem
from napari_hqsam.session.record import NewObject
from napari_hqsam.session.session import Session

Box = tuple[int, int, int, int]
FLAT = ArrayPlane((0, 1), ())


def begin(image: Path, shape: tuple[int, ...], axes: str, **values: Any) -> Session:
    """A session on an image, with labels in memory."""
    labels = values.pop("labels", None) or MemoryLabels(np.zeros(shape, np.uint16))
    with open_image(image, channels=values.pop("channels", None)) as source:
        about = Header.of(labels, Fingerprint.of(source), image.name, axes, **values)
    return Session(labels, Journal.create(image.with_suffix(".journal"), about, labels))


def boxed(box: Box, plane: ArrayPlane = FLAT, **values: Any) -> NewObject:
    """An object that is a box, prompted by another one that is a little larger."""
    y0, x0, y1, x1 = box
    item = PromptItem("box", plane, ((float(y0), float(x0)), (y1 + 3.0, x1 + 3.0)))
    mask = PlaneMask.of(plane, box, np.ones((y1 - y0, x1 - x0), bool))
    return NewObject((mask,), prompts=(item,), **values)


def work(s: Session) -> list[np.ndarray]:
    """Some steps; the labels after each."""
    assert isinstance(s.labels, MemoryLabels)
    array = s.labels.array
    states = [array.copy()]
    s.stepped.connect(lambda: states.append(array.copy()))
    s.commit([boxed((10, 20, 40, 60)), boxed((30, 40, 70, 90))])
    s.commit([boxed((60, 70, 80, 100))], overlap="overwrite")
    s.undo()
    s.redo()
    s.split(1, FLAT, [(0, 35), (95, 35)])
    s.mark_saved("somewhere.tif")
    states.pop()  # saving is no step
    s.delete([2])
    s.close()
    return states


def journal_of(image: Path) -> Path:
    return image.with_suffix(".journal")


def test_the_same_labels_come_again_with_the_scale_of_the_image(
    command, no_model, image, tmp_path
) -> None:
    states = work(begin(image, (96, 128), "yx"))
    out = tmp_path / "again.tif"
    done = command("replay", journal_of(image), image, "-o", out)
    assert (done.status, done.err) == (0, "")
    assert done.out == f"{out}: 3 objects; y 96, x 128; uint16\n"
    np.testing.assert_array_equal(tifffile.imread(out), states[-1])
    with open_image(out) as labels, open_image(image) as source:
        assert labels.scale == pytest.approx(source.scale)
        assert labels.units == source.units


def test_it_stops_after_any_number_of_steps(command, image, tmp_path) -> None:
    states = work(begin(image, (96, 128), "yx"))
    out = tmp_path / "again.zarr"
    for step, state in enumerate(states):
        done = command(
            "replay", journal_of(image), image, "-o", out, "--until", step, "--overwrite"
        )
        assert done.status == 0
        np.testing.assert_array_equal(LabelStore.open(out).read((), 0, 0, 96, 128), state)


def test_labels_that_were_there_before_come_again(command, image, tmp_path) -> None:
    labels = MemoryLabels(np.zeros((96, 128), np.uint8))
    labels.array[50:, 3:9] = 200
    s = begin(image, (96, 128), "yx", labels=labels)
    s.commit([boxed((40, 0, 60, 30))], overlap="overwrite")
    s.close()
    out = tmp_path / "again.tif"
    assert command("replay", journal_of(image), image, "-o", out).status == 0
    np.testing.assert_array_equal(tifffile.imread(out), labels.array)


@pytest.mark.parametrize("gone", [False, True])
def test_labels_on_disk_come_again_also_as_they_were_in_between(
    command, image, tmp_path, gone: bool
) -> None:
    store = LabelStore.create(tmp_path / "l.zarr", (96, 128), axes="yx", dtype="uint32")
    store.write((), 5, 5, np.full((10, 10), 7))
    s = begin(image, (96, 128), "yx", labels=StoreLabels(store))
    before = store.read((), 0, 0, 96, 128)
    assert s.commit([boxed((0, 0, 9, 9))], overlap="overwrite") == [8]
    after = store.read((), 0, 0, 96, 128)
    s.delete([8])
    s.close()
    if gone:
        os.rename(tmp_path / "l.zarr", tmp_path / "m.zarr")
        error = command("replay", journal_of(image), image, "-o", tmp_path / "a.tif").error
        assert error.endswith("l.zarr, which are not there; bring them back")
        return
    for until, state in ((0, before), (1, after), (9, store.read((), 0, 0, 96, 128))):
        out = tmp_path / f"{until}.tif"
        assert command("replay", journal_of(image), image, "-o", out, "--until", until).status == 0
        np.testing.assert_array_equal(tifffile.imread(out), state)


@pytest.mark.parametrize("large", [False, True])
def test_planes_of_a_stack_whichever_way_it_was_looked_at(
    command, stack, tmp_path, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    labels = MemoryLabels(np.zeros((5, 64, 80), np.uint16))
    s = begin(stack, (5, 64, 80), "zyx", labels=labels)
    s.commit([boxed((10, 10, 30, 30), ArrayPlane((1, 2), (3,)))])
    s.commit([boxed((0, 5, 5, 30), ArrayPlane((0, 2), (40,)))])
    s.close()
    if large:
        monkeypatch.setattr(pixels, "MEMORY_BYTES", 100)
    out = tmp_path / "again.zarr"
    assert command("replay", journal_of(stack), stack, "-o", out).status == 0
    written = LabelStore.open(out)
    np.testing.assert_array_equal(np.asarray(written.levels[0]), labels.array)
    assert sorted(os.listdir(tmp_path)) == [
        "again.zarr",
        "stack.journal",
        "stack.journal.lock",
        "stack.tif",
    ]


def test_labels_of_one_time_point_get_their_place(command, tmp_path) -> None:
    image = tmp_path / "series.ome.tif"
    data = np.random.default_rng(0).integers(0, 255, (4, 3, 20, 30), np.uint8)
    tifffile.imwrite(image, data, ome=True, metadata={"axes": "TZYX"})
    labels = MemoryLabels(np.zeros((1, 3, 20, 30), np.uint16))
    s = begin(image, (1, 3, 20, 30), "tzyx", labels=labels, extra={"index": [2]})
    s.commit([boxed((5, 5, 9, 9), ArrayPlane((2, 3), (0, 1)))])
    s.close()
    out = tmp_path / "again.tif"
    assert command("replay", journal_of(image), image, "-o", out).status == 0
    expected = np.zeros((4, 3, 20, 30), np.uint16)
    expected[2] = labels.array[0]
    np.testing.assert_array_equal(tifffile.imread(out), expected)


def test_axes_of_length_one_may_be_there_or_not(command, tmp_path) -> None:
    image = tmp_path / "flat.ome.tif"
    data = np.random.default_rng(0).integers(0, 255, (1, 20, 30), np.uint8)
    tifffile.imwrite(image, data, ome=True, metadata={"axes": "ZYX"})
    plain = tmp_path / "flat.tif"
    tifffile.imwrite(plain, data[0])
    s = begin(image, (1, 20, 30), "zyx")
    s.commit([boxed((5, 5, 9, 9), ArrayPlane((1, 2), (0,)))])
    s.close()
    for i, same in enumerate((image, plain)):
        out = tmp_path / f"again{i}.tif"
        assert command("replay", journal_of(image), same, "-o", out).status == 0
        np.testing.assert_array_equal(tifffile.imread(out), s.labels.array[0])


def test_another_image_is_refused_unless_it_is_asked_for(command, image, tmp_path) -> None:
    work(begin(image, (96, 128), "yx"))
    other = tmp_path / "other.tif"
    tifffile.imwrite(other, 4000 - tifffile.imread(image))
    out = tmp_path / "again.tif"
    error = command("replay", journal_of(image), other, "-o", out).error
    assert error == (
        f"{other}: is not the image of an image.journal, which is an image.tif (96 × 128, uint16); "
        "give that one, or add --any-image"
    )
    assert not out.exists()
    done = command("replay", journal_of(image), other, "-o", out, "--any-image")
    assert done.status == 0
    assert done.err.startswith(f"napari-hqsam: warning: {other}: is not the image")
    small = tmp_path / "small.tif"
    tifffile.imwrite(small, tifffile.imread(image)[:-1])
    words = ["replay", journal_of(image), small, "-o", out, "--any-image", "--overwrite"]
    wanted = "is about labels of 96 x 128 pixels, which small.tif (95 x 128) does not have"
    assert wanted in command(*words).error


def test_bad_input_is_one_line(command, no_model, image, tmp_path) -> None:
    work(begin(image, (96, 128), "yx"))
    journal, out = journal_of(image), tmp_path / "again.tif"
    assert "cannot be opened" in command("replay", tmp_path / "no", image, "-o", out).error
    assert "is no journal" in command("replay", image, image, "-o", out).error
    assert "no.tif" in command("replay", journal, tmp_path / "no.tif", "-o", out).error
    assert "change the suffix" in command("replay", journal, image, "-o", "labels.jpg").error
    assert "is the image itself" in command("replay", journal, image, "-o", image).error
    command("replay", journal, image, "-o", out)
    assert "--overwrite" in command("replay", journal, image, "-o", out).error
    new = tmp_path / "new.tif"
    assert "vit_x" in command("replay", journal, image, "-o", new, "--model", "vit_x").error
    assert "--until" in command("replay", journal, image, "-o", new, "--until", "-1").error
    assert "--model" in command("replay", journal, image, "-o", new, "--checkpoint", "a.pt").error
    assert not new.exists()


def test_a_journal_that_is_being_written_can_be_read(command, image, tmp_path) -> None:
    s = begin(image, (96, 128), "yx")
    s.commit([boxed((10, 20, 40, 60))])
    done = command("replay", journal_of(image), image, "-o", tmp_path / "again.tif")
    assert "1 object;" in done.out
    s.close()


def test_objects_are_predicted_anew_and_compared(command, model, image, tmp_path) -> None:
    s = begin(image, (96, 128), "yx", contrast=[(0, 4000)])
    s.commit([boxed((10, 20, 40, 60)), boxed((60, 70, 79, 99), mode="sam")])
    patch = s.labels.read(FLAT, (90, 0, 96, 5))
    s.labels.array[90:, :5] = 9
    from napari_hqsam.labels.change import Patch

    changed = Patch.between(patch, s.labels.array[90:, :5], (90, 0))
    s.painted([(FLAT, changed)])
    s.close()
    out = tmp_path / "again.tif"
    done = command("replay", journal_of(image), image, "-o", out, "--model", "micro")
    assert done.status == 0
    assert done.err == ("napari-hqsam: warning: objects without prompts stay as they are: 1\n")
    labels = tifffile.imread(out)
    assert (labels[90:, :5] == 9).all()
    overlap, rows = [], [line.split() for line in done.out.splitlines()[1:3]]
    for number, box in ((1, (10, 20, 40, 60)), (2, (60, 70, 79, 99))):
        new, old = labels == number, np.zeros(labels.shape, bool)
        old[box[0] : box[2], box[1] : box[3]] = True
        overlap.append((new & old).sum() / (new | old).sum())
        assert 0.7 < overlap[-1] < 0.95  # the prompt was a little larger
        row = [str(number), "1", str(new.sum()), str(old.sum()), f"{overlap[-1]:.3f}"]
        assert rows[number - 1] == row
    assert done.out.splitlines()[3].split() == ["mean", f"{np.mean(overlap):.3f}"]
    assert len(model.batches) == 2


def test_objects_are_predicted_on_the_plane_and_in_the_channel_they_were_seen_in(
    command, model, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = tmp_path / "many.ome.tif"
    data = np.random.default_rng(0).integers(0, 255, (4, 5, 64, 80), np.uint8)
    tifffile.imwrite(image, data, ome=True, metadata={"axes": "ZCYX"})
    xz = ArrayPlane((0, 2), (40,))
    s = begin(image, (4, 64, 80), "zyx", channels=4)
    s.commit([boxed((10, 10, 30, 30), ArrayPlane((1, 2), (3,))), boxed((0, 5, 1, 30), xz)])
    last = boxed((40, 10, 60, 30), ArrayPlane((1, 2), (1,)), mode="sam", threshold=0.25)
    s.commit([last])
    s.close()
    from napari_hqsam.segmentation import Segmenter

    seen: list[Any] = []
    how: list[Any] = []
    predict = Segmenter.predict_many

    def spy(self: Segmenter, prompts: Any, **options: Any) -> Any:
        height, _ = self.plane_shape
        seen.append((self.source.channels, options["plane"], height))
        how.append((options["mode"], options["threshold"]))
        return predict(self, prompts, **options)

    monkeypatch.setattr(Segmenter, "predict_many", spy)
    out = tmp_path / "again.tif"
    done = command("replay", journal_of(image), image, "-o", out, "--model", "micro")
    assert (done.status, done.err) == (0, "")
    assert seen == [((4,), (3,), 64), ((4,), (40,), 4), ((4,), (1,), 64)]
    assert how == [("hq+sam", 0), ("hq+sam", 0), ("sam", 0.25)]
    labels = tifffile.imread(out)
    assert (labels[:, 40, 5:30] == 2).any()
    assert (labels[3] == 1).any()
    assert (labels[1] == 3).any()


def test_the_journal_holds_what_is_done_and_nothing_is_added_by_a_replay(
    command, image, tmp_path
) -> None:
    work(begin(image, (96, 128), "yx"))
    before = journal_of(image).read_bytes()
    command("replay", journal_of(image), image, "-o", tmp_path / "again.tif")
    assert journal_of(image).read_bytes() == before
    kinds = [record["kind"] for record in read_records(journal_of(image))]
    assert kinds == ["do", "do", "undo", "redo", "do", "saved", "do"]


def test_it_is_replayed_without_torch_and_without_napari(image, tmp_path) -> None:
    import subprocess
    import sys

    work(begin(image, (96, 128), "yx"))
    code = (
        "import sys; from napari_hqsam.cli import main; status = main(sys.argv[1:]); "
        "print(sorted({'torch', 'napari', 'qtpy'} & set(sys.modules))); sys.exit(status)"
    )
    words = ["replay", str(journal_of(image)), str(image), "-o", str(tmp_path / "again.tif")]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
