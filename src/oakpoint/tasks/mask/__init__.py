"""The task ``mask``: a class for each pixel."""
