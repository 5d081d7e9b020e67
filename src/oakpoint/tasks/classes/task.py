"""Classes: one value for each, for the whole image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final, get_args

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Tensors
from oakpoint.bundle.interface import OPEN_BATCH, Interface, TensorSpec
from oakpoint.bundle.records import DeviceRecord, TaskRecord
from oakpoint.errors import BackendError, UsageError
from oakpoint.geometry import PixelMap
from oakpoint.tasks.base import Differences, Knob, Task, from_parameters, require_no_form
from oakpoint.tasks.classes.agreement import ClassesAgreement
from oakpoint.tasks.classes.result import Classes
from oakpoint.tasks.labels import require_one_each
from oakpoint.tasks.lost import accuracy_given_up

if TYPE_CHECKING:
    from typing_extensions import Self

Activation = Literal["found", "softmax", "none"]

TOP = 5
"""Classes that are told, as ImageNet's top-5 has it."""

SUM_WITHIN = 1e-2
"""A distribution sums to 1; FP16 keeps a thousand small values to within this."""

EMBEDDING_FROM = 64
"""A vector of a power of two of values, from this one on, is as likely an embedding as a list of classes."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ClassesTask(Task[Classes]):
    """One output (N, C) or (N, C, 1, 1).

    Attributes:
        classes: C, two or more.
        activation: what makes probabilities of the output: ``softmax``; ``none`` where it is a distribution already;
            ``found`` takes ``none`` for an image whose values are not negative and sum to 1, and else ``softmax``.
            A conversion decides it by the operator that computes the output.
        top: how many classes are told.
        labels: their names; empty without any.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    name = "classes"
    loses = "top-1 accuracy lost"
    changeable = ("activation", "top", "labels")

    classes: int
    activation: Activation = "found"
    top: int = TOP
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.classes < 2:
            raise UsageError(f"classes: expected 2 or more, got {self.classes}")
        if self.activation not in get_args(Activation):
            raise UsageError(f"activation: expected one of {', '.join(get_args(Activation))}, got {self.activation!r}")
        if self.top < 1:
            raise UsageError(f"top: expected 1 class or more, got {self.top}")
        require_one_each(self.labels, self.classes)

    @classmethod
    def recognised(cls, interface: Interface) -> Self | None:
        """See ``Task.recognised``: what may be an embedding is left to ``--task classes``.

        So is a network that takes more than an image: a state and an image may give an action.
        """
        found = cls.taken_as(interface)
        if (
            found is None
            or len(interface.inputs) > 1
            or (found.classes >= EMBEDDING_FROM and found.classes & (found.classes - 1) == 0)
        ):
            return None
        return found

    @classmethod
    def taken_as(cls, interface: Interface, form: str = "") -> Self | None:
        """See ``Task.taken_as``."""
        require_no_form(cls.name, form)
        if len(interface.outputs) != 1 or len([i for i in interface.inputs if i.preprocess is not None]) != 1:
            return None
        shape = interface.outputs[0].shape
        if shape[:1] == (OPEN_BATCH,) and interface.batch != OPEN_BATCH:
            return None  # as many rows as there are things, not images
        if shape[2:] not in ((), (1, 1)) or len(shape) < 2 or not isinstance(shape[1], int) or shape[1] < 2:
            return None
        return cls(classes=shape[1])

    @classmethod
    def from_record(cls, record: TaskRecord) -> Self:
        """See ``Task.from_record``."""
        return from_parameters(cls, record)

    def record(self) -> TaskRecord:
        """See ``Task.record``."""
        return TaskRecord(name=self.name, parameters=asdict(self))

    def knobs(self) -> tuple[Knob, ...]:
        """See ``Task.knobs``."""
        most = min(self.classes, 20)
        return (Knob(name="top", label="most classes", low=1, high=most, whole=True, value=min(self.top, most)),)

    def with_operators(self, operators: Mapping[str, str]) -> Self:
        """See ``Task.with_operators``: a softmax at the end, or none."""
        if self.activation != "found" or len(operators) != 1:
            return self
        return replace(self, activation="none" if "Softmax" in operators.values() else "softmax")

    def read(self, tensors: Tensors) -> Classes:
        """See ``Task.read``."""
        probabilities = self.probabilities(self.values_of(tensors))
        best = np.argsort(-probabilities, kind="stable")[: self.top]
        return Classes(best.astype(np.int64), probabilities[best], self.labels)

    def values_of(self, tensors: Tensors) -> NDArray[np.float32]:
        """The network's values as they are, float32 (C,).

        Raises:
            BackendError: outputs of another kind of network.
        """
        array = next(iter(tensors.values())) if len(tensors) == 1 else np.zeros(0)
        if array.size != self.classes:
            got = ", ".join(f"{name} {array.shape}" for name, array in tensors.items())
            raise BackendError(f"expected one output with {self.classes} classes, got {got}")
        return array.reshape(-1).astype(np.float32)

    def probabilities(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities of all classes, float32 (C,), from the network's values (C,)."""
        if self.activation == "none" or (self.activation == "found" and is_distribution(values)):
            return values
        shifted = np.exp((values - values.max()).astype(np.float64))
        return np.asarray(shifted / shifted.sum(), np.float32)

    def in_frame(self, result: Classes, original_from_tensor: PixelMap, image_size: tuple[int, int]) -> Classes:
        """See ``Task.in_frame``: they are the whole image's."""
        del original_from_tensor, image_size
        return result

    def differences(self, expected: Classes, got: Classes) -> Differences[Classes]:
        """See ``Task.differences``: which of the most probable classes are among those of the other."""
        missing, extra = (_beyond(expected, got), _beyond(got, expected))
        return Differences(
            unit=self.name,
            common=len(expected) - len(missing),
            missing=len(missing),
            extra=len(extra),
            missing_part=missing,
            extra_part=extra,
        )

    def agreement(self, expected: Classes, got: Classes) -> float:
        """See ``Task.agreement``: whether the most probable class is the same."""
        return float(expected.indices[0] == got.indices[0])

    def lost(self, expected: Sequence[Tensors], got: Sequence[Tensors]) -> float:
        """See ``Task.lost``: by how much the other's first class is less probable than the first."""
        pairs = zip(expected, got, strict=True)
        values = [(self.values_of(a), np.nan_to_num(self.values_of(b), nan=-np.inf)) for a, b in pairs]
        return float(np.mean([accuracy_given_up(self.probabilities(a), np.asarray(b.argmax())) for a, b in values]))

    def comparison(
        self, stage: str, *, device: DeviceRecord | None = None, onnx: Path | None = None
    ) -> ClassesAgreement:
        """See ``Task.comparison``."""
        del device, onnx
        return ClassesAgreement(stage, self.values_of)

    def archive_heads(self, outputs: Sequence[TensorSpec], device: DeviceRecord) -> list[dict[str, Any]]:
        """See ``Task.archive_heads``: depthai-nodes' ``ClassificationParser``, on the host."""
        del device
        if self.activation == "found":
            return []  # the parser has to be told
        return [
            {
                "name": self.name,
                "parser": "ClassificationParser",
                "outputs": [tensor.name for tensor in outputs],
                "metadata": {
                    "classes": list(self.labels) or [str(index) for index in range(self.classes)],
                    "n_classes": self.classes,
                    "is_softmax": self.activation == "none",
                },
            }
        ]


def is_distribution(values: NDArray[np.float32]) -> bool:
    """Whether values are probabilities already: none is negative, and they sum to 1."""
    return bool(values.min() >= 0 and abs(float(values.sum(dtype=np.float64)) - 1) <= SUM_WITHIN)


def _beyond(classes: Classes, others: Classes) -> Classes:
    """Those that the others have not."""
    rows = ~np.isin(classes.indices, others.indices)
    return replace(classes, indices=classes.indices[rows], probabilities=classes.probabilities[rows])
