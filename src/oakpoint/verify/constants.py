"""Weights compared value by value along the chain: what no image can show, a flipped bit in an unimportant weight.

Tools fold: they compute with constants, drop those that nothing uses, and name what they made as they like. So tensors
are compared by value, and only evidence accuses: a tensor that is nearly another, one that has another's name and size
and not its values, or a convolution whose weights nothing explains. What was folded away is no evidence of anything; it
lowers the share of the weights that could be compared.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from oakpoint.convert.ir_from_onnx import (
    GraphConstant,
    folded_constants,
    ir_constants,
    ir_input_shapes,
    is_of_this_openvino,
)
from oakpoint.errors import ConversionError

MIN_SIZE = 2
"""Single numbers (axes, exponents, epsilons) are the runtimes' own business."""

NEAR = 0.5
"""A tensor is another one altered where at least this share of its values is the same, bit for bit."""

Array = NDArray[Any]
Roundings = Callable[[Array], Iterable[Array]]


def onnx_weights(path: Path) -> dict[str, Array]:
    """The floating-point constants of an ONNX file, initialisers and ``Constant`` nodes, by name.

    Raises:
        ConversionError: no ONNX file, or a damaged one.
    """
    model = _read(path)
    return {name: array for name, array in _constants(model.graph).items() if _is_weight(array)}


def _read(path: Path) -> onnx.ModelProto:
    try:
        return onnx.load(path)
    except Exception as error:
        raise ConversionError(f"{path}: not an ONNX file that can be read ({type(error).__name__})") from error


def _constants(graph: onnx.GraphProto) -> dict[str, Array]:
    try:
        arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        for node in graph.node:
            for attribute in node.attribute:
                if node.op_type == "Constant" and attribute.name == "value":
                    arrays[node.output[0]] = numpy_helper.to_array(attribute.t)
    except Exception as error:
        raise ConversionError(f"the ONNX holds a tensor that cannot be read ({type(error).__name__})") from error
    return arrays


def _is_weight(array: Array) -> bool:
    return bool(np.issubdtype(array.dtype, np.floating) and array.size >= MIN_SIZE)


