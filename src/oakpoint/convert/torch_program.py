"""A torch network as the program of torch's exporter, from which an ONNX is written, and which can be run."""

from __future__ import annotations

import contextlib
import math
import threading
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from oakpoint.bundle.interface import TensorSpec
from oakpoint.errors import BackendError, ConversionError, first_line
from oakpoint.networks.foreign_output import logging_output_of
from oakpoint.runtimes import importing

if TYPE_CHECKING:
    import torch
    from torch import nn

OPSET = 18
"""The lowest operator set that torch's exporter writes by itself; the device graph lowers it to 13."""

WRAPPER = "network."
"""What ``calling.PlainNetwork`` puts before the names of a network's modules and weights."""

_exporting = threading.Lock()
"""One export at a time: filters of warnings, standard output and torch's tracing are the whole process's."""


@dataclass(frozen=True, slots=True)
class TorchProgram:
    """What the exporter made of a network.

    Attributes:
        model: the ONNX model, with all that the exporter says in it.
        tool: what made it, with its version.
        wrapper: what stands before the names of modules and weights where a module of ours is around the network, see
            ``calling.PlainNetwork``; empty where none is.
    """

    model: Any
    tool: str
    wrapper: str
    _program: Any
    _inputs: tuple[str, ...]
    _outputs: tuple[str, ...]

    @property
    def tensors(self) -> tuple[str, ...]:
        """Names of what its operators give, in order, as the ONNX has them."""
        own = {made: name for name, made in self._made_outputs().items()}
        nodes = [node.name for node in self._program.graph.nodes if node.op == "call_function"]
        return tuple(dict.fromkeys(own.get(name, name) for name in nodes))

    def _made_outputs(self) -> dict[str, str]:
        """By the name of an output, that of the operator that makes it."""
        return dict(zip(self._outputs, self._program.graph_signature.user_outputs, strict=True))

    def run(self, tensors: Mapping[str, NDArray[Any]], names: Collection[str]) -> dict[str, NDArray[np.float32]]:
        """Run it, operator by operator, on the CPU.

        Args:
            tensors: its inputs by name.
            names: of the tensors that are wanted.

        Returns:
            Each as float32.

        Raises:
            BackendError: torch does not run it.
        """
        import torch
        from torch.fx import Interpreter

        wanted = {self._made_outputs().get(name, name): name for name in names}
        found: dict[str, NDArray[np.float32]] = {}

        class Watching(Interpreter):
            def run_node(self, n: Any) -> Any:
                result = super().run_node(n)
                if n.name in wanted and isinstance(result, torch.Tensor):
                    found[wanted[n.name]] = np.array(result.detach().cpu().numpy(), np.float32)
                return result

        inputs = [torch.from_numpy(np.ascontiguousarray(tensors[name])) for name in self._inputs]
        try:
            with torch.no_grad(), _no_warnings():
                Watching(self._program.module()).run(*inputs)
        except Exception as error:
            raise BackendError(f"torch: the exported network cannot be run: {first_line(error)}") from error
        return found


def torch_program(
    module: nn.Module,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[str] | Mapping[str, str] | None = None,
) -> TorchProgram:
    """Let torch's exporter make a program of a network, at the sizes of its inputs.

    The network is run once before, on zeros.

    Args:
        module: the network; see ``networks.calling`` for how it may take its inputs.
        inputs: see ``onnx_from_torch.export_onnx``.
        outputs: see there.

    Raises:
        MissingExtraError: torch or onnxscript is not installed.
        BackendError: one of them cannot be imported.
        ConversionError: the network cannot be run or exported, or has not the outputs that are wanted.
    """
    with importing("torch", "onnxscript", extra="torch"):
        import onnxscript  # noqa: F401 - torch's exporter needs it and says so late
        import torch
    examples = _examples(inputs)
    with _exporting, logging_output_of("torch.onnx.export", errors=True), _no_warnings():
        exported, names = _exportable(module, inputs, examples, outputs)
        try:
            program = _export(exported, inputs, examples, names, open_batch=_has_open_batch(inputs))
        except Exception as first:  # noqa: BLE001 - the exporter raises many kinds; a fixed batch may still work
            _pass_on_interrupt(first)
            try:
                program = _export(exported, inputs, examples, names, open_batch=False)
            except Exception as error:
                _pass_on_interrupt(error)
                raise ConversionError(
                    f"torch cannot export the network: {first_line(_root(error))} (all that torch says: oakpoint -v …)"
                ) from error
        model = program.model_proto
    specs = tuple(spec.name for spec in inputs)
    wrapper = WRAPPER if exported is not module else ""
    tool = f"torch {torch.__version__}"
    return TorchProgram(model, tool, wrapper, program.exported_program, specs, tuple(names))


