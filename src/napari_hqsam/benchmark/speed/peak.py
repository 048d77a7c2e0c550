"""The most that this machine computes: large products of matrices, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_hqsam.benchmark.clock import seconds
from napari_hqsam.benchmark.speed.pairs import Run, nothing
from napari_hqsam.modeling import Precision

# Rows, inner, and columns: a square, and the shape of a ViT's perceptron.
_CPU_SHAPES = ((2048, 2048, 2048), (4096, 768, 3072))
_GPU_SHAPES = ((8192, 8192, 8192), (16384, 4096, 4096))
_TRIES = 3


class Matmul:
    """A large product in the form that is fastest here.

    Tried are torch's matrix product, and on a CPU the same product as a 1 × 1 convolution, which
    another library computes. Call it to run it once more.

    Parameters
    ----------
    device : torch.device
    precision : {"float32", "bfloat16"}
    finish : callable
        Waits for a GPU.
    shapes : tuple of (int, int, int), optional
        Rows, inner length and columns of the products to try.

    Attributes
    ----------
    flop : int
        Of one product, a multiplication and an addition counting as two.
    name : str
        Form and shape.
    """

    def __init__(
        self,
        device: torch.device,
        precision: Precision,
        finish: Run = nothing,
        shapes: tuple[tuple[int, int, int], ...] | None = None,
    ) -> None:
        self._finish = finish
        on_cpu = device.type == "cpu"
        dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
        best = 0.0
        for rows, inner, columns in shapes or (_CPU_SHAPES if on_cpu else _GPU_SHAPES):
            a = torch.randn(rows, inner, device=device).to(dtype)
            b = torch.randn(columns, inner, device=device).to(dtype)
            flop = 2 * rows * inner * columns
            for form, product in (("matmul", _product), ("1 × 1 convolution", _convolution)):
                if product is _convolution and not on_cpu:
                    continue
                rate = flop / self._fastest(product, a, b)
                if rate > best:
                    best = rate
                    self._work, self.flop = (product, a, b), flop
                    self.name = f"{form}, {rows} × {inner} × {columns}"

    def __call__(self) -> None:
        """Compute it once more."""
        product, a, b = self._work
        product(a, b)

    def _fastest(self, product: Callable[[Tensor, Tensor], Tensor], a: Tensor, b: Tensor) -> float:
        def run() -> None:
            product(a, b)
            self._finish()

        run()
        return min(seconds(run) for _ in range(_TRIES))


def _product(a: Tensor, b: Tensor) -> Tensor:
    return a @ b.T


def _convolution(a: Tensor, b: Tensor) -> Tensor:
    image = a.view(1, 1, *a.shape).permute(0, 3, 1, 2)
    return F.conv2d(image, b[:, :, None, None])
