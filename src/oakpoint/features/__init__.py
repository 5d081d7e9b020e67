"""Everything that knows about keypoints: heat map, NMS, descriptor sampling, decoding, matching, tracking (NumPy)."""
