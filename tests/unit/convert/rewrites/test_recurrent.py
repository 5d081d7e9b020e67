"""Recurrent layers, step by step."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from recurrent import Recurrence
from rewritten import differences, graph_of, layer, operators_of, random_inputs, rewritten, run

from oakpoint.convert.rewrites.operators.recurrent import MOST_STEPS, Recurrent
from oakpoint.convert.rewrites.opset.batch_first import BatchFirst
from oakpoint.convert.rewrites.opset.opset import DeviceOpset
from oakpoint.errors import Finding, UnsupportedNetworkError

DIRECTIONS = st.sampled_from(["forward", "reverse", "bidirectional"])


@st.composite
def recurrences(draw: st.DrawFn) -> Recurrence:
    operator = draw(st.sampled_from(["GRU", "LSTM", "RNN"]))
    outputs = st.lists(st.booleans(), min_size=1, max_size=3 if operator == "LSTM" else 2).filter(any)
    attributes = []
    if operator == "GRU":
        attributes.append(("linear_before_reset", draw(st.integers(0, 1))))
    if operator == "RNN" and draw(st.booleans()):
        attributes.append(("activations", ["Relu", "Tanh"]))
    direction = "bidirectional" if len(attributes) and attributes[0][0] == "activations" else draw(DIRECTIONS)
    return Recurrence(
        operator=operator,
        direction=direction,
        steps=draw(st.integers(1, 5)),
        rows=draw(st.integers(1, 3)),
        given=draw(st.integers(1, 4)),
        units=draw(st.integers(1, 5)),
        bias=draw(st.booleans()),
        initial=draw(st.sampled_from(["", "zeros", "constant", "input"])),
        outputs=tuple(draw(outputs)),
        attributes=tuple(attributes),
    )


@settings(max_examples=80, deadline=None)
@given(recurrence=recurrences(), seed=st.integers(0, 2**32 - 1))
def test_the_same_outputs(recurrence: Recurrence, seed: int) -> None:
    rng = np.random.default_rng(seed)
    model = recurrence.model(rng)
    found = differences(model, Recurrent(), random_inputs(model, rng))
    assert max(found.values()) < Recurrent.tolerance
    assert not {"GRU", "LSTM", "RNN"}.intersection(operators_of(rewritten(model, Recurrent())[0]))


@pytest.mark.parametrize("operator", ["GRU", "LSTM", "RNN"])
@pytest.mark.parametrize("initial", ["", "constant", "input"])
def test_directions_of_many_units_go_one_after_the_other(operator: str, initial: str) -> None:
    wide = Recurrence(operator=operator, direction="bidirectional", units=129, initial=initial, rows=2)
    rng = np.random.default_rng(1)
    model = wide.model(rng)
    assert max(differences(model, Recurrent(), random_inputs(model, rng)).values()) < Recurrent.tolerance
    inputs = {tensor.dims[1] for tensor in rewritten(model, Recurrent())[0].graph.initializer if len(tensor.dims) == 4}
    assert inputs <= {1, 3, 129, *([258] if initial == "constant" else [])}  # channels; no zeros between the directions


def finding(model: onnx.ModelProto) -> Finding:
    with pytest.raises(UnsupportedNetworkError) as caught:
        rewritten(model, Recurrent())
    (found,) = caught.value.findings
    assert found.remedy
    return found


@pytest.mark.parametrize(
    ("recurrence", "expected"),
    [
        (Recurrence(operator="RNN", steps=MOST_STEPS + 1), f"{MOST_STEPS + 1} steps"),
        (Recurrence(operator="LSTM", steps=250, units=300), "MB of at most"),
        (Recurrence(operator="GRU", attributes=(("clip", 3.0),)), "attribute clip"),
        (Recurrence(operator="LSTM", attributes=(("input_forget", 1),)), "attribute input_forget"),
        (Recurrence(operator="RNN", attributes=(("activations", ["Elu"]),)), "attribute activations: Elu"),
        (Recurrence(operator="LSTM", attributes=(("activations", ["Tanh"]),)), "expected 3 activations"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else value.operator,
)
def test_what_is_not_written_out_is_a_finding(recurrence: Recurrence, expected: str) -> None:
    assert expected in finding(recurrence.model(np.random.default_rng(0))).problem


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("x w r - - - - p", "peepholes"),
        ("x w r - short", "sequence_lens: 2 of 3 steps"),
        ("x w r - n", "sequence_lens: computed"),
        ("x w r2", "weights are computed"),
        ("x w r b2", "weights are computed"),
    ],
)
def test_inputs_that_the_device_does_not_take(names: str, expected: str) -> None:
    model = with_inputs(names)
    assert expected in finding(model).problem


def test_inputs_that_say_nothing() -> None:
    model = with_inputs("x w r - full - - none")
    assert differences(model, Recurrent(), random_inputs(model, np.random.default_rng(1)))["y"] < Recurrent.tolerance


def with_inputs(names: str) -> onnx.ModelProto:
    """An LSTM of 3 steps and 2 units with these inputs."""
    rng = np.random.default_rng(0)
    constants = {"w": rng.normal(size=(1, 8, 4)), "r": rng.normal(size=(1, 8, 2)), "p": rng.normal(size=(1, 6))}
    constants |= {"b": rng.normal(size=(1, 16)), "none": np.zeros((1, 6))}
    weights = {name: values.astype(np.float32) for name, values in constants.items()}
    weights |= {"short": np.array([2], np.int32), "full": np.array([3], np.int32)}
    layers = [
        layer("Relu", "r", "r2"),
        layer("Relu", "b", "b2"),
        layer("ReduceSum", "x", "sum", keepdims=0),
        layer("Cast", "sum", "whole", to=onnx.TensorProto.INT32),
        layer("Reshape", "whole one", "n"),
        layer("LSTM", names, hidden_size=2),
    ]
    return graph_of(layers, {"x": (3, 1, 4)}, {**weights, "one": np.array([1])})


def test_layers_whose_first_output_is_left_out_keep_their_names_apart() -> None:
    rng = np.random.default_rng(0)
    weights = {"w": rng.normal(size=(1, 2, 2)), "r": rng.normal(size=(1, 2, 2))}
    layers = [layer("RNN", "x w r", "- h", hidden_size=2), layer("RNN", "h w r", "- y", hidden_size=2)]
    model = graph_of(layers, {"x": (3, 1, 2)}, {name: values.astype(np.float32) for name, values in weights.items()})
    assert differences(model, Recurrent(), random_inputs(model, rng))["y"] < Recurrent.tolerance


@pytest.mark.parametrize("operator", ["GRU", "LSTM", "RNN"])
@pytest.mark.parametrize("outputs", [(True, True, True), (False, True, True)])
def test_the_batch_first(operator: str, outputs: tuple[bool, ...]) -> None:
    """ONNX Runtime does not compute layout 1: it is what it computes of layout 0, transposed."""
    rng = np.random.default_rng(2)
    recurrence = Recurrence(operator=operator, direction="bidirectional", rows=2, initial="input", outputs=outputs)
    steps_first = recurrence.model(rng)
    batch_first = onnx.ModelProto.FromString(steps_first.SerializeToString())
    batch_first.opset_import[0].version = 14
    batch_first.graph.node[0].attribute.append(helper.make_attribute("layout", 1))
    for value in batch_first.graph.input:
        dimensions = value.type.tensor_type.shape.dim
        dimensions[0].dim_value, dimensions[1].dim_value = dimensions[1].dim_value, dimensions[0].dim_value
    inputs = random_inputs(steps_first, rng)
    model, touched = rewritten(batch_first, BatchFirst(), DeviceOpset())
    assert len(touched) == 2  # the layer, and the opset
    assert model.graph.node[-len(model.graph.output) - 1].name == steps_first.graph.node[0].name
    found = run(model, {name: np.swapaxes(values, 0, 1) for name, values in inputs.items()})
    for name, expected in run(steps_first, inputs).items():
        perm = (2, 0, 1, 3) if expected.ndim == 4 else (1, 0, 2)
        np.testing.assert_array_equal(found[name], expected.transpose(perm))
