"""Proof that every stage of the chain still finds the same points."""
