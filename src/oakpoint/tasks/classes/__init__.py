"""The task ``classes``: what is on an image, of a fixed list."""
