"""The layers of an OpenVINO IR, run by OpenVINO on the CPU at f32: all of it, or each on tensors that are given."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Tensors
from oakpoint.backends.openvino import configuration, port_name
from oakpoint.errors import BackendError, last_line
from oakpoint.layers.debug.looking import LEAST_VALUES, DamagedError, Divisible, Run, Shape
from oakpoint.runtimes import import_openvino


@final
class IrLayers(Divisible):
    """An IR at fixed shapes."""

    def __init__(self, xml: Path, inputs: Mapping[str, Sequence[int | str]]) -> None:
        """Read it.

        Args:
            xml: its file.
            inputs: shapes of its inputs, of which it takes the batch.

        Raises:
            DamagedError: OpenVINO does not.
        """
        self._xml, self._inputs = xml, inputs
        model = self._read()
        self.shapes: Mapping[str, Shape] = {
            name: shape
            for name, port in _ports(model).items()
            if (shape := _float_shape(port)) is not None and math.prod(shape) >= LEAST_VALUES
        }
        self._before = {
            operation.get_friendly_name(): [port.get_source_output() for port in operation.inputs()]
            for operation in model.get_ordered_ops()
        }
        self._model = model

    def _read(self) -> Any:
        try:
            model = import_openvino().Core().read_model(self._xml)
        except RuntimeError as error:
            raise DamagedError(f"{self._xml}: OpenVINO cannot read it: {last_line(error)}") from error
        with contextlib.suppress(RuntimeError):  # at a batch that stays no tensor is comparable, which is said then
            if any(list(parameter.get_shape()) != shape for parameter, shape in self._at_batch(model).items()):
                model.reshape({p.output(0): shape for p, shape in self._at_batch(model).items()})
        return model

    def _at_batch(self, model: Any) -> dict[Any, list[int]]:
        """The inputs of an IR with the shapes that they have at the batch that is wanted."""
        found = {}
        for parameter in model.get_parameters():
            shape = list(parameter.get_shape())
            wanted = list(self._inputs.get(port_name(parameter.output(0)), shape))
            found[parameter] = wanted if wanted[1:] == shape[1:] else shape
        return found

    def run(self, names: Sequence[str]) -> Run:
        """See ``Seen.run``."""
        return self.run_apart(names, ())

    def read_by(self, names: Iterable[str], given: Collection[str]) -> set[str]:
        """See ``Divisible.read_by``."""
        ports = _ports(self._model)
        waiting = [ports[name].get_node() for name in names]
        seen, read = set(), set()
        while waiting:
            operation = waiting.pop()
            if operation.get_friendly_name() in seen:
                continue
            seen.add(operation.get_friendly_name())
            for source in self._before[operation.get_friendly_name()]:
                known = given_name(source, given)
                if known is None:
                    waiting.append(source.get_node())
                else:
                    read.add(known)
        return read

    def run_apart(self, names: Sequence[str], given: Collection[str]) -> Run:
        """See ``Divisible.run_apart``."""
        openvino = import_openvino()
        model = self._read()
        ports = _ports(model)
        kept = list(model.get_parameters())
        parameters = dict(_cut(model, given))
        results = [openvino.opset13.result(ports[name]) for name in names]
        try:
            part = openvino.Model(results, [*kept, *parameters.values()], "layers")
            request = openvino.Core().compile_model(part, "CPU", configuration("CPU", "f32")).create_infer_request()
        except RuntimeError as error:
            raise BackendError(f"{self._xml}: OpenVINO cannot run it layer by layer: {last_line(error)}") from error
        inputs = [*(port_name(parameter.output(0)) for parameter in kept), *parameters]

        def run(tensors: Mapping[str, NDArray[Any]]) -> Tensors:
            try:
                made = request.infer([np.ascontiguousarray(tensors[name]) for name in inputs])
            except RuntimeError as error:
                raise BackendError(f"{self._xml}: OpenVINO: the run failed: {last_line(error)}") from error
            return {name: np.array(made[index], np.float32) for index, name in enumerate(names)}

        return run


def _ports(model: Any) -> dict[str, Any]:
    """What operators with inputs put out, by every name of a tensor, in the order of execution."""
    return {
        name: port
        for operation in model.get_ordered_ops()
        if operation.get_type_name() not in ("Parameter", "Constant", "Result")
        for port in operation.outputs()
        for name in sorted(port.get_names())
    }


def _float_shape(port: Any) -> Shape | None:
    if not port.get_element_type().is_real() or not port.get_partial_shape().is_static:
        return None
    return tuple(port.get_shape())


def given_name(port: Any, given: Collection[str]) -> str | None:
    """Under which of its names a tensor is given."""
    return next((name for name in sorted(port.get_names()) if name in given), None)


def _cut(model: Any, given: Collection[str]) -> Iterable[tuple[str, Any]]:
    """Let whatever reads a given tensor read a new input of the network instead."""
    openvino = import_openvino()
    for operation in model.get_ordered_ops():
        if operation.get_type_name() in ("Parameter", "Constant", "Result"):
            continue
        for port in operation.outputs():
            name = given_name(port, given)
            readers = [reader for reader in port.get_target_inputs() if reader.get_node().get_type_name() != "Result"]
            if name is None or not readers:
                continue
            parameter = openvino.opset13.parameter(port.get_shape(), port.get_element_type())
            for reader in readers:
                reader.replace_source_output(parameter.output(0))
            yield name, parameter