Norm = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Factor and shift (C,) of a batch norm."""

FOLDED_TOLERANCE = 1e-5
"""Relative to a tensor's largest value: float32 products of weights and a batch norm's factor, rounded elsewhere."""


def share_equal_by_name(expected: Mapping[str, Array], path: Path, norms: Sequence[Norm] = ()) -> float:
    """Share of the network's tensors that stand in the ONNX file under their name, bit for bit.

    The exporter folds a batch norm into the convolution before it, transposed or not, and keeps the convolution's
    names: such a tensor counts when it is the network's times the factor of one of the norms, to ``FOLDED_TOLERANCE``.
    Tensors without a counterpart of their size do not count; NaN when none has one.
    """
    shared, differing = compare_by_name(expected, path, norms)
    return 1 - len(differing) / shared if shared else float("nan")


def compare_by_name(
    expected: Mapping[str, Array], path: Path, norms: Sequence[Norm] = ()
) -> tuple[int, tuple[str, ...]]:
    """How many of the network's tensors have one of their name and size in the ONNX file, and which of them differ.

    See ``share_equal_by_name``.
    """
    found = onnx_weights(path)
    shared = [name for name in expected if name in found and found[name].size == expected[name].size]
    same = {
        name
        for name in shared
        if found[name].tobytes() == expected[name].astype(found[name].dtype).tobytes()
        or any(_is_folded(found[name], expected[name], norm) for norm in norms)
    }
    return len(shared), tuple(name for name in shared if name not in same)


def _is_folded(found: Array, expected: Array, norm: Norm) -> bool:
    factor, shift = norm
    if found.shape != expected.shape:
        return False
    if expected.ndim == 1:
        candidates = [expected * factor + shift] if expected.shape == factor.shape else []
    else:
        candidates = [expected * factors for factors in _factors_for(expected.shape, factor)]
    return any(bool(np.abs(found - c).max() <= FOLDED_TOLERANCE * np.abs(c).max()) for c in candidates)


def _factors_for(shape: tuple[int, ...], factor: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """A factor for each output channel, in each place that ONNX knows for output channels of weights.

    Convolutions have them first; transposed ones, and matrices, second, within each group of input channels.
    """
    rest = [1] * (len(shape) - 2)
    factors = [factor.reshape(-1, 1, *rest)] if shape[0] == len(factor) else []
    groups = len(factor) // shape[1]
    if groups * shape[1] == len(factor) and groups and shape[0] % groups == 0:
        rows = factor.reshape(groups, shape[1]).repeat(shape[0] // groups, axis=0)
        factors.append(rows.reshape(shape[0], shape[1], *rest))
    return factors


@dataclass(frozen=True, slots=True)
class Comparison:
    """What became of the constants of one form of a model in the next.

    Attributes:
        equal: how many stand there as they should.
        altered: names of those that stand there with other values.
        folded: names of those that have no counterpart.
    """

    equal: int
    altered: tuple[str, ...]
    folded: tuple[str, ...]


def compare_constants(
    expected: Sequence[GraphConstant],
    found: Sequence[GraphConstant],
    roundings: Roundings,
    *,
    same_tool: bool = True,
) -> Comparison:
    """Match constants by value, then look among what is left for evidence of alteration.

    Args:
        expected: of the model that is believed.
        found: of the model that is judged.
        roundings: the forms in which an array may be stored in the other model.
        same_tool: whether both models were folded by the same tool, so that constants of one name or use correspond.
    """
    places: dict[bytes, list[int]] = defaultdict(list)
    for index, constant in enumerate(found):
        places[_digest(constant.values)].append(index)
    left = dict(enumerate(found))
    missing = []
    for constant in expected:
        hits = (places[digest] for digest in map(_digest, roundings(constant.values)) if places[digest])
        indices = next(iter(hits), None)
        if indices is None:
            missing.append(constant)
        else:
            del left[indices.pop()]
    altered, folded = [], []
    for constant in missing:
        place = next((i for i, o in left.items() if _is_altered(constant, o, roundings, same_tool=same_tool)), None)
        if place is None:
            folded.append(constant.name)
        else:
            altered.append(constant.name)
            del left[place]
    return Comparison(len(expected) - len(missing), tuple(altered), tuple(folded))


def _is_altered(expected: GraphConstant, found: GraphConstant, roundings: Roundings, *, same_tool: bool) -> bool:
    """Whether a constant without an equal is another one that has none, with other values."""
    if expected.values.size != found.values.size:
        return False
    if same_tool and (expected.name == found.name or (expected.weighs and found.weighs)):
        return True
    return any(
        rounded.dtype == found.values.dtype and _share_in_common(rounded, found.values) >= NEAR
        for rounded in roundings(expected.values)
    )


def _share_in_common(expected: Array, found: Array) -> float:
    """Share of equal values where they tell something: not where both have the commonest one, zeros mostly."""
    words = np.dtype(f"u{expected.dtype.itemsize}")
    first, second = (np.ascontiguousarray(array).reshape(-1).view(words) for array in (expected, found))
    numbers, counts = np.unique(first, return_counts=True)
    commonest = numbers[counts.argmax()] if counts.max(initial=0) > 1 else None
    telling = first != commonest if commonest is not None else np.ones(first.shape, np.bool_)
    return float((first == second)[telling].mean()) if telling.any() else 0.0


@dataclass(frozen=True, slots=True)
class IrConstants:
    """How the constants of an IR stand to those of its ONNX file.

    Attributes:
        share_equal: of the constants with a counterpart in the IR; NaN where none has one.
        share_compared: of the file's weights, those that OpenVINO stores as they are; it folds the others.
        altered: names of the constants that the IR holds with other values.
    """

    share_equal: float
    share_compared: float
    altered: tuple[str, ...] = ()


def compare_ir_constants(onnx_path: Path, xml: Path) -> IrConstants:
    """Look whether an IR holds its ONNX file's constants, each rounded once to FP16 (or unrounded).

    Two steps: what OpenVINO reads, folded for the IR's size and before anything is rounded, has to hold the file's own
    values where operators take them as they are; and the IR has to hold what was read.

    Raises:
        ConversionError: one of the two cannot be read.
    """
    own = _used_as_they_are(_read(onnx_path).graph)
    weights = [GraphConstant(name, array, weighs=False) for name, array in own.items()]
    read = folded_constants(onnx_path, ir_input_shapes(xml))
    taken = compare_constants(weights, read, lambda array: (array,))
    stored = compare_constants(read, ir_constants(xml), _stored_forms, same_tool=is_of_this_openvino(xml))
    altered = (*taken.altered, *stored.altered)
    compared = stored.equal + len(altered)
    return IrConstants(
        share_equal=stored.equal / compared if compared else float("nan"),
        share_compared=taken.equal / len(weights) if weights else float("nan"),
        altered=altered,
    )


def _used_as_they_are(graph: onnx.GraphProto) -> dict[str, Array]:
    """The weights that an operator with other inputs than constants takes: no tool has a reason to change them."""
    constants = _constants(graph)
    known = set(constants)
    taken: set[str] = set()
    for node in graph.node:
        inputs = {name for name in node.input if name}
        if inputs and inputs <= known:
            known.update(node.output)
        else:
            taken |= inputs & constants.keys()
    return {name: constants[name] for name in taken if _is_weight(constants[name])}


def _stored_forms(array: Array) -> Iterable[Array]:
    if np.issubdtype(array.dtype, np.floating):
        with np.errstate(over="ignore"):
            yield array.astype(np.float16)
        yield array.astype(np.float32)
    yield array


def _digest(array: Array) -> bytes:
    """Of type and values, not of the shape: runtimes add dimensions of size 1 to biases."""
    return hashlib.sha256(str(array.dtype).encode() + np.ascontiguousarray(array).tobytes()).digest()
