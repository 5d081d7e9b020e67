"""An ONNX file of the user's own, made into the form that the chain starts from."""

from __future__ import annotations

import itertools
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from oakpoint.bundle.records import TensorSpec
from oakpoint.errors import ConversionError, first_line
from oakpoint.features.types import CELL_PX, LOGIT_CHANNELS


def read_network(path: Path) -> onnx.ModelProto:
    """Read an ONNX keypoint network: one float32 input (N, 1, H, W), two outputs of which one has 65 channels.

    Raises:
        ConversionError: no such file, no valid ONNX, or a network of another kind; the message says what came.
    """
    if not path.is_file():
        raise ConversionError(f"{path}: no such ONNX file")
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:
        reason = first_line(error)
        raise ConversionError(f"{path}: not a valid ONNX model ({reason})") from error
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if len(inputs) != 1 or len(model.graph.output) != 2:
        raise ConversionError(
            f"{path}: expected one input and two outputs (detector logits, descriptors), got {len(inputs)} and "
            f"{len(model.graph.output)}"
        )
    kind, shape = inputs[0].type.tensor_type.elem_type, _shape(inputs[0])
    if kind != TensorProto.FLOAT or len(shape) != 4 or shape[1] not in (1, None):
        raise ConversionError(
            f"{path}: expected a float32 input (N, 1, H, W), got {TensorProto.DataType.Name(kind)} {shape}"
        )
    return model


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


def take_onnx(
    model: onnx.ModelProto, path: Path, *, size: tuple[int, int], input_name: str, output_names: tuple[str, str]
) -> None:
    """Write a network that ``read_network`` took, at one image size and with the chain's names.

    Args:
        model: changed in place.
        path: the file to write.
        size: (W, H) in pixels.
        input_name: the input's new name.
        output_names: new names of the output with 65 channels and of the other.

    Raises:
        ConversionError: the outputs are not those of a keypoint network at 1/8 of the image.
    """
    graph = model.graph
    batch = _shape(graph.input[0])[0]
    shape = ["N" if batch is None else batch, 1, size[1], size[0]]
    graph.input[0].CopyFrom(helper.make_tensor_value_info(graph.input[0].name, TensorProto.FLOAT, shape))
    del graph.value_info[:]
    for output in graph.output:
        output.type.tensor_type.ClearField("shape")
    try:
        model.CopyFrom(onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True))
    except onnx.shape_inference.InferenceError as error:
        raise ConversionError(f"the network does not take images of {size[0]}×{size[1]} px ({error})") from error
    shapes = {output.name: _shape(output) for output in model.graph.output}
    grid = [size[1] // CELL_PX, size[0] // CELL_PX]
    logits = [
        name for name, dims in shapes.items() if len(dims) == 4 and dims[1] == LOGIT_CHANNELS and dims[2:] == grid
    ]
    others = [name for name, dims in shapes.items() if name not in logits and len(dims) == 4 and dims[2:] == grid]
    if len(logits) != 1 or len(others) != 1:
        raise ConversionError(
            f"expected the outputs (N, {LOGIT_CHANNELS}, {grid[0]}, {grid[1]}) and (N, D, {grid[0]}, {grid[1]}), got "
            + ", ".join(f"{name} {tuple(dims)}" for name, dims in shapes.items())
        )
    _rename(model.graph, {graph.input[0].name: input_name, logits[0]: output_names[0], others[0]: output_names[1]})
    del model.graph.value_info[:]
    onnx.save(model, path)


def host_tensors(path: Path) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Inputs and outputs of a model of the chain with their sizes, the batch as ``N`` where it is open."""
    graph = onnx.shape_inference.infer_shapes(onnx.load(path)).graph
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    return tuple(map(_spec, inputs)), tuple(map(_spec, graph.output))


def _spec(value: onnx.ValueInfoProto) -> TensorSpec:
    return TensorSpec(value.name, "float32", tuple("N" if size is None else size for size in _shape(value)))


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
    return [dimension.dim_value if dimension.HasField("dim_value") else None for dimension in dimensions]
