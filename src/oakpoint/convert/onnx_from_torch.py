"""PyTorch to ONNX."""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oakpoint.errors import ConversionError, first_line
from oakpoint.networks.foreign_output import logging_output_of
from oakpoint.runtimes import importing

if TYPE_CHECKING:
    from torch import nn

OPSET = 18
"""The lowest operator set that torch's exporter writes by itself; the device graph lowers it to 13."""

_exporting = threading.Lock()
"""One export at a time: filters of warnings, standard output and torch's tracing are the whole process's."""


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
    """Export a network to ONNX: float32 ``input`` (N, 1, H, W), the batch left open where the network allows it.

    The file holds no stack traces or paths of the exporting machine, so that the same weights give the same bytes.

    Args:
        module: the network, one image in, one tensor for each output name.
        path: the file to write.
        size: (W, H) in pixels.
        input_name: name of the input.
        output_names: names of the outputs, in the order in which the network returns them.
        description: what the model says of itself, for whoever opens it in a viewer.
        facts: the same for programs: the model's metadata.

    Returns:
        The tool that did it, with its version.

    Raises:
        MissingExtraError: torch or onnxscript is not installed.
        BackendError: one of them cannot be imported.
        ConversionError: the network cannot be exported, or its output is no valid ONNX.
    """
    with importing("torch", "onnxscript", extra="torch"):
        import onnx
        import onnxscript  # noqa: F401 - torch's exporter needs it and says so late
        import torch
    try:
        example = torch.zeros(1, 1, size[1], size[0])
    except RuntimeError as error:
        raise ConversionError(f"no memory for an image of {size[0]}x{size[1]} px: {first_line(error)}") from error
    with _exporting, logging_output_of("torch.onnx.export", errors=True), _no_warnings():
        try:
            model = _export(module, example, input_name, output_names, open_batch=True)
        except Exception as first:  # noqa: BLE001 - the exporter raises many kinds; a fixed batch may still work
            _pass_on_interrupt(first)
            try:
                model = _export(module, example, input_name, output_names, open_batch=False)
            except Exception as error:
                _pass_on_interrupt(error)
                raise ConversionError(
                    f"torch cannot export the network: {first_line(_root(error))} (all that torch says: oakpoint -v …)"
                ) from error
    _strip_metadata(model)
    model.doc_string = description
    onnx.helper.set_model_props(model, dict(facts or {}))
    try:
        onnx.checker.check_model(model, full_check=True)
    except onnx.checker.ValidationError as error:
        raise ConversionError(f"the exported ONNX is not valid: {first_line(error)}") from error
    onnx.save(model, path)
    return f"torch {torch.__version__}"


def _export(module: nn.Module, example: Any, input_name: str, output_names: Sequence[str], *, open_batch: bool) -> Any:
    import torch

    program = torch.onnx.export(
        module,
        (example,),
        None,
        input_names=[input_name],
        output_names=list(output_names),
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
        dynamic_shapes=({0: torch.export.Dim("N")},) if open_batch else None,
    )
    if program is None:
        raise ConversionError("torch exported nothing")
    return program.model_proto


@contextlib.contextmanager
def _no_warnings() -> Iterator[None]:
    """Drop the exporter's own deprecations."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _strip_metadata(model: Any) -> None:
    graph = model.graph
    for holder in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer, *graph.value_info):
        del holder.metadata_props[:]
    for holder in (model, graph, *graph.node):
        holder.doc_string = ""
    del graph.value_info[:]


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
