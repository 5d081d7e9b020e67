"""A network measured on this machine: each way of running it beside the others, in one run."""
