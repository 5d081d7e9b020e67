"""What a user must be told of weights: not trained, or not free."""

from __future__ import annotations

from pathlib import Path

from oakpoint.bundle.folder import is_bundle
from oakpoint.bundle.manifest import MANIFEST_FILE, read_manifest
from oakpoint.bundle.records import WeightsRecord
from oakpoint.cli.console import print_warning

UNTRAINED_NOTICE = "RANDOM WEIGHTS"
"""Stands on every picture and in every result of a network that was never trained."""


def warn_of_weights(weights: WeightsRecord) -> None:
    """Say on standard error what holds for everything made with these weights."""
    if not weights.trained:
        print_warning(f"{UNTRAINED_NOTICE}: {weights.origin}")
    elif "non-commercial" in weights.licence:
        print_warning(f"{weights.name}: licence {weights.licence}; this holds for everything converted from it")


def notice_for(model: str) -> str | None:
    """The notice for results of a bundle with random weights, said on standard error too; None for other models."""
    if not is_bundle(Path(model)):
        return None
    weights = read_manifest(Path(model) / MANIFEST_FILE).weights
    if weights.trained:
        return None
    warn_of_weights(weights)
    return UNTRAINED_NOTICE
