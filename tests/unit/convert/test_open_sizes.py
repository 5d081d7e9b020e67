"""Sizes that the device graph can work out, and the true reason where it cannot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest
from device_form import device_form
from onnx import numpy_helper

from oakpoint.convert.device_graph import device_graph
from oakpoint.convert.open_sizes import why_open
from oakpoint.errors import ConversionError

NETWORK = """
<ir_version: 8, opset_import: ["" : 18]>
test (float[N, 1, 16, 24] image) => (float[a, b, c, d] semi, float[e, f, g, h] desc)
<float[1, 1, 1, 1] unit = {255.0}, int64[3] grown = {1, 32, 48}, int64[1] all = {-1},
  int64[4] added = {1, 1, 16, 24}, float[1] half = {0.5}>
{
x = Conv (image, unit)
BODY
semi = Conv <strides = [8, 8]> (y, semi_weights)
desc = Conv <strides = [8, 8]> (y, desc_weights)
}
"""

FOLLOWS = """
batch = Shape <start = 0, end = 1> (x)
wanted = Concat <axis = 0> (batch, grown)
mean = GlobalAveragePool (x)
resized = Resize <mode = "nearest"> (mean, , , wanted)
large = Resize <mode = "nearest"> (x, , , wanted)
y = Add (large, resized)
"""
"""What torch writes for an adaptive pooling that is resized to the size of another tensor, behind an open batch."""

BY_COUNT = """
column = GlobalMaxPool (x)
flat = Reshape (column, all)
bright = Greater (flat, half)
y = Compress <axis = 3> (x, bright)
"""

BY_VALUES = """
mean = ReduceMean <keepdims = 0> (x)
whole = Cast <to = 7> (mean)
wanted = Add (whole, added)
y = Reshape (x, wanted)
"""

BY_ARITHMETIC = """
shape = Shape (x)
numbers = Cast <to = 1> (shape)
halves = Mul (numbers, half)
rounded = Ceil (halves)
wanted = Cast <to = 7> (rounded)
y = Resize <mode = "nearest"> (x, , , wanted)
"""


def saved(path: Path, body: str) -> Path:
    model = onnx.parser.parse_model(NETWORK.replace("BODY", body))
    rng = np.random.default_rng(1)
    for name, channels in (("semi_weights", 65), ("desc_weights", 4)):
        weights = rng.normal(0, 0.3, (channels, 1, 8, 8)).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(weights, name))
    for index, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}_{index}"
    onnx.save(model, path)
    return path


def graph(path: Path) -> onnx.ModelProto:
    return device_graph(path, *device_form(path, (24, 16))).model


@pytest.mark.parametrize(("body", "grid"), [(FOLLOWS, [4, 6]), (BY_ARITHMETIC, [1, 1])])
def test_a_size_that_follows_from_the_images_is_worked_out(tmp_path: Path, body: str, grid: list[int]) -> None:
    model = graph(saved(tmp_path / "m.onnx", body))
    shapes = {o.name: [d.dim_value for d in o.type.tensor_type.shape.dim] for o in model.graph.output}
    assert shapes == {"semi": [1, 65, *grid], "desc": [1, 4, *grid]}
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
    semi = session.run(["semi"], {"image": np.zeros((1, 1, 16, 24), np.float32)})[0]
    assert list(semi.shape) == shapes["semi"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (BY_COUNT, r"layer 'Compress_4' \(Compress\): gives as many elements as values decide"),
        (BY_VALUES, r"layer 'Reshape_4' \(Reshape\): .* depends on the image's values; the device needs a fixed one"),
    ],
)
def test_the_true_reason_why_a_size_is_open(tmp_path: Path, body: str, reason: str) -> None:
    with pytest.raises(ConversionError, match=f"^{reason}"):
        graph(saved(tmp_path / "m.onnx", body))


def test_a_size_that_is_not_worked_out(tmp_path: Path) -> None:
    """Shape inference alone does not follow a detour through floating point."""
    model = onnx.load(saved(tmp_path / "m.onnx", BY_ARITHMETIC))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    finding = why_open(onnx.shape_inference.infer_shapes(model, data_prop=True))
    assert (finding.layer, finding.operator) == ("Resize_6", "Resize")
    assert "cannot be worked out before the network runs, although" in finding.problem
