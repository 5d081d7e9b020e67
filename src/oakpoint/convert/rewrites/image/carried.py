"""Operators that scale and shift of an image can be taken through, to a layer behind that takes them in.

Each handler returns whether it dealt with its operator; where it did not, nothing was changed, and the operator gets
the host's values by layers of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from oakpoint.convert.graph_edit import attributes_of
from oakpoint.convert.rewrites.base import label
from oakpoint.convert.rewrites.image.form import Array, Form, Shape, form
from oakpoint.convert.rewrites.image.walk import Walk
from oakpoint.fp16 import LARGEST

Handler = Callable[[Walk, onnx.NodeProto], bool]

_FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16}
_SUM_POOLS = {"AveragePool", "GlobalAveragePool", "ReduceMean"}


def same(walk: Walk, node: onnx.NodeProto) -> bool:
    """The device's tensor goes on as it is: nothing is left of the operator."""
    if node.op_type == "Cast" and attributes_of(node)["to"] not in _FLOATS:
        return False
    if any(node.output[1:]) or len(node.input) > 2:  # a dropout that is told whether it trains
        return False
    walk.forms[node.output[0]] = walk.forms[node.input[0]]
    return True


def moved(walk: Walk, node: onnx.NodeProto) -> bool:
    """An operator that takes values elsewhere, or several times, and calculates nothing: scale and shift go along."""
    found, shapes = walk.forms[node.input[0]], _shapes_of_outputs(walk, node)
    if shapes is None or walk.constants(node) is None or _touches_more(walk, node):
        return False
    if found.is_uniform:
        moves = [(_as_rank(found.scale, len(shape)), _as_rank(found.shift, len(shape))) for shape in shapes]
    else:
        parts = [_evaluated(walk, node, [values], found.host_shape) for values in (found.scale, found.shift)]
        moves = list(zip(*parts, strict=True))
    source = walk.whole(found).tensor
    node.input[0] = source
    walk.keep(node, *(form(o, s, s, *m) for o, s, m in zip(node.output, shapes, moves, strict=True)))
    return True


def transposed(walk: Walk, node: onnx.NodeProto) -> bool:
    """A transposition; one that undoes the one before it goes, as in networks that take channels last."""
    found = walk.forms[node.input[0]]
    before = next((n for n in walk.nodes if n.op_type == "Transpose" and n.output[0] == found.tensor), None)
    if before is None or not found.is_whole or before.input[0] not in walk.shapes:
        return moved(walk, node)
    first, second = (attributes_of(n).get("perm", list(range(len(found.shape)))[::-1]) for n in (before, node))
    if [first[axis] for axis in second] != sorted(first):
        return moved(walk, node)
    shape = walk.shapes[before.input[0]]
    scale, shift = (values.transpose(second) for values in (found.scale, found.shift))
    walk.forms[node.output[0]] = form(before.input[0], shape, shape, scale, shift)
    return True


def expanded(walk: Walk, node: onnx.NodeProto) -> bool:
    """Copies along axes of size 1 are left to whoever reads them; a convolution adds up its weights instead."""
    found, shapes = walk.forms[node.input[0]], _shapes_of_outputs(walk, node)
    if shapes is None or walk.constants(node) is None or _touches_more(walk, node):
        return False
    shape = shapes[0]
    if len(shape) != len(found.shape):
        return False
    if any(old not in (1, new) for old, new in zip(found.host_shape, shape, strict=True)):
        return node.op_type == "Tile" and moved(walk, node)
    walk.forms[node.output[0]] = Form(found.tensor, found.shape, shape, found.scale, found.shift)
    return True


def concatenated(walk: Walk, node: onnx.NodeProto) -> bool:
    """Levels beside each other, or beside something else; copies of one channel stay one."""
    shapes = _shapes_of_outputs(walk, node)
    parts = [_form_of(walk, name) for name in node.input]
    if shapes is None or any(part is None for part in parts):
        return False
    known = [part for part in parts if part is not None]
    axis = attributes_of(node)["axis"] % len(shapes[0])
    scale, shift = (_joined([getattr(part, values) for part in known], [p.host_shape[axis] for p in known], axis)
                    for values in ("scale", "shift"))  # fmt: skip
    first = known[0]
    if all(part.tensor == first.tensor and part.shape[axis] == 1 for part in known):
        walk.forms[node.output[0]] = form(first.tensor, first.shape, shapes[0], scale, shift)
        return True
    node.input[:] = [walk.whole(part).tensor for part in known]
    walk.keep(node, form(node.output[0], shapes[0], shapes[0], scale, shift))
    return True


