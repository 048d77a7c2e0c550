"""Samples: each a function of the seed and its place in the run, whoever draws it and when."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from torch import Tensor

from napari_hqsam.errors import HQSAMError
from napari_hqsam.training.hqseg44k.augment import Window, jitter
from napari_hqsam.training.hqseg44k.data import Pair, read_pair
from napari_hqsam.training.hqseg44k.prompts import POINTS

# Windows of one picture that may be empty, and pictures in a row, before the data are at fault.
_WINDOWS, _PICTURES = 10, 50


class Sample(NamedTuple):
    """One window, and the seed of its prompt and of the points of its loss.

    Attributes
    ----------
    image : Tensor
        (3, S, S) uint8.
    mask : Tensor
        (1, S, S) uint8, 0 to 255.
    seed : int
    """

    image: Tensor
    mask: Tensor
    seed: int


class Samples:
    """The samples of a run: every picture once in an epoch, in an order of its own.

    As a sample depends on nothing but the seed, its epoch and its place there, a run that is
    resumed, or divided among other numbers of processes, learns from the same ones.

    Parameters
    ----------
    pairs : sequence of Pair
    size : int
        S, model pixels.
    seed : int
    """

    def __init__(self, pairs: Sequence[Pair], size: int, seed: int) -> None:
        self.pairs, self.size, self.seed = pairs, size, seed

    def draw(self, epoch: int, place: int) -> Sample:
        """The sample at a place of an epoch.

        A window without the object is drawn again, and a picture that gives none, or hardly any
        pixels of one, is replaced by another.

        Raises
        ------
        HQSAMError
            If a file cannot be read, or picture after picture shows no object.
        """
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.pairs))
        rng = np.random.default_rng((self.seed, epoch, place + 1))
        index = order[place]
        for _ in range(_PICTURES):
            window = self._window(self.pairs[index], rng)
            if window is not None:
                return Sample(*window, seed=int(rng.integers(2**62)))
            index = rng.integers(len(self.pairs))
        raise HQSAMError(
            f"{self.pairs[index].mask}: no object, nor in {_PICTURES - 1} other masks; "
            "masks are 0 and, for the object, 255"
        )

    def _window(self, pair: Pair, rng: np.random.Generator) -> Window | None:
        image, mask = read_pair(pair)
        if np.count_nonzero(mask > 127) < POINTS:
            return None
        for _ in range(_WINDOWS):
            window = jitter(image, mask, self.size, rng)
            if int((window.mask > 127).sum()) >= POINTS:
                return window
        return None

    def stream(
        self, places: Iterable[tuple[int, int]], workers: int
    ) -> Generator[Sample, None, None]:
        """The samples at (epoch, place), one after the other, read ahead by threads."""
        ahead: deque[Future[Sample]] = deque()
        pool = ThreadPoolExecutor(workers, "samples")
        try:
            for epoch, place in places:
                ahead.append(pool.submit(self.draw, epoch, place))
                if len(ahead) > 2 * workers:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
