"""What follows from constants and from sizes, worked out beforehand.

Exporters write sizes as arithmetic (``Shape`` → ``Gather`` → ``Concat`` → ``Reshape``), grids as ``Range`` and
``Expand``. Once the inputs have a size, all of that is constant. Which part of a graph is constant is found here; what
it comes to is computed by ONNX Runtime, which runs the network on the host, too, so the numbers are those that it would
compute there. Nothing else of the graph is touched: weights, names and operators stay.

Compared on exports with size arithmetic, with tools that rewrite the whole graph: ONNX Runtime's own basic
optimisation and onnxslim fold as much, and fuse and rename on the way (batch norms into weights among it); onnxscript's
optimiser left shapes open that a ``Where`` chooses.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from oakpoint.convert.graph_edit import bypass, drop_unused, static_sizes
from oakpoint.convert.rewrites.base import Rewrite, label
from oakpoint.convert.rewrites.intake.one_form import Initialisers
from oakpoint.runtimes import importing

Array = NDArray[Any]

MAX_ELEMENTS = 2**26
"""Of a constant that is worked out beforehand: a file of a few bytes can ask for any number of them."""

_RANDOM = {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}

_OF_SIZE_ALONE = {"Shape", "Size"}


class FoldedConstants(Rewrite):
    """Replace what follows from constants and sizes by its value, and an ``If`` that is decided by its branch.

    Every value is the one that ONNX Runtime computes for the same operators.
    """

    name = "folded-constants"

    def apply(self, model: onnx.ModelProto) -> Sequence[str]:
        """See ``Rewrite.apply``."""
        touched: list[str] = []
        while folded := _fold_once(model):  # a size that is known makes further ones known
            touched += folded
        if touched:
            drop_unused(model.graph)
        return touched


def _fold_once(model: onnx.ModelProto) -> list[str]:
    graph = model.graph
    sizes = static_sizes(model)
    constants = {tensor.name: tensor for tensor in graph.initializer}
    known: dict[str, Array] = {}  # of size alone
    nodes: list[onnx.NodeProto] = []
    names, outputs = set(constants), {value.name for value in graph.output}
    for node in graph.node:
        if node.op_type in _OF_SIZE_ALONE and node.domain == "" and sizes.get(node.input[0]) is not None:
            known[node.output[0]] = _of_size(node, sizes[node.input[0]] or ())
        elif _is_constant(node, names, sizes) and not _gives_constant(node, outputs):
            nodes.append(node)
        else:
            continue
        names.update(node.output)
    touched = _decided(model, constants)
    if not nodes and not known:
        return touched
    given = {name: numpy_helper.to_array(constants[name]) for node in nodes for name in node.input if name in constants}
    values = known | _values(model, nodes, given | known)
    return touched + _put(graph, values)


def _is_constant(node: onnx.NodeProto, names: set[str], sizes: Mapping[str, list[int] | None]) -> bool:
    if node.domain not in ("", "ai.onnx") or node.op_type in _RANDOM or node.op_type == "Constant" or not node.input:
        return False
    if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
        return False
    made = [math.prod(size) for name in node.output if (size := sizes.get(name)) is not None]
    return all(not name or name in names for name in node.input) and max(made, default=0) <= MAX_ELEMENTS


def _gives_constant(node: onnx.NodeProto, outputs: set[str]) -> bool:
    """Whether this is what folding leaves of an output that is constant: an output has to come from an operator."""
    return node.op_type == "Identity" and node.output[0] in outputs


def _of_size(node: onnx.NodeProto, size: Sequence[int]) -> Array:
    if node.op_type == "Size":
        return np.array(math.prod(size), np.int64)
    ends = {attribute.name: attribute.i for attribute in node.attribute}
    return np.array(size[ends.get("start", 0) : ends.get("end", len(size))], np.int64)


def _values(model: onnx.ModelProto, nodes: list[onnx.NodeProto], given: Mapping[str, Array]) -> dict[str, Array]:
    """What constant operators give, by tensor; those that ONNX Runtime does not take are left out."""
    try:
        return _run(model, nodes, given)
    except Exception:  # noqa: BLE001 - of many kinds; one operator is no reason to leave the others
        found: dict[str, Array] = {}
    for node in nodes:
        if all(not name or name in given or name in found for name in node.input):
            try:
                found |= _run(model, [node], {**given, **found})
            except Exception:  # noqa: BLE001, S112 - what cannot be worked out stays as it is, and is judged there
                continue
    return found


def _run(model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto], given: Mapping[str, Array]) -> dict[str, Array]:
    if not nodes:
        return {}
    with importing("onnxruntime"):
        import onnxruntime
    wanted = [name for node in nodes for name in node.output if name]
    read = {name for node in nodes for name in node.input if name in given}
    graph = helper.make_graph(
        nodes,
        "constants",
        [],
        [onnx.ValueInfoProto(name=name) for name in wanted],
        [numpy_helper.from_array(given[name], name) for name in sorted(read)],
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    part = helper.make_model(graph, opset_imports=model.opset_import, ir_version=max(model.ir_version, 4))
    session = onnxruntime.InferenceSession(part.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return dict(zip(wanted, map(np.asarray, session.run(wanted, {})), strict=True))


def _put(graph: onnx.GraphProto, values: Mapping[str, Array]) -> list[str]:
    """Replace the operators that give these values by initialisers; an output of the graph stays one of an operator."""
    outputs = {value.name for value in graph.output}
    touched = []
    for node in list(graph.node):
        made = [name for name in node.output if name]
        if not made or not all(name in values for name in made):
            continue
        touched.append(label(node))
        graph.node.remove(node)
        for name in made:
            stored = f"{name}_folded" if name in outputs else name
            graph.initializer.append(numpy_helper.from_array(values[name], stored))
            if name in outputs:
                graph.node.append(helper.make_node("Identity", [stored], [name], name=node.name or stored))
    return touched


def _decided(model: onnx.ModelProto, constants: Mapping[str, onnx.TensorProto]) -> list[str]:
    """Replace every ``If`` whose condition is constant by the branch that it takes."""
    graph = model.graph
    touched = []
    for node in list(graph.node):
        if node.op_type != "If" or node.domain != "" or node.input[0] not in constants:
            continue
        chosen = "then_branch" if numpy_helper.to_array(constants[node.input[0]]).any() else "else_branch"
        branch = next(attribute.g for attribute in node.attribute if attribute.name == chosen)
        touched.append(label(node))
        _inline(graph, node, branch, f"{node.output[0]}_{chosen}")
    if touched:
        Initialisers().apply(model)  # constants of the branch are nodes still
    return touched


def _inline(graph: onnx.GraphProto, node: onnx.NodeProto, branch: onnx.GraphProto, prefix: str) -> None:
    """Put a branch in the place of its ``If``; its own tensors get names that no other branch has."""
    own = {name for part in branch.node for name in part.output if name} | {t.name for t in branch.initializer}
    names = {name: f"{prefix}_{name}" for name in own}
    place = list(graph.node).index(node)
    graph.node.remove(node)
    parts = [onnx.NodeProto.FromString(part.SerializeToString()) for part in branch.node]
    for part in parts:
        _rename(part, names)
    given = zip(branch.output, node.output, strict=True)
    parts += [
        helper.make_node("Identity", [names.get(v.name, v.name)], [made], name=f"{made}_chosen") for v, made in given
    ]
    for offset, part in enumerate(parts):
        graph.node.insert(place + offset, part)
    for tensor in branch.initializer:
        graph.initializer.append(numpy_helper.from_array(numpy_helper.to_array(tensor), names[tensor.name]))
    for part in list(graph.node):
        if part.op_type == "Identity" and part.name.endswith("_chosen"):
            bypass(graph, part)


def _rename(node: Any, names: Mapping[str, str]) -> None:
    node.input[:] = [names.get(name, name) for name in node.input]
    node.output[:] = [names.get(name, name) for name in node.output]
    for attribute in node.attribute:
        for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            own = {name for part in inner.node for name in part.output}
            for part in inner.node:
                _rename(part, {old: new for old, new in names.items() if old not in own})
            for output in inner.output:
                output.name = names.get(output.name, output.name) if output.name not in own else output.name
