"""Every layer of a network: whether a target takes it, where to cut, what it costs, and where it goes wrong."""
