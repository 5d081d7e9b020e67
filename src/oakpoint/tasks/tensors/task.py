"""Tensors, whatever they mean: the task of every network that no other recognises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Tensors
from oakpoint.bundle.interface import Interface
from oakpoint.bundle.records import DeviceRecord, TaskRecord
from oakpoint.convert.output_operators import SELECTING
from oakpoint.errors import UsageError
from oakpoint.geometry import PixelMap
from oakpoint.tasks.base import Task, from_parameters
from oakpoint.tasks.lost import unexplained_variance
from oakpoint.verify.tensors import PROBABILITIES, TensorAgreement

if TYPE_CHECKING:
    from typing_extensions import Self


@final
@dataclass(frozen=True, slots=True)
class TensorsFound:
    """The outputs of a network for one image.

    Attributes:
        tensors: by name.
    """

    tensors: Tensors

    def facts(self) -> dict[str, Any]:
        """See ``Result.facts``: shape, smallest, mean and largest finite value of each, and how many are not."""
        return {name: {"shape": list(array.shape), **_values(array)} for name, array in self.tensors.items()}

    def figure(self) -> str:
        """See ``Result.figure``."""
        return ", ".join(f"{name} {'x'.join(map(str, array.shape))}" for name, array in self.tensors.items())


def _values(array: NDArray[Any]) -> dict[str, float | int | None]:
    numbers = array[np.isfinite(array)].astype(np.float64)
    sizes = [float(of(numbers)) if numbers.size else None for of in (np.min, np.mean, np.max)]
    return {**dict(zip(("min", "mean", "max"), sizes, strict=True)), "not_finite": array.size - numbers.size}


@final
@dataclass(frozen=True, slots=True)
class RawTensors(Task[TensorsFound]):
    """Knows nothing, and is always there.

    Attributes:
        probabilities: names of the outputs that a sigmoid or softmax computes, by which they are compared.
        selected: names of the outputs that are rows of what a layer within the network chose (NMS, top-k).
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    name = "tensors"
    loses = "variance not explained"

    probabilities: tuple[str, ...] = ()
    selected: tuple[str, ...] = ()

    @classmethod
    def recognised(cls, interface: Interface) -> Self | None:
        """See ``Task.recognised``: every network is one."""
        del interface
        return cls()

    @classmethod
    def from_record(cls, record: TaskRecord) -> Self:
        """See ``Task.from_record``."""
        return from_parameters(cls, record)

    def record(self) -> TaskRecord:
        """See ``Task.record``."""
        return TaskRecord(name=self.name, parameters={name: value for name, value in asdict(self).items() if value})

    def with_operators(self, operators: Mapping[str, str]) -> Self:
        """See ``Task.with_operators``."""
        return replace(
            self,
            probabilities=tuple(name for name, operator in operators.items() if operator in PROBABILITIES),
            selected=tuple(name for name, operator in operators.items() if operator in SELECTING),
        )

    def with_changes(self, **changes: Any) -> Self:
        """See ``Task.with_changes``.

        Raises:
            UsageError: any.
        """
        for name, value in changes.items():
            if value is not None:
                raise UsageError(
                    f"{name}: means nothing here, since nothing tells what the network's outputs mean; say it with "
                    "--task keypoints, boxes, classes or mask"
                )
        return self

    def read(self, tensors: Tensors) -> TensorsFound:
        """See ``Task.read``."""
        return TensorsFound(tensors)

    def in_frame(
        self, result: TensorsFound, original_from_tensor: PixelMap, image_size: tuple[int, int]
    ) -> TensorsFound:
        """See ``Task.in_frame``: tensors have no place in the image that anyone knows of."""
        del original_from_tensor, image_size
        return result

    def lost(self, expected: Sequence[Tensors], got: Sequence[Tensors]) -> float:
        """See ``Task.lost``: of the output that is off most; rows that a layer within chose have no order."""
        chosen = frozenset(self.selected)
        return float(np.mean([unexplained_variance(a, b, chosen) for a, b in zip(expected, got, strict=True)]))

    def comparison(
        self, stage: str, *, device: DeviceRecord | None = None, onnx: Path | None = None
    ) -> TensorAgreement:
        """See ``Task.comparison``."""
        del device, onnx
        return TensorAgreement(stage, probabilities=frozenset(self.probabilities), selected=frozenset(self.selected))
