"""Shared by the tests of the network: small models, and the table of parity figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from napari_hqsam.modeling import HQSam, build

from . import recipe
from .models import fill, small_vit
from .recipe import TOLERANCE

_FIGURES = pytest.StashKey[list[tuple[str, float]]]()


@pytest.fixture(scope="session")
def agree(pytestconfig: pytest.Config) -> Callable[[str, Tensor, Tensor | Mapping[str, Any]], None]:
    """Assert that logits equal the reference to 1e-5 of the largest, and note by how much."""
    figures = pytestconfig.stash.setdefault(_FIGURES, [])

    def check(case: str, ours: Tensor, reference: Tensor | Mapping[str, Any]) -> None:
        if isinstance(reference, Tensor):
            assert ours.shape == reference.shape
            figure = ((ours - reference).abs().max() / reference.abs().max()).item()
        else:
            figure = recipe.difference(ours, reference)
        figures.append((case, figure))
        assert figure <= TOLERANCE, f"{case}: {figure:.1e} of the largest logit"

    return check


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    figures = config.stash.get(_FIGURES, [])
    if figures:
        terminalreporter.section(f"parity: max |difference| / max |value|, at most {TOLERANCE:.0e}")
        for case, figure in figures:
            terminalreporter.write_line(f"{figure:.1e}  {case}")


@pytest.fixture(autouse=True)
def _no_grad() -> Any:
    with torch.no_grad():
        yield


@pytest.fixture(scope="session", params=["micro", "small vit"])
def small_model(request: pytest.FixtureRequest) -> HQSam:
    return fill(build("micro", input_size=256) if request.param == "micro" else small_vit())


@pytest.fixture(scope="session")
def images() -> Tensor:
    """Three different images for the small models, (3, 3, 256, 256), not normalised."""
    pixels = torch.from_numpy(recipe.image(300, 400)).permute(2, 0, 1)
    return torch.stack([pixels[:, :256, x : x + 256] for x in (0, 70, 140)])
