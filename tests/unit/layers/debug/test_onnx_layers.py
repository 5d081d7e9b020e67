"""An ONNX network's layers, all of it or each on tensors that are given."""

from __future__ import annotations

import contextlib

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from oakpoint.errors import BackendError
from oakpoint.layers.debug.image_faults import FAULTS, Picture
from oakpoint.layers.debug.layer_faults import faulty_layers
from oakpoint.layers.debug.onnx_layers import OnnxLayers
from oakpoint.layers.portions import portions


@pytest.fixture(scope="module")
def network() -> OnnxLayers:
    """Two branches of a convolution with a ReLU, and their sum."""
    rng = np.random.default_rng(0)
    constants = [
        numpy_helper.from_array(rng.normal(0, 0.4, shape).astype(np.float32), name)
        for name, shape in {"w": (4, 2, 3, 3), "b": (4,), "v": (4, 4, 1, 1)}.items()
    ]
    nodes = [
        helper.make_node("Conv", ["image", "w", "b"], ["first"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["first"], ["positive"], name="relu"),
        helper.make_node("Conv", ["positive", "v"], ["second"], name="point"),
        helper.make_node("Add", ["positive", "second"], ["sum"], name="add"),
    ]
    ends = [helper.make_tensor_value_info(n, 1, s) for n, s in (("image", [1, 2, 6, 8]), ("sum", [1, 4, 6, 8]))]
    graph = helper.make_graph(nodes, "branches", ends[:1], ends[1:], constants)
    return OnnxLayers(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8))


IMAGE = np.random.default_rng(3).random((1, 2, 6, 8)).astype(np.float32)


def test_every_tensor_can_be_had(network: OnnxLayers) -> None:
    assert list(network.shapes) == ["first", "positive", "second", "sum"]
    found = network.run(["sum", "first"])({"image": IMAGE})
    assert set(found) == {"sum", "first"}
    assert found["sum"].shape == network.shapes["sum"]


def test_apart_is_the_same_where_what_is_given_is_right(network: OnnxLayers) -> None:
    names = list(network.shapes)
    whole = network.run(names)({"image": IMAGE})
    needed = network.read_by(names, names)
    assert needed == {"first", "positive", "second"}
    apart = network.run_apart(names, sorted(needed))({"image": IMAGE, **{name: whole[name] for name in needed}})
    for name in names:
        np.testing.assert_allclose(apart[name], whole[name], atol=1e-6)


def test_apart_a_layer_reads_what_it_is_given_alone(network: OnnxLayers) -> None:
    given = np.ones(network.shapes["positive"], np.float32)
    zeros = np.zeros(network.shapes["second"], np.float32)
    run = network.run_apart(["sum", "positive"], ["positive", "second", "first"])
    found = run({"image": IMAGE, "positive": given, "second": zeros, "first": -given})
    np.testing.assert_array_equal(found["sum"], given)
    np.testing.assert_array_equal(found["positive"], zeros), "of the first that is given, not of the image"


def test_what_a_tensor_hangs_on(network: OnnxLayers) -> None:
    assert network.read_by(["sum"], {"first"}) == {"first"}
    assert network.read_by(["sum"], {"first", "positive"}) == {"positive"}
    assert [node.name for node in network.layers_of("second", {"first"})] == ["relu", "point"]


def test_constants_are_rounded_in_general_position(network: OnnxLayers) -> None:
    exact = OnnxLayers(onnx.ModelProto.FromString(network.model.SerializeToString()))
    for tensor in exact.model.graph.initializer:
        halves = numpy_helper.to_array(tensor).astype(np.float16).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(halves, tensor.name))
    before, after = (numpy_helper.to_array(m.model.graph.initializer[0]) for m in (exact, exact.rounded(0.7)))
    error = np.abs(after - before) / np.abs(before)
    assert 1e-5 < error.max() < 2.0**-10


def test_faults_of_single_layers(network: OnnxLayers) -> None:
    whole = network.run(["positive"])({"image": IMAGE})["positive"]
    words = {}
    for said, run in faulty_layers(network, "positive", ()):
        with contextlib.suppress(BackendError):
            words[said] = run({"image": IMAGE})["positive"]
    assert set(words) >= {
        "a layer has no bias (Conv conv)",
        "a wrong pad: all of it at the end (Conv conv)",
        "a wrong pad: all of it in front (Conv conv)",
        "a layer is left out (Relu relu)",
    }
    assert all(v.shape != whole.shape or np.abs(v - whole).max() > 1e-3 for v in words.values())


def test_portions_keep_the_order_and_the_bound() -> None:
    shapes = {"a": (10,), "b": (10,), "c": (100,), "d": (1, 10)}
    assert portions(list(shapes), shapes, 80) == [["a", "b"], ["c"], ["d"]]
    assert portions([], shapes, 80) == []


@pytest.mark.parametrize("words", FAULTS)
def test_faults_of_an_image_are_what_a_network_would_have_to_be_given(words: str) -> None:
    """Each is put into the formula (level − mean) · scale, and into the levels: both give the same."""
    rng = np.random.default_rng(5)
    levels = rng.integers(0, 256, (1, 3, 4, 5)).astype(np.float64)
    mean, scale = (np.reshape(v, (1, 3, 1, 1)) for v in ((120.0, 115.0, 100.0), (0.017, 0.018, 0.019)))
    changed = (FAULTS[words](Picture(levels, mean, scale)) - mean) * scale
    assert changed.shape == levels.shape
    assert np.abs(changed - (levels - mean) * scale).max() > 1e-3, "it makes a difference"
    direct = {
        "RGB for BGR": (levels[:, ::-1] - mean) * scale,
        "1/255 is missing": levels - mean,
        "scaled twice": (levels - mean) * scale**2,
        "the mean is not subtracted": levels * scale,
        "the mean is subtracted twice": (levels - 2 * mean) * scale,
        "goes in as it is": levels,
        "mean and scale are those": (levels - mean[:, ::-1]) * scale[:, ::-1],
        "the means are those": (levels - mean[:, ::-1]) * scale,
        "NHWC for NCHW": (np.moveaxis(levels.reshape(1, 4, 5, 3), -1, 1) - mean) * scale,
    }
    (expected,) = (values for part, values in direct.items() if part in words)
    np.testing.assert_allclose(changed, expected, atol=1e-9)
