"""What a task is asked for; each has a folder of its own, and a line in ``registry``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Tensors
from oakpoint.bundle.interface import Interface, TensorSpec
from oakpoint.bundle.records import DeviceRecord, TaskRecord
from oakpoint.errors import UsageError
from oakpoint.features.cells import require_multiples
from oakpoint.geometry import PixelMap
from oakpoint.verify.comparison import Comparison

if TYPE_CHECKING:
    from typing_extensions import Self

    from oakpoint.convert.rewrites.base import Rewrite

Images = Mapping[str, NDArray[np.uint8]]

AS_THEY_ARE = "dense"
"""Heads that leave the network's outputs as they are; every task has them."""


class Result(Protocol):
    """What a network found in one image."""

    def facts(self) -> dict[str, Any]:
        """The same for machines: numbers, texts and lists of them."""

    def figure(self) -> str:
        """The same in a few words, as ``12 boxes``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vectors:
    """An output that holds vectors of which the direction is read, so that they are normalised somewhere behind it.

    Attributes:
        output: its name in the chain.
        axis: along which the values of one vector lie.
        safe_heads: heads that normalise them on the device and scale them before, so that their squares stay in the
            range of FP16; empty where there are none.
    """

    output: str
    axis: int = 1
    safe_heads: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Knob:
    """A parameter of a task that may be turned while it runs.

    Attributes:
        name: as ``Task.with_changes`` takes it.
        label: for people.
        low: least value.
        high: greatest value that a slider offers.
        whole: it counts something. False: any number.
        value: the present one; None where there is no limit.
    """

    name: str
    label: str
    low: float
    high: float
    whole: bool
    value: float | None

    def checked(self, value: object) -> float | int:
        """A value of this parameter, of untrusted origin.

        Raises:
            UsageError: no number, one out of range, or a broken one where it counts something.
        """
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not (is_number and self.low <= value <= self.high and (not self.whole or value == int(value))):  # type: ignore[operator, call-overload]
            kind = "a whole number" if self.whole else "a number"
            raise UsageError(f"{self.name}: expected {kind} from {self.low:g} to {self.high:g}, got {value!r:.40}")
        return int(value) if self.whole else float(value)  # type: ignore[call-overload, arg-type]


R = TypeVar("R", bound=Result)


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences(Generic[R]):
    """What two results of one image have in common, and what they have not.

    Attributes:
        unit: what is counted, in the plural: «keypoints».
        common: how many are in both.
        missing: how many are in the expected result alone.
        extra: how many are in the other alone.
        missing_part: those that are missing, as a result of their own.
        extra_part: those that are extra, likewise.
    """

    unit: str
    common: int
    missing: int
    extra: int
    missing_part: R
    extra_part: R


class Task(ABC, Generic[R]):
    """What the outputs of one network mean. Immutable; made by ``recognised`` or ``from_record``.

    Attributes:
        name: as the manifest has it.
        heads: forms of the outputs that the device can give, the first one by default.
        changeable: parameters that a user may set, by the names that ``with_changes`` takes.
        loses: what ``lost`` measures.
    """

    name: ClassVar[str]
    loses: ClassVar[str]
    heads: ClassVar[tuple[str, ...]] = (AS_THEY_ARE,)
    changeable: ClassVar[tuple[str, ...]] = ()

    @property
    def size_step_px(self) -> int:
        """The images' width and height are multiples of it."""
        return 1

    @property
    def vectors(self) -> tuple[Vectors, ...]:
        """Outputs whose vectors' norms matter on the device."""
        return ()

    @classmethod
    @abstractmethod
    def recognised(cls, interface: Interface) -> Self | None:
        """The task of a network, by the names and shapes of what it takes and gives; None where it is another's.

        Args:
            interface: all shapes are numbers, but for an open batch.
        """

    @classmethod
    def recognised_on_device(cls, interface: Interface) -> Self | None:
        """As ``recognised``, of a network that may have heads of the device; by their names where they have some."""
        return cls.recognised(interface)

    @classmethod
    def taken_as(cls, interface: Interface, form: str = "") -> Self | None:
        """The task of a network that was said to be of it: what others could be as well is then taken for it.

        Args:
            interface: see ``recognised``.
            form: which of the task's forms, where it has several that look alike; empty finds out.

        Raises:
            UsageError: an unknown form, or one that has to be said.
        """
        require_no_form(cls.name, form)
        return cls.recognised(interface)

    @classmethod
    @abstractmethod
    def from_record(cls, record: TaskRecord) -> Self:
        """The task that a manifest tells of.

        Raises:
            UsageError: parameters that cannot be meant.
        """

    @abstractmethod
    def record(self) -> TaskRecord:
        """What the manifest tells of it."""

    @abstractmethod
    def read(self, tensors: Tensors) -> R:
        """What the network found, in pixels of the tensor image.

        Args:
            tensors: the outputs for one image, of whichever heads.

        Raises:
            BackendError: outputs of another kind of network.
        """

    @abstractmethod
    def in_frame(self, result: R, original_from_tensor: PixelMap, image_size: tuple[int, int]) -> R:
        """The same result in pixels of the original image of (W, H) pixels."""

    def differences(self, expected: R, got: R) -> Differences[R] | None:
        """What two models found in the same image, side by side, to be looked at; verdicts are ``comparison``'s.

        Args:
            expected: of the model that is believed, in pixels of the tensor image.
            got: of the other.

        Returns:
            None where results are not made of parts.
        """
        del expected, got
        return None

    def agreement(self, expected: R, got: R) -> float:
        """How far two models found the same in an image, in [0, 1]: one figure, to weigh accuracy against speed with.

        Twice what is in both over what is in either, the F-measure; 1 where both found nothing.

        Args:
            expected: of the model that is believed, in pixels of the original image.
            got: of the other, likewise.

        Raises:
            UsageError: results of this task cannot be compared in one figure.
        """
        found = self.differences(expected, got)
        if found is None:
            raise UsageError(f"{self.name}: nothing is known of the outputs, so no figure says how good they are")
        either = 2 * found.common + found.missing + found.extra
        return 2 * found.common / either if either else 1.0

    @abstractmethod
    def comparison(
        self, stage: str, *, device: DeviceRecord | None = None, onnx: Path | None = None
    ) -> Comparison[Any]:
        """A fresh comparison for one stage.

        Args:
            stage: name of the stage.
            device: which heads the candidate has; None for those of the reference.
            onnx: the host's model, for heads that are compared through it.
        """

    @abstractmethod
    def lost(self, expected: Sequence[Tensors], got: Sequence[Tensors]) -> float:
        """How much is lost of what a network finds, where another one stands for it in coarser arithmetic.

        Args:
            expected: what the network that is believed gives for an image and for its second view
                (``verify.photographs.second_view``), both as large as the network's.
            got: what the other gives.

        Returns:
            0 for nothing to 1 for everything, below 0 where the other is better; NaN where there is nothing to lose.
        """

    def require_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """An image's size (W, H) in pixels, if the task takes it.

        Raises:
            UsageError: a side that is no positive multiple of ``size_step_px``.
        """
        return require_multiples(size, self.size_step_px)

    def values(self, tensors: Tensors) -> Tensors:
        """The outputs as numbers whose differences mean something, where heads pack several into one."""
        return tensors

    def heat_map(self, tensors: Tensors) -> NDArray[np.float32] | None:
        """How likely something is at each pixel of the tensor image, float32 (H, W) in [0, 1]; None: nobody says."""
        del tensors
        return None

    def knobs(self) -> tuple[Knob, ...]:
        """The parameters that may be turned while it runs, with their present values."""
        return ()

    def check(self, name: str, tensors: Tensors, size: tuple[int, int]) -> None:
        """Make sure that a network gives what the task reads.

        Args:
            name: of the network, for the message.
            tensors: its outputs for one image.
            size: (W, H) of that image's tensor in pixels.

        Raises:
            BackendError, ConversionError: it gives something else.
        """
        del name, size
        self.read(tensors)

    def with_changes(self, **changes: Any) -> Self:
        """The same task with other parameters; one given as None stays as it is.

        Raises:
            UsageError: a parameter that the task does not have, or a value that cannot be meant.
        """
        asked = {name: value for name, value in changes.items() if value is not None}
        for name in asked:
            if name not in self.changeable:
                there = ", ".join(self.changeable) or "none"
                raise UsageError(f"{name}: means nothing for a network for {self.name}; its parameters are: {there}")
        return self._changed(asked) if asked else self

    def _changed(self, asked: Mapping[str, Any]) -> Self:
        """The same task with these of its ``changeable`` parameters."""
        return replace(self, **asked)  # type: ignore[type-var]

    def with_operators(self, operators: Mapping[str, str]) -> Self:
        """The same task, knowing which operator of the graph computes each output (``convert.output_operators``)."""
        del operators
        return self

    def with_interface(self, interface: Interface, producers: Mapping[str, str]) -> Self:
        """The same task, once the host's model is made.

        Args:
            interface: its inputs and outputs, under the chain's names.
            producers: output → operator that computes it, what only moves values aside.
        """
        del interface
        return self.with_operators(producers)

    def chain_names(self, interface: Interface) -> Mapping[str, str]:
        """What inputs and outputs of a user's network are called in the chain, by their own names."""
        del interface
        return {}

    def device_rewrites(self, device: DeviceRecord, interface: Interface) -> Sequence[Rewrite]:
        """Rewrites that give the device graph its heads.

        Raises:
            UsageError: unknown heads, or such as need something measured that is missing.
        """
        del interface
        if device.heads not in self.heads:
            raise UsageError(f"heads: expected one of {', '.join(self.heads)} for {self.name}, got {device.heads!r}")
        return ()

    def measured_heads(self, heads: str, onnx: Path, images: Images, interface: Interface) -> tuple[DeviceRecord, str]:
        """What heads need to know of a network, and a note on it; an empty note where that is nothing.

        Raises:
            ConversionError: the network cannot have these heads.
        """
        del onnx, images, interface
        return DeviceRecord(heads=heads), ""

    def archive_heads(self, outputs: Sequence[TensorSpec], device: DeviceRecord) -> list[dict[str, Any]]:
        """The heads of an NN archive for DepthAI; empty where nothing is known that DepthAI reads."""
        del outputs, device
        return []


T = TypeVar("T")


def from_parameters(kind: type[T], record: TaskRecord) -> T:
    """A task whose parameters in a manifest are the fields of its class.

    Raises:
        UsageError: parameters that cannot be meant.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(kind).validate_python(record.parameters)
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"task {record.name}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def require_no_form(name: str, form: str) -> None:
    """Refuse a form of a task that has none; see ``Task.taken_as``.

    Raises:
        UsageError: one was given.
    """
    if form:
        raise UsageError(f"task: {name} has no forms, got {name}:{form}; give {name}")
