"""Which numbers the layers of a network give on images, and what FP16 makes of them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from oakpoint.backends.onnxruntime import OnnxRuntimeBackend
from oakpoint.convert.graph_edit import inferred_values
from oakpoint.convert.split.parts import shape_of
from oakpoint.fp16 import LARGEST, SMALLEST, SMALLEST_NORMAL
from oakpoint.layers.portions import portions

_CHUNK_BYTES: Final = 512 * 2**20
"""Of tensors that are looked at in one run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """What a tensor, or all that a layer gives, holds on images, in float32.

    Attributes:
        largest: the largest finite magnitude.
        below_normal: share of the values other than 0 that are smaller than FP16's smallest normal number.
        below_smallest: share of them that are smaller than its smallest number of all.
        not_finite: how many values are no finite numbers in float32 already.
        values: how many were looked at, 0 among them not.
    """

    largest: float = 0.0
    below_normal: float = 0.0
    below_smallest: float = 0.0
    not_finite: int = 0
    values: int = 0

    @property
    def overflows(self) -> bool:
        """Whether FP16 makes an infinity of a value that is none."""
        return self.largest > LARGEST

    def with_other(self, other: Range) -> Range:
        """Both taken together."""
        values = self.values + other.values
        mine, theirs = (self.values / values, other.values / values) if values else (0.0, 0.0)
        return Range(
            largest=max(self.largest, other.largest),
            below_normal=mine * self.below_normal + theirs * other.below_normal,
            below_smallest=mine * self.below_smallest + theirs * other.below_smallest,
            not_finite=self.not_finite + other.not_finite,
            values=values,
        )


def constants_of(model: onnx.ModelProto) -> Iterator[tuple[str, NDArray[Any]]]:
    """The constants of float32 of a graph, with their names, whether they are initialisers or layers."""
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            yield tensor.name, numpy_helper.to_array(tensor)
    for node in model.graph.node:
        held = next((a.t for a in node.attribute if node.op_type == "Constant" and a.name == "value"), None)
        if held is not None and held.data_type == TensorProto.FLOAT:
            yield node.output[0], numpy_helper.to_array(held)


def range_of(array: NDArray[Any]) -> Range:
    """The range of the values of an array."""
    magnitudes = np.abs(array)
    if not np.isfinite(largest := magnitudes.max(initial=0.0)):
        magnitudes = magnitudes[np.isfinite(magnitudes)]
        largest = magnitudes.max(initial=0.0)
    count = int(np.count_nonzero(magnitudes))
    zeros = magnitudes.size - count
    return Range(
        largest=float(largest),
        below_normal=float(np.count_nonzero(magnitudes < SMALLEST_NORMAL) - zeros) / count if count else 0.0,
        below_smallest=float(np.count_nonzero(magnitudes < SMALLEST) - zeros) / count if count else 0.0,
        not_finite=array.size - magnitudes.size,
        values=count,
    )


@dataclass(frozen=True, slots=True)
class Ranges:
    """What was measured.

    Attributes:
        tensors: range of each floating-point tensor that a layer gives, by name.
        squared_norms: the largest sum of squares along an axis of the tensors that were asked for.
        images: how many were looked at.
    """

    tensors: Mapping[str, Range]
    squared_norms: Mapping[str, float]
    images: int


def measured_ranges(
    model: onnx.ModelProto,
    feeds: Sequence[Callable[[], Mapping[str, NDArray[Any]]]],
    *,
    norms_of: Mapping[str, int] | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Ranges:
    """Run a network in ONNX Runtime, and look at all that its layers give.

    Tensors are looked at in portions, so that memory stays bounded; each portion is a run of its own.

    Args:
        model: with float32 tensors and static shapes; left unchanged.
        feeds: each makes the inputs for one image.
        norms_of: tensors whose vectors' squared norms are wanted: name → the axis along which a vector lies.
        progress: told before each portion.

    Raises:
        BackendError: ONNX Runtime does not run it.
    """
    values = inferred_values(model)
    wanted = [name for node in model.graph.node for name in node.output if name and _is_float(values.get(name))]
    tensors: dict[str, Range] = {}
    axes = norms_of or {}
    norms = dict.fromkeys(axes, 0.0)
    shapes = {name: shape_of(values[name]) or (0,) for name in wanted}
    parts = portions(wanted, shapes, _CHUNK_BYTES)
    with tempfile.TemporaryDirectory(prefix="oakpoint-ranges-") as scratch:
        for number, portion in enumerate(parts, start=1):
            progress(f"ranges: {len(feeds)} images, portion {number} of {len(parts)}")
            path = Path(scratch) / f"{number}.onnx"
            onnx.save(_giving(model, portion, values), path)
            with OnnxRuntimeBackend(path) as backend:
                for feed in feeds:
                    for name, array in backend.run(feed()).items():
                        tensors[name] = tensors.get(name, Range()).with_other(range_of(array))
                        if name in norms and array.ndim > 1:
                            squared = np.square(array, dtype=np.float64).sum(axis=axes[name])
                            norms[name] = max(norms[name], float(squared.max(initial=0.0)))
            path.unlink()
    return Ranges({name: tensors[name] for name in wanted}, {name: n for name, n in norms.items() if n}, len(feeds))


def _is_float(value: onnx.ValueInfoProto | None) -> bool:
    return value is not None and value.type.tensor_type.elem_type == TensorProto.FLOAT


def _giving(model: onnx.ModelProto, names: Sequence[str], values: Mapping[str, onnx.ValueInfoProto]) -> onnx.ModelProto:
    """The network with these tensors as its outputs."""
    giving = onnx.ModelProto.FromString(model.SerializeToString())
    del giving.graph.output[:]
    giving.graph.output.extend(values[name] for name in names)
    return giving