def padded(walk: Walk, node: onnx.NodeProto) -> bool:
    """A border: of pixels, or of a value, which is then that value's level."""
    found, shapes, constants = walk.forms[node.input[0]], _shapes_of_outputs(walk, node), walk.constants(node)
    if attributes_of(node).get("mode", b"constant") != b"constant":
        return moved(walk, node)
    if shapes is None or constants is None or constants[0] is None or len(constants) > 2 or _touches_more(walk, node):
        return False
    value = 0.0 if len(constants) < 2 or constants[1] is None else float(constants[1].ravel()[0])
    pads = constants[0].reshape(2, -1)
    axes = tuple(int(axis) for axis in np.flatnonzero(pads.any(0)))
    if not found.is_constant_along(axes) or not (found.scale != 0).all():
        return False
    levels = (value - found.shift) / found.scale
    if (levels != levels.ravel()[0]).any():
        if value or not walk.can_centre(found):
            return False
        found, levels = walk.centred(node.input[0], label(node)), np.zeros(1)
    if abs(level := float(levels.ravel()[0])) > LARGEST:
        return False
    node.input[0] = walk.whole(found).tensor
    if level != value:
        del node.input[2:]
        node.input.append(walk.add_constant(np.array(level), node.output[0]))
    walk.keep(node, form(node.output[0], shapes[0], shapes[0], found.scale, found.shift))
    return True


def with_constant(walk: Walk, node: onnx.NodeProto) -> bool:
    """A constant that is added, subtracted, multiplied or divided by goes into scale and shift."""
    names = list(node.input)
    at = next(index for index, name in enumerate(names) if name in walk.forms)
    if len(names) == 2 and names[1 - at] in walk.forms:
        return _two(walk, node)
    found = walk.forms[names[at]]
    value = walk.constant(names[1 - at]) if len(names) == 2 else np.zeros(())
    shape = walk.shapes.get(node.output[0])
    if value is None or shape is None or len(shape) != len(found.shape) or (node.op_type == "Div" and at == 1):
        return False
    other = value.astype(np.float64).reshape((1,) * (len(shape) - value.ndim) + value.shape)
    scale, shift = found.scale, found.shift
    if node.op_type == "Neg" or (node.op_type == "Sub" and at == 1):
        scale, shift = -scale, other - shift
    elif node.op_type in ("Add", "Sub"):
        shift = shift + (other if node.op_type == "Add" else -other)
    else:
        factor = other if node.op_type == "Mul" else 1 / other if other.all() else np.full(1, np.nan)
        scale, shift = scale * factor, shift * factor
    if not (np.isfinite(scale).all() and np.isfinite(shift).all()):
        return False
    walk.forms[node.output[0]] = form(found.tensor, found.shape, shape, scale, shift)
    return True


def _two(walk: Walk, node: onnx.NodeProto) -> bool:
    """The sum or difference of two tensors of levels with the same scale."""
    first, second = (walk.forms[name] for name in node.input)
    shape = walk.shapes.get(node.output[0])
    if node.op_type not in ("Add", "Sub") or shape is None or not len(first.shape) == len(second.shape) == len(shape):
        return False
    if first.scale.shape != second.scale.shape or (first.scale != second.scale).any():
        return False
    shift = first.shift + second.shift if node.op_type == "Add" else first.shift - second.shift
    node.input[:] = [first.tensor, second.tensor]
    walk.keep(node, form(node.output[0], np.broadcast_shapes(first.shape, second.shape), shape, first.scale, shift))
    return True


