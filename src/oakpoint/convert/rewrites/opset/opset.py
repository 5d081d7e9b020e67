"""Operators in the words of the device's opset 13.

Whether a later version of an operator means the same is asked of ONNX's own schemas: a wider list of types is no other
meaning, an attribute at its default is none, an optional input that is not used is none. What the schemas cannot tell,
because it stands in the text alone, is in the small tables below, each entry with its reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import onnx
from onnx import AttributeProto, helper, numpy_helper

from oakpoint.convert.compatibility import REFUSED
from oakpoint.convert.graph_edit import static_sizes
from oakpoint.convert.rewrites.base import Rewrite, label, name_of
from oakpoint.errors import ConversionError, Finding, UnsupportedNetworkError

DEVICE_OPSET = 13
OLDEST_OPSET = 7
DEVICE_IR_VERSION = 7  # the ONNX file version that goes with opset 13

_MEANING_WITHOUT = {("RoiAlign", "coordinate_transformation_mode"): b"output_half_pixel"}
"""What an operator does at opset 13, where it lacks an attribute, if that is not the later attribute's default."""

_REMEDIES = {
    ("BatchNormalization", "training_mode"): "export the network in evaluation mode (eval())",
    ("Resize", "antialias"): "resize without antialias, or pool before it",
    ("Resize", "keep_aspect_ratio_policy"): "give the size that it comes to",
    ("AveragePool", "dilations"): "write it as a depthwise convolution with dilations, whose weights are all the same",
}
"""What helps where no export at opset 13 would: there is nothing of the kind."""

_FREE_TEXTS = {"equation", "activations"}
"""Attributes that are texts of any content: what they may hold cannot be read in a schema."""


def opset_of(model: onnx.ModelProto) -> int:
    """The version of ONNX's own operators in a model.

    Raises:
        ConversionError: it uses none.
    """
    for entry in model.opset_import:
        if entry.domain in ("", "ai.onnx"):
            return int(entry.version)
    raise ConversionError("expected a network of ONNX operators, got a model that imports none of their versions")


class DeviceOpset(Rewrite):
    """Restamp operators of later opsets that mean the same at opset 13; the others are findings."""

    name = "device-opset"

    def apply(self, model: onnx.ModelProto) -> Sequence[str]:
        """See ``Rewrite.apply``."""
        opset = opset_of(model)
        findings = [_of_another_domain(node) for node in model.graph.node if node.domain not in ("", "ai.onnx")]
        if opset > DEVICE_OPSET:
            facts = _Facts.of(model)
            for node in model.graph.node:
                if node.domain in ("", "ai.onnx"):
                    findings += restamp(node, opset, facts)
        if findings:
            raise UnsupportedNetworkError(findings)
        told = [label(node) for node in model.graph.node if opset >= DEVICE_OPSET and _say_changed_defaults(node)]
        if opset >= DEVICE_OPSET:  # an earlier one is not of this rewrite, see earlier_opsets
            del model.opset_import[:]
            model.opset_import.append(helper.make_opsetid("", DEVICE_OPSET))
            model.ir_version = DEVICE_IR_VERSION
        return (*([f"opset {opset}"] if opset > DEVICE_OPSET else []), *told)


def _say_changed_defaults(node: onnx.NodeProto) -> bool:
    """Write down an attribute that is left out, where its default was another before opset 13, in place.

    The compiler takes a softmax without an axis for one over axis 1, as it was until then.
    """
    given = {attribute.name for attribute in node.attribute}
    changed = [(name, value) for name, value in _changed_defaults(node.op_type) if name not in given]
    node.attribute.extend(helper.make_attribute(name, value) for name, value in changed)
    return bool(changed)


@cache
def _changed_defaults(operator: str) -> tuple[tuple[str, Any], ...]:
    """Attributes of an operator at opset 13 that had another default since opset 7, with the one at 13."""
    try:
        now = onnx.defs.get_schema(operator, DEVICE_OPSET)
    except onnx.defs.SchemaError:
        return ()
    before = [
        onnx.defs.get_schema(operator, opset)
        for opset in range(OLDEST_OPSET, DEVICE_OPSET)
        if onnx.defs.has(operator, opset)
    ]
    changed = []
    for name, known in now.attributes.items():
        defaults = [entry.attributes[name].default_value for entry in before if name in entry.attributes]
        if known.default_value.name and any(default != known.default_value for default in defaults):
            changed.append((name, helper.get_attribute_value(known.default_value)))
    return tuple(changed)


def _of_another_domain(node: onnx.NodeProto) -> Finding:
    remedy = (
        "export the network without an optimiser's or quantiser's fusions, before they put it in"
        if node.domain.startswith(("com.microsoft", "ai.onnxruntime"))
        else "write it with operators of ONNX"
    )
    problem = f"is of the domain {node.domain!r}, which the device's compiler does not know"
    return Finding(layer=name_of(node), operator=node.op_type, problem=problem, remedy=remedy)


