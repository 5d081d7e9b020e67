"""Networks of which nothing is known but their tensors."""
