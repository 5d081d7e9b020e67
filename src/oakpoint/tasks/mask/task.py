"""Masks: a value for each class and pixel, at the image's size or a fixed fraction of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, final, get_args

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Tensors
from oakpoint.bundle.interface import Interface, TensorSpec
from oakpoint.bundle.records import DeviceRecord, TaskRecord
from oakpoint.errors import UsageError
from oakpoint.geometry import PixelMap
from oakpoint.tasks.base import Differences, Task, from_parameters, require_no_form
from oakpoint.tasks.labels import require_one_each
from oakpoint.tasks.lost import accuracy_given_up
from oakpoint.tasks.mask.agreement import MaskAgreement
from oakpoint.tasks.mask.reading import Activation, PixelReader
from oakpoint.tasks.mask.result import NOT_SEEN, Mask

if TYPE_CHECKING:
    from typing_extensions import Self

STRIDES = (1, 2, 4, 8, 16, 32)
"""Pixels of the image along a side of one pixel of the output."""

IMAGE_CHANNELS = 3
"""An output of as many channels at the image's size is as likely an image: a style, a restoration."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class MaskTask(Task[Mask]):
    """One output (N, C, H/s, W/s).

    Attributes:
        channels: C. Of several, the class with the largest value is a pixel's; one is what a pixel is or is not.
        stride: s, pixels.
        activation: of one channel, what makes a probability of it: ``sigmoid``; ``none`` where it is one; ``found``
            takes ``none`` for an image whose values are all from 0 to 1, and else ``sigmoid``. A conversion decides it
            by the operator that computes the output. Of several channels it decides nothing.
        threshold: of one channel, the probability from which on a pixel is one.
        labels: names of the classes, two of them for one channel; empty without any.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    name = "mask"
    loses = "pixel accuracy lost"
    changeable = ("activation", "threshold", "labels")

    channels: int
    stride: int = 1
    activation: Activation = "found"
    threshold: float = 0.5
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.channels < 1 or self.stride not in STRIDES:
            raise UsageError(
                f"mask: expected 1 channel or more at a stride of {STRIDES}, got {self.channels}, {self.stride}"
            )
        if self.activation not in get_args(Activation):
            raise UsageError(f"activation: expected one of {', '.join(get_args(Activation))}, got {self.activation!r}")
        if not 0 < self.threshold < 1:
            raise UsageError(f"threshold: expected a probability between 0 and 1, got {self.threshold}")
        require_one_each(self.labels, self.classes)

    @property
    def classes(self) -> int:
        """How many classes there are, with what a single channel is not."""
        return self.reader.classes

    @property
    def reader(self) -> PixelReader:
        """What reads the output."""
        return PixelReader(channels=self.channels, activation=self.activation, threshold=self.threshold)

    @classmethod
    def recognised(cls, interface: Interface) -> Self | None:
        """See ``Task.recognised``: two channels or more at the image's size, but not three.

        One channel may be a depth, three an image, and coarser ones features or heat maps: they are masks where
        ``--task mask`` says so.
        """
        found = cls.taken_as(interface)
        if found is None or found.stride != 1 or found.channels in (1, IMAGE_CHANNELS):
            return None
        return found

    @classmethod
    def taken_as(cls, interface: Interface, form: str = "") -> Self | None:
        """See ``Task.taken_as``: one output at the image's size or a fraction of it."""
        require_no_form(cls.name, form)
        images = [given.preprocess for given in interface.inputs if given.preprocess is not None]
        if len(images) != 1 or len(interface.outputs) != 1 or len(interface.outputs[0].shape) != 4:
            return None
        width, height = images[0].size
        _, channels, *grid = interface.outputs[0].shape
        strides = [s for s in STRIDES if grid == [height // s, width // s] and height % s == width % s == 0]
        return cls(channels=channels, stride=strides[0]) if strides and isinstance(channels, int) else None

    @classmethod
    def from_record(cls, record: TaskRecord) -> Self:
        """See ``Task.from_record``."""
        return from_parameters(cls, record)

    def record(self) -> TaskRecord:
        """See ``Task.record``."""
        return TaskRecord(name=self.name, parameters=asdict(self))

    def with_operators(self, operators: Mapping[str, str]) -> Self:
        """See ``Task.with_operators``: a sigmoid at the end of one channel, or none."""
        if self.activation != "found" or len(operators) != 1:
            return self
        return replace(self, activation="none" if {"Sigmoid", "HardSigmoid"} & {*operators.values()} else "sigmoid")

    def read(self, tensors: Tensors) -> Mask:
        """See ``Task.read``; the mask has the output's size, until ``in_frame``."""
        return Mask(self.reader.class_of(self.reader.values(tensors)), self.labels)

    def in_frame(self, result: Mask, original_from_tensor: PixelMap, image_size: tuple[int, int]) -> Mask:
        """See ``Task.in_frame``: each pixel of the image gets the class of the nearest place of the output."""
        tensor_from_original = original_from_tensor.inverse()
        rows, columns = (
            _nearest(tensor_from_original, axis, image_size[axis], result.classes.shape[1 - axis], self.stride)
            for axis in (1, 0)
        )
        seen = (rows >= 0)[:, np.newaxis] & (columns >= 0)[np.newaxis]
        classes = result.classes[np.maximum(rows, 0)[:, np.newaxis], np.maximum(columns, 0)[np.newaxis]]
        return replace(result, classes=np.where(seen, classes, np.int16(NOT_SEEN)))

    def differences(self, expected: Mask, got: Mask) -> Differences[Mask]:
        """See ``Task.differences``: pixels; one of another class is missing in the one and extra in the other."""
        other = expected.classes != got.classes
        count = int(other.sum())
        return Differences(
            unit="pixels",
            common=other.size - count,
            missing=count,
            extra=count,
            missing_part=replace(expected, classes=np.where(other, expected.classes, np.int16(NOT_SEEN))),
            extra_part=replace(got, classes=np.where(other, got.classes, np.int16(NOT_SEEN))),
        )

    def agreement(self, expected: Mask, got: Mask) -> float:
        """See ``Task.agreement``: the mean intersection over union of the classes that either mask has.

        Pixels where either network did not look are left out. Source: the PASCAL VOC segmentation challenge.
        """
        seen = (expected.classes != NOT_SEEN) & (got.classes != NOT_SEEN)
        a, b = expected.classes[seen], got.classes[seen]
        classes = np.union1d(a, b)
        if not classes.size:
            return 1.0
        return float(np.mean([((a == c) & (b == c)).sum() / ((a == c) | (b == c)).sum() for c in classes]))

    def lost(self, expected: Sequence[Tensors], got: Sequence[Tensors]) -> float:
        """See ``Task.lost``: by how much the other's class of a pixel is less probable than the first."""
        values = [tuple(map(self.reader.values, pair)) for pair in zip(expected, got, strict=True)]
        return float(
            np.mean([accuracy_given_up(self.reader.probabilities(a), self.reader.class_of(b)) for a, b in values])
        )

    def comparison(self, stage: str, *, device: DeviceRecord | None = None, onnx: Path | None = None) -> MaskAgreement:
        """See ``Task.comparison``."""
        del device, onnx
        return MaskAgreement(stage, self.reader)

    def archive_heads(self, outputs: Sequence[TensorSpec], device: DeviceRecord) -> list[dict[str, Any]]:
        """See ``Task.archive_heads``: ``SegmentationParser``, which DepthAI and depthai-nodes both have.

        DepthAI's own (``dai.node.SegmentationParser``) runs on the host for this camera.
        """
        del device
        if self.channels == 1 and self.activation == "found":
            return []  # the parser has to be told
        names = list(self.labels) or [str(index) for index in range(self.classes)]
        metadata: dict[str, Any] = {"classes": names[-self.channels :], "n_classes": self.channels, "is_softmax": False}
        if self.channels == 1:
            metadata["conf_threshold"] = self.reader.level(np.zeros((1, 1, 1), np.float32))
        outputs_read = [tensor.name for tensor in outputs]
        return [{"name": self.name, "parser": "SegmentationParser", "outputs": outputs_read, "metadata": metadata}]


def _nearest(tensor_from_original: PixelMap, axis: int, length: int, places: int, stride: int) -> NDArray[np.int64]:
    """For each pixel along an axis (0: x) of the original the place of the output that it lies in; −1 without one."""
    pixels = np.zeros((length, 2), np.float64)
    pixels[:, axis] = np.arange(length)
    outer = tensor_from_original(pixels)[:, axis].astype(np.float64) + 0.5  # the image's edges lie at 0 and its side
    found = np.floor(outer / stride).astype(np.int64)
    return np.where((found >= 0) & (found < places), found, -1)