@dataclass(frozen=True, slots=True)
class _Facts:
    """What is known of a graph's tensors beforehand."""

    sizes: dict[str, list[int] | None]
    constants: dict[str, onnx.TensorProto]

    @classmethod
    def of(cls, model: onnx.ModelProto) -> _Facts:
        return cls(static_sizes(model), {tensor.name: tensor for tensor in model.graph.initializer})


def restamp(node: onnx.NodeProto, opset: int, facts: _Facts) -> list[Finding]:
    """Say an operator in the words of opset 13, in place; what it says beyond them is a finding.

    Args:
        node: of a graph at ``opset``.
        opset: later than 13.
        facts: of its graph.
    """
    try:
        then = onnx.defs.get_schema(node.op_type, DEVICE_OPSET)
    except onnx.defs.SchemaError:
        if node.op_type in REFUSED:
            problem, remedy = REFUSED[node.op_type]
            return [Finding(layer=name_of(node), operator=node.op_type, problem=problem, remedy=remedy)]
        return [_finding(node, f"came with a later opset; the device's compiler knows those up to {DEVICE_OPSET}")]
    now = onnx.defs.get_schema(node.op_type, opset)
    if now.since_version == then.since_version:
        return []
    beyond = [f"input {now.inputs[min(place, len(now.inputs) - 1)].name!r}"
              for place, name in enumerate(node.input) if name and place >= then.max_input]  # fmt: skip
    beyond += [f"output {place}" for place, name in enumerate(node.output) if name and place >= then.max_output]
    given = {attribute.name for attribute in node.attribute}
    for attribute in list(node.attribute):
        if attribute.name in then.attributes:
            beyond += _unknown_text(attribute, then)
        elif _says_nothing(attribute, node, now, facts):
            node.attribute.remove(attribute)
        else:
            beyond.append(f"attribute {attribute.name!r}")
    beyond += _settle_defaults(node, given, now, then)
    if not beyond:
        return []
    known = [(name, _REMEDIES.get((node.op_type, name), "")) for name in sorted(given)]
    remedies = [remedy for name, remedy in known if remedy and f"attribute {name!r}" in beyond]
    problem = f"has a meaning that opset {DEVICE_OPSET} lacks ({', '.join(beyond)})"
    return [_finding(node, problem, "; ".join(remedies))]


def _finding(node: onnx.NodeProto, problem: str, remedy: str = "") -> Finding:
    remedy = remedy or f"write it with operators of opset {DEVICE_OPSET}, or export the network at opset {DEVICE_OPSET}"
    return Finding(layer=name_of(node), operator=node.op_type, problem=problem, remedy=remedy)


def _unknown_text(attribute: AttributeProto, then: Any) -> list[str]:
    """Values that came later: a schema says in its text alone which there are (``Pad``'s mode ``wrap``)."""
    if attribute.type != AttributeProto.STRING or attribute.name in _FREE_TEXTS:
        return []
    value = attribute.s.decode(errors="replace")
    told = then.doc + then.attributes[attribute.name].description
    default = then.attributes[attribute.name].default_value
    return [] if value in told or attribute.s == default.s else [f"{attribute.name} {value!r}"]


def _says_nothing(attribute: AttributeProto, node: onnx.NodeProto, now: Any, facts: _Facts) -> bool:
    """Whether an attribute that opset 13 lacks says no more than opset 13 does without it."""
    value = helper.get_attribute_value(attribute)
    if attribute.name == "allowzero":  # torch's exporter always sets it; it is about sizes of 0 alone
        shape = facts.constants.get(node.input[1])
        return not value or (shape is not None and bool(numpy_helper.to_array(shape).all()))
    if attribute.name == "num_outputs":
        return _even(node, facts.sizes.get(node.input[0]))
    if attribute.name == "dilations":
        return all(step == 1 for step in value)
    if attribute.name == "axes":  # of a resize: all of them, in order
        size = facts.sizes.get(node.input[0])
        return size is not None and [axis % len(size) for axis in value] == list(range(len(size)))
    if (node.op_type, attribute.name) in _MEANING_WITHOUT:
        return bool(value == _MEANING_WITHOUT[node.op_type, attribute.name])
    default = now.attributes[attribute.name].default_value
    return bool(default.name) and bool(value == helper.get_attribute_value(default))


def _even(node: onnx.NodeProto, size: list[int] | None) -> bool:
    """Whether a split into so many parts is into equal ones, as opset 13 does it."""
    axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
    return size is not None and size[axis] % len(node.output) == 0


def _settle_defaults(node: onnx.NodeProto, given: set[str], now: Any, then: Any) -> list[str]:
    """Write down an attribute that is left out where its default has changed since; what cannot be, is a finding."""
    beyond = []
    for name, known in now.attributes.items():
        if name in given or not known.default_value.name:
            continue
        value = helper.get_attribute_value(known.default_value)
        if name not in then.attributes:
            if value != _MEANING_WITHOUT.get((node.op_type, name), value):
                beyond.append(f"{name} {value.decode()!r}, its default")
            continue
        before = then.attributes[name].default_value
        if not before.name or helper.get_attribute_value(before) != value:
            node.attribute.append(helper.make_attribute(name, value))
    return beyond
