from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from oakpoint.errors import ConversionError
from oakpoint.tasks.keypoints.heads.descriptor_basis import descriptor_basis, project_descriptors, values_for_cosine

RANK, DEPTH = 5, 24


def network(rng: np.random.Generator, *, kernel: int = 1, last: str = "Conv") -> onnx.ModelProto:
    """Descriptors of 24 values in a subspace of 5 dimensions, the bias included."""
    wide = rng.normal(0, 1, (DEPTH, RANK))
    weights = np.tensordot(wide, rng.normal(0, 1, (RANK, 16, kernel, kernel)), axes=1).astype(np.float32)
    bias = (wide @ rng.normal(0, 1, RANK)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["raw"], name="describer"),
        helper.make_node("Identity" if last == "Conv" else last, ["raw"], ["desc"], name="last"),
    ]
    graph = helper.make_graph(
        nodes,
        "n",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 16, 3, 4))],
        [helper.make_tensor_value_info("desc", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(bias, "b")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    onnx.checker.check_model(onnx.shape_inference.infer_shapes(model, strict_mode=True))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["desc"], {"x": x})[0][0])


@pytest.mark.parametrize("kernel", [1, 3])
def test_norms_and_distances_stay_and_the_way_back_is_the_basis(
    rng: np.random.Generator, tmp_path: Path, kernel: int
) -> None:
    model, x = network(rng, kernel=kernel), rng.normal(0, 1, (1, 16, 3, 4)).astype(np.float32)
    onnx.save(model, tmp_path / "m.onnx")
    whole = run(model, x).reshape(DEPTH, -1)
    project_descriptors(model.graph, "desc", 8)
    reduced = run(model, x).reshape(8, -1)
    np.testing.assert_allclose(reduced.T @ reduced, whole.T @ whole, rtol=1e-4, atol=1e-3)
    basis = descriptor_basis(tmp_path / "m.onnx", "desc")
    np.testing.assert_allclose(basis[:, :8] @ reduced, whole, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(basis.T @ basis, np.eye(DEPTH), atol=1e-12)
    assert {tensor.name for tensor in model.graph.initializer} == {"desc_projected_weights", "desc_projected_bias"}


def test_the_basis_has_one_sign(rng: np.random.Generator) -> None:
    basis = descriptor_basis(network(rng), "desc")
    assert (basis[np.abs(basis).argmax(axis=0), np.arange(DEPTH)] > 0).all()


def test_enough_values_for_a_cosine() -> None:
    coefficients = np.zeros((32, 3))
    coefficients[:, 0] = [1, *[0] * 31]
    coefficients[8, 1], coefficients[20, 1] = 1, 1e-3
    assert values_for_cosine(coefficients, 0.9999) == 16, "nine are enough, to a multiple of 8"
    assert values_for_cosine(coefficients, 1 - 1e-9) == 24
    coefficients[31, 2] = 1
    assert values_for_cosine(coefficients, 0.9999) == 32
    assert values_for_cosine(coefficients[:20], 1.0) <= 20


def test_descriptors_of_another_origin_are_refused_by_name(rng: np.random.Generator) -> None:
    with pytest.raises(ConversionError, match=r"layer 'last' \(Relu\): heads reduced need .*; take --heads heatmap"):
        project_descriptors(network(rng, last="Relu").graph, "desc", 8)
