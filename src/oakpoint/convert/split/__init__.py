"""A graph in two: the part from the input that the device takes, and the rest for the host."""
