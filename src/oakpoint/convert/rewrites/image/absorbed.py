"""Layers with weights of their own, which take scale and shift of an image in."""

from __future__ import annotations

import math

import numpy as np
import onnx

from oakpoint.convert.graph_edit import attributes_of
from oakpoint.convert.rewrites.base import label
from oakpoint.convert.rewrites.image.carried import CARRIED, Handler
from oakpoint.convert.rewrites.image.form import Array, Form
from oakpoint.convert.rewrites.image.walk import Walk
from oakpoint.fp16 import LARGEST


def convolved(walk: Walk, node: onnx.NodeProto) -> bool:
    """A convolution: the scale goes into its weights, the shift into its bias.

    Where it pads, the shift cannot: the zeros around are the host's, not the image's black. The mean is then
    subtracted first.
    """
    ready = _ready(walk, node, needs_zero=_pads(attributes_of(node)))
    if ready is None:
        return False
    found, weights, bias = ready
    channels, groups = found.host_shape[1], int(attributes_of(node).get("group", 1))
    if weights.shape[1] * groups != channels:
        return False
    scale, shift = (_by_output(values, groups, weights) for values in found.along(1))
    exact = weights.astype(np.float64)
    scaled = exact * scale
    if found.shape[1] != channels:  # every channel is a copy of one
        scaled = scaled.sum(1, keepdims=True)
        _set_group(node, 1)
    node.input[0] = found.tensor
    _set_weights(walk, node, scaled, weights)
    if shift.any():
        added = (exact * shift).sum(tuple(range(1, weights.ndim)))
        walk.set_constant(node, 2, added + (0 if bias is None else bias), weights.dtype)
    return _done(walk, node, found)


def deconvolved(walk: Walk, node: onnx.NodeProto) -> bool:
    """A transposed convolution: the scale goes into its weights; a shift would not be the same everywhere."""
    ready = _ready(walk, node, needs_zero=True)
    if ready is None:
        return False
    found, weights, _ = ready
    found = walk.whole(found)
    scale, _ = found.along(1)
    node.input[0] = found.tensor
    scaled = weights.astype(np.float64) * scale.reshape(-1, *(1,) * (weights.ndim - 1))
    _set_weights(walk, node, scaled, weights)
    return _done(walk, node, found)


def multiplied(walk: Walk, node: onnx.NodeProto) -> bool:
    """A matrix behind: scale into its rows, shift into the sum."""
    found, constants = walk.forms[node.input[0]], _operands(walk, node)
    rank = len(found.shape)
    if constants is None or rank < 2 or not found.is_constant_along(tuple(range(rank - 1))):
        return False
    attributes = attributes_of(node)
    weights, summand = constants[0], constants[1] if len(constants) > 1 else None
    if weights is None or weights.ndim != 2 or attributes.get("transA", 0) or attributes.get("beta", 1.0) == 0:
        return False
    rows = weights.T if attributes.get("transB", 0) else weights
    scale, shift = found.along(rank - 1)
    found = walk.whole(found)
    node.input[0] = found.tensor
    scaled = rows.astype(np.float64) * scale[:, np.newaxis]
    added = shift @ rows.astype(np.float64)
    _set_weights(walk, node, scaled.T if attributes.get("transB", 0) else scaled, weights)
    if not shift.any():
        return _done(walk, node, found)
    if node.op_type == "Gemm":
        added = added * attributes.get("alpha", 1.0) / attributes.get("beta", 1.0)
        walk.set_constant(node, 2, added + (0 if summand is None else summand), weights.dtype)
        return _done(walk, node, found)
    output, node.output[0] = node.output[0], walk.free_name(f"{node.output[0]}_product")
    _done(walk, node, found)
    sums = walk.add_constant(added, output)
    walk.nodes.append(onnx.helper.make_node("Add", [node.output[0], sums], [output], name=f"{output}_shifted"))
    return True


def normalised_by_instance(walk: Walk, node: onnx.NodeProto) -> bool:
    """An instance norm does not see scale and shift but in its epsilon; levels must not be squared beyond FP16."""
    found, constants = walk.forms[node.input[0]], walk.constants(node)
    axes = (0, *range(2, len(found.shape)))
    if constants is None or not found.is_constant_along(axes) or found.scale.size != 1 or not found.is_positive:
        return False
    if walk.spans.get(found.tensor, math.inf) ** 2 > LARGEST:
        return False
    epsilon = attributes_of(node).get("epsilon", 1e-5) / float(found.scale.ravel()[0]) ** 2
    kept = [attribute for attribute in node.attribute if attribute.name != "epsilon"]
    del node.attribute[:]
    node.attribute.extend([*kept, onnx.helper.make_attribute("epsilon", epsilon)])
    found = walk.whole(found)
    node.input[0] = found.tensor
    return _done(walk, node, found)


HANDLERS: dict[str, Handler] = {
    **CARRIED,
    "Conv": convolved,
    "ConvTranspose": deconvolved,
    "Gemm": multiplied,
    "MatMul": multiplied,
    "InstanceNormalization": normalised_by_instance,
}


def _operands(walk: Walk, node: onnx.NodeProto) -> list[Array | None] | None:
    """The constants of a layer whose first input alone is made of levels."""
    return walk.constants(node) if node.input[0] in walk.forms else None


def _ready(walk: Walk, node: onnx.NodeProto, *, needs_zero: bool) -> tuple[Form, Array, Array | None] | None:
    """The levels with what a layer needs of them, its weights, its bias; None where they cannot be had."""
    constants = _operands(walk, node)
    if constants is None or constants[0] is None:
        return None
    found = walk.forms[node.input[0]]
    axes = (0, *range(2, len(found.shape)))
    if len(found.shape) < 3 or not found.is_constant_along(axes):
        return None
    if needs_zero and found.shift.any():
        if not walk.can_centre(found):
            return None
        found = walk.centred(node.input[0], label(node))
    if any(found.shape[axis] != found.host_shape[axis] for axis in axes):
        found = walk.whole(found)
    return found, constants[0], constants[1] if len(constants) > 1 else None


def _pads(attributes: dict[str, object]) -> bool:
    pads = attributes.get("pads", ())
    by_rule = attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID")
    return by_rule or any(pads if isinstance(pads, (list, tuple)) else ())


def _by_output(values: Array, groups: int, weights: Array) -> Array:
    """Values of the input's channels as each output channel sees those of its group, to multiply weights with."""
    rows = np.repeat(values.reshape(groups, -1), weights.shape[0] // groups, axis=0)
    return rows.reshape(*rows.shape, *(1,) * (weights.ndim - 2))


def _set_group(node: onnx.NodeProto, groups: int) -> None:
    for attribute in node.attribute:
        if attribute.name == "group":
            attribute.i = groups


def _set_weights(walk: Walk, node: onnx.NodeProto, scaled: Array, weights: Array) -> None:
    if scaled.shape != weights.shape or (scaled != weights).any():
        walk.set_constant(node, 1, scaled)


def _done(walk: Walk, node: onnx.NodeProto, found: Form) -> bool:
    walk.nodes.append(node)
    if not found.is_plain:
        walk.touched.append(label(node))
    return True
