"""An ONNX file of the user's own, made into the form that the chain starts from."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path

import onnx
from onnx import helper

from oakpoint.bundle.interface import OPEN_BATCH, TensorSpec
from oakpoint.convert.graph_edit import FREE_CONSTANTS_IR, drop_unused, drop_weights_among_inputs
from oakpoint.convert.interface import Shapes, fixed
from oakpoint.convert.rewrites.opset.opset import OLDEST_OPSET, opset_of
from oakpoint.errors import ConversionError, OakpointError, first_line
from oakpoint.external_data import external_files


def open_onnx(path: Path) -> onnx.ModelProto:
    """Read any ONNX network: IR version 3 on, opset 7 on, with its external data; weights are no inputs of it.

    Raises:
        ConversionError: no such file, no valid ONNX, one that is newer or older than what can be read, external data
            that is missing or lies outside the model's folder, no input, or an input or output that is no tensor.
    """
    if not path.is_file():
        raise ConversionError(f"{path}: no such ONNX file")
    try:
        external_files(path)
        model = onnx.load(path)
    except OakpointError as error:
        raise ConversionError(str(error)) from error
    except Exception as error:  # protobuf's, of many kinds
        raise ConversionError(f"{path}: not a valid ONNX model ({first_line(error)})") from error
    with _naming(path):
        _check_versions(model)
    drop_weights_among_inputs(model.graph)
    model.ir_version = max(model.ir_version, FREE_CONSTANTS_IR)
    try:
        check_onnx(model)
    except Exception as error:
        raise ConversionError(f"{path}: not a valid ONNX model ({first_line(error)})") from error
    with _naming(path):
        given_outputs(model)
        if not given_inputs(model):
            raise ConversionError("expected a network that takes something, got one without inputs")
    return model


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except ConversionError as error:
        raise ConversionError(f"{path}: {error}") from error


def _check_versions(model: onnx.ModelProto) -> None:
    if not model.graph.node:
        raise ConversionError("not a valid ONNX model (it has no operators)")
    opset = opset_of(model)
    if opset < OLDEST_OPSET:
        raise ConversionError(f"expected opset {OLDEST_OPSET} or later, got {opset}; export the network anew")
    if opset > onnx.defs.onnx_opset_version() or model.ir_version > onnx.IR_VERSION:
        raise ConversionError(
            f"of opset {opset} and IR version {model.ir_version}; onnx {onnx.__version__}, which is installed, knows "
            f"them up to {onnx.defs.onnx_opset_version()} and {onnx.IR_VERSION}: run  pip install --upgrade onnx, or "
            "export the network at an earlier opset"
        )


def check_onnx(model: onnx.ModelProto) -> None:
    """Check a model as ONNX's checker does; outputs may declare no shape, which it asks for, and runtimes do not.

    Raises:
        Exception: it is not valid; onnx's own, of several kinds.
    """
    tensors = [output.type.HasField("tensor_type") for output in model.graph.output]
    if not all(output.type.tensor_type.HasField("shape") for output in model.graph.output):
        model = onnx.shape_inference.infer_shapes(model)
        for output in itertools.compress(model.graph.output, tensors):
            output.type.tensor_type.shape.SetInParent()  # of no dimensions where it could not be told
    onnx.checker.check_model(model)


def given_inputs(model: onnx.ModelProto) -> tuple[TensorSpec, ...]:
    """The inputs of a model that are no weights; what is open has the file's own name, or ``N``.

    Raises:
        ConversionError: one that is no tensor.
    """
    weights = {tensor.name for tensor in model.graph.initializer}
    return tuple(_spec(value) for value in model.graph.input if value.name not in weights)


def given_outputs(model: onnx.ModelProto) -> tuple[TensorSpec, ...]:
    """The outputs of a model.

    Raises:
        ConversionError: one that is no tensor.
    """
    return tuple(map(_spec, model.graph.output))


def sizes_are_known(model: onnx.ModelProto) -> bool:
    """Whether all sizes of a model's outputs are, but for an open batch."""
    if not all(value.type.tensor_type.HasField("shape") for value in model.graph.output):
        return False
    return not any(isinstance(side, str) for spec in given_outputs(model) for side in spec.shape[1:])


def fix_shapes(model: onnx.ModelProto, shapes: Shapes) -> None:
    """Give inputs their shapes, and everything that follows from them its own.

    Args:
        model: changed in place.
        shapes: those of the inputs by name; an open batch stays open.

    Raises:
        ConversionError: the network does not take these shapes.
    """
    model.CopyFrom(fixed(model, shapes))


def fixed_batch(model: onnx.ModelProto) -> int | None:
    """The batch that the network is fixed to; None where it is open."""
    return _shape(model.graph.input[0])[0]


def fixed_batch_of_file(path: Path) -> int | None:
    """The batch that the network in an ONNX file is fixed to; None where it is open.

    Raises:
        ConversionError: no ONNX file that can be read, or one without inputs.
    """
    try:
        return fixed_batch(onnx.load(path, load_external_data=False))
    except Exception as error:
        raise ConversionError(f"{path}: not an ONNX file that can be read ({type(error).__name__})") from error


def write_taken(model: onnx.ModelProto, path: Path, names: Mapping[str, str]) -> None:
    """Write a network of the user's with the chain's names.

    Args:
        model: changed in place; its shapes are fixed.
        path: the file to write.
        names: new names of its inputs and outputs by their own; where outputs have some, others are left out.
    """
    kept = [output for output in model.graph.output if output.name in names]
    if kept and len(kept) < len(model.graph.output):
        del model.graph.output[:]
        model.graph.output.extend(kept)
        drop_unused(model.graph)
    _rename(model.graph, dict(names))
    del model.graph.value_info[:]
    onnx.save(model, path)


def host_tensors(path: Path) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Inputs and outputs of a model of the chain with their sizes, the batch as ``N`` where it is open."""
    model = onnx.shape_inference.infer_shapes(onnx.load(path))
    return given_inputs(model), given_outputs(model)


def _spec(value: onnx.ValueInfoProto) -> TensorSpec:
    if not value.type.HasField("tensor_type") or not value.type.tensor_type.elem_type:
        kind = (value.type.WhichOneof("value") or "nothing").removesuffix("_type")
        raise ConversionError(f"{value.name}: expected a tensor, got {kind}; put in and out tensors alone")
    kind = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    return TensorSpec(value.name, kind.name, tuple(OPEN_BATCH if size is None else size for size in _shape(value)))


def _rename(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    # A name of the chain's that stands for another tensor in this graph makes way first.
    taken = {name for node in graph.node for name in (*node.input, *node.output)} | {t.name for t in graph.initializer}
    clashes = {new for old, new in names.items() if new in taken and new not in names} - set(names)
    mapping = dict(names)
    for clash in sorted(clashes):
        free = (f"{clash}_inner{number or ''}" for number in itertools.count())
        mapping[clash] = next(name for name in free if name not in taken | set(mapping.values()))
    for node in graph.node:
        node.input[:] = [mapping.get(name, name) for name in node.input]
        node.output[:] = [mapping.get(name, name) for name in node.output]
    for value in (*graph.input, *graph.output, *graph.initializer):
        value.name = mapping.get(value.name, value.name)


def _shape(value: onnx.ValueInfoProto) -> list[int | None]:
    dimensions = value.type.tensor_type.shape.dim
    return [dimension.dim_value if dimension.dim_value > 0 else None for dimension in dimensions]  # open ones may be -1
