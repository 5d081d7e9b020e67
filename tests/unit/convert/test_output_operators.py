from __future__ import annotations

import numpy as np
import pytest
from graphs import graph
from onnx import TensorProto, helper, numpy_helper

from oakpoint.convert.output_operators import MOVING, output_operators


def operators(*nodes: tuple[str, str, str], outputs: str) -> dict[str, str]:
    """Of nodes (operator, input, output), each with one of both."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in outputs]
    graph = helper.make_graph(
        [helper.make_node(kind, [given], [made]) for kind, given, made in nodes],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        values,
        [numpy_helper.from_array(np.ones(1, np.float32), "w")],
    )
    return output_operators(helper.make_model(graph))


def test_each_output_has_the_operator_that_computes_it() -> None:
    assert operators(("Sigmoid", "x", "a"), ("Relu", "a", "b"), outputs="ab") == {"a": "Sigmoid", "b": "Relu"}


@pytest.mark.parametrize("kind", sorted(MOVING))
def test_what_only_moves_values_does_not_count(kind: str) -> None:
    assert operators(("Softmax", "x", "a"), (kind, "a", "b"), ("Identity", "b", "c"), outputs="c") == {"c": "Softmax"}


def test_an_input_or_a_constant_that_is_passed_on_is_left_out() -> None:
    assert operators(("Identity", "x", "a"), ("Transpose", "w", "b"), outputs="abx") == {}


def test_rows_that_an_operator_chose_are_its_own() -> None:
    """What top-k says where to read is selected; the largest values stand in their order, and are compared in it."""
    model = graph(
        """
        s = Sigmoid (x)
        v, i = TopK (s, k)
        u = Unsqueeze (i, last)
        w = Tile (u, four)
        chosen = GatherElements <axis = 1> (boxes, w)
        values = Reshape (v, shape)
        places = Identity (i)
        least = ReduceMin <keepdims = 1> (v)
        mask = Greater (s, least)
        m = Cast <to = 1> (mask)
        """,
        inputs="float[1, 9] x, float[1, 9, 4] boxes",
        outputs="float chosen, float values, int64 places, float m",
        opset=17,
        weights={"k": np.array([3]), "last": np.array([2]), "four": np.array([1, 1, 4]), "shape": np.array([3])},
    )
    assert output_operators(model) == {"chosen": "TopK", "places": "TopK", "m": "Greater"}
