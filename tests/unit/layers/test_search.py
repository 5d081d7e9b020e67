"""The search for refused layers, against compilers made up for it: each refuses what it is told to."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from graphs import graph
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from oakpoint.convert.split.parts import Parts
from oakpoint.layers.trying.search import Refusal, refused_layers

ONE = ("Relu", "Sigmoid", "Tanh", "Exp", "Neg", "Abs")
TWO = ("Add", "Mul", "Sub")


class Compiler:
    """Refuses graphs by a rule, and counts how often it is asked."""

    def __init__(self, rule: Callable[[onnx.ModelProto], str | None]) -> None:
        self.rule, self.asked, self._lock = rule, 0, threading.Lock()

    def __call__(self, model: onnx.ModelProto) -> str | None:
        onnx.checker.check_model(model)
        onnx.shape_inference.infer_shapes(model, strict_mode=True)
        with self._lock:
            self.asked += 1
        return self.rule(model)


def refusing(operators: set[str], words: str) -> Compiler:
    """Refuses every graph with one of these operators; ``words`` may name the last or the first such layer, or none."""

    def rule(model: onnx.ModelProto) -> str | None:
        wrong = [node for node in model.graph.node if node.op_type in operators]
        if not wrong:
            return None
        chosen = wrong[-1] if words == "the last" else wrong[0]
        named = {
            "nothing": "AssertionFailed: it is a fault inside",
            "an operator": f"unsupported layer type {chosen.op_type}",
            "an innocent": f'Failed to compile layer "{model.graph.node[0].name}": no',
        }
        return named.get(words, f'Failed to compile layer "{chosen.name}": unsupported')

    return Compiler(rule)


@st.composite
def networks(draw: st.DrawFn) -> onnx.ModelProto:
    """Layers of one or two inputs that read whatever came before them."""
    nodes, tensors = [], ["x"]
    for number in range(draw(st.integers(1, 24))):
        operator = draw(st.sampled_from(ONE + TWO))
        count = 2 if operator in TWO else 1
        read = [draw(st.sampled_from(tensors[-4:])) for _ in range(count)]
        nodes.append(helper.make_node(operator, read, [f"t{number}"], name=f"layer{number}"))
        tensors.append(f"t{number}")
    read_somewhere = {name for node in nodes for name in node.input}
    ends = [name for name in tensors[1:] if name not in read_somewhere]
    shape = (1, 2, 3, 4)
    made = helper.make_graph(
        nodes,
        "random",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT16, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT16, shape) for name in ends],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)


def parts_of(model: onnx.ModelProto) -> Parts:
    return Parts(model, TensorProto.FLOAT16)


@given(
    networks(),
    st.sets(st.sampled_from(ONE + TWO), max_size=3),
    st.sampled_from(["nothing", "an operator", "the first", "the last", "an innocent"]),
)
def test_exactly_the_refused_layers_are_found(model: onnx.ModelProto, operators: set[str], words: str) -> None:
    found = refused_layers(parts_of(model), refusing(operators, words))
    expected = [place for place, node in enumerate(model.graph.node) if node.op_type in operators]
    assert [refusal.place for refusal in found.refusals] == expected
    assert all(refusal.alone for refusal in found.refusals)
    assert found.untried == ()


def chain(operators: Sequence[str]) -> onnx.ModelProto:
    body, before = [], "x"
    for number, operator in enumerate(operators):
        body.append(f"t{number} = {operator} ({before})")
        before = f"t{number}"
    return graph("\n".join(body), inputs="float16[1, 2, 3, 4] x", outputs=f"float16 {before}", opset=13)


def test_one_refused_layer_of_many_takes_few_trials() -> None:
    operators = ["Relu", "Sigmoid"] * 100
    operators[137] = "Abs"
    compiler = refusing({"Abs"}, "nothing")
    found = refused_layers(parts_of(chain(operators)), compiler)
    assert [refusal.place for refusal in found.refusals] == [137]
    assert compiler.asked <= 20


def test_layers_of_a_kind_are_tried_once() -> None:
    compiler = refusing({"Abs"}, "the first")
    found = refused_layers(parts_of(chain(["Relu", "Abs"] * 50)), compiler)
    assert [refusal.place for refusal in found.refusals] == list(range(1, 100, 2))
    assert found.refusals[7].reason == 'Failed to compile layer "Abs_15": unsupported'
    assert compiler.asked <= 4


def test_a_fault_that_goes_on_takes_few_trials() -> None:
    operators = ["Relu", "Sigmoid"] * 100
    operators[100:104] = ["Abs", "Sign", "Abs", "Sign"]
    compiler = refusing({"Abs", "Sign"}, "nothing")
    found = refused_layers(parts_of(chain(operators)), compiler)
    assert [refusal.place for refusal in found.refusals] == [100, 101, 102, 103]
    assert compiler.asked <= 26


def has_pair(model: onnx.ModelProto) -> str | None:
    operators = [node.op_type for node in model.graph.node]
    return "no such pair" if ("Exp", "Tanh") in itertools.pairwise(operators) else None


def test_layers_that_are_refused_together_only() -> None:
    found = refused_layers(parts_of(chain(["Relu", "Exp", "Tanh", "Relu", "Neg"])), Compiler(has_pair))
    assert found.refusals == (Refusal(2, "no such pair", alone=False),)


def test_a_layer_that_only_a_cut_made_fail_is_let_go() -> None:
    seen: list[str] = []

    def rule(model: onnx.ModelProto) -> str | None:
        last = model.graph.node[-1].op_type
        if last == "Exp" and len(model.graph.node) > 1:  # it cannot be put out
            seen.append(last)
            return "no output of this kind"
        return "unsupported" if any(node.op_type == "Abs" for node in model.graph.node) else None

    operators = ["Relu"] * 9
    operators[4], operators[6] = "Exp", "Abs"
    found = refused_layers(parts_of(chain(operators)), Compiler(rule))
    assert seen
    assert [(refusal.place, refusal.alone) for refusal in found.refusals] == [(6, True)]


def test_what_hangs_on_a_layer_of_unknown_size_is_not_tried() -> None:
    body = "a = Relu (x)\n b = NonZero (a)\n c = Cast <to = 10> (b)\n d = Exp (c)\n y = Neg (a)"
    model = graph(body, inputs="float16[1, 2, 3, 4] x", outputs="float16 d, float16 y", opset=13)
    found = refused_layers(parts_of(model), refusing({"NonZero"}, "nothing"))
    assert [refusal.place for refusal in found.refusals] == [1]
    assert found.untried == (2, 3)


def test_truth_values_go_over_cuts_as_numbers() -> None:
    body = "a = Relu (x)\n b = Greater (a, x)\n c = Exp (a)\n d = Where (b, c, a)\n y = Neg (d)"
    model = graph(body, inputs="float16[1, 2, 3, 4] x", outputs="float16 y", opset=13)
    kinds: list[set[Any]] = []

    def rule(part: onnx.ModelProto) -> str | None:
        kinds.append({value.type.tensor_type.elem_type for value in (*part.graph.input, *part.graph.output)})
        return "no" if any(node.op_type == "Exp" for node in part.graph.node) else None

    found = refused_layers(parts_of(model), Compiler(rule))
    assert [refusal.place for refusal in found.refusals] == [2]
    assert set().union(*kinds) == {TensorProto.FLOAT16}


def test_an_interrupt_goes_through() -> None:
    def rule(model: onnx.ModelProto) -> str | None:
        if len(model.graph.node) == 9:
            return "no"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        refused_layers(parts_of(chain(["Relu"] * 9)), Compiler(rule))


def test_a_part_computes_what_the_whole_does() -> None:
    weights = {"w": np.full((2, 2, 1, 1), 0.5, np.float32), "w2": np.full((1,), 2, np.float32)}
    body = "a = Conv (x, w)\n b = Relu (a)\n c = Mul (b, w2)\n y = Add (c, a)"
    model = graph(body, inputs="float[1, 2, 3, 4] x", outputs="float y", opset=13, weights=weights)
    part = Parts(model).part([1, 2])
    assert [value.name for value in part.graph.input] == ["a"]
    assert [value.name for value in part.graph.output] == ["c"]
    assert [tensor.name for tensor in part.graph.initializer] == ["w2"]


def test_what_the_network_puts_out_stays_what_it_is_and_a_cut_whole_number_is_cast() -> None:
    whole_numbers = "a = Relu (x)\n c = ArgMax <axis = 1> (a)\n b = Exp (x)\n d = ArgMin <axis = 1> (b)"
    body = f"{whole_numbers}\n y = Gather <axis = 0> (t, d)"
    table = {"t": np.arange(8, dtype=np.float32)}
    model = graph(body, outputs="int64 c, float y", opset=13, weights=table)
    parts = Parts(model, TensorProto.FLOAT)
    assert parts.part(range(5)) == model
    own = parts.part([0, 1])
    assert [(value.name, value.type.tensor_type.elem_type) for value in own.graph.output] == [("c", TensorProto.INT64)]
    cut = parts.part([2, 3])
    assert [(value.name, value.type.tensor_type.elem_type) for value in cut.graph.output] == [
        ("d_put_out", TensorProto.FLOAT)
    ]
