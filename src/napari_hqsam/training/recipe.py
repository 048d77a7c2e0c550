"""How `micro` is trained: what each phase does, for how long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Phase:
    """A stretch of training with one input size.

    Attributes
    ----------
    stage : {"sam", "hq"}
        "sam" trains everything but the HQ tensors; "hq" the HQ tensors alone.
    size : int
        S, model pixels.
    steps : int
    images : int
        Windows a step.
    objects : int
        Objects a window.
    """

    stage: Literal["sam", "hq"]
    size: int
    steps: int
    images: int
    objects: int = 4


MICRO = (
    Phase("sam", 256, 2200, images=6),
    Phase("sam", 512, 850, images=3),
    Phase("hq", 512, 550, images=3),
)

# How often each data set is drawn from; others get 1.
DATA_WEIGHTS = {
    "dsb2018_nuclei": 3.0,
    "pfc_neurons_phase": 2.5,
    "axon_myelin_sem": 2.5,
    "axon_myelin_sem/masks_fibre": 0.7,
    "chase_db1_retina": 2.0,
    "plant_em_chloroplast_3d": 0.8,
    "plant_sem_pores": 0.5,
    "plantseg_3d": 0.4,
    "mouse_embryo_nuclei_3d": 0.3,
    "stardist_samples": 0.3,
}


def scaled(phases: tuple[Phase, ...], factor: float) -> tuple[Phase, ...]:
    """The same phases with their steps multiplied."""
    return tuple(
        Phase(p.stage, p.size, max(1, round(p.steps * factor)), p.images, p.objects) for p in phases
    )
