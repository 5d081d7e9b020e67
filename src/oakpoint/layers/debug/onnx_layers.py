"""The layers of an ONNX network, run by ONNX Runtime: all of it, or each on tensors that are given."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from oakpoint.backends.base import Tensors
from oakpoint.backends.onnxruntime import OnnxRuntimeBackend
from oakpoint.convert.graph_edit import inferred_values, names_read, numbers_of
from oakpoint.layers.debug.looking import LEAST_VALUES, Divisible, Run, Shape, in_fp16

_GIVEN = "@given"
"""What is put behind the name of a tensor that a layer is given, since the layer that makes it is there as well."""

_BESIDE: Final = (0.6, 0.7, 0.9)
"""Factors that are no powers of two: FP16's numbers times these lie between FP16's numbers."""


@final
class OnnxLayers(Divisible):
    """An ONNX network with static shapes and float32 tensors.

    Attributes:
        model: the network; not changed.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self._values = inferred_values(model)
        self._makers = {name: node for node in model.graph.node for name in node.output if name}
        inner = {name for node in model.graph.node for name in names_read(node) if name not in node.input}
        self._uncut = inner  # what graphs within an operator read from around them stays as it is
        self.shapes: Mapping[str, Shape] = {
            name: tuple(shape)
            for name in self._makers
            if (shape := self._float_shape(name)) is not None and math.prod(shape) >= LEAST_VALUES
        }

    def _float_shape(self, name: str) -> list[int] | None:
        value = self._values.get(name)
        if value is None or value.type.tensor_type.elem_type != TensorProto.FLOAT:
            return None
        return numbers_of(value)

    def roundings(self) -> tuple[OnnxLayers, ...]:
        """The same network with its constants rounded as FP16 rounds them, in several ways that are as good."""
        return tuple(map(self.rounded, _BESIDE))

    def rounded(self, beside: float) -> OnnxLayers:
        """The same network with its float32 constants rounded as FP16 rounds them; what is too large for it stays.

        Not to FP16's own numbers: weights that are such numbers already are rounded all the same when a batch norm or
        the image's scale has gone into them: by ``beside``, say.
        """
        model = onnx.ModelProto.FromString(self.model.SerializeToString())
        for tensor in model.graph.initializer:
            if tensor.data_type == TensorProto.FLOAT:
                values = in_fp16(numpy_helper.to_array(tensor) * np.float32(beside)) / np.float32(beside)
                tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
        return OnnxLayers(model)

    def run(self, names: Sequence[str]) -> Run:
        """See ``Seen.run``."""
        return self._prepared(self._part(names, frozenset()))

    def read_by(self, names: Iterable[str], given: Collection[str]) -> set[str]:
        """See ``Divisible.read_by``."""
        return self._upstream(names, set(given) - self._uncut)[1]

    def run_apart(
        self, names: Sequence[str], given: Collection[str], change: Callable[[onnx.GraphProto], None] | None = None
    ) -> Run:
        """See ``Divisible.run_apart``; the layers that are run may be changed before.

        Raises:
            BackendError: the runtime does not take them.
        """
        part = self._part(names, frozenset(set(given) - self._uncut))
        if change is not None:
            change(part.graph)
            for output in part.graph.output:  # which may have another shape now
                output.type.tensor_type.ClearField("shape")
        return self._prepared(part)

    def layers_of(self, name: str, given: Collection[str]) -> list[onnx.NodeProto]:
        """The layers by which a tensor comes from given ones, in the order of execution."""
        found = self._upstream([name], set(given) - self._uncut)[0]
        return [node for node in self.model.graph.node if any(made in found for made in node.output)]

    def _upstream(self, names: Iterable[str], given: Collection[str]) -> tuple[set[str], set[str]]:
        """All outputs of the layers that tensors need, and the given tensors that these read."""
        made: set[str] = set()
        read: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name in made or (node := self._makers.get(name)) is None:
                continue
            made.update(output for output in node.output if output)
            for before in names_read(node):
                (read.add if before in given else waiting.append)(before)
        return made, read

    def _part(self, names: Sequence[str], given: frozenset[str]) -> onnx.ModelProto:
        made, read = self._upstream(names, given)
        model, graph = self.model, self.model.graph
        kept = [
            onnx.NodeProto.FromString(node.SerializeToString())
            for node in graph.node
            if any(name in made for name in node.output)
        ]
        for node in kept:
            node.input[:] = [name + _GIVEN if name in read else name for name in node.input]
        used = {name for node in kept for name in names_read(node)}
        inputs = [value for value in graph.input if value.name in used]
        for name in sorted(read):
            inputs.append(onnx.ValueInfoProto.FromString(self._values[name].SerializeToString()))
            inputs[-1].name = name + _GIVEN
        constants = [tensor for tensor in graph.initializer if tensor.name in used]
        outputs = [self._values[name] for name in names]
        part = onnx.helper.make_graph(kept, "layers", inputs, outputs, constants)
        made_model = onnx.helper.make_model(part, opset_imports=model.opset_import, ir_version=model.ir_version)
        made_model.functions.extend(model.functions)
        return made_model

    def _prepared(self, model: onnx.ModelProto) -> Run:
        with tempfile.TemporaryDirectory(prefix="oakpoint-layers-") as scratch:
            path = Path(scratch) / "layers.onnx"
            onnx.save(model, path)
            backend = OnnxRuntimeBackend(path)
        wanted = [spec.name for spec in backend.inputs]

        def run(tensors: Mapping[str, NDArray[Any]]) -> Tensors:
            return backend.run({name: tensors[name.removesuffix(_GIVEN)] for name in wanted})

        return run
