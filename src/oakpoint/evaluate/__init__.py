"""Accuracy on image pairs with known homographies: datasets, extractors, protocols, intervals."""
