"""The time estimate: its parts on a small blob, and its promise on networks whose times were published."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from oakpoint.errors import UsageError
from oakpoint.myriad.blob import Blob, read_blob
from oakpoint.myriad.cost import CONSTANTS, UNCERTAINTY, advise, estimate, least_cycles


def test_parts_of_the_small_blob_by_hand(tiny: Blob) -> None:
    """3x3 convolutions at 32x48: 1 to 8 channels in mode 1x256, 9 cycles a pixel; the pooled one before its pooling."""
    costs = estimate(tiny)
    first, second = costs.stages[1], costs.stages[2]
    mode = tiny.stages[2].descriptors[0].mode
    assert tiny.stages[1].descriptors[0].mode.label == "1x256"
    assert (first.engine_cycles, first.macs) == (32 * 48 * 9, 32 * 48 * 9 * 8)
    overhead = {"1x256": 0, "2x128": 5, "4x64": 11, "8x32": 19, "16x16": 31}[mode.label]
    steps = -(-8 // mode.input_block)
    assert second.engine_cycles == 32 * 48 * (9 * steps + overhead)
    assert second.macs == 32 * 48 * 9 * 8 * 16
    assert first.read_bytes == 32 * 48 * 2
    assert first.written_bytes == 0
    assert first.cmx_bytes == 8 * 32 * 48 * 2
    assert first.engine_ms == pytest.approx(first.engine_cycles / 700e3)


def test_total_is_the_sum_and_stages_follow_each_other(tiny: Blob) -> None:
    costs = estimate(tiny)
    assert costs.total_ms == pytest.approx(sum(stage.total_ms for stage in costs.stages))
    low, high = costs.range_ms
    assert (low, high) == pytest.approx((costs.total_ms * 0.7, costs.total_ms * 1.3))
    for before, after in zip(costs.stages, costs.stages[1:], strict=False):
        assert after.start_ms == pytest.approx(before.start_ms + before.total_ms)
    assert all(constant.source and constant.unit for constant in CONSTANTS)


@pytest.mark.parametrize(
    ("inputs", "outputs", "cycles"), [(64, 64, 155), (32, 64, 83), (32, 32, 55), (16, 16, 37), (8, 8, 28), (1, 64, 9)]
)
def test_cycles_of_a_pixel_in_the_best_mode(inputs: int, outputs: int, cycles: int) -> None:
    """As the compiler says of 3x3 convolutions in its own graph (``cost`` of a stage's tiling)."""
    assert least_cycles(100, inputs, outputs, 9) == 100 * cycles


def test_advice(tiny: Blob) -> None:
    larger = dataclasses.replace(tiny, header=dataclasses.replace(tiny.header, shaves=10))
    advice = advise([tiny, larger])
    assert [(entry.shaves, entry.threads) for entry in advice] == [(6, 2), (6, 1), (10, 1)]
    assert advice[0].frames_per_second == pytest.approx(2 * advice[1].frames_per_second)
    with pytest.raises(UsageError, match="two blobs for 6"):
        advise([tiny, tiny])
    with pytest.raises(UsageError, match="at least one"):
        advise([])


@pytest.mark.shared
def test_superpoint(shared: Path) -> None:
    """About 63 ms were measured by RTAB-Map's author."""
    costs = estimate(read_blob(shared / "blobs" / "superpoint_200x320_10shave.blob"))
    assert 63 * (1 - UNCERTAINTY) < costs.total_ms < 63 * (1 + UNCERTAINTY)
    assert 5.5e9 < costs.macs < 6.2e9


class Classifier:
    """Classification networks by shape; their weights are random, as time does not depend on them."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.rng = np.random.default_rng(0)

    def op(self, kind: str, *inputs: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(kind, list(inputs), [f"n{len(self.nodes)}"], **attributes))
        return str(self.nodes[-1].output[0])

    def constant(self, *shape: int) -> str:
        values = self.rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
        self.constants.append(numpy_helper.from_array(values.astype(np.float16), f"c{len(self.constants)}"))
        return str(self.constants[-1].name)

    def conv(self, x: str, inputs: int, outputs: int, kernel: int, stride: int = 1, *, group: int = 1) -> str:
        return self.op(
            "Conv", x, self.constant(outputs, inputs // group, kernel, kernel), self.constant(outputs),
            kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[kernel // 2] * 4, group=group,
        )  # fmt: skip

    def relu(self, x: str) -> str:
        return self.op("Relu", x)

    def model(self, x: str, channels: int) -> onnx.ModelProto:
        x = self.op("Flatten", self.op("GlobalAveragePool", x))
        self.op("Gemm", x, self.constant(1000, channels), self.constant(1000), transB=1)
        self.nodes[-1].output[0] = "classes"
        kind = TensorProto.FLOAT16
        graph = helper.make_graph(
            self.nodes,
            "classifier",
            [helper.make_tensor_value_info("image", kind, (1, 3, 224, 224))],
            [helper.make_tensor_value_info("classes", kind, (1, 1000))],
            self.constants,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)


def resnet(blocks: tuple[int, ...], *, bottleneck: bool) -> onnx.ModelProto:
    """He et al. 2015, table 1, the stride in the 3x3 convolution."""
    net = Classifier()
    x = net.relu(net.conv("image", 3, 64, 7, 2))
    x = net.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    channels = 64
    for level, count in enumerate(blocks):
        width = 64 << level
        outputs = width * 4 if bottleneck else width
        for index in range(count):
            stride = 2 if level and not index else 1
            if bottleneck:
                y = net.relu(net.conv(net.relu(net.conv(x, channels, width, 1)), width, width, 3, stride))
                y = net.conv(y, width, outputs, 1)
            else:
                y = net.conv(net.relu(net.conv(x, channels, width, 3, stride)), width, width, 3)
            if stride != 1 or channels != outputs:
                x = net.conv(x, channels, outputs, 1, stride)
            x, channels = net.relu(net.op("Add", y, x)), outputs
    return net.model(x, channels)


def mobileone_s0() -> onnx.ModelProto:
    """Vasu et al. 2023, table 2, as it runs: branches folded together."""
    net = Classifier()
    x, channels = net.relu(net.conv("image", 3, 48, 3, 2)), 48
    for outputs, count in ((48, 2), (128, 8), (256, 10), (1024, 1)):
        for index in range(count):
            x = net.relu(net.conv(x, channels, channels, 3, 1 if index else 2, group=channels))
            x, channels = net.relu(net.conv(x, channels, outputs, 1)), outputs
    return net.model(x, channels)


NETWORKS: dict[str, tuple[Callable[[], onnx.ModelProto], float]] = {
    "ResNet-18": (lambda: resnet((2, 2, 2, 2), bottleneck=False), 19.7),
    "ResNet-50": (lambda: resnet((3, 4, 6, 3), bottleneck=True), 56.5),
    "MobileOne-S0": (mobileone_s0, 11.1),
}
"""Times in ms on an OAK with 8 SHAVEs, published by Luxonis. The model's constants are solved from the first two; the
third is held out."""


@pytest.mark.slow
@pytest.mark.compiler
@pytest.mark.parametrize("name", NETWORKS)
def test_published_times(compile_onnx: Callable[..., Blob], name: str) -> None:
    build, published_ms = NETWORKS[name]
    costs = estimate(compile_onnx(build(), shaves=8))
    assert costs.total_ms == pytest.approx(published_ms, rel=UNCERTAINTY)
