"""How `micro` is trained: what each phase does, for how long."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
    frozen : int
        Leading stages of the encoder's backbone, with its stem, that stay as they are.
    """

    stage: Literal["sam", "hq"]
    size: int
    steps: int
    images: int
    objects: int = 4
    frozen: int = 0


# From ImageNet's weights.
MICRO = (
    Phase("sam", 256, 4800, images=6),
    Phase("sam", 512, 2000, images=3),
    Phase("hq", 512, 600, images=3),
)
# From a `micro` that is trained already. Its first stages have learnt what they can: half the time.
MICRO_AGAIN = (
    Phase("sam", 256, 2600, images=6, frozen=2),
    Phase("sam", 512, 1100, images=3, frozen=2),
    Phase("hq", 512, 500, images=3),
)

# How often a step gives each kind of prompt first; "mask" is a rough one to be refined.
PROMPTS = {"box": 0.50, "point": 0.14, "box+point": 0.04, "strokes": 0.10, "mask": 0.22}
# How often an object is looked at once, or corrected once or twice.
ROUNDS = {1: 0.5, 2: 0.3, 3: 0.2}
# Of the windows for a rough mask, how many show only a part of the object.
PART_WINDOWS = 0.65

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
    "synthetic": 3.0,
}


def scaled(phases: tuple[Phase, ...], factor: float) -> tuple[Phase, ...]:
    """The same phases with their steps multiplied."""
    return tuple(replace(p, steps=max(1, round(p.steps * factor))) for p in phases)
