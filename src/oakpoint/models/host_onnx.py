"""The ONNX that a chain starts from, of a torch network or of the user's own ONNX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from oakpoint.bundle.interface import Interface
from oakpoint.convert.onnx_from_torch import export_onnx, modules_of
from oakpoint.convert.onnx_intake import host_tensors, write_taken
from oakpoint.convert.weights_in_onnx import facts_of
from oakpoint.models.base import Origin


@dataclass(frozen=True, slots=True)
class HostOnnx:
    """What was written.

    Attributes:
        tool: that did it, with its version.
        interface: what it takes and gives, in its own names and types.
        modules: the path of the torch module of each layer, by the layer's first output, as far as it is known.
    """

    tool: str
    interface: Interface
    modules: Mapping[str, str]


def write_host_onnx(origin: Origin, path: Path, *, title: str) -> HostOnnx:
    """Write the host's ONNX.

    Args:
        origin: the model; one that came as ONNX is changed in place.
        path: the file to write.
        title: what an exported network says of itself.

    Raises:
        OakpointError: see ``export_onnx``.
    """
    tool, modules = "oakpoint", dict[str, str]()
    if origin.network is not None:
        weights = origin.network.weights
        tool = export_onnx(
            origin.network.module,
            path,
            inputs=origin.interface.tensors,
            outputs=origin.outputs,
            description=f"{title}: {weights.description()}",
            facts=facts_of(weights),
            modules=modules,
        )
    else:
        assert origin.model is not None
        write_taken(origin.model, path, origin.names)
        modules.update(modules_of(origin.model))
    inputs, outputs = host_tensors(path)
    given = zip(origin.interface.inputs, inputs, strict=True)
    interface = Interface(inputs=tuple(replace(own, tensor=spec) for own, spec in given), outputs=outputs)
    return HostOnnx(tool, interface, modules)
