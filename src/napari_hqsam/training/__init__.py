"""Training: the embedded model from labelled images, and HQ-SAM as published."""
