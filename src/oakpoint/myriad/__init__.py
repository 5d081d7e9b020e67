"""The Myriad X: its compiler and the blob format. Knows nothing of keypoints."""
