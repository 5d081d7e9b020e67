"""What to convert and how far, checked before any work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from oakpoint.errors import UsageError
from oakpoint.models.base import ModelOptions
from oakpoint.myriad.compiler import DEFAULT_SHAVES, check_shaves
from oakpoint.tasks.base import AS_THEY_ARE
from oakpoint.tasks.registry import ALL_HEADS

Target = Literal["onnx", "onnx-archive", "ir", "blob", "archive"]
AUTO = "auto"
"""In place of the name of a layer: cut where the device takes no more, and where few bytes cross."""

TARGETS: tuple[Target, ...] = get_args(Target)
"""The stages in their order; ``onnx-archive`` is an end of its own, which no later one passes."""


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
        split: where to cut the network, the first part being the blob: ``auto``, or names of layers, outputs or modules
            behind which the host goes on; empty for a blob of the whole network.
        superblob: also compile the blob for 1 to 16 shaves, into one file.
        keep_failed: write the bundle even when a stage fails its verification.
        said: what else was said of the model; weights and seed stand above.
        parameters: of the network's task, such as its labels, by the names that ``Task.with_changes`` takes.

    Raises:
        UsageError: an unknown target or heads, shaves out of range, or a batch that a blob cannot have.
    """

    model: str
    weights: Path | None = None
    seed: int | None = None
    size: tuple[int, int] | None = None
    to: Target = "archive"
    heads: str = AS_THEY_ARE
    shaves: int = DEFAULT_SHAVES
    batch: int = 1
    images: Path | None = None
    split: tuple[str, ...] = ()
    superblob: bool = False
    keep_failed: bool = False
    said: ModelOptions = field(default_factory=ModelOptions)
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.to not in TARGETS:
            raise UsageError(f"target: expected one of {', '.join(TARGETS)}, got {self.to!r}")
        if self.heads not in ALL_HEADS:
            raise UsageError(f"heads: expected one of {', '.join(ALL_HEADS)}, got {self.heads!r}")
        check_shaves(self.shaves)
        self._check_split()
        if self.superblob and not self.reaches("blob"):
            raise UsageError(f"superblob: needs --to blob or --to archive, got {self.to!r}")
        if self.batch < 1:
            raise UsageError(f"batch: expected 1 or more, got {self.batch}")
        if self.batch > 1 and self.to == "onnx-archive":
            raise UsageError(f"batch: an NN archive takes images one by one, got {self.batch}; leave out --batch")
        if self.batch > 1 and self.reaches("blob"):
            raise UsageError(
                f"batch: a Myriad X blob has batch 1, got {self.batch}; take --batch 1, or stop before it (--to ir)"
            )

    def _check_split(self) -> None:
        if self.split and not self.reaches("blob"):
            raise UsageError(f"split: is for a blob, got --to {self.to}; take --to blob or --to archive")
        if AUTO in self.split and len(self.split) > 1:
            raise UsageError(f"split: {AUTO} finds all cuts itself, got {', '.join(self.split)}")
        if any(not name.strip() for name in self.split):
            raise UsageError("split: expected auto or the name of a layer, an output or a module, got an empty one")

    def reaches(self, target: Target) -> bool:
        """Whether the conversion goes as far as ``target``."""
        if target == "onnx-archive":
            return self.to == target
        return TARGETS.index(target) <= TARGETS.index(self.to)
