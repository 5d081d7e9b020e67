"""Every layer of a network, and whether a target takes it."""
