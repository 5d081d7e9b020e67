"""Where along the chain, and in which layer, a network begins to compute something else."""
