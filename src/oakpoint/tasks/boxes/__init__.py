"""The task ``boxes``: objects of known classes, each in a box."""
