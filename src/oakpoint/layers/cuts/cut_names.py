"""Where a user wants a network to be cut: names of layers, outputs and torch modules, as tensors."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

import onnx

from oakpoint.convert.graph_edit import names_read
from oakpoint.convert.split.parts import Parts
from oakpoint.errors import UsageError


def tensors_behind(
    names: Sequence[str], model: onnx.ModelProto, parts: Parts, modules: Mapping[str, str]
) -> tuple[str, ...]:
    """What the named layers give: what goes to the host where a network is cut behind them.

    Args:
        names: each of a layer, of one of its outputs, or of a torch module, whose last layers are meant.
        model: the network as the user has it.
        parts: the same at fixed sizes, where some layers may be constant.
        modules: the path of a layer's torch module by its first output.

    Raises:
        UsageError: an unknown name, or a layer whose outputs do not hang on the image.
    """
    found: dict[str, None] = {}
    computed = parts.producers()
    for name in names:
        tensors = _of_layer(name, model) or _of_module(name, model, modules)
        if not tensors:
            raise UsageError(f"split: {name} is no layer, output or module of the network{_near(name, model, modules)}")
        if not (there := [tensor for tensor in tensors if tensor in computed]):
            raise UsageError(f"split: {name} does not hang on the image at this size, so it cannot be cut behind it")
        found |= dict.fromkeys(there)
    return tuple(found)


def _of_layer(name: str, model: onnx.ModelProto) -> list[str]:
    for node in model.graph.node:
        if name in node.output:
            return [name]
    return [made for node in model.graph.node if node.name == name for made in node.output if made]


def _of_module(path: str, model: onnx.ModelProto, modules: Mapping[str, str]) -> list[str]:
    """What layers of a module give to those of others, or to whoever runs the network."""
    nodes = model.graph.node
    inside = [_is_within(modules.get(node.output[0], ""), path) for node in nodes]
    made = [name for node, own in zip(nodes, inside, strict=True) if own for name in node.output if name]
    read = {name for node, own in zip(nodes, inside, strict=True) if not own for name in names_read(node)}
    read |= {value.name for value in model.graph.output}
    return [name for name in made if name in read]


def _is_within(module: str, path: str) -> bool:
    return module == path or module.startswith(f"{path}.")


def _near(name: str, model: onnx.ModelProto, modules: Mapping[str, str]) -> str:
    known = {node.name for node in model.graph.node if node.op_type != "Constant"} | set(modules.values())
    known |= {made for node in model.graph.node for made in node.output if node.op_type != "Constant"}
    near = difflib.get_close_matches(name, sorted(known - {""}), n=3, cutoff=0.5)
    return f"; near it are {', '.join(near)}" if near else "; oakpoint check --all lists the layers"