def normalised_by_batch(walk: Walk, node: onnx.NodeProto) -> bool:
    """A batch norm with constants is a scale and a shift itself."""
    constants = walk.constants(node)
    if constants is None or len(constants) != 4 or attributes_of(node).get("training_mode", 0):
        return False
    found = walk.forms[node.input[0]]
    each = (1, -1, *(1,) * (len(found.shape) - 2))
    gamma, beta, mean, variance = (np.asarray(values, np.float64).reshape(each) for values in constants)
    factor = gamma / np.sqrt(variance + attributes_of(node).get("epsilon", 1e-5))
    scale, shift = found.scale * factor, (found.shift - mean) * factor + beta
    walk.forms[node.output[0]] = form(found.tensor, found.shape, found.host_shape, scale, shift)
    return True


def pooled(walk: Walk, node: onnx.NodeProto) -> bool:
    """Averages and maxima; an average that counts a border of zeros needs them to be zero on the device, too."""
    found, shapes, attributes = walk.forms[node.input[0]], _shapes_of_outputs(walk, node), attributes_of(node)
    if shapes is None or len(node.output) != 1 or len(node.input) != 1:
        return False
    axes = _reduced_axes(node, attributes, len(found.shape))
    if not found.is_constant_along(axes) or (node.op_type not in _SUM_POOLS and not found.is_positive):
        return False
    if node.op_type == "AveragePool" and found.shift.any() and _counts_border(attributes):
        if not walk.can_centre(found):
            return False
        found = walk.centred(node.input[0], label(node))
    if any(found.shape[axis] != found.host_shape[axis] for axis in axes) or len(shapes[0]) != len(found.shape):
        found = walk.whole(found)
    return _kept_on_axes(walk, node, found, shapes[0], axes)


def _kept_on_axes(walk: Walk, node: onnx.NodeProto, found: Form, shape: Shape, axes: tuple[int, ...]) -> bool:
    scale, shift = found.scale, found.shift
    if len(shape) != len(found.shape):  # the reduced axes are gone
        scale, shift = scale.squeeze(axes), shift.squeeze(axes)
        own = shape
    else:
        own = tuple(shape[axis] if axis in axes else size for axis, size in enumerate(found.shape))
    node.input[0] = found.tensor
    walk.keep(node, form(node.output[0], own, shape, scale, shift))
    return True


def resized(walk: Walk, node: onnx.NodeProto) -> bool:
    """Interpolation between levels: its weights add up to one, borders repeated."""
    found, shapes, attributes = walk.forms[node.input[0]], _shapes_of_outputs(walk, node), attributes_of(node)
    if shapes is None or walk.constants(node) is None or _touches_more(walk, node):
        return False
    axes = tuple(axis for axis, (a, b) in enumerate(zip(found.host_shape, shapes[0], strict=True)) if a != b)
    if attributes.get("coordinate_transformation_mode") == b"tf_crop_and_resize" or not found.is_constant_along(axes):
        return False
    node.input[0] = walk.whole(found).tensor
    walk.keep(node, form(node.output[0], shapes[0], shapes[0], found.scale, found.shift))
    return True


def rectified(walk: Walk, node: onnx.NodeProto) -> bool:
    """What only asks for the sign, of values that are not shifted."""
    found = walk.forms[node.input[0]]
    if found.shift.any() or not found.is_positive or walk.constants(node) is None:
        return False
    found = walk.whole(found) if len(node.input) > 1 else found
    node.input[0] = found.tensor
    walk.keep(node, Form(node.output[0], found.shape, found.host_shape, found.scale, found.shift))
    return True


def measured(walk: Walk, node: onnx.NodeProto) -> bool:
    """What asks for the size alone."""
    node.input[0] = walk.whole(walk.forms[node.input[0]]).tensor
    walk.nodes.append(node)
    return True


def clipped(walk: Walk, node: onnx.NodeProto) -> bool:
    """Limits, which become levels."""
    found, limits = walk.forms[node.input[0]], walk.constants(node)
    if limits is None or not found.is_uniform or not found.is_positive:
        return False
    levels = [None if limit is None else float(((limit - found.shift) / found.scale).ravel()[0]) for limit in limits]
    if any(level is not None and abs(level) > LARGEST for level in levels):
        return False
    added = ["" if level is None else walk.add_constant(np.array(level), node.output[0]) for level in levels]
    node.input[:] = [found.tensor, *added]
    walk.keep(node, Form(node.output[0], found.shape, found.host_shape, found.scale, found.shift))
    return True


