"""PyTorch to ONNX."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oakpoint.bundle.interface import TensorSpec
from oakpoint.convert.torch_program import WRAPPER, torch_program
from oakpoint.errors import ConversionError, first_line

if TYPE_CHECKING:
    from torch import nn


def write_onnx(
    module: nn.Module,
    path: Path,
    *,
    size: tuple[int, int],
    input_name: str,
    output_names: Sequence[str],
    description: str = "",
    facts: Mapping[str, str] | None = None,
) -> str:
    """``export_onnx`` for a network of one grey image, float32 (N, 1, H, W).

    Args:
        module: the network.
        path: the file to write.
        size: (W, H) in pixels.
        input_name: name of the input.
        output_names: names of the outputs, in the order in which the network returns them.
        description: see ``export_onnx``.
        facts: see ``export_onnx``.

    Returns:
        The tool that did it, with its version.

    Raises:
        OakpointError: see ``export_onnx``.
    """
    spec = TensorSpec(input_name, "float32", ("N", 1, size[1], size[0]))
    return export_onnx(module, path, inputs=(spec,), outputs=output_names, description=description, facts=facts)


def export_onnx(
    module: nn.Module,
    path: Path,
    *,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[str] | Mapping[str, str] | None = None,
    description: str = "",
    facts: Mapping[str, str] | None = None,
    modules: dict[str, str] | None = None,
) -> str:
    """Export a network to ONNX at the sizes of its inputs, with just the outputs that are wanted.

    The network is run once before, on zeros. The file holds no stack traces or paths of the exporting machine, so that
    the same weights give the same bytes.

    Args:
        module: the network; see ``networks.calling`` for how it may take its inputs.
        path: the file to write.
        inputs: its inputs, whose names the file has. All dimensions are numbers, but for the first one: a name there,
            such as ``N``, leaves the batch open where the network allows it, and one where it does not.
        outputs: names of the outputs, and from which of the network's; see ``outputs.chosen_outputs``. None for all.
        description: what the model says of itself, for whoever opens it in a viewer.
        facts: the same for programs: the model's metadata.
        modules: is given, for each layer by its first output, the path of the module that it is of, such as
            ``backbone.stem.1``; layers of the network's own ``forward``, or of which torch does not say it, are left
            out.

    Returns:
        The tool that did it, with its version.

    Raises:
        MissingExtraError: torch or onnxscript is not installed.
        BackendError: one of them cannot be imported.
        ConversionError: the network cannot be run or exported, has not the outputs that are wanted, or its export is no
            valid ONNX.
    """
    program = torch_program(module, inputs, outputs)
    import onnx  # torch first: what is missing is said by its name

    model, tool, wrapper = program.model, program.tool, program.wrapper
    del program  # with all that was traced: as much memory as the network itself
    if modules is not None:
        modules.update(modules_of(model, wrapper))
    if wrapper:
        _take_back_names(model)
    _strip_metadata(model)
    model.doc_string = description
    onnx.helper.set_model_props(model, dict(facts or {}))
    try:
        onnx.checker.check_model(model, full_check=True)
    except onnx.checker.ValidationError as error:
        raise ConversionError(f"the exported ONNX is not valid: {first_line(error)}") from error
    onnx.save(model, path)
    return tool


_SCOPES = "pkg.torch.onnx.name_scopes"
"""Metadata of a node in which torch says the modules around it, outermost first, and at the end the operator."""


_OF_WEIGHTS = (".weight", ".bias")
_OF_NORMS = "batch_norm"
"""In torch's names for the operator of a batch norm."""

_UNNAMED = "node_"
"""How the names begin that torch's exporter gives to layers."""


def modules_of(model: Any, wrapped: str = "") -> dict[str, str]:
    """The path of each layer's module by the layer's first output, as far as an export of torch's says it.

    What torch writes into a layer's metadata counts; else, where the layer has no name but the exporter's, that of its
    weights. A convolution that the exporter folded a batch norm into bears the path of the norm there: it is told as
    the convolution with the norm, ``stem.0 + stem.1``.

    Args:
        model: an export.
        wrapped: what stands before the paths, of a module around the network.
    """
    weights = {tensor.name for tensor in model.graph.initializer}
    found = {}
    for node in model.graph.node:
        said, operator = _said_of(node)
        path = f"{said}.".removeprefix(wrapped)[:-1]
        own = [name.rpartition(".")[0] for name in node.input if name in weights and name.endswith(_OF_WEIGHTS)]
        if not path and own and node.name.startswith(_UNNAMED):
            path = own[0].removeprefix(wrapped)
        elif path and own and _OF_NORMS in operator and own[0].removeprefix(wrapped) != path:
            path = f"{own[0].removeprefix(wrapped)} + {path}"
        if path:
            found[node.output[0]] = path
    return found


def _said_of(node: Any) -> tuple[str, str]:
    """The module's path and torch's operator in a node's metadata; empty where there is none that can be read."""
    said = next((entry.value for entry in node.metadata_props if entry.key == _SCOPES), "[]")
    try:
        scopes = [str(scope) for scope in ast.literal_eval(said)]
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):  # of another version, or by another hand
        return "", ""
    return (scopes[-2], scopes[-1]) if len(scopes) > 1 else ("", "")


def _strip_metadata(model: Any) -> None:
    graph = model.graph
    for holder in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer, *graph.value_info):
        del holder.metadata_props[:]
    for holder in (model, graph, *graph.node):
        holder.doc_string = ""
    del graph.value_info[:]


def _take_back_names(model: Any) -> None:
    """Give weights the names that they have in the network itself, without that of the module around it."""
    graph = model.graph
    if any(attribute.HasField("g") or attribute.graphs for node in graph.node for attribute in node.attribute):
        return  # graphs within speak of the same tensors
    taken = {name for node in graph.node for name in (*node.input, *node.output)}
    taken |= {value.name for value in (*graph.input, *graph.output)}
    own = {
        tensor.name: tensor.name.removeprefix(WRAPPER)
        for tensor in graph.initializer
        if tensor.name.startswith(WRAPPER) and tensor.name.removeprefix(WRAPPER) not in taken
    }
    for tensor in graph.initializer:
        tensor.name = own.get(tensor.name, tensor.name)
    for node in graph.node:
        node.input[:] = [own.get(name, name) for name in node.input]
    for value in (*graph.output, *graph.value_info):
        value.name = own.get(value.name, value.name)
