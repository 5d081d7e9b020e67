"""The device graph against the host graph, both run in ONNX Runtime: the device's weights cast back to float32."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from device_form import device_form
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from oakpoint.convert.device_graph import device_graph
from oakpoint.errors import ConversionError, UnsupportedNetworkError
from oakpoint.features.decode import heatmap_of
from oakpoint.features.sampling import unit_norm
from oakpoint.tasks.keypoints.heads.descriptor_basis import descriptor_basis
from oakpoint.tasks.keypoints.heads.registry import HEADS, Heads, outputs_of

SIZE = (24, 16)
GRID = (SIZE[1] // 8, SIZE[0] // 8)
Node = tuple[str, Sequence[str], str, dict[str, Any]]


def saved(
    folder: Path,
    stem: Sequence[Node],
    *,
    stem_out: str = "image",
    channels: int = 1,
    stride: int = 8,
    weights: dict[str, np.ndarray] | None = None,
    opset: int = 18,
    batch: int | str = "N",
) -> Path:
    """A network ``stem`` (image to ``stem_out`` of so many channels), then a strided convolution for each output."""
    rng = np.random.default_rng(1)
    nodes = [helper.make_node(op, inputs, [out], name=f"{op}_{out}", **kw) for op, inputs, out, kw in stem]
    tensors = dict(weights or {})
    for name, depth in (("semi", 65), ("desc", 4)):
        tensors[f"{name}.w"] = rng.normal(0, 0.3, (depth, channels, stride, stride)).astype(np.float32)
        tensors[f"{name}.b"] = rng.normal(0, 0.3, depth).astype(np.float32)
        inputs = [stem_out, f"{name}.w", f"{name}.b"]
        nodes.append(helper.make_node("Conv", inputs, [name], name=f"conv_{name}", strides=[stride, stride]))
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, (batch, 1, SIZE[1], SIZE[0]))],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4) for name in ("semi", "desc")],
        [numpy_helper.from_array(array, name) for name, array in tensors.items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    path = folder / "host.onnx"
    onnx.save(model, path)
    return path


def weights_of(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def in_float32(model: onnx.ModelProto) -> onnx.ModelProto:
    """The device graph with its FP16 tensors cast to float32: the same rounded weights, exact arithmetic."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT16:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
    for value in (*model.graph.input, *model.graph.output):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT16:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    del model.graph.value_info[:]
    return model


def run(model: onnx.ModelProto | Path, image: np.ndarray) -> dict[str, np.ndarray]:
    source = str(model) if isinstance(model, Path) else model.SerializeToString()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {session.get_inputs()[0].name: image}), strict=True))


def device(path: Path, heads: str = "dense") -> onnx.ModelProto:
    return device_graph(path, *device_form(path, SIZE, heads=Heads(heads, 1.0, 2))).model


def assert_same_on_pixels(path: Path, pixels: np.ndarray) -> onnx.ModelProto:
    """The device graph on 0–255 gives what the host graph gives on [0, 1], to the rounding of weights to FP16."""
    model = device(path)
    expected = run(path, (pixels / 255).astype(np.float32))
    got = run(in_float32(model), pixels.astype(np.float32))
    assert set(got) == set(expected) == {"semi", "desc"}
    for name in expected:
        np.testing.assert_allclose(got[name], expected[name], atol=2e-3 * np.abs(expected[name]).max())
    return model


STEMS: dict[str, dict[str, Any]] = {
    "convolution": {"stem": []},
    "identity": {"stem": [("Identity", ["image"], "x", {})], "stem_out": "x"},
    "space to depth by reshaping": {
        "stem": [
            ("Reshape", ["image", "s1"], "x1", {"allowzero": 1}),
            ("Transpose", ["x1"], "x2", {"perm": [0, 3, 5, 1, 2, 4]}),
            ("Reshape", ["x2", "s2"], "x", {}),
        ],
        "stem_out": "x",
        "weights": {"s1": np.array([1, 1, 8, 2, 12, 2]), "s2": np.array([1, 4, 8, 12])},
        "channels": 4,
        "stride": 4,
        "batch": 1,
    },
    "space to depth by its operator": {
        "stem": [("SpaceToDepth", ["image"], "x", {"blocksize": 2})],
        "stem_out": "x",
        "channels": 4,
        "stride": 4,
    },
    "space to depth by slices": {
        "stem": [
            ("Slice", ["image", "b0", "e", "axes", "steps"], "x0", {}),
            ("Slice", ["image", "b1", "e", "axes", "steps"], "x1", {}),
            ("Concat", ["x0", "x1"], "x", {"axis": 1}),
        ],
        "stem_out": "x",
        "weights": {
            "b0": np.array([0, 0]), "b1": np.array([1, 1]), "e": np.array([999, 999]), "axes": np.array([2, 3]),
            "steps": np.array([2, 2]),
        },
        "channels": 2,
        "stride": 4,
    },
    "zeros around": {
        "stem": [("Pad", ["image", "pads"], "x", {})],
        "stem_out": "x",
        "weights": {"pads": np.array([0, 0, 0, 0, 0, 0, 7, 7])},
    },
}  # fmt: skip


