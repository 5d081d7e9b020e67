"""What the outputs of a network mean: one folder for each task, and the only place that knows."""
