"""Several processes, one per GPU, that an existing launcher such as torchrun has started."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, distributed

from napari_hqsam.errors import HQSAMError
from napari_hqsam.modeling import choose_device

_T = TypeVar("_T")


@dataclass(frozen=True)
class Ranks:
    """Which of the processes this is: `rank` of `world`. Alone, 0 of 1.

    Only the leader, rank 0, writes and prints.
    """

    rank: int = 0
    world: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process is rank 0."""
        return self.rank == 0

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over the processes, in one message."""
        if self.world == 1:
            return
        flat = torch.cat([t.flatten() for t in tensors])
        distributed.all_reduce(flat)
        for tensor, total in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(total.view_as(tensor))

    def share(self, value: _T) -> _T:
        """The leader's value, on all processes."""
        if self.world == 1:
            return value
        values = [value]
        distributed.broadcast_object_list(values)
        return values[0]


def launched_as() -> Ranks:
    """What the launcher has put into the environment, before the processes know each other."""
    try:
        return Ranks(int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1)))
    except ValueError:
        raise HQSAMError("RANK and WORLD_SIZE are not numbers: start it with torchrun") from None


def rank_device(name: str) -> torch.device:
    """The device of this process: with several on GPUs, each has its own.

    Raises
    ------
    HQSAMError
        If it cannot be used, or one GPU is named for several processes.
    """
    device = choose_device(name)
    world = launched_as().world
    if world == 1 or device.type == "cpu":
        return device
    if device.type != "cuda" or device.index is not None:
        raise HQSAMError(
            f"--device {name}: one device for {world} processes; give --device cuda, which is a "
            "GPU for each, or cpu"
        )
    device = choose_device(f"cuda:{os.environ.get('LOCAL_RANK', 0)}")
    torch.cuda.set_device(device)
    return device


@contextmanager
def process_group(device: torch.device) -> Iterator[Ranks]:
    """Let the processes of the launcher find each other.

    NCCL between GPUs, Gloo between CPUs. After an error the group is left as it is: the launcher
    ends the other processes, which may be waiting for this one.
    """
    ranks = launched_as()
    if ranks.world == 1:
        yield ranks
        return
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    yield ranks
    distributed.destroy_process_group()
