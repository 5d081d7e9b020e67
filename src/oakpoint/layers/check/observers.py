"""Rewrites that stand among the device's to see what these do: layers that heads add, constants before FP16."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import final

import onnx
from onnx import numpy_helper

from oakpoint.convert.graph_edit import names_read
from oakpoint.convert.rewrites.base import Rewrite
from oakpoint.errors import ConversionError, UsageError
from oakpoint.layers.check.ranges import Range, range_of


@final
class ObservedHeads(Rewrite):
    """The task's heads, appended where all that they read is there; what they add is noted.

    In a part of a network, with layers cut out, outputs at the cuts stay outputs.

    Attributes:
        added: the layers that the heads added, in the order of execution.
        left_out: whether an output that they read was cut off.
        failure: why the network cannot have these heads; None where it can.
    """

    name = "heads"

    def __init__(self, rewrites: Sequence[Rewrite], outputs: Collection[str]) -> None:
        """Take the task's rewrites, and the names of the network's own outputs."""
        self._rewrites, self._outputs = rewrites, outputs
        self.added: list[onnx.NodeProto] = []
        self.left_out = False
        self.failure: ConversionError | UsageError | None = None

    def apply(self, model: onnx.ModelProto) -> Sequence[str]:
        """See ``Rewrite.apply``."""
        graph = model.graph
        at_cuts = [output for output in graph.output if output.name not in self._outputs]
        if len(graph.output) - len(at_cuts) < len(self._outputs):
            self.left_out = bool(self._rewrites)
            return ()
        before = {name for node in graph.node for name in node.output}
        touched: list[str] = []
        try:
            for rewrite in self._rewrites:
                touched += rewrite.apply(model)
        except (ConversionError, UsageError) as error:
            self.failure = error
            return ()
        there = {output.name for output in graph.output}
        graph.output.extend(output for output in at_cuts if output.name not in there)
        self.added = [
            onnx.NodeProto.FromString(node.SerializeToString()) for node in graph.node if before.isdisjoint(node.output)
        ]
        return touched


@final
class ObservedConstants(Rewrite):
    """Looks at constants as they are just before they are rounded to FP16; nothing is changed.

    What the user's own weights are does not tell it: batch norms, the image's scale and heads go into them first.

    Attributes:
        nodes: the layers that read constants, without the graphs within them.
        ranges: of the constants of floating point, by name.
        sizes: how many values each of them has.
    """

    name = "observed-constants"

    def __init__(self) -> None:
        """Nothing was seen yet."""
        self.nodes: list[onnx.NodeProto] = []
        self.ranges: dict[str, Range] = {}
        self.sizes: dict[str, int] = {}

    def apply(self, model: onnx.ModelProto) -> Sequence[str]:
        """See ``Rewrite.apply``."""
        graph = model.graph
        for tensor in graph.initializer:
            if tensor.data_type == onnx.TensorProto.FLOAT:
                values = numpy_helper.to_array(tensor)
                self.ranges[tensor.name], self.sizes[tensor.name] = range_of(values), values.size
        self.nodes = [
            onnx.NodeProto.FromString(node.SerializeToString())
            for node in graph.node
            if self.ranges.keys() & set(names_read(node))
        ]
        return ()