@pytest.mark.parametrize("name", STEMS)
def test_the_scale_is_folded_into_the_first_convolution(tmp_path: Path, rng: np.random.Generator, name: str) -> None:
    path = saved(tmp_path, **STEMS[name])
    model = assert_same_on_pixels(path, rng.integers(0, 256, (1, 1, SIZE[1], SIZE[0])))
    assert not [node for node in model.graph.node if node.op_type in ("Mul", "Div")]


@given(
    data=st.data(),
    name=st.sampled_from(sorted(STEMS)),
    opset=st.sampled_from([11, 13, 17, 18, 21, 22]),
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_pixels_give_what_the_host_gives(tmp_path: Path, data: st.DataObject, name: str, opset: int) -> None:
    stem = STEMS[name]
    if opset < 14 and any("allowzero" in node[3] for node in stem["stem"]):
        stem = stem | {
            "stem": [(*node[:3], {k: v for k, v in node[3].items() if k != "allowzero"}) for node in stem["stem"]]
        }
    levels = data.draw(st.lists(st.integers(0, 255), min_size=1, max_size=12))
    pixels = np.resize(np.array(levels), (1, 1, SIZE[1], SIZE[0]))
    pixels[..., 3:9, 5:8] = 255
    assert_same_on_pixels(saved(tmp_path, **stem, opset=opset), pixels)


def test_its_form(tmp_path: Path) -> None:
    model = device(saved(tmp_path, []))
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 13)]
    shapes = {
        value.name: tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
        for value in (*model.graph.input, *model.graph.output)
    }
    assert shapes == {"image": (1, 1, 16, 24), "semi": (1, 65, 2, 3), "desc": (1, 4, 2, 3)}
    kinds = {value.type.tensor_type.elem_type for value in (*model.graph.input, *model.graph.output)}
    assert kinds == {TensorProto.FLOAT16}
    assert {array.dtype for array in weights_of(model).values()} == {np.dtype(np.float16)}
    onnx.checker.check_model(model, full_check=True)


def test_the_product_is_rounded_once(tmp_path: Path) -> None:
    path = saved(tmp_path, [])
    before, after = weights_of(onnx.load(path)), weights_of(device(path))
    for name in ("semi", "desc"):
        once = (before[f"{name}.w"].astype(np.float64) / 255).astype(np.float32).astype(np.float16)
        assert after[f"{name}.w"].tobytes() == once.tobytes()
        assert after[f"{name}.b"].tobytes() == before[f"{name}.b"].astype(np.float16).tobytes(), "a bias is not scaled"


def test_weights_used_by_another_layer_are_not_scaled_there(tmp_path: Path, rng: np.random.Generator) -> None:
    weights = {"shared": rng.normal(0, 0.3, (1, 1, 3, 3)).astype(np.float32)}
    stem = [
        ("Conv", ["image", "shared"], "x1", {"pads": [1, 1, 1, 1]}),
        ("Conv", ["x1", "shared"], "x", {"pads": [1, 1, 1, 1]}),
    ]
    assert_same_on_pixels(saved(tmp_path, stem, stem_out="x", weights=weights), rng.integers(0, 256, (1, 1, 16, 24)))


def test_weights_used_twice_on_the_image_are_scaled_once_for_each(tmp_path: Path, rng: np.random.Generator) -> None:
    weights = {"shared": rng.normal(0, 0.3, (1, 1, 3, 3)).astype(np.float32)}
    stem = [
        ("Conv", ["image", "shared"], "x1", {"pads": [1, 1, 1, 1]}),
        ("Conv", ["image", "shared"], "x2", {"pads": [2, 2, 2, 2], "dilations": [2, 2]}),
        ("Concat", ["x1", "x2"], "x", {"axis": 1}),
    ]
    path = saved(tmp_path, stem, stem_out="x", weights=weights, channels=2)
    assert_same_on_pixels(path, rng.integers(0, 256, (1, 1, 16, 24)))


