"""Synthetic micrographs with exact masks, to train on."""

from napari_hqsam.training.synthetic.plane import LOOKS, SCENES, looks_of, synthetic_plane
from napari_hqsam.training.synthetic.sampler import SyntheticSampler

__all__ = ["LOOKS", "SCENES", "SyntheticSampler", "looks_of", "synthetic_plane"]
