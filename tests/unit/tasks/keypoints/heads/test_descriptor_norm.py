from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from oakpoint.errors import ConversionError
from oakpoint.tasks.keypoints.heads.descriptor_norm import append_unit_descriptors, scale_descriptors, scale_for_norms

WEIGHTS = np.random.default_rng(3).normal(0, 1, (5, 4, 1, 1)).astype(np.float32)
BIAS = np.linspace(-1, 1, 5, dtype=np.float32)


def network(*, middle: tuple[str, ...] = (), last: str = "Conv", tapped: bool = False) -> onnx.ModelProto:
    """A convolution, operators behind it, and a second convolution with the same weights beside it."""
    nodes = [helper.make_node(last, ["x", "w", "b"] if last == "Conv" else ["x"], ["t0"], name="describer")]
    nodes += [helper.make_node(kind, [f"t{i}"], [f"t{i + 1}"]) for i, kind in enumerate(middle)]
    nodes.append(helper.make_node("Identity", [f"t{len(middle)}"], ["desc"]))
    nodes.append(helper.make_node("Conv", ["x", "w", "b"], ["other"]))
    if tapped:
        nodes.append(helper.make_node("Relu", ["t0"], ["tap"]))
    outputs = ["desc", "other", *(["tap"] if tapped else [])]
    graph = helper.make_graph(
        nodes,
        "n",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 4, 2, 3))],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(WEIGHTS, "w"), numpy_helper.from_array(BIAS, "b")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)


def run(model: onnx.ModelProto, x: np.ndarray) -> dict[str, np.ndarray]:
    onnx.checker.check_model(onnx.shape_inference.infer_shapes(model, strict_mode=True))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"x": x}), strict=True))


@pytest.fixture
def x(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(0, 1, (1, 4, 2, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("largest", "scale"),
    [
        (2863.0, 2.0**-6),  # SuperPoint v1: to 44.7
        (64.0, 1.0), (64.1, 0.5), (128.0, 0.5), (129.0, 0.25),
        (1.0, 1.0), (0.25, 1.0),  # a network that normalises its own descriptors
        (1e-3, 2.0**15), (1e6, 2.0**-14),
    ],
)  # fmt: skip
def test_norms_come_to_lie_safely_within_fp16(largest: float, scale: float) -> None:
    assert scale_for_norms(largest) == scale
    assert 4 * largest * scale <= np.sqrt(np.finfo(np.float16).max) + 1
    assert largest * scale >= 0.25


@pytest.mark.parametrize("largest", [0.0, np.nan, np.inf])
def test_norms_that_nothing_can_be_scaled_by(largest: float) -> None:
    with pytest.raises(ConversionError, match="descriptors: expected norms over 0"):
        scale_for_norms(largest)


@pytest.mark.parametrize("middle", [(), ("Relu",), ("Identity", "Relu")])
def test_the_scale_is_folded_into_the_last_convolution_and_into_no_other(
    x: np.ndarray, middle: tuple[str, ...]
) -> None:
    model = network(middle=middle)
    before = run(model, x)
    operators = [node.op_type for node in model.graph.node]
    scale_descriptors(model.graph, "desc", 1 / 64)
    after = run(model, x)
    np.testing.assert_allclose(after["desc"], before["desc"] / 64, rtol=1e-6)
    np.testing.assert_array_equal(after["other"], before["other"])
    assert [node.op_type for node in model.graph.node] == operators, "no operator was added"


def test_a_scale_of_one_changes_nothing() -> None:
    model = network(last="Sigmoid")
    before = model.SerializeToString()
    scale_descriptors(model.graph, "desc", 1.0)
    assert model.SerializeToString() == before


def test_descriptors_that_come_from_no_convolution_are_refused_by_name() -> None:
    with pytest.raises(ConversionError, match=r"layer 'describer' \(Sigmoid\): descriptors are scaled by 0.5"):
        scale_descriptors(network(last="Sigmoid").graph, "desc", 0.5)


def test_a_layer_that_others_read_as_well_is_refused() -> None:
    with pytest.raises(ConversionError, match="t0: cannot be scaled for the descriptors alone"):
        scale_descriptors(network(tapped=True).graph, "desc", 0.5)


def test_unit_norm_and_zero_stays_zero(x: np.ndarray) -> None:
    graph = helper.make_graph(
        [],
        "n",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 4, 2, 3))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    append_unit_descriptors(graph, "x", "y")
    x[:, :, 1, 2] = 0
    got = run(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7), x)["y"]
    norms = np.linalg.norm(got[0], axis=0)
    np.testing.assert_allclose(norms.ravel()[:-1], 1, atol=1e-3)
    assert not got[0, :, 1, 2].any()
