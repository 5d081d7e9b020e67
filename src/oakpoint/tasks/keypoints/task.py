"""Keypoints: scores and descriptors over the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Tensors
from oakpoint.bundle.interface import Interface, TensorSpec
from oakpoint.bundle.records import DeviceRecord, TaskRecord
from oakpoint.errors import ConversionError, UsageError
from oakpoint.features.cells import require_cells
from oakpoint.features.decode import decode, heatmap_of, in_frame
from oakpoint.features.packed import unpacked
from oakpoint.features.types import CELL_PX, DecodeOptions, Features, Outputs
from oakpoint.geometry import PixelMap
from oakpoint.images.preprocess import Preprocess
from oakpoint.tasks.base import Differences, Images, Knob, Task, Vectors, from_parameters
from oakpoint.tasks.keypoints.agreement import Agreement, nearest_pairs
from oakpoint.tasks.keypoints.families.base import Family
from oakpoint.tasks.keypoints.families.cells import Cells
from oakpoint.tasks.keypoints.families.registry import FAMILIES, family_of
from oakpoint.tasks.keypoints.heads.base import DESC, SEMI, Heads
from oakpoint.tasks.keypoints.heads.normalised import Normalised
from oakpoint.tasks.keypoints.heads.registry import HEADS, KeypointHeads, head_of
from oakpoint.tasks.keypoints.lost import lost_matching
from oakpoint.verify.photographs import second_from_first

if TYPE_CHECKING:
    from typing_extensions import Self

    from oakpoint.convert.rewrites.base import Rewrite

INPUT = "input"
"""What the image input of a keypoint network is called in the chain; its outputs are ``semi`` and ``desc``."""

OUTPUTS = (SEMI, DESC)

SAME_PX = 1.0
"""Keypoints of two models that are less apart are shown as the same: their networks' grids have whole pixels."""

PROBABILITIES = ("Sigmoid", "Softmax", "HardSigmoid")
"""Operators whose results are probabilities."""


