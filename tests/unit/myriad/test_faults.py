"""A miscompiled network shows in the simulator's outputs, beside the same network compiled well."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from skimage import data as photographs

from oakpoint.myriad.blob import Blob
from oakpoint.myriad.simulator import Simulator

CLEARLY = 0.02
"""Share of an output's range by which a fault has to move it; FP16 rounding moves it by less than 0.002."""


def photograph(width: int, height: int) -> NDArray[np.uint8]:
    image = cv2.resize(photographs.camera(), (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(image, np.uint8)[None, None]


def difference(first: dict[str, NDArray[np.generic]], second: dict[str, NDArray[np.generic]]) -> float:
    """Largest difference as a share of the first one's range; infinite where a value is not a number."""
    worst = 0.0
    for name, values in first.items():
        other = second[name].astype(np.float64)
        if not np.isfinite(other).all():
            return float("inf")
        healthy = values.astype(np.float64)
        worst = max(worst, float(np.abs(healthy - other).max() / np.ptp(healthy)))
    return worst


FAULTS = ["dropped copy", "shifted copy", "missing ReLU", "flipped weight bit"]


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_in_a_small_network(faults: dict[str, Callable[[bytes], bytes]], tiny_bytes: bytes, fault: str) -> None:
    image = photograph(48, 32)
    healthy = Simulator(Blob.from_bytes(tiny_bytes)).run({"image": image})
    broken = Simulator(Blob.from_bytes(faults[fault](tiny_bytes))).run({"image": image})
    assert difference(healthy, broken) > CLEARLY


@pytest.mark.shared
@pytest.mark.parametrize("fault", FAULTS)
def test_fault_in_superpoint(faults: dict[str, Callable[..., bytes]], shared: Path, fault: str) -> None:
    content = (shared / "blobs" / "superpoint_200x320_6shave.blob").read_bytes()
    image = photograph(320, 200)
    healthy = Simulator(Blob.from_bytes(content)).run({"input": image})
    broken = Simulator(Blob.from_bytes(faults[fault](content, 20))).run({"input": image})
    assert difference(healthy, broken) > CLEARLY


def _network(first_factor: float, norm_factor: float) -> onnx.ModelProto:
    """A convolution, ReLU, and descriptors of unit length: two factors that a conversion may forget."""
    rng = np.random.default_rng(3)
    constants = {
        "w1": rng.standard_normal((16, 1, 3, 3)) * first_factor,
        "w2": rng.standard_normal((16, 16, 1, 1)) * norm_factor,
    }
    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["a"], kernel_shape=[3, 3], pads=[1] * 4),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w2"], ["c"], kernel_shape=[1, 1]),
        helper.make_node("ReduceL2", ["c"], ["n"], axes=[1], keepdims=1),
        helper.make_node("Div", ["c", "n"], ["descriptors"]),
        helper.make_node("Softmax", ["c"], ["probability"], axis=1),
    ]
    kind = TensorProto.FLOAT16
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("image", kind, (1, 1, 24, 32))],
        [helper.make_tensor_value_info(name, kind, (1, 16, 24, 32)) for name in ("descriptors", "probability")],
        [numpy_helper.from_array(values.astype(np.float16), name) for name, values in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)


@pytest.mark.compiler
def test_missing_scale_of_the_input(compile_onnx: Callable[..., Blob]) -> None:
    image = photograph(32, 24)
    healthy = Simulator(compile_onnx(_network(1 / 255, 1.0))).run({"image": image})
    broken = Simulator(compile_onnx(_network(1.0, 1 / 16))).run({"image": image})
    assert difference({"p": healthy["probability"]}, {"p": broken["probability"]}) > CLEARLY


@pytest.mark.compiler
def test_norm_that_leaves_the_range_of_fp16(compile_onnx: Callable[..., Blob]) -> None:
    """Squares over 65504 become infinite: the descriptors lose their unit length."""
    image = photograph(32, 24)
    healthy = Simulator(compile_onnx(_network(1 / 255, 1.0))).run({"image": image})["descriptors"]
    broken = Simulator(compile_onnx(_network(1 / 255, 512.0))).run({"image": image})["descriptors"]
    np.testing.assert_allclose(np.linalg.norm(healthy.astype(np.float32), axis=1), 1, atol=5e-3)
    assert np.abs(np.linalg.norm(broken.astype(np.float32), axis=1) - 1).max() > 0.5
