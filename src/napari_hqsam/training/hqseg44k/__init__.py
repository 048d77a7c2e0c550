"""HQ-SAM's published training: the HQ part of a frozen SAM, on HQSeg-44K.

Ke et al., Segment Anything in High Quality, NeurIPS 2023, section 4.1.
"""

from napari_hqsam.training.hqseg44k.base import starting_model
from napari_hqsam.training.hqseg44k.data import SUBSETS, Pair, Subset, find_pairs
from napari_hqsam.training.hqseg44k.ranks import Ranks, launched_as, process_group, rank_device
from napari_hqsam.training.hqseg44k.run import Progress, Recipe, merged_file, train

__all__ = [
    "SUBSETS",
    "Pair",
    "Progress",
    "Ranks",
    "Recipe",
    "Subset",
    "find_pairs",
    "launched_as",
    "merged_file",
    "process_group",
    "rank_device",
    "starting_model",
    "train",
]
