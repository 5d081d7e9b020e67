"""Runtimes that turn named tensors into named tensors; none of them knows about keypoints."""
