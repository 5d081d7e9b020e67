"""What to convert and how far, checked before any work."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from oakpoint.bundle.records import HeadsName
from oakpoint.errors import UsageError
from oakpoint.myriad.compiler import DEFAULT_SHAVES, check_shaves
from oakpoint.tasks.keypoints.heads.registry import HEADS

Target = Literal["onnx", "ir", "blob", "archive"]
TARGETS: tuple[Target, ...] = get_args(Target)
"""The stages in their order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversionOptions:
    """What to convert, and how far.

    Attributes:
        model: ``acorn``, ``superpoint``, ``package.module:Class``, a ``.onnx`` file, or a bundle to convert again.
        weights: the weights file of a network given by name.
        seed: initialise a network given by name at random instead; every output says so.
        size: (W, H) in pixels; None keeps a bundle's.
        to: the last stage, one of ``TARGETS``.
        heads: what the blob puts out.
        shaves: SHAVE cores of the blob, and its CMX slices.
        batch: of the IR; a blob has batch 1.
        images: folder of images to verify on; None takes the photographs in scikit-image's wheel.
        superblob: also compile the blob for 1 to 16 shaves, into one file.
        keep_failed: write the bundle even when a stage fails its verification.

    Raises:
        UsageError: an unknown target or heads, shaves out of range, or a batch that a blob cannot have.
    """

    model: str
    weights: Path | None = None
    seed: int | None = None
    size: tuple[int, int] | None = None
    to: Target = "archive"
    heads: HeadsName = "dense"
    shaves: int = DEFAULT_SHAVES
    batch: int = 1
    images: Path | None = None
    superblob: bool = False
    keep_failed: bool = False

    def __post_init__(self) -> None:
        if self.to not in TARGETS:
            raise UsageError(f"target: expected one of {', '.join(TARGETS)}, got {self.to!r}")
        if self.heads not in HEADS:
            raise UsageError(f"heads: expected one of {', '.join(HEADS)}, got {self.heads!r}")
        check_shaves(self.shaves)
        if self.superblob and not self.reaches("blob"):
            raise UsageError(f"superblob: needs --to blob or --to archive, got {self.to!r}")
        if self.batch < 1:
            raise UsageError(f"batch: expected 1 or more, got {self.batch}")
        if self.batch > 1 and self.reaches("blob"):
            raise UsageError(
                f"batch: a Myriad X blob has batch 1, got {self.batch}; take --batch 1, or stop before it (--to ir)"
            )

    def reaches(self, target: Target) -> bool:
        """Whether the conversion goes as far as ``target``."""
        return TARGETS.index(target) <= TARGETS.index(self.to)
