from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from oakpoint.errors import ConversionError
from oakpoint.features.heatmap import heatmap_from_logits
from oakpoint.features.packed import SMALLEST_PROBABILITY, descriptors_from_packed, heatmap_from_packed
from oakpoint.features.sampling import unit_norm
from oakpoint.tasks.keypoints.heads.packed import append_packed_descriptors, append_packed_heatmap

HALF_LEVEL = 2 ** (0.5 / 25.4) - 1
"""Half a level of the logarithmic scale, as a share."""


def graph(shape: tuple[int, ...]) -> onnx.GraphProto:
    return helper.make_graph(
        [helper.make_node("Identity", ["x"], ["desc"])],
        "n",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("desc", TensorProto.FLOAT, None)],
    )


def run(appended: onnx.GraphProto, x: np.ndarray) -> np.ndarray:
    appended.output[0].CopyFrom(helper.make_tensor_value_info("packed", TensorProto.INT32, None))
    model = helper.make_model(appended, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    onnx.checker.check_model(onnx.shape_inference.infer_shapes(model, strict_mode=True))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["packed"], {"x": x})[0])


@pytest.mark.parametrize("spread", [0.0, 1.0, 5.0, 100.0])
def test_the_host_reads_the_heat_map_that_the_device_packed(rng: np.random.Generator, spread: float) -> None:
    logits = rng.normal(0, spread, (1, 65, 3, 5)).astype(np.float32)
    network = graph(logits.shape)
    append_packed_heatmap(network, "desc", "packed")
    packed = run(network, logits)
    assert (packed.dtype, packed.shape) == (np.int32, (1, 16, 3, 5))
    expected, got = heatmap_from_logits(logits[0]), heatmap_from_packed(packed[0])
    shown = expected > SMALLEST_PROBABILITY * 1.02
    np.testing.assert_allclose(got[shown], expected[shown], rtol=HALF_LEVEL + 1e-4)
    assert (got[expected < SMALLEST_PROBABILITY] == 0).all()


@pytest.mark.parametrize("scale", [1e-2, 1.0, 3e3])
def test_the_host_reads_the_descriptors_that_the_device_packed(rng: np.random.Generator, scale: float) -> None:
    descriptors = (rng.normal(0, scale, (1, 16, 3, 5))).astype(np.float32)
    descriptors[0, :, 2, 4] = 0
    network = graph(descriptors.shape)
    append_packed_descriptors(network, "desc", "packed")
    packed = run(network, descriptors)
    assert (packed.dtype, packed.shape) == (np.int32, (1, 4, 3, 5))
    got, expected = descriptors_from_packed(packed[0]), unit_norm(descriptors[0])
    assert not got[:, 2, 4].any()
    cosines = np.einsum("dhw,dhw->hw", got, expected).ravel()[:-1]
    assert cosines.min() > 0.9999


@pytest.mark.parametrize("channels", [1, 6, 255])
def test_descriptors_that_do_not_fill_whole_integers_are_refused(channels: int) -> None:
    with pytest.raises(ConversionError, match=f"expected descriptors of a multiple of 4 values, got {channels}"):
        append_packed_descriptors(graph((1, channels, 3, 5)), "desc", "packed")
