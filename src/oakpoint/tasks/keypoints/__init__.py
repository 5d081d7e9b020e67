"""Networks with scores and descriptors."""
