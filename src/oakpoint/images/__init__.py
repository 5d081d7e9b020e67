"""Where frames come from, and how they become the network's input tensor and back."""
