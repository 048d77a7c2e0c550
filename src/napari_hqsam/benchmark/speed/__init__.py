"""Encoding, clicks and automatic masks beside segment-anything as it is shipped.

Both do the same work in turn, in one run, with the same weights: what counts is their ratio.
"""
