"""The conversion chain: one function from a source to a target in each module."""
