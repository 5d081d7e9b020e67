"""Decoding as part of a host's graph: image in, keypoints, scores and descriptors out."""
