from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from napari_hqsam.modeling import HQSam, build


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """The models here are too small for more; threads would only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def small() -> HQSam:
    """The real network, small, with random weights."""
    torch.manual_seed(0)
    model = build("micro", input_size=64).requires_grad_(False)
    model.refines_parts = False  # the masks are noise, all boundary
    return model
