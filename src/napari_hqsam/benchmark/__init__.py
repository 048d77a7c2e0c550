"""What `napari-hqsam benchmark` measures: speed and memory on large images, and seams.

Machines are noisy, so that what is compared is measured in turn, in one run: a ratio of two such
figures says something, where seconds of two runs say little.
"""