def _examples(inputs: Sequence[TensorSpec]) -> tuple[torch.Tensor, ...]:
    """Zeros of the inputs' shapes, an open batch as one."""
    import torch

    try:
        shapes = [[1 if isinstance(side, str) else side for side in spec.shape] for spec in inputs]
        return tuple(
            torch.zeros(shape, dtype=getattr(torch, spec.dtype)) for spec, shape in zip(inputs, shapes, strict=True)
        )
    except RuntimeError as error:
        largest = max(inputs, key=lambda spec: math.prod(s for s in spec.shape if isinstance(s, int)))
        what = f"an input of {largest.shape}"
        if len(largest.shape) == 4:
            what = f"an image of {largest.shape[3]}x{largest.shape[2]} px"
        raise ConversionError(f"no memory for {what}: {first_line(error)}") from error


def _has_open_batch(inputs: Sequence[TensorSpec]) -> bool:
    return any(isinstance(side, str) for spec in inputs for side in spec.shape)


def _exportable(
    module: nn.Module,
    inputs: Sequence[TensorSpec],
    examples: tuple[torch.Tensor, ...],
    outputs: Sequence[str] | Mapping[str, str] | None,
) -> tuple[nn.Module, list[str]]:
    """The network as the exporter takes it, tensors in and a tuple of tensors out, and the names of these."""
    import torch

    from oakpoint.networks.calling import PlainNetwork, is_plain, tried_call
    from oakpoint.networks.outputs import OutputsError, chosen_outputs

    try:
        with torch.no_grad():
            call, returned = tried_call(module, [spec.name for spec in inputs], examples)
        chosen = chosen_outputs(returned, outputs)
    except OutputsError as error:
        raise ConversionError(f"the network {error}") from error
    except Exception as error:
        shapes = ", ".join(str(tuple(example.shape)) for example in examples)
        raise ConversionError(
            f"torch cannot export the network: it cannot be run on zeros of {shapes}: {first_line(error)}"
        ) from error
    plain = is_plain(call, returned, chosen)
    return module if plain else PlainNetwork(module, call, outputs), list(chosen)


def _export(
    module: nn.Module,
    inputs: Sequence[TensorSpec],
    examples: tuple[torch.Tensor, ...],
    output_names: Sequence[str],
    *,
    open_batch: bool,
) -> Any:
    import torch

    from oakpoint.networks.calling import PlainNetwork

    batch = torch.export.Dim("N")
    open_sides: Any = tuple(
        {index: batch for index, side in enumerate(spec.shape) if isinstance(side, str)} for spec in inputs
    )
    if isinstance(module, PlainNetwork):
        open_sides = (open_sides,)  # of its one variadic argument
    program = torch.onnx.export(
        module,
        examples,
        None,
        input_names=[spec.name for spec in inputs],
        output_names=list(output_names),
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
        dynamic_shapes=open_sides if open_batch else None,
    )
    if program is None:
        raise ConversionError("torch exported nothing")
    return program


@contextlib.contextmanager
def _no_warnings() -> Iterator[None]:
    """Drop the exporter's own deprecations."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _root(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _pass_on_interrupt(error: Exception) -> None:
    """Torch's exporter wraps Ctrl-C, too, in an error of its own."""
    before: BaseException | None = error
    while before is not None:
        if isinstance(before, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        before = before.__cause__ or before.__context__
