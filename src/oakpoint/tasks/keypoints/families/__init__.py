"""Forms in which keypoint networks give scores and descriptors: one file each."""