CALCULATING_STEMS: dict[str, tuple[list[Node], dict[str, np.ndarray], int]] = {
    "Mul": ([("Mul", ["image", "c"], "x", {})], {"c": np.array([2], np.float32)}, 1),
    "Sub": ([("Sub", ["image", "c"], "x", {})], {"c": np.array([0.5], np.float32)}, 1),
    "MaxPool": ([("MaxPool", ["image"], "x", {"kernel_shape": [1, 1]})], {}, 1),
    "BatchNormalization": (
        [("BatchNormalization", ["image", "c", "c", "c", "c"], "x", {})], {"c": np.array([0.5], np.float32)}, 1,
    ),
    # A constant beside the image's pixels (coordinates, say) is not to be scaled with them.
    "Concat": ([("Concat", ["image", "c"], "x", {"axis": 1})], {"c": np.ones((1, 1, 16, 24), np.float32)}, 2),
    "Pad": (
        [("Pad", ["image", "pads", "c"], "x", {})],
        {"pads": np.array([0, 0, 0, 0, 0, 0, 8, 8]), "c": np.array(0.5, np.float32)},
        1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("operator", CALCULATING_STEMS)
def test_a_first_layer_that_calculates_is_taken(tmp_path: Path, rng: np.random.Generator, operator: str) -> None:
    stem, weights, channels = CALCULATING_STEMS[operator]
    path = saved(tmp_path, stem, stem_out="x", weights=weights, channels=channels, batch=1)
    assert_same_on_pixels(path, rng.integers(0, 256, (1, 1, SIZE[1], SIZE[0])))


def conv(name: str = "x1", image: str = "image") -> Node:
    return ("Conv", [image, "w"], name, {"pads": [1, 1, 1, 1]})


WEIGHTS = {"w": np.full((1, 1, 3, 3), 0.1, np.float32)}


@pytest.mark.parametrize(
    ("inputs", "operator", "attributes", "opset", "reason"),
    [
        (["x1", "two", "two"], "Col2Im", {}, 18, "came with a later opset"),
        (["x1", "pads"], "Pad", {"mode": "wrap"}, 19, r"opset 13 lacks \(mode 'wrap'\)"),
    ],
)
def test_an_operator_that_opset_13_does_not_have_is_refused_by_name(
    tmp_path: Path, inputs: list[str], operator: str, attributes: dict[str, Any], opset: int, reason: str
) -> None:
    weights = WEIGHTS | {"two": np.array([4, 4]), "pads": np.zeros(8, np.int64)}
    path = saved(tmp_path, [conv(), (operator, inputs, "x", attributes)], stem_out="x", weights=weights, opset=opset)
    with pytest.raises(UnsupportedNetworkError, match=f"layer '{operator}_x' .{operator}.: .*{reason}"):
        device(path)


def test_an_attribute_that_opset_13_does_not_have_is_refused_when_it_says_something(tmp_path: Path) -> None:
    sizes = {"sizes": np.array([1, 1, 16, 24])}
    for antialias in (0, 1):
        stem = [conv(), ("Resize", ["x1", "", "", "sizes"], "x", {"mode": "linear", "antialias": antialias})]
        path = saved(tmp_path, stem, stem_out="x", weights=WEIGHTS | sizes, batch=1)
        if antialias:
            with pytest.raises(ConversionError, match=r"layer 'Resize_x' .Resize.: .*\(attribute 'antialias'\)"):
                device(path)
        else:
            device(path)


def test_a_resize_by_factors_is_taken(tmp_path: Path, rng: np.random.Generator) -> None:
    stem = [
        conv(),
        ("Resize", ["x1", "", "scales"], "x2", {"mode": "nearest"}),
        ("MaxPool", ["x2"], "x", {"kernel_shape": [2, 2], "strides": [2, 2]}),
    ]
    path = saved(
        tmp_path, stem, stem_out="x", weights=WEIGHTS | {"scales": np.array([1, 1, 2, 2], np.float32)}, batch=1
    )
    assert_same_on_pixels(path, rng.integers(0, 256, (1, 1, 16, 24)))


def test_an_older_softmax_keeps_its_meaning(tmp_path: Path, rng: np.random.Generator) -> None:
    """Up to opset 12 a softmax over axis 1 runs over all that follows; from 13 on, the same says channels alone."""
    path = saved(
        tmp_path, [conv(), ("Softmax", ["x1"], "x", {"axis": 1})], stem_out="x", weights=WEIGHTS, opset=11, batch=1
    )
    assert_same_on_pixels(path, rng.integers(0, 256, (1, 1, 16, 24)))


def test_an_operator_of_another_domain_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, [conv(), ("Relu", ["x1"], "x", {"domain": "com.microsoft"})], stem_out="x", weights=WEIGHTS)
    with pytest.raises(ConversionError, match=r"layer 'Relu_x' .Relu.: is of the domain 'com.microsoft'"):
        device(path)


def test_a_detour_through_another_precision_is_none(tmp_path: Path, rng: np.random.Generator) -> None:
    stem = [
        conv(),
        ("Cast", ["x1"], "x2", {"to": TensorProto.DOUBLE}),
        ("Cast", ["x2"], "x", {"to": TensorProto.FLOAT}),
    ]
    path = saved(tmp_path, stem, stem_out="x", weights=WEIGHTS)
    model = assert_same_on_pixels(path, rng.integers(0, 256, (1, 1, SIZE[1], SIZE[0])))
    assert not [node for node in model.graph.node if node.op_type == "Cast"]


def test_weights_below_the_normal_range_of_fp16_are_kept(tmp_path: Path) -> None:
    path = saved(tmp_path, [conv("x")], stem_out="x", weights=WEIGHTS)
    model = onnx.load(path)
    small = np.float32(2.0**-20)
    for tensor in model.graph.initializer:
        if tensor.name == "semi.w":
            tensor.CopyFrom(numpy_helper.from_array(np.full_like(numpy_helper.to_array(tensor), small), tensor.name))
    onnx.save(model, path)
    got = weights_of(device(path))["semi.w"]
    assert got.dtype == np.float16
    assert (got == np.float16(small)).all()
    assert small < np.finfo(np.float16).smallest_normal


def test_weights_over_the_range_of_fp16_are_refused_by_name(tmp_path: Path) -> None:
    weights = WEIGHTS | {"big": np.full((1, 1, 1, 1), 7e4, np.float32)}
    stem = [conv(), ("Conv", ["x1", "big"], "x", {})]
    with pytest.raises(ConversionError, match=r"\(Conv\): has a weight of 7e\+04, and FP16 ends at 65504"):
        device(saved(tmp_path, stem, stem_out="x", weights=weights))


@pytest.mark.parametrize("heads", HEADS)
@pytest.mark.parametrize("batch", ["N", 1, 4])
def test_the_batch_is_one_whatever_the_hosts_is(tmp_path: Path, heads: str, batch: int | str) -> None:
    model = device(saved(tmp_path, [], batch=batch), heads)
    for value in (*model.graph.input, *model.graph.output):
        sizes = value.type.tensor_type.shape.dim
        assert sizes[0].dim_value == 1
        assert all(size.HasField("dim_value") for size in sizes)


def test_the_host_file_is_left_alone(tmp_path: Path) -> None:
    path = saved(tmp_path, [])
    before = path.read_bytes()
    device(path)
    assert path.read_bytes() == before


Change = Callable[[onnx.ModelProto], object]


@pytest.mark.parametrize("heads", HEADS)
def test_the_small_network_as_torch_exports_it(small_onnx: Path, rng: np.random.Generator, heads: str) -> None:
    model = device_graph(small_onnx, *device_form(small_onnx, (160, 120), heads=Heads(heads, 1.0, 16))).model
    pixels = rng.integers(0, 256, (1, 1, 120, 160)).astype(np.float32)
    expected, got = run(small_onnx, pixels / np.float32(255)), run(in_float32(model), pixels)
    reference, outputs = outputs_of(expected), outputs_of(got)
    descriptors = reference.descriptors
    if heads in ("normalised", "packed"):
        descriptors = unit_norm(descriptors)
    elif heads == "reduced":  # all 16 directions: another basis, the same descriptors
        descriptors = np.tensordot(descriptor_basis(small_onnx, "desc").T, descriptors, axes=1)
    tolerance = 1e-2 if heads == "packed" else 2e-3
    np.testing.assert_allclose(outputs.descriptors, descriptors, atol=tolerance * np.abs(descriptors).max())
    np.testing.assert_allclose(heatmap_of(outputs), heatmap_of(reference), atol=tolerance)
