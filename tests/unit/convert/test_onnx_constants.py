"""The tensors of an ONNX model are found wherever it keeps them, and known weights with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from oakpoint.bundle.records import WeightsRecord
from oakpoint.convert.ir_from_onnx import ir_constants, write_ir
from oakpoint.convert.onnx_constants import Array, onnx_constants
from oakpoint.convert.weights_in_onnx import KEY, facts_of, weights_said_in
from oakpoint.networks.licences import arrays_of
from oakpoint.networks.recognition import recognise
from oakpoint.networks.registry import shipped_weights
from oakpoint.networks.weights import read_state

Build = Callable[[dict[str, Array], Path], onnx.ModelProto]


@pytest.fixture(scope="module")
def acorn() -> dict[str, Array]:
    """Known weights: kernels of convolutions, by name."""
    path = shipped_weights("acorn")
    assert path is not None
    arrays = arrays_of(read_state(path))
    return {f"w{number}": array for number, array in enumerate(arrays)}


def model_of(nodes: list[onnx.NodeProto], initialisers: list[onnx.TensorProto], **options: object) -> onnx.ModelProto:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    graph = helper.make_graph(nodes, "g", [value], [], initialisers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], **options)


def tensors(arrays: dict[str, Array], kind: int = TensorProto.FLOAT) -> list[onnx.TensorProto]:
    return [
        helper.make_tensor(n, kind, a.shape, a.ravel().astype(helper.tensor_dtype_to_np_dtype(kind)).astype(np.float32))
        for n, a in arrays.items()
    ]


def constant_nodes(arrays: dict[str, Array]) -> list[onnx.NodeProto]:
    return [helper.make_node("Constant", [], [tensor.name], value=tensor) for tensor in tensors(arrays)]


def external(arrays: dict[str, Array], folder: Path) -> onnx.ModelProto:
    raw = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    onnx.save(model_of([], raw), folder / "m.onnx", save_as_external_data=True, size_threshold=16)
    assert (folder / "m.onnx").stat().st_size < 10_000
    return onnx.load(folder / "m.onnx")


def in_a_branch(arrays: dict[str, Array], _: Path) -> onnx.ModelProto:
    empty = helper.make_graph([], "empty", [], [])
    branch = helper.make_graph([], "branch", [], [], tensors(arrays))
    return model_of([helper.make_node("If", ["x"], ["y"], then_branch=empty, else_branch=branch)], [])


def in_a_function(arrays: dict[str, Array], _: Path) -> onnx.ModelProto:
    opsets = [helper.make_opsetid("", 21)]
    function = helper.make_function("local", "f", ["x"], ["w0"], constant_nodes(arrays), opsets)
    return model_of([helper.make_node("f", ["x"], ["y"], domain="local")], [], functions=[function])


def quantised(arrays: dict[str, Array], *, axis: int | None) -> onnx.ModelProto:
    """8 bits a value with a zero point: one scale for a tensor, or one for each place along an axis."""
    nodes, kept = [], []
    for name, array in arrays.items():
        if array.ndim < 4:
            continue
        others = tuple(i for i in range(array.ndim) if i != axis)
        largest = np.abs(array).max(axis=others, keepdims=True) if axis is not None else np.abs(array).max()
        scale = np.asarray(largest / 127, np.float32)
        values = (np.round(array / scale) + 128).astype(np.uint8)
        zero = np.full(scale.size if axis is not None else (), 128, np.uint8)
        kept += [
            numpy_helper.from_array(values, name),
            numpy_helper.from_array(scale.ravel() if axis is not None else scale, f"{name}.s"),
            numpy_helper.from_array(zero, f"{name}.z"),
        ]
        inputs = [name, f"{name}.s", f"{name}.z"]
        nodes.append(helper.make_node("DequantizeLinear", inputs, [f"{name}.f"], axis=1 if axis is None else axis))
    return model_of(nodes, kept)


PLACES: dict[str, Build] = {
    "initialisers": lambda arrays, _: model_of([], tensors(arrays)),
    "float16": lambda arrays, _: model_of([], tensors(arrays, TensorProto.FLOAT16)),
    "bfloat16": lambda arrays, _: model_of([], tensors(arrays, TensorProto.BFLOAT16)),
    "Constant nodes": lambda arrays, _: model_of(constant_nodes(arrays), []),
    "external data": external,
    "a branch": in_a_branch,
    "a function": in_a_function,
}


@pytest.mark.parametrize("place", PLACES)
def test_known_weights_are_recognised_in_every_place(acorn: dict[str, Array], tmp_path: Path, place: str) -> None:
    model = PLACES[place](acorn, tmp_path)
    assert [match.name for match in recognise(onnx_constants(model))] == ["acorn"]


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_known_weights_are_recognised_at_8_bits(acorn: dict[str, Array], axis: int | None) -> None:
    (match,) = recognise(onnx_constants(quantised(acorn, axis=axis)))
    assert (match.known.name, match.found, match.total) == ("acorn", 8, 8)


def test_nothing_is_left_out_and_nothing_made_up(acorn: dict[str, Array], tmp_path: Path) -> None:
    for place in ("initialisers", "Constant nodes", "a branch", "a function"):
        found = list(onnx_constants(PLACES[place](acorn, tmp_path)))
        assert len(found) == len(acorn)
        for expected, array in zip(acorn.values(), found, strict=True):
            np.testing.assert_array_equal(expected, array)


def test_known_weights_are_recognised_in_an_ir(tmp_path: Path, acorn: dict[str, Array]) -> None:
    """Whatever reads an IR gets its constants as arrays."""
    from oakpoint.convert.onnx_from_torch import write_onnx
    from oakpoint.networks.registry import load_network
    from oakpoint.tasks.keypoints.task import INPUT, OUTPUTS

    module = load_network("acorn", None).module
    write_onnx(module, tmp_path / "m.onnx", size=(64, 64), input_name=INPUT, output_names=OUTPUTS)
    write_ir(tmp_path / "m.onnx", tmp_path / "m.xml", input_shapes=[(1, 1, 64, 64)])
    assert [
        match.known.name for match in recognise(constant.values for constant in ir_constants(tmp_path / "m.xml"))
    ] == ["acorn"]


def test_the_record_goes_with_the_file() -> None:
    record = WeightsRecord(
        file="w.pth", sha256="0" * 64, name="mine", licence="mine alone", origin="here", trained=False
    )
    model = model_of([], [])
    assert weights_said_in(model) is None
    helper.set_model_props(model, facts_of(record))
    assert weights_said_in(model) == record


@pytest.mark.parametrize("said", ["", "{}", "null", '{"name": 3}', "\x00"])
def test_a_record_that_cannot_be_read_is_none(said: str) -> None:
    model = model_of([], [])
    helper.set_model_props(model, {KEY: said})
    assert weights_said_in(model) is None