CARRIED: dict[str, Handler] = {
    **dict.fromkeys(("Identity", "Dropout", "Cast"), same),
    **dict.fromkeys(
        ("Reshape", "Slice", "Split", "Squeeze", "Unsqueeze", "Flatten", "SpaceToDepth", "DepthToSpace", "Gather"),
        moved,
    ),
    "Transpose": transposed,
    **dict.fromkeys(("Expand", "Tile"), expanded),
    "Concat": concatenated,
    "Pad": padded,
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Neg"), with_constant),
    "BatchNormalization": normalised_by_batch,
    **dict.fromkeys(
        ("AveragePool", "GlobalAveragePool", "ReduceMean", "MaxPool", "GlobalMaxPool", "ReduceMax", "ReduceMin"), pooled
    ),
    "Resize": resized,
    **dict.fromkeys(("Relu", "LeakyRelu", "PRelu", "Abs"), rectified),
    "Clip": clipped,
    **dict.fromkeys(("Shape", "Size"), measured),
}

OF_ANY_INPUT = {"Concat", "Add", "Sub", "Mul", "Div"}
"""Operators that take levels in any place; others take them in the first, or get the host's values."""


def _shapes_of_outputs(walk: Walk, node: onnx.NodeProto) -> list[Shape] | None:
    shapes = [walk.shapes.get(name) for name in node.output]
    return None if None in shapes else [shape for shape in shapes if shape is not None]


def _touches_more(walk: Walk, node: onnx.NodeProto) -> bool:
    return any(name in walk.forms for name in node.input[1:])


def _form_of(walk: Walk, name: str) -> Form | None:
    """A tensor's form; one that the device computes as the host does has scale 1 and shift 0."""
    if name in walk.forms:
        return walk.forms[name]
    constant = walk.constant(name)
    shape = walk.shapes.get(name) if constant is None else constant.shape
    if shape is None:
        return None
    ones = np.ones((1,) * len(shape))
    return Form(name, shape, shape, ones, 0 * ones)


def _as_rank(values: Array, rank: int) -> Array:
    return values.reshape((1,) * rank)


def _joined(parts: list[Array], lengths: list[int], axis: int) -> Array:
    """Values of the parts of a concatenation, each of so many places along the axis."""
    shape = list(np.broadcast_shapes(*(tuple(np.delete(part.shape, axis)) for part in parts)))
    wanted = [(*shape[:axis], length, *shape[axis:]) for length in lengths]
    return np.concatenate([np.broadcast_to(part, to) for part, to in zip(parts, wanted, strict=True)], axis)


def _reduced_axes(node: onnx.NodeProto, attributes: dict[str, Any], rank: int) -> tuple[int, ...]:
    if node.op_type.startswith("Reduce"):
        return tuple(sorted(axis % rank for axis in attributes.get("axes", range(rank))))
    return tuple(range(2, rank))


def _counts_border(attributes: dict[str, Any]) -> bool:
    """Whether an average pool may count positions outside; by ``auto_pad`` or rounding up, to be safe."""
    outside = any(attributes.get("pads", ())) or attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID")
    return bool(attributes.get("count_include_pad", 0)) and (outside or bool(attributes.get("ceil_mode", 0)))


def _evaluated(walk: Walk, node: onnx.NodeProto, values: list[Array], shape: Shape) -> list[Array]:
    """What an operator that moves values makes of scale or shift, by the ONNX project's own reference."""
    constants = {name: walk.constant(name) for name in node.input[1:] if name}
    known = {name: value for name, value in constants.items() if value is not None}
    inputs = [helper.make_tensor_value_info(node.input[0], TensorProto.DOUBLE, shape)]
    inputs += [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for name, value in known.items()
    ]
    outputs = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, None) for name in node.output]
    graph = helper.make_graph([node], "moved", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    given = {node.input[0]: np.ascontiguousarray(np.broadcast_to(values[0], shape)), **known}
    return [np.asarray(result) for result in ReferenceEvaluator(model).run(None, given)]
