from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from napari_hqsam.errors import HQSAMError
from napari_hqsam.modeling import HQSam, build
from napari_hqsam.modeling.variants import build_vit, hq_parameter_names
from napari_hqsam.training.hqseg44k import (
    SUBSETS,
    Pair,
    Ranks,
    Recipe,
    find_pairs,
    launched_as,
    merged_file,
    rank_device,
    starting_model,
    train,
)
from napari_hqsam.training.hqseg44k.augment import jitter
from napari_hqsam.training.hqseg44k.data import read_pair
from napari_hqsam.training.hqseg44k.prompts import KINDS, POINTS, draw_kind, draw_prompt
from napari_hqsam.training.hqseg44k.samples import Samples
from napari_hqsam.weights import load_model, read_checkpoint, save_model

SIZE = 128


def small_vit(*, hq: bool = True) -> HQSam:
    torch.manual_seed(1)
    return build_vit(
        "vit_b", width=32, depth=2, heads=2, global_blocks=(1,), input_size=SIZE, hq=hq
    )


def write_pair(images: Path, masks: Path, stem: str, rng: np.random.Generator) -> None:
    """A bright rectangle on a dark picture."""
    h, w = rng.integers(60, 120, size=2)
    mask = np.zeros((h, w), np.uint8)
    top, left = rng.integers(5, 20, size=2)
    mask[top : h - top, left : w - left] = 255
    picture = rng.integers(0, 80, (h, w, 3)) + 150 * (mask[..., None] > 0)
    for folder in (images, masks):
        folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture.astype(np.uint8)).save(images / f"{stem}.jpg", quality=95)
    Image.fromarray(mask).save(masks / f"{stem}.png")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """HQSeg-44K's folders, one picture in each."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "my data"
    for subset in SUBSETS:
        write_pair(folder / subset.images, folder / subset.masks, f"a {subset.name}", rng)
    return folder


@pytest.fixture
def pairs(data: Path) -> list[Pair]:
    return [pair for found in find_pairs(data)[0].values() for pair in found]


def refusal(call, *arguments) -> str:
    with pytest.raises(HQSAMError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def snapshot(model: HQSam) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


class TestData:
    def test_the_folders_of_hqseg44k(self, data: Path) -> None:
        found, missing = find_pairs(data)
        assert [(name, len(pairs)) for name, pairs in found.items()] == [
            ("DIS5K-TR", 1),
            ("ThinObject5K-TR", 1),
            ("FSS-1000", 1),
            ("DUTS-TR", 1),
            ("DUTS-TE", 1),
            ("ECSSD", 1),
            ("MSRA10K", 1),
        ]
        assert missing == []
        assert found["ECSSD"] == [
            Pair(
                data / "cascade_psp" / "ecssd" / "a ECSSD.jpg",
                data / "cascade_psp" / "ecssd" / "a ECSSD.png",
            )
        ]
        assert found["DIS5K-TR"][0].mask.parent == data / "DIS5K" / "DIS-TR" / "gt"

    def test_sets_that_are_not_there(self, data: Path) -> None:
        (data / "cascade_psp").rename(data / "elsewhere")
        found, missing = find_pairs(data)
        assert list(found) == ["DIS5K-TR", "ThinObject5K-TR"]
        assert [s.name for s in missing] == ["FSS-1000", "DUTS-TR", "DUTS-TE", "ECSSD", "MSRA10K"]

    def test_none_is_there(self, tmp_path: Path) -> None:
        message = refusal(find_pairs, tmp_path)
        assert str(tmp_path) in message
        assert all(subset.images in message for subset in SUBSETS)

    def test_a_picture_without_its_mask(self, data: Path) -> None:
        (data / "cascade_psp" / "fss_all" / "a FSS-1000.png").unlink()
        message = refusal(find_pairs, data)
        assert "a FSS-1000.jpg: no mask" in message
        assert "1 of 1 pictures of FSS-1000" in message

    def test_grey_pictures_and_other_masks(self, tmp_path: Path) -> None:
        pair = Pair(tmp_path / "a.jpg", tmp_path / "a.png")
        Image.new("L", (30, 20), 90).save(pair.image)
        Image.new("RGB", (30, 20), (255, 0, 0)).save(pair.mask)
        image, mask = read_pair(pair)
        assert (image.shape, mask.shape, int(mask[3, 3])) == ((20, 30, 3), (20, 30), 255)
        Image.new("1", (30, 20), 1).save(pair.mask)
        assert read_pair(pair)[1].max() == 255

    def test_files_that_do_not_fit(self, tmp_path: Path) -> None:
        pair = Pair(tmp_path / "a.jpg", tmp_path / "a.png")
        Image.new("RGB", (30, 20)).save(pair.image)
        Image.new("L", (20, 30)).save(pair.mask)
        assert refusal(read_pair, pair) == (
            f"{pair.mask}: its 20 × 30 pixels do not fit the picture's 30 × 20"
        )
        Image.fromarray(np.zeros((20, 30), np.uint16)).save(pair.mask)
        assert "8 bits" in refusal(read_pair, pair)
        pair.image.write_bytes(b"\xff\xd8\xff")
        assert str(pair.image) in refusal(read_pair, pair)


class TestJitter:
    def test_a_window_shows_picture_and_mask_alike(self) -> None:
        rng = np.random.default_rng(0)
        mask = np.zeros((40, 90), np.uint8)
        mask[10:30, 5:35] = 255
        image = np.dstack([mask, mask, np.full_like(mask, 255)])  # blue tells it from padding
        extents, sides = [], Counter()
        for _ in range(200):
            window = jitter(image, mask, 64, rng)
            assert window.image.shape == (3, 64, 64)
            assert window.mask.shape == (1, 64, 64)
            inside = window.image[2] == 255
            assert torch.equal(window.image[0][inside], window.mask[0][inside])
            assert (window.image[:, ~inside] == 128).all()
            assert not window.mask[0][~inside].any()
            shown_rows, shown_columns = inside.any(1), inside.any(0)
            # Padding is below and to the right.
            assert not shown_rows.int().diff().gt(0).any()
            assert not shown_columns.int().diff().gt(0).any()
            extents.append(int(shown_columns.sum()))
            filled = window.mask[0].sum(0)
            if extents[-1] < 64 and filled.any():
                middle = extents[-1] // 2
                sides["left" if filled[:middle].sum() > filled[middle:].sum() else "right"] += 1
        assert min(extents) < 10  # a tenth
        assert 0.4 < np.mean(np.array(extents) == 64) < 0.65  # half are as large as S or larger
        assert 0.3 < sides["left"] / sides.total() < 0.7

    def test_edges_stay_soft(self) -> None:
        mask = np.zeros((50, 50), np.uint8)
        mask[:, 25:] = 255
        image = np.zeros((50, 50, 3), np.uint8)
        rng = np.random.default_rng(1)
        values = torch.cat([jitter(image, mask, 64, rng).mask.unique() for _ in range(5)])
        assert ((values > 0) & (values < 255)).any()


class TestSamples:
    def test_a_sample_depends_on_its_place_alone(self, pairs: list[Pair]) -> None:
        places = [(0, 3), (1, 3), (0, 0)]
        ahead = list(Samples(pairs, SIZE, seed=4).stream(places, workers=2))
        for place, sample in reversed(list(zip(places, ahead, strict=True))):
            again = Samples(pairs, SIZE, seed=4).draw(*place)
            assert torch.equal(again.image, sample.image)
            assert torch.equal(again.mask, sample.mask)
            assert again.seed == sample.seed
        assert Samples(pairs, SIZE, seed=5).draw(0, 3).seed != ahead[0].seed

    def test_an_epoch_takes_every_picture_once(self, pairs, monkeypatch) -> None:
        seen: list[Pair] = []
        monkeypatch.setattr(
            "napari_hqsam.training.hqseg44k.samples.read_pair",
            lambda pair: seen.append(pair) or read_pair(pair),
        )
        samples = Samples(pairs, SIZE, seed=0)
        orders = []
        for epoch in (0, 1):
            seen.clear()
            for place in range(len(pairs)):
                samples.draw(epoch, place)
            assert sorted(seen) == sorted(pairs)
            orders.append(list(seen))
        assert orders[0] != orders[1]

    def test_every_sample_shows_an_object(self, tmp_path: Path) -> None:
        """A dot in a large picture: most windows miss it."""
        pair = Pair(tmp_path / "a.jpg", tmp_path / "a.png")
        Image.new("RGB", (400, 400)).save(pair.image)
        mask = np.zeros((400, 400), np.uint8)
        mask[200:220, 380:400] = 255
        Image.fromarray(mask).save(pair.mask)
        samples = Samples([pair], 64, seed=0)
        assert all((samples.draw(0, 0).mask > 127).sum() >= POINTS for _ in range(3))
        assert all((samples.draw(e, 0).mask > 127).sum() >= POINTS for e in range(20))

    def test_masks_without_an_object(self, pairs: list[Pair]) -> None:
        empty = np.zeros_like(read_pair(pairs[0])[1])
        Image.fromarray(empty).save(pairs[0].mask)
        samples = Samples(pairs, SIZE, seed=0)
        assert all(samples.draw(0, place).mask.any() for place in range(len(pairs)))
        assert "no object" in refusal(Samples(pairs[:1], SIZE, seed=0).draw, 0, 0)


class TestPrompts:
    def test_each_kind_as_often(self) -> None:
        generator = torch.Generator().manual_seed(0)
        counts = Counter(draw_kind(generator) for _ in range(900))
        assert set(counts) == {"box", "points", "mask"}
        assert min(counts.values()) > 250

    def test_what_they_are(self) -> None:
        mask = torch.zeros(1, 64, 64)
        mask[0, 10:31, 20:52] = 1
        mask[0, 31, 20:52] = 0.4  # a soft edge is not of the object
        generator = torch.Generator().manual_seed(0)
        box = draw_prompt(mask, "box", generator)
        assert box.boxes.tolist() == [[20, 10, 51, 30]]
        points = draw_prompt(mask, "points", generator)
        assert points.points.shape == (1, 10, 2)
        assert points.labels.tolist() == [[1] * 10]
        x, y = points.points[0].long().T
        assert (mask[0, y, x] == 1).all()
        assert len({tuple(p) for p in points.points[0].tolist()}) == 10
        coarse = draw_prompt(mask, "mask", generator)
        assert coarse.masks.shape == (1, 1, 16, 16)
        assert set(coarse.masks.unique().tolist()) == {0, 255}
        for prompt, given in ((box, "boxes"), (points, "points"), (coarse, "masks")):
            for other in {"boxes", "points", "masks"} - {given}:
                assert getattr(prompt, other) is None


def test_the_schedule_of_the_paper() -> None:
    recipe = Recipe()
    assert (recipe.epochs, recipe.batch) == (12, 32)
    assert [recipe.rate(e) for e in (0, 9)] == [1e-3, 1e-3]
    assert [recipe.rate(e) for e in (10, 11)] == pytest.approx([1e-4, 1e-4])


class TestTrain:
    def test_the_hq_part_learns_and_nothing_else(self, pairs: list[Pair], tmp_path: Path) -> None:
        model = small_vit()
        before = snapshot(model)
        recipe = Recipe(epochs=12, batch=7, images_at_once=3, workers=1)
        reports = list(train(model, pairs, tmp_path, recipe, seed=1))
        after = model.state_dict()

        changed = {name for name in before if not torch.equal(before[name], after[name])}
        assert changed == hq_parameter_names(model)
        assert len(changed) == 25
        assert {n for n, p in model.named_parameters() if p.requires_grad} == changed
        assert not model.training

        assert [(r.epoch, r.step, r.total) for r in reports] == [(e, e + 1, 12) for e in range(12)]
        losses = [r.loss for r in reports]
        assert np.mean(losses[-4:]) < 0.8 * np.mean(losses[:3])
        assert reports[-1].seconds_left == 0

        log = rows(tmp_path)
        assert list(log[0]) == [
            "step",
            "epoch",
            "learning_rate",
            "loss",
            *(f"loss_{kind}" for kind in KINDS),
        ]
        assert [row["learning_rate"] for row in log[8:]] == ["0.001", "0.001", "0.0001", "0.0001"]
        assert [float(row["loss"]) for row in log] == pytest.approx(losses, abs=1e-5)

        decoder = torch.load(tmp_path / "epoch_11.pth", weights_only=True)
        assert len(decoder) == 145
        assert decoder.keys() == model.mask_decoder.state_dict().keys()
        assert {p.name for p in tmp_path.glob("epoch_*.pth")} == {
            f"epoch_{e}.pth" for e in range(12)
        }
        merged = load_file(merged_file(tmp_path, "vit_b"))
        assert merged.keys() == after.keys()
        assert all(torch.equal(merged[name], after[name]) for name in after)

    def test_a_run_that_was_cut_off(self, pairs: list[Pair], tmp_path: Path) -> None:
        recipe = Recipe(epochs=2, batch=2, workers=1, save_every=2)
        folders = [tmp_path / name for name in ("whole", "cut")]
        for folder in folders:
            folder.mkdir()
        whole, cut = small_vit(), small_vit()
        list(train(whole, pairs, folders[0], recipe))

        first = train(cut, pairs, folders[1], recipe)
        for _ in range(5):  # the fifth step is lost: the last save was after the fourth
            next(first)
        first.close()
        fresh = small_vit()
        assert [r.step for r in train(fresh, pairs, folders[1], recipe)] == [5, 6]
        mine, theirs = fresh.state_dict(), whole.state_dict()
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)
        assert rows(folders[0]) == rows(folders[1])

        finished = small_vit()
        assert list(train(finished, pairs, folders[1], recipe)) == []
        assert torch.equal(
            finished.mask_decoder.hf_token.weight, whole.mask_decoder.hf_token.weight
        )

    def test_small_portions_give_the_same(self, pairs: list[Pair], tmp_path: Path) -> None:
        results = []
        for at_once in (1, 3):  # 3 and 1: a sample counts as much in either
            folder = tmp_path / str(at_once)
            folder.mkdir()
            recipe = Recipe(epochs=1, batch=4, images_at_once=at_once, workers=1)
            model = small_vit()
            (report,) = train(model, pairs, folder, recipe)
            results.append((report.loss, snapshot(model)))
        assert results[0][0] == pytest.approx(results[1][0], rel=1e-5)
        for name in hq_parameter_names(model):
            # Adam's first step is ± the rate: where the gradient is all but zero, of any sign.
            off = (results[0][1][name] - results[1][1][name]).abs() > 1e-5
            assert off.float().mean() < 0.02, name

    def test_several_processes(self, data: Path, pairs: list[Pair], tmp_path: Path) -> None:
        script = tmp_path / "rank.py"
        script.write_text(
            dedent(
                f"""
                import sys
                from pathlib import Path
                import torch
                from napari_hqsam.modeling.variants import build_vit
                from napari_hqsam.training import hqseg44k

                torch.set_num_threads(1)
                data, run = map(Path, sys.argv[1:])
                pairs = [p for found in hqseg44k.find_pairs(data)[0].values() for p in found]
                rank = hqseg44k.launched_as().rank
                torch.manual_seed(1 + rank)  # only the leader's start counts
                model = build_vit("vit_b", width=32, depth=2, heads=2, global_blocks=(1,),
                                  input_size={SIZE})
                sam = torch.load(run / "start.pth", weights_only=True)
                frozen = {{k: v for k, v in sam.items() if k not in
                          hqseg44k.run.hq_parameter_names(model)}}
                model.load_state_dict(sam if rank == 0 else frozen, strict=False)
                recipe = hqseg44k.Recipe(epochs=1, batch=2, workers=1)
                with hqseg44k.process_group(hqseg44k.rank_device("cpu")) as ranks:
                    list(hqseg44k.train(model, pairs, run, recipe, ranks=ranks))
                torch.save(model.state_dict(), run / f"rank{{rank}}.pth")
                """
            )
        )
        alone, together = tmp_path / "alone", tmp_path / "together"
        for folder in (alone, together):
            folder.mkdir()
        model = small_vit()
        torch.save(model.state_dict(), together / "start.pth")
        list(train(model, pairs, alone, Recipe(epochs=1, batch=2, workers=1)))

        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        done = subprocess.run(
            [*launcher, "--nproc-per-node", "2", script, data, together],
            env={k: v for k, v in os.environ.items() if k != "PYTHONWARNINGS"},
            capture_output=True,
            text=True,
            timeout=280,
        )
        assert done.returncode == 0, done.stderr
        states = [torch.load(together / f"rank{rank}.pth", weights_only=True) for rank in range(2)]
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
        assert all(t.isfinite().all() for t in states[0].values() if t.is_floating_point())
        # The same samples, and so the same losses, as one process has.
        ours, theirs = ([float(r["loss"]) for r in rows(f)] for f in (alone, together))
        assert len(theirs) == 3
        assert theirs[0] == pytest.approx(ours[0], abs=2e-5)
        assert theirs == pytest.approx(ours, rel=0.02)
        assert (together / "epoch_0.pth").exists()
        assert merged_file(together, "vit_b").exists()

    def test_too_few_pictures(self, pairs: list[Pair], tmp_path: Path) -> None:
        message = refusal(list, train(small_vit(), pairs, tmp_path))
        assert message == "--batch 32: there are only 7 pictures; give fewer"

    def test_a_batch_that_cannot_be_shared(self, pairs: list[Pair], tmp_path: Path) -> None:
        run = train(small_vit(), pairs, tmp_path, Recipe(batch=4), ranks=Ranks(0, 3))
        assert "multiple of 3" in refusal(list, run)

    def test_a_state_of_something_else(self, pairs: list[Pair], tmp_path: Path) -> None:
        recipe = Recipe(batch=2)
        for content in (b"\x80nonsense", None):
            if content is None:
                torch.save({"step": 3}, tmp_path / "state.pt")
            else:
                (tmp_path / "state.pt").write_bytes(content)
            message = refusal(list, train(small_vit(), pairs, tmp_path, recipe))
            assert "state.pt" in message
            assert "choose another --run folder" in message

    def test_a_loss_that_is_not_finite(self, pairs: list[Pair], tmp_path: Path) -> None:
        model = small_vit()
        with torch.no_grad():
            model.image_encoder.neck[0].weight.fill_(float("nan"))
        message = refusal(list, train(model, pairs, tmp_path, Recipe(batch=2, workers=1)))
        assert "loss of step 0 is nan" in message
        assert not (tmp_path / "state.pt").exists()


class TestBase:
    @pytest.mark.parametrize("hq", [False, True])
    def test_the_file_tells_the_variant(self, tmp_path: Path, hq: bool) -> None:
        torch.manual_seed(0)
        sam = build("micro", hq=hq)
        path = save_model(sam, tmp_path / "base.safetensors")
        model = starting_model(path, seed=3)
        assert (model.variant, model.has_hq) == ("micro", True)
        own, theirs = model.state_dict(), sam.state_dict()
        assert all(torch.equal(own[name], theirs[name]) for name in theirs)
        again = starting_model(path, "micro", seed=3).state_dict()
        assert all(torch.equal(own[name], again[name]) for name in own)
        assert "holds micro weights, not vit_l" in refusal(starting_model, path, "vit_l")

    def test_a_decoder_is_no_base(self, tmp_path: Path) -> None:
        torch.save(small_vit().mask_decoder.state_dict(), tmp_path / "epoch_3.pth")
        assert "mask decoder alone" in refusal(starting_model, tmp_path / "epoch_3.pth")


class TestRanks:
    def test_alone(self, monkeypatch) -> None:
        for name in ("RANK", "WORLD_SIZE"):
            monkeypatch.delenv(name, raising=False)
        assert launched_as() == Ranks(0, 1)
        assert rank_device("cpu").type == "cpu"

    def test_what_the_launcher_says(self, monkeypatch) -> None:
        monkeypatch.setenv("RANK", "3")
        monkeypatch.setenv("WORLD_SIZE", "8")
        assert launched_as() == Ranks(3, 8)
        assert not launched_as().leads
        monkeypatch.setenv("RANK", "three")
        assert "torchrun" in refusal(launched_as)

    def test_one_gpu_for_all(self, monkeypatch) -> None:
        monkeypatch.setenv("RANK", "1")
        monkeypatch.setenv("WORLD_SIZE", "2")
        monkeypatch.setattr("napari_hqsam.training.hqseg44k.ranks.choose_device", torch.device)
        assert "one device for 2 processes" in refusal(rank_device, "cuda:1")


def test_a_run_gives_files_that_load(pairs: list[Pair], tmp_path: Path) -> None:
    torch.manual_seed(0)
    base = save_model(build("micro", hq=False), tmp_path / "sam.safetensors")
    model = starting_model(base)
    list(train(model, pairs[:1], tmp_path, Recipe(epochs=1, batch=1, workers=1)))
    merged = load_model("micro", checkpoint=merged_file(tmp_path, "micro"), device="cpu")
    decoder = load_model("micro", checkpoint=tmp_path / "epoch_0.pth", base=base, device="cpu")
    sam, trained = read_checkpoint(base).state, model.state_dict()
    for loaded in (merged.state_dict(), decoder.state_dict()):
        # With its batch norm, whose statistics a forward pass in training mode would have moved.
        assert all(torch.equal(loaded[name], tensor) for name, tensor in sam.items())
        assert all(torch.equal(loaded[name], trained[name]) for name in trained)
