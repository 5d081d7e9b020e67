"""Searching a network's settings for the best accuracy at a speed: space, trials, storage, frontier, choice."""
