"""What a user must be told of weights: not trained, or not free."""

from __future__ import annotations

from pathlib import Path

from oakpoint.bundle.folder import is_bundle
from oakpoint.bundle.manifest import MANIFEST_FILE, Manifest, read_manifest
from oakpoint.bundle.records import WeightsRecord
from oakpoint.cli.console import print_warning

UNTRAINED_NOTICE = "RANDOM WEIGHTS"
"""Stands on every picture and in every result of a network that was never trained."""

RTABMAP_SIZE, RTABMAP_VALUES = (320, 200), 256
"""Fixed in the driver. Source: ``captureImage`` in RTAB-Map's corelib/src/camera/CameraDepthAI.cpp."""


def warn_of_weights(weights: WeightsRecord) -> None:
    """Say on standard error what holds for everything made with these weights."""
    if not weights.trained:
        print_warning(f"{UNTRAINED_NOTICE}: {weights.origin}")
    elif "non-commercial" in weights.licence:
        print_warning(f"{weights.name}: licence {weights.licence}; this holds for everything converted from it")


def warn_of_rtabmap(manifest: Manifest) -> None:
    """Say on standard error when a blob with RTAB-Map's heads has other sizes than its driver reads."""
    if manifest.device.heads != "rtabmap":
        return
    (width, height), values = manifest.preprocess.size, manifest.task.parameters.get("descriptor_dim")
    if (width, height) != RTABMAP_SIZE or values != RTABMAP_VALUES:
        print_warning(
            f"RTAB-Map's driver reads {RTABMAP_SIZE[0]}x{RTABMAP_SIZE[1]} and descriptors of {RTABMAP_VALUES} values; "
            f"this blob is for {width}x{height} and {values}"
        )


def notice_for(model: str) -> str | None:
    """The notice for results of a bundle with random weights, said on standard error too; None for other models."""
    if not is_bundle(Path(model)):
        return None
    weights = read_manifest(Path(model) / MANIFEST_FILE).weights
    if weights.trained:
        return None
    warn_of_weights(weights)
    return UNTRAINED_NOTICE
