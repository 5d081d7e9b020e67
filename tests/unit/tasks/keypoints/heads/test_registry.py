from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from oakpoint.errors import ConversionError, UsageError
from oakpoint.features.heatmap import heatmap_from_logits
from oakpoint.features.sampling import unit_norm
from oakpoint.tasks.keypoints.heads.base import Heads
from oakpoint.tasks.keypoints.heads.registry import HEADS, KeypointHeads

SIZE = (40, 24)


def model(names: tuple[str, ...] = ("semi", "desc"), depth: int = 6) -> onnx.ModelProto:
    """A network that passes its two inputs on."""
    shapes = {name: (1, 65 if index == 0 else depth, SIZE[1] // 8, SIZE[0] // 8) for index, name in enumerate(names)}
    return helper.make_model(
        helper.make_graph(
            [helper.make_node("Identity", [f"in_{name}"], [name]) for name in names],
            "test",
            [helper.make_tensor_value_info(f"in_{n}", TensorProto.FLOAT, shape) for n, shape in shapes.items()],
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in shapes.items()],
        ),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=7,
    )


def run(network: onnx.ModelProto, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    network = onnx.shape_inference.infer_shapes(network, strict_mode=True)
    onnx.checker.check_model(network)
    session = onnxruntime.InferenceSession(network.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, tensors), strict=True))


def test_dense_heads_leave_the_network_as_it_is() -> None:
    network = model()
    before = network.SerializeToString()
    KeypointHeads(Heads("dense"), SIZE).apply(network)
    assert network.SerializeToString() == before


@pytest.mark.parametrize("heads", ["heatmap", "normalised"])
def test_heatmap_and_descriptors_in_the_networks_own_order(rng: np.random.Generator, heads: str) -> None:
    network = model()
    KeypointHeads(Heads(heads, 1.0), SIZE).apply(network)
    logits = rng.normal(0, 3, (1, 65, 3, 5)).astype(np.float32)
    descriptors = rng.normal(0, 4, (1, 6, 3, 5)).astype(np.float32)
    got = run(network, {"in_semi": logits, "in_desc": descriptors})
    assert {name: a.shape for name, a in got.items()} == {"heatmap": (1, 24, 40), "descriptors": (1, 6, 3, 5)}
    expected = descriptors if heads == "heatmap" else unit_norm(descriptors[0])[None]
    np.testing.assert_allclose(got["descriptors"], expected, atol=1e-5)
    np.testing.assert_allclose(got["heatmap"][0], heatmap_from_logits(logits[0]), atol=1e-6)


def test_normalising_needs_a_scale() -> None:
    with pytest.raises(UsageError, match="heads normalised: expected a descriptor_scale from the network's measured"):
        KeypointHeads(Heads("normalised"), SIZE).apply(model())


def test_reducing_needs_to_know_how_far() -> None:
    with pytest.raises(UsageError, match="heads reduced: expected descriptor_values, measured on the network"):
        KeypointHeads(Heads("reduced"), SIZE).apply(model())


@pytest.mark.parametrize("spread", [0.1, 3.0, 40.0])
def test_rtabmaps_heads_are_the_reference_in_numpy(rng: np.random.Generator, spread: float) -> None:
    network = model()
    KeypointHeads(Heads("rtabmap"), SIZE).apply(network)
    logits = rng.normal(0, spread, (1, 65, 3, 5)).astype(np.float32)
    descriptors = rng.normal(0, 1, (1, 6, 3, 5)).astype(np.float32)
    got = run(network, {"in_semi": logits, "in_desc": descriptors})
    assert {name: array.shape for name, array in got.items()} == {"heatmap": (1, 24, 40), "desc": (1, 3, 5, 6)}
    np.testing.assert_allclose(got["heatmap"][0], heatmap_from_logits(logits[0]), atol=1e-6)
    np.testing.assert_array_equal(got["desc"], descriptors.transpose(0, 2, 3, 1))


def test_each_channel_of_a_cell_goes_to_its_pixel() -> None:
    network = model()
    KeypointHeads(Heads("rtabmap"), SIZE).apply(network)
    logits = np.zeros((1, 65, 3, 5), np.float32)
    logits[0, 8 * 3 + 6, 2, 1] = 50  # row 3, column 6 of the cell in row 2, column 1
    heatmap = run(network, {"in_semi": logits, "in_desc": np.zeros((1, 6, 3, 5), np.float32)})["heatmap"][0]
    assert np.unravel_index(heatmap.argmax(), heatmap.shape) == (2 * 8 + 3, 1 * 8 + 6)
    assert heatmap.max() == pytest.approx(1.0)


def test_unknown_heads_list_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"heads: expected one of dense, heatmap, .*rtabmap, got 'all'"):
        KeypointHeads(Heads("all"), SIZE).apply(model())


@pytest.mark.parametrize("heads", HEADS)
def test_a_network_without_the_two_outputs(heads: str) -> None:
    with pytest.raises(ConversionError, match="expected the outputs semi and desc, got logits, semi"):
        KeypointHeads(Heads(heads), SIZE).apply(model(("semi", "logits")))
