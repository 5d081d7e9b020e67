"""A run: frames through a network to whatever takes them, under controls that may change meanwhile."""
