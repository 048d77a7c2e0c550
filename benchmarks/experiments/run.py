"""Rebuild docs/experiments: ``python benchmarks/experiments/run.py DATA_FOLDER``.

What is finished is kept in the work folder, a file for each variant and seed; the same command
goes on from there.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from experiments import curves, experiment, pages, post_refinement
from experiments.experiment import Budget
from experiments.figures import Measured
from experiments.variants import VARIANTS, HQSam
from experiments.windows import BAND, TRAINING, Windows, build_windows, load, read_sets, save
from napari_hqsam import modeling
from napari_hqsam.errors import HQSAMError
from napari_hqsam.training.data import DataSet
from napari_hqsam.training.trainer import set_input_size
from napari_hqsam.weights import load_model

# What --only may name, in the order of the table.
NAMES = (*VARIANTS, "post-refinement", "curves")
# Options that the page tells of.
_TOLD = (
    "seeds",
    "steps",
    "minutes_per_variant",
    "batch",
    "rates",
    "size",
    "train_windows",
    "validation_windows",
)


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        model = load_model("micro", checkpoint=options.weights, device="cpu")
        set_input_size(model, options.size)
        study = Study(
            model,
            options.work,
            train=options.train_windows,
            validation=options.validation_windows,
            budget=Budget(options.steps, options.batch, rates=tuple(options.rates)),
        )
        if not options.render:
            study.prepare(options.data)
        if options.minutes_per_variant is not None:
            study.fit_budget(options.minutes_per_variant, options.seeds)
        if not options.render:
            for line in study.run(options.only or NAMES, range(options.seeds)):
                print(line, flush=True)
        print(study.render(options.out, _command(options)))
    except HQSAMError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


class Study:
    """Windows, budget and the results so far.

    Parameters
    ----------
    model : HQSam
        Its `input_size` is the size of the windows.
    work : Path
        Where windows and results are kept. Those of other weights, windows or budgets are kept
        apart.
    train, validation : int
        Windows to train on, and to measure on in each group.
    budget : Budget
    """

    def __init__(
        self, model: modeling.HQSam, work: Path, *, train: int, validation: int, budget: Budget
    ) -> None:
        self.model = model
        self.work = work
        self.budget = budget
        self.cut: dict[str, Any] = {
            "weights": model.weights_sha256 or "unnamed",
            "size": model.input_size,
            "train": train,
            "validation": validation,
            "band": BAND,
            "sets": TRAINING,
        }
        self.windows: Mapping[str, Windows] = {}

    @property
    def folder(self) -> Path:
        """The results of this budget."""
        return self.work / f"results-{_digest({**self.cut, **asdict(self.budget)})}"

    def prepare(self, data: Path | Mapping[str, DataSet]) -> None:
        """Draw and encode the windows, or take those of an earlier run."""
        self.work.mkdir(parents=True, exist_ok=True)
        path = self.work / f"windows-{_digest(self.cut)}.pt"
        if not path.exists():
            sets = read_sets(data) if isinstance(data, Path) else data
            train, validation = self.cut["train"], self.cut["validation"]
            save(build_windows(self.model, sets, train=train, validation=validation), path)
        self.windows = load(path)

    def fit_budget(self, minutes: float, seeds: int) -> None:
        """Choose the steps so that HQ-SAM, with its trials and seeds, takes so many minutes."""
        path = self.work / f"steps-{_digest({**self.cut, 'minutes': minutes, 'seeds': seeds})}.json"
        if not path.exists():
            if not self.windows:
                raise HQSAMError(
                    f"{path}: no run with --minutes-per-variant yet; leave out --render"
                )
            began, tried = time.monotonic(), 8
            rate = self.budget.rates[0]
            experiment.train(HQSam, self.model, self.windows["train"], self.budget, 0, rate, tried)
            seconds = (time.monotonic() - began) / tried
            trials = len(self.budget.rates) / 3 if len(self.budget.rates) > 1 else 0
            _write(path, max(1, round(60 * minutes / seconds / (seeds + trials))))
        self.budget = replace(self.budget, steps=_read(path))

    def run(self, names: Sequence[str], seeds: Sequence[int]) -> Iterator[str]:
        """Measure what is missing, all variants with one seed before the next; yields lines."""
        for seed in seeds:
            for name in (n for n in NAMES if n in names):
                fixed = name not in VARIANTS or not VARIANTS[name].learns
                path = self.folder / f"{name}-{seed}.json"
                if path.exists() or (fixed and seed != seeds[0]):
                    continue
                began = time.monotonic()
                _write(path, self._measure(name, seed))
                yield f"{name}, seed {seed}: {time.monotonic() - began:.0f} s"

    def render(self, out: Path, command: str) -> Path:
        """Write the pages from the results so far."""
        results = {name: self._results(name) for name in NAMES if name != "curves"}
        by_prompt: dict[tuple[str, float, str], dict[str, Any]] = defaultdict(dict)
        for rows in self._results("curves"):
            for row in rows:
                by_prompt[row["kind"], row["amount"], row["method"]][row["group"]] = row
        curves_so_far = {key: Measured([run], random=False) for key, run in by_prompt.items()}
        facts = {**self.cut, **asdict(self.budget)}
        return pages.render(results, curves_so_far, facts, out, command)

    def _measure(self, name: str, seed: int) -> Any:
        if name == "curves":
            return list(curves.measure(self.model, self.windows))
        if name == "post-refinement":
            return post_refinement.run(self.model, self.windows)
        variant = VARIANTS[name]
        path = self.folder / f"rate-{name}.json"
        if not path.exists():
            rate = experiment.choose_rate(variant, self.model, self.windows, self.budget)
            _write(path, rate)
        return experiment.run(variant, self.model, self.windows, self.budget, seed, _read(path))

    def _results(self, name: str) -> list[Any]:
        found = self.folder.glob(f"{name}-[0-9]*.json")
        return [_read(p) for p in sorted(found, key=lambda p: int(p.stem.rsplit("-", 1)[1]))]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="HQ-SAM's ablation study in miniature.")
    add = parser.add_argument
    add("data", type=Path, help="folder with the data sets")
    add("--weights", type=Path, help="micro.safetensors; those of the package by default")
    add("--out", type=Path, default=Path("docs/experiments"), help="folder of the pages")
    add("--work", type=Path, default=Path("runs/experiments"), help="folder of what is finished")
    add("--render", action="store_true", help="only write the pages from what is finished")
    add("--only", nargs="+", choices=NAMES, metavar="NAME", help=f"of {', '.join(NAMES)}")
    add("--seeds", type=_positive, default=3)
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--steps", type=_positive, default=Budget.steps, help="of every variant")
    budget.add_argument(
        "--minutes-per-variant",
        type=float,
        help="choose the steps by the time that HQ-SAM takes, all seeds together",
    )
    add("--batch", type=_positive, default=Budget.batch, help="objects a step")
    add("--rates", type=float, nargs="+", default=Budget.rates, help="learning rates to try")
    add("--size", type=_positive, default=256, help="of a window, a multiple of 32")
    add("--train-windows", type=_positive, default=280)
    add("--validation-windows", type=_positive, default=80, help="in each group")
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def _command(options: argparse.Namespace) -> str:
    """The command line that rebuilds the page, without this machine's folders."""
    words = ["python benchmarks/experiments/run.py DATA_FOLDER"]
    for name in _TOLD:
        value, usual = getattr(options, name), _parser().get_default(name)
        if value != usual:
            given = value if isinstance(value, list) else [value]
            words += [f"--{name.replace('_', '-')}", *map(str, given)]
    return " ".join(words)


def _digest(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:10]


def _write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value), encoding="utf-8")
    part.replace(path)


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    sys.exit(main())
