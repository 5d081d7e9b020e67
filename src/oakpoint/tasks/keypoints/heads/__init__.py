"""What a keypoint network gives on the device: one file for each form."""
