"""What the paper reports (HQ-SAM, arXiv 2306.01567; ViT-L), and what it concludes from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# Variant: mIoU and mBIoU, the mean over DIS, COIFT, HRSOD and ThinObject (tables 2, 3, 4 and 15).
THIN: dict[str, tuple[float, float]] = {
    "sam": (79.5, 71.1),
    "context-token": (85.2, 77.0),
    "hq-token": (87.3, 79.2),
    "hq-token-x-output-token": (87.0, 78.9),
    "hq-token-boundary-loss": (87.2, 79.3),
    "without-either": (87.8, 80.1),
    "without-early": (88.6, 81.3),
    "without-final": (88.6, 81.1),
    "hq-sam": (89.1, 81.8),
    "fine-tuned-decoder": (87.6, 79.5),
    "fine-tuned-token": (87.6, 79.7),
    "post-refinement": (80.9, 74.6),  # CascadePSP
    "coarse-masks": (78.3, 70.1),  # 44 thousand masks of SA-1B
}
# AP_B on COCO, what the paper measures generality by (table 4).
GENERAL: dict[str, float] = {
    "sam": 33.3,
    "context-token": 31.9,
    "hq-sam": 34.4,
    "fine-tuned-decoder": 9.0,
    "fine-tuned-token": 33.7,
    "post-refinement": 2.8,
}
# mBIoU of SAM and of HQ-SAM by the noise of the box (table 13).
BOX_NOISE: dict[float, tuple[float, float]] = {
    0.0: (71.1, 81.8),
    0.2: (57.1, 73.4),
    0.4: (39.8, 60.3),
}


@dataclass(frozen=True)
class Claim:
    """A statement of the paper about two variants, `a` against `b`."""

    text: str
    where: Literal["thin", "general"]
    a: str
    b: str

    @property
    def points(self) -> float:
        """The paper's difference."""
        if self.where == "general":
            return GENERAL[self.a] - GENERAL[self.b]
        return THIN[self.a][1] - THIN[self.b][1]


CLAIMS = (
    Claim("HQ-SAM has better boundaries than SAM", "thin", "hq-sam", "sam"),
    Claim("context tokens help SAM", "thin", "context-token", "sam"),
    Claim("an HQ token helps more than context tokens", "thin", "hq-token", "context-token"),
    Claim(
        "multiplying the HQ token with the output token gains nothing",
        "thin",
        "hq-token-x-output-token",
        "hq-token",
    ),
    Claim(
        "a loss in the boundary region only gains nothing",
        "thin",
        "hq-token-boundary-loss",
        "hq-token",
    ),
    Claim("fusion convolutions help the HQ token", "thin", "without-either", "hq-token"),
    Claim("the final feature helps", "thin", "without-early", "without-either"),
    Claim("the early feature helps", "thin", "without-final", "without-either"),
    Claim("the early feature helps beside the final one", "thin", "hq-sam", "without-early"),
    Claim("the final feature helps beside the early one", "thin", "hq-sam", "without-final"),
    Claim("HQ features help the HQ token", "thin", "hq-sam", "hq-token"),
    Claim("HQ-SAM beats fine-tuning the mask decoder", "thin", "hq-sam", "fine-tuned-decoder"),
    Claim("HQ-SAM beats fine-tuning the output token", "thin", "hq-sam", "fine-tuned-token"),
    Claim("HQ-SAM beats a post-refinement", "thin", "hq-sam", "post-refinement"),
    Claim("a post-refinement helps SAM", "thin", "post-refinement", "sam"),
    Claim("fine masks teach more than coarse ones", "thin", "hq-sam", "coarse-masks"),
    Claim("trained on coarse masks, HQ-SAM falls below SAM", "thin", "coarse-masks", "sam"),
    Claim("HQ-SAM keeps SAM's generality", "general", "hq-sam", "sam"),
    Claim("context tokens cost generality", "general", "context-token", "sam"),
    Claim("fine-tuning the decoder costs generality", "general", "fine-tuned-decoder", "sam"),
    Claim("fine-tuning the output token does not", "general", "fine-tuned-token", "sam"),
    Claim("a post-refinement costs generality", "general", "post-refinement", "sam"),
)
