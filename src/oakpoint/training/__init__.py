"""Training keypoint networks: teachers, labels, augmented views, losses, the loop."""