def superpoint_preprocess(size: tuple[int, int]) -> Preprocess:
    """How SuperPoint's original demo prepares an image: grey, stretched by area averaging, 0–255 to [0, 1]."""
    return Preprocess(size=require_cells(size), resize="stretch", interpolation="area", colour="grey", scale=1 / 255)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Keypoints(Task[Features]):
    """Scores and descriptors over the image.

    Attributes:
        decode: how outputs become keypoints.
        descriptor_dim: D, the length of a descriptor; None where nobody asked the network.
        family: in which form the network gives them, one of ``families.registry.FAMILIES``.
        activated: whether a score map holds probabilities already, and no logits.
        multiple: of the image's width and height; None for the family's.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    name = "keypoints"
    loses = "matching score lost"
    heads = tuple(dict.fromkeys(heads for family in FAMILIES.values() for heads in family.heads))
    changeable = tuple(field.name for field in fields(DecodeOptions))

    decode: DecodeOptions
    descriptor_dim: int | None = None
    family: str = Cells.name
    activated: bool = False
    multiple: int | None = None

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise UsageError(f"family: expected one of {', '.join(FAMILIES)}, got {self.family!r}")

    @property
    def form(self) -> Family:
        """The family."""
        return FAMILIES[self.family]

    @property
    def size_step_px(self) -> int:
        """See ``Task``."""
        return self.multiple or self.form.step_px

    @property
    def vectors(self) -> tuple[Vectors, ...]:
        """See ``Task.vectors``: the descriptors."""
        safe = Normalised.name if Normalised.name in self.form.heads else ""
        return (Vectors(output=self.form.tensors[-1], axis=self.form.descriptor_axis, safe_heads=safe),)

    @classmethod
    def recognised(cls, interface: Interface) -> Self | None:
        """See ``Task.recognised``: the families have the shapes."""
        if (found := family_of(interface)) is None:
            return None
        family, told = found
        decode = DecodeOptions.preset(family.decode_preset)
        return cls(decode=decode, descriptor_dim=_channels(family, told[-1]), family=family.name)

    @classmethod
    def recognised_on_device(cls, interface: Interface) -> Self | None:
        """See ``Task.recognised_on_device``."""
        names = {spec.name for spec in interface.outputs}
        if any(names == set(head.tensors) for head in HEADS.values()):
            return cls(decode=DecodeOptions.preset(Cells.decode_preset))
        return cls.recognised(interface)

    @classmethod
    def from_record(cls, record: TaskRecord) -> Self:
        """See ``Task.from_record``."""
        return from_parameters(cls, record)

    def _changed(self, asked: Mapping[str, Any]) -> Self:
        """See ``Task.with_changes``: fields of ``DecodeOptions``."""
        return replace(self, decode=self.decode.with_changes(**asked))

    def record(self) -> TaskRecord:
        """See ``Task.record``."""
        parameters = asdict(self)
        return TaskRecord(name=self.name, parameters=parameters)

    def outputs(self, tensors: Tensors) -> Outputs:
        """The network's outputs before decoding, of whichever heads.

        Raises:
            BackendError: outputs of another kind of network.
        """
        return self.form.read(tensors, activated=self.activated)

    def read(self, tensors: Tensors) -> Features:
        """See ``Task.read``."""
        return decode(self.outputs(tensors), self.decode)

    def in_frame(self, result: Features, original_from_tensor: PixelMap, image_size: tuple[int, int]) -> Features:
        """See ``Task.in_frame``."""
        return in_frame(result, original_from_tensor, image_size)

    def differences(self, expected: Features, got: Features) -> Differences[Features]:
        """See ``Task.differences``: keypoints less than a pixel apart are one, each of them with one other at most."""
        in_both = nearest_pairs(expected.keypoints, got.keypoints, SAME_PX)
        missing = np.setdiff1d(np.arange(len(expected)), in_both[:, 0])
        extra = np.setdiff1d(np.arange(len(got)), in_both[:, 1])
        return Differences(
            unit=self.name,
            common=len(in_both),
            missing=len(missing),
            extra=len(extra),
            missing_part=expected.subset(missing),
            extra_part=got.subset(extra),
        )

    def values(self, tensors: Tensors) -> Tensors:
        """See ``Task.values``: packed heads hold four values in each int32."""
        return {name: unpacked(array[0]) if array.dtype == np.int32 else array for name, array in tensors.items()}

    def heat_map(self, tensors: Tensors) -> NDArray[np.float32]:
        """See ``Task.heat_map``: the probability of a keypoint."""
        return heatmap_of(self.outputs(tensors))

    def knobs(self) -> tuple[Knob, ...]:
        """See ``Task.knobs``."""
        own = self.decode
        return (
            Knob(name="threshold", label="threshold", low=0, high=1, whole=False, value=own.threshold),
            Knob(name="nms_radius_px", label="NMS radius / px", low=0, high=32, whole=True, value=own.nms_radius_px),
            Knob(name="max_keypoints", label="most keypoints", low=1, high=4096, whole=True, value=own.max_keypoints),
        )

    def check(self, name: str, tensors: Tensors, size: tuple[int, int]) -> None:
        """See ``Task.check``."""
        outputs = self.outputs(tensors)
        if outputs.image_size != size:
            raise ConversionError(
                f"{name}: expected outputs for images of {size[0]}x{size[1]}, got a grid for "
                f"{outputs.image_size[0]}x{outputs.image_size[1]}"
            )

    def with_interface(self, interface: Interface, producers: Mapping[str, str]) -> Self:
        """See ``Task.with_interface``."""
        told = {spec.name: spec for spec in interface.outputs}
        names = self.form.tensors
        return replace(
            self,
            descriptor_dim=_channels(self.form, told[names[-1]]),
            activated=self.activated or producers.get(names[0]) in PROBABILITIES,
        )

    def lost(self, expected: Sequence[Tensors], got: Sequence[Tensors]) -> float:
        """See ``Task.lost``: of the share of keypoints that are matched rightly in the second view."""
        views = [[self.read(tensors) for tensors in side] for side in (expected, got)]
        second = second_from_first(self.outputs(expected[0]).image_size)
        return lost_matching(views[0], views[1], second)

    def comparison(self, stage: str, *, device: DeviceRecord | None = None, onnx: Path | None = None) -> Agreement:
        """See ``Task.comparison``."""
        if device is None:
            return Agreement(self.decode, stage, self.outputs)
        head = head_of(_heads(device))
        assert onnx is not None, "heads of a device are compared with the host's model"
        return Agreement(
            self.decode,
            stage,
            self.outputs,
            reference_form=head.reference_form(),
            candidate_form=head.candidate_form(onnx),
        )

    def chain_names(self, interface: Interface) -> Mapping[str, str]:
        """See ``Task.chain_names``: ``input``, and the family's names."""
        if (found := family_of(interface)) is None:
            return {}  # heads of the device have the chain's names already
        family, told = found
        own = (interface.inputs[0].tensor.name, *(spec.name for spec in told))
        return dict(zip(own, (INPUT, *family.tensors), strict=True))

    def device_rewrites(self, device: DeviceRecord, interface: Interface) -> Sequence[Rewrite]:
        """See ``Task.device_rewrites``."""
        if device.heads not in self.form.heads:
            offered = ", ".join(self.form.heads)
            raise UsageError(f"heads: expected one of {offered} for a network of this form, got {device.heads!r}")
        if self.family != Cells.name:
            return ()
        return (KeypointHeads(_heads(device), interface.image.size),)

    def measured_heads(self, heads: str, onnx: Path, images: Images, interface: Interface) -> tuple[DeviceRecord, str]:
        """See ``Task.measured_heads``."""
        if self.family != Cells.name:
            return Task.measured_heads(self, heads, onnx, images, interface)  # super() knows no class with slots
        measured, note = head_of(Heads(heads)).measured(onnx, images, interface.image)
        found = {"descriptor_scale": measured.descriptor_scale, "descriptor_values": measured.descriptor_values}
        known = {name: value for name, value in found.items() if value is not None}
        return DeviceRecord(heads=heads, measured=known), note

    def archive_heads(self, outputs: Sequence[TensorSpec], device: DeviceRecord) -> list[dict[str, Any]]:
        """See ``Task.archive_heads``: what decoding on the host needs to know."""
        form: dict[str, Any] = {"cell_size_px": CELL_PX}
        if self.family != Cells.name:
            form = {"family": self.family, "activated": self.activated}
        return [
            {
                "name": "keypoints",
                "parser": "Keypoints",
                "outputs": [tensor.name for tensor in outputs],
                "metadata": {"heads": device.heads, **form, **asdict(self.decode)},
            }
        ]


def require_keypoints(task: Task[Any], name: str, instead: str) -> Keypoints:
    """The task of a network, where keypoints are wanted.

    Args:
        task: of the network.
        name: of the network, for the message.
        instead: what serves other networks.

    Raises:
        UsageError: it is another one.
    """
    if not isinstance(task, Keypoints):
        raise UsageError(f"{name}: expected a network with keypoints, got one for {task.name}; {instead}")
    return task


def _heads(device: DeviceRecord) -> Heads:
    try:
        return Heads(device.heads, **device.measured)  # type: ignore[arg-type]
    except TypeError as error:
        measured = ", ".join(device.measured)
        raise UsageError(f"heads {device.heads}: nothing is known of what was measured for them, {measured}") from error


def _channels(family: Family, spec: TensorSpec) -> int:
    """Values of a descriptor."""
    return int(spec.shape[family.descriptor_axis])
