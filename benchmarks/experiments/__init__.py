"""HQ-SAM's ablation study in miniature, on `micro`; see README.md."""
