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
from oakpoint.tasks.quantised import DEFAULT_BOUND
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
        fused: also make a graph with decoding in it, of a network with keypoints.
        int8: also make an INT8 model for Intel's CPUs, GPUs and NPUs.
        calibration: folder of images that calibrate it; None takes the photographs in scikit-image's wheel.
        int8_loss: how much it may lose of what its task measures (``Task.loses``).
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
    fused: bool = False
    int8: bool = False
    calibration: Path | None = None
    int8_loss: float = DEFAULT_BOUND
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
        self._check_int8()
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

    def _check_int8(self) -> None:
        if self.calibration is not None and not self.int8:
            raise UsageError("calibration: is for an INT8 model; add --int8, or leave it out")
        if self.int8_loss != DEFAULT_BOUND and not self.int8:
            raise UsageError("int8-loss: is for an INT8 model; add --int8, or leave it out")
        if not 0 < self.int8_loss < 1:
            raise UsageError(f"int8-loss: expected a share above 0 and below 1, got {self.int8_loss:g}")
        if self.int8 and not self.reaches("ir"):
            raise UsageError(f"int8: is an OpenVINO IR, got --to {self.to}; take --to ir, blob or archive")

    def reaches(self, target: Target) -> bool:
        """Whether the conversion goes as far as ``target``."""
        if target == "onnx-archive":
            return self.to == target
        return TARGETS.index(target) <= TARGETS.index(self.to)
