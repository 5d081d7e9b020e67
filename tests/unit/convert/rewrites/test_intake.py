"""However an exporter keeps its constants, functions and types: one form, the same results."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from graphs import checked, copy, graph, operators, run
from onnx import TensorProto, helper, numpy_helper

from oakpoint.convert.rewrites.base import apply_all
from oakpoint.convert.rewrites.intake.float32 import Float32
from oakpoint.convert.rewrites.intake.one_form import Initialisers, InlinedFunctions
from oakpoint.convert.rewrites.intake.whole_number_inputs import WholeNumberInputs
from oakpoint.errors import ConversionError, UnsupportedNetworkError

X = np.random.default_rng(3).normal(size=(1, 4, 6, 8)).astype(np.float32)
WEIGHTS = {"w": np.random.default_rng(4).normal(size=(4, 4, 1, 1)).astype(np.float32), "no": np.array(False)}

CONSTANTS = {
    "a node": "c = Constant <value: tensor = float[4, 1, 1] {1, 2, 3, 4}> ()\n y = Add (x, c)",
    "a number": "c = Constant <value_float = 1.5> ()\n y = Add (x, c)",
    "numbers": "c = Constant <value_ints = [1, 3]> ()\n y = ReduceSum (x, c)",
    "behind Identity": "i = Identity (w)\n j = Identity (i)\n y = Conv (x, j)",
    "an output behind Identity": "a = Conv (x, w)\n b = Identity (a)\n y = Identity (b)",
    "Dropout outside training": "a = Conv (x, w)\n d = Dropout (a, , no)\n y = Relu (d)",
}


@pytest.mark.parametrize("name", CONSTANTS)
def test_constants_are_initialisers(name: str) -> None:
    model = graph(CONSTANTS[name], weights=WEIGHTS)
    made = copy(model)
    assert apply_all(made, [Initialisers()])
    assert not {"Constant", "Identity", "Dropout"}.intersection(operators(made))
    assert [output.name for output in made.graph.output] == ["y"]
    np.testing.assert_array_equal(run(checked(made), {"x": X})[0], run(model, {"x": X})[0])


def test_the_input_itself_as_an_output_stays_an_identity() -> None:
    model = graph("y = Identity (x)\n z = Relu (x)", outputs="float y, float z")
    apply_all(model, [Initialisers()])
    assert operators(checked(model)) == ["Identity", "Relu"]


def test_a_sparse_tensor_is_written_out() -> None:
    model = graph("y = Add (x, s)", weights={"s": np.zeros((4, 6, 8), np.float32)})
    del model.graph.initializer[:]
    values = numpy_helper.from_array(np.array([2, 5], np.float32), "s")
    places = numpy_helper.from_array(np.array([1, 50]), "s_places")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [4, 6, 8]))
    apply_all(model, [Initialisers()])
    dense = numpy_helper.to_array(model.graph.initializer[0])
    assert dense.shape == (4, 6, 8)
    assert {place: dense.reshape(-1)[place] for place in np.flatnonzero(dense)} == {1: 2, 50: 5}


def test_functions_of_the_model_are_written_out() -> None:
    functions = """
    <domain: "mine", opset_import: ["" : 18, "mine" : 1]>
    Twice (a) => (b) { t = Constant <value_float = 2.0> () b = Mul (a, t) }
    <domain: "mine", opset_import: ["" : 18, "mine" : 1]>
    Four (a) => (b) { h = mine.Twice (a) b = mine.Twice (h) }
    """
    model = graph("h = mine.Four (x)\n y = mine.Twice (h)", functions=functions, domains=', "mine" : 1')
    journal = apply_all(model, (InlinedFunctions(), Initialisers()))
    assert operators(model) == ["Mul"] * 3
    assert not model.functions
    assert journal[0].layers == ("layer 'Four_0' (Four)", "layer 'Twice_1' (Twice)")
    np.testing.assert_array_equal(run(model, {"x": X})[0], X * 8)


def in_type(model: onnx.ModelProto, kind: int) -> onnx.ModelProto:
    """A float32 model in another type throughout, as converters make it."""
    made = copy(model)
    del made.graph.value_info[:]
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    for tensor in made.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(dtype), tensor.name))
    for value in (*made.graph.input, *made.graph.output):
        value.type.tensor_type.elem_type = kind
    return made


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16])
def test_a_network_in_another_precision_computes_in_float32(kind: int) -> None:
    model = graph("a = Conv (x, w)\n y = Relu (a)", weights=WEIGHTS)
    made = in_type(model, kind)
    held = numpy_helper.to_array(made.graph.initializer[0]).astype(np.float32)
    assert apply_all(made, [Float32()])
    assert numpy_helper.to_array(made.graph.initializer[0]).tobytes() == held.tobytes(), "its weights to every bit"
    got = run(checked(made), {"x": X})[0]
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, run(model, {"x": X})[0], atol=0.05)


def test_casts_to_half_and_back_are_taken_out() -> None:
    body = "a = Cast <to = 10> (x)\n b = Relu (a)\n y = Cast <to = 1> (b)"
    model = graph(body)
    apply_all(model, [Float32()])
    assert operators(checked(model)) == ["Relu"]
    assert [value.name for value in model.graph.output] == ["y"]


def test_doubles_that_float32_lacks_are_refused_by_name() -> None:
    model = in_type(graph("y = Add (x, big)", weights={"big": np.array([1], np.float32)}), TensorProto.DOUBLE)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.array([1e300]), "big"))
    with pytest.raises(ConversionError, match="big: holds doubles over float32's largest value"):
        apply_all(model, [Float32()])


def test_a_float32_network_is_left_alone() -> None:
    model = graph("y = Conv (x, w)", weights=WEIGHTS)
    before = model.SerializeToString(deterministic=True)
    assert apply_all(model, (InlinedFunctions(), Initialisers(), Float32(), WholeNumberInputs())) == ()
    assert model.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize("moved", ["", "Transpose <perm = [0, 1, 3, 2]>"])
def test_an_image_of_whole_numbers(moved: str) -> None:
    body = f"t = {moved or 'Identity'} (x)\n f = Cast <to = 1> (t)\n y = Conv (f, w)"
    model = graph(body, inputs="uint8[1, 4, 6, 8] x", weights=WEIGHTS)
    pixels = np.random.default_rng(1).integers(0, 256, (1, 4, 6, 8)).astype(np.uint8)
    expected = run(model, {"x": pixels})[0]
    apply_all(model, (Initialisers(), WholeNumberInputs()))
    assert "Cast" not in operators(model)
    np.testing.assert_array_equal(run(checked(model), {"x": pixels.astype(np.float32)})[0], expected)


@pytest.mark.parametrize(
    ("kind", "body", "told"),
    [
        ("uint8", "a = Add (x, x)\n y = Cast <to = 1> (a)", r"\(Add\): it calculates with input 'x' in whole numbers"),
        ("int64", "y = Cast <to = 1> (x)", r"\(Input\): it is of type int64"),
    ],
)
def test_whole_numbers_that_the_device_cannot_have(kind: str, body: str, told: str) -> None:
    with pytest.raises(UnsupportedNetworkError, match=told):
        apply_all(graph(body, inputs=f"{kind}[1, 4, 6, 8] x"), [WholeNumberInputs()])
