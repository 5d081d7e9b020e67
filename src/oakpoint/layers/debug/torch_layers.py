"""The layers of a torch network, as the graph that its exporter sees."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, final

from numpy.typing import NDArray

from oakpoint.backends.base import Tensors
from oakpoint.convert.torch_program import TorchProgram
from oakpoint.layers.debug.looking import LEAST_VALUES, Run, Seen, Shape


@final
class TorchLayers(Seen):
    """A torch network's exported program, run by torch operator by operator, on the CPU in float32."""

    def __init__(self, program: TorchProgram, shapes: Mapping[str, Shape]) -> None:
        """Take the program.

        Args:
            program: of the network.
            shapes: of the tensors that may be asked for: those of the export that bear the same names.
        """
        self._program = program
        own = set(program.tensors)
        self.shapes = {n: shape for n, shape in shapes.items() if n in own and math.prod(shape) >= LEAST_VALUES}

    def run(self, names: Sequence[str]) -> Run:
        """See ``Seen.run``."""

        def run(tensors: Mapping[str, NDArray[Any]]) -> Tensors:
            return self._program.run(tensors, names)

        return run
