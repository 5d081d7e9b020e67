"""The Myriad X: its compiler, its blob format, a simulator and a time estimate. Knows nothing of keypoints."""
