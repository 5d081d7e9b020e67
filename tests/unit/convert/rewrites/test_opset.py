"""Operators of later opsets at opset 13: the same results, or a finding."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from graphs import checked, copy, graph, run
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from oakpoint.convert.graph_edit import static_sizes
from oakpoint.convert.rewrites.base import apply_all
from oakpoint.convert.rewrites.opset.later_forms import LaterForms
from oakpoint.convert.rewrites.opset.opset import DeviceOpset, _Facts, restamp
from oakpoint.convert.rewrites.opset.reductions import ReductionAxes
from oakpoint.errors import UnsupportedNetworkError

NEWEST = onnx.defs.onnx_opset_version()
DEVICE = (LaterForms(), ReductionAxes(), DeviceOpset())
RNG = np.random.default_rng(5)
WEIGHTS = {
    "w": RNG.normal(size=(4, 4, 3, 3)).astype(np.float32),
    "c": RNG.normal(size=4).astype(np.float32),
    "positive": RNG.random(4).astype(np.float32) + 1,
    "two": np.array(2, np.float32),
    "axes": np.array([2, -1]),
    "zero": np.array(0, np.float32),
    "pads2": np.array([1, 2, 0, 1]),
    "scales2": np.array([2, 1.5], np.float32),
    "sizes2": np.array([12, 5]),
    "sizes": np.array([1, 4, 12, 4]),
    "flat": np.array([1, -1]),
    "indices": np.zeros((1, 4, 6, 1), np.int64),
}

SAME = {
    "Relu": "y = Relu (x)",
    "Elu": "y = Elu <alpha = 0.7> (x)",
    "InstanceNormalization": "y = InstanceNormalization (x, c, c)",
    "BatchNormalization": "y = BatchNormalization <training_mode = 0> (x, c, c, c, positive)",
    "Conv": "y = Conv <pads = [1, 1, 1, 1]> (x, w, c)",
    "AveragePool": "y = AveragePool <kernel_shape = [2, 2], dilations = [1, 1], ceil_mode = 0> (x)",
    "Pow": "y = Pow (x, two)",
    "Split by number": "a, b = Split <axis = 1, num_outputs = 2> (x)\n y = Concat <axis = 1> (b, a)",
    "Split by number, uneven": "a, b, q = Split <axis = 3, num_outputs = 3> (x)\n y = Concat <axis = 3> (q, b, a)",
    "Pad some axes": "y = Pad <mode = \"constant\"> (x, pads2, two, axes)",
    "Pad all axes": "y = Pad <mode = \"edge\"> (x, pads2, , axes)",
    "Resize some axes": "y = Resize <mode = \"linear\", axes = [3, -2]> (x, , scales2)",
    "Resize some axes to sizes": "y = Resize <mode = \"nearest\", axes = [3, 2]> (x, , , sizes2)",
    "Resize to sizes": "y = Resize <mode = \"nearest\", antialias = 0> (x, , , sizes)",
    "ReduceMean": "y = ReduceMean <keepdims = 0> (x, axes)",
    "ReduceLogSumExp": "y = ReduceLogSumExp (x, axes)",
    "ReduceSumSquare": "y = ReduceSumSquare (x, axes)",
    "ReduceL2, all": "y = ReduceL2 (x)",
    "Reshape": "y = Reshape <allowzero = 1> (x, flat)",
    "Where": "b = Greater (x, zero)\n y = Where (b, x, two)",
    "Cast": "b = Cast <to = 7> (x)\n y = Cast <to = 1> (b)",
    "DepthToSpace": "y = DepthToSpace <blocksize = 2, mode = \"CRD\"> (x)",
    "Softplus": "y = Softplus (x)",
    "TopK": "k = Constant <value_ints = [3]> ()\n y, i = TopK <axis = 3> (x, k)",
}  # fmt: skip


@pytest.mark.parametrize("name", SAME)
@given(seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([0.1, 1.0, 10.0]))
@settings(max_examples=5, deadline=None)
def test_the_same_at_opset_13(name: str, seed: int, scale: float) -> None:
    model = graph(SAME[name], opset=23, weights=WEIGHTS)
    restamped = copy(model)
    apply_all(restamped, DEVICE)
    assert [(entry.domain, entry.version) for entry in restamped.opset_import] == [("", 13)]
    x = {"x": np.random.default_rng(seed).normal(0, scale, (1, 4, 6, 8)).astype(np.float32)}
    for expected, got in zip(run(model, x), run(checked(restamped), x), strict=True):
        np.testing.assert_allclose(
            got, expected, rtol=1e-6, atol=1e-6 * scale
        )  # a later version may have a kernel of its own


OTHER = {
    "Pad": ('y = Pad <mode = "wrap"> (x, pads)', "mode 'wrap'"),
    "Resize": ('y = Resize <mode = "linear", antialias = 1> (x, , , sizes)', "attribute 'antialias'"),
    "Resize half a pixel": (
        'y = Resize <coordinate_transformation_mode = "half_pixel_symmetric"> (x, , , sizes)',
        "coordinate_transformation_mode 'half_pixel_symmetric'",
    ),
    "AveragePool": ("y = AveragePool <kernel_shape = [2, 2], dilations = [2, 2]> (x)", "attribute 'dilations'"),
    "RoiAlign": (
        "y = RoiAlign <output_height = 2, output_width = 2> (x, rois, batch)",
        "coordinate_transformation_mode 'half_pixel', its default",
    ),
    "ReduceMax": ("a = Shape (x)\n y = ReduceMax (x, a)", "input 'axes'"),
    "GridSample": ("y = GridSample (x, grid)", "cannot read an image at places that are computed"),
    "BitwiseNot": ("a = Cast <to = 6> (x)\n b = BitwiseNot (a)\n y = Cast <to = 1> (b)", "came with a later opset"),
}


@pytest.mark.parametrize("name", OTHER)
def test_another_meaning_is_a_finding(name: str) -> None:
    body, reason = OTHER[name]
    weights = WEIGHTS | {
        "pads": np.zeros(8, np.int64),
        "rois": np.array([[0, 0, 3, 3]], np.float32),
        "batch": np.array([0]),
        "grid": np.zeros((1, 2, 2, 2), np.float32),
    }
    model = graph(body, opset=22, weights=weights)
    with pytest.raises(UnsupportedNetworkError) as caught:
        apply_all(model, DEVICE)
    (finding,) = caught.value.findings
    assert finding.operator == name.split()[0]
    assert reason in finding.problem
    assert finding.remedy


@pytest.mark.parametrize(
    ("body", "remedy"),
    [
        ("y, m, v = BatchNormalization <training_mode = 1> (x, c, c, c, positive)", r"in evaluation mode \(eval\(\)\)"),
        ('y = Resize <mode = "linear", antialias = 1> (x, , , sizes)', "without antialias"),
        ('y = Resize <keep_aspect_ratio_policy = "not_larger"> (x, , , sizes)', "the size that it comes to"),
        ("y = AveragePool <kernel_shape = [2, 2], dilations = [2, 2]> (x)", "depthwise convolution with dilations"),
    ],
)
def test_a_remedy_is_not_an_earlier_opset_that_lacks_it_as_well(body: str, remedy: str) -> None:
    with pytest.raises(UnsupportedNetworkError, match=remedy) as caught:
        apply_all(graph(body, opset=22, weights=WEIGHTS), DEVICE)
    assert "opset 13;" not in str(caught.value)
    assert "export the network at opset" not in str(caught.value)


def test_a_roi_align_that_says_what_opset_13_means_is_taken() -> None:
    mode = 'coordinate_transformation_mode = "output_half_pixel"'
    body = f"y = RoiAlign <output_height = 2, output_width = 2, {mode}> (x, rois, batch)"
    model = graph(body, weights={"rois": np.array([[0, 0, 3.5, 3]], np.float32), "batch": np.array([0])})
    restamped = copy(model)
    apply_all(restamped, DEVICE)
    x = {"x": RNG.normal(size=(1, 4, 6, 8)).astype(np.float32)}
    np.testing.assert_array_equal(run(checked(restamped), x)[0], run(model, x)[0])


def test_every_layer_that_differs_is_told() -> None:
    model = graph(
        'a = Pad <mode = "wrap"> (x, pads)\n b = Relu (a)\n y = GridSample (b, grid)',
        weights={"pads": np.zeros(8, np.int64), "grid": np.zeros((1, 2, 2, 2), np.float32)},
        opset=20,
    )
    model.graph.node[1].name = "fused"
    model.graph.node[1].domain, model.graph.node[1].op_type = "com.microsoft", "FusedConv"
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    with pytest.raises(UnsupportedNetworkError) as caught:
        apply_all(model, DEVICE)
    assert {finding.operator for finding in caught.value.findings} == {"Pad", "FusedConv", "GridSample"}
    assert "without an optimiser's" in str(caught.value)


def test_a_wider_list_of_types_is_no_other_meaning() -> None:
    """Every operator whose schema changed in its types alone, with all its attributes at their defaults."""
    tried = []
    for schema in onnx.defs.get_all_schemas():
        if schema.domain or schema.deprecated or schema.since_version <= 13:
            continue
        try:
            then = onnx.defs.get_schema(schema.name, 13)
        except onnx.defs.SchemaError:
            continue
        if _form(then) != _form(schema) or schema.name in ("If", "Loop", "Scan"):
            continue
        node = helper.make_node(schema.name, [f"i{n}" for n in range(schema.min_input)], ["y"])
        node.attribute.extend(a.default_value for a in schema.attributes.values() if a.default_value.name)
        before = node.SerializeToString()
        assert restamp(node, NEWEST, _Facts({}, {})) == [], schema.name
        assert node.SerializeToString() == before, schema.name
        tried.append(schema.name)
    assert {"Elu", "HardSigmoid", "Softplus", "DepthToSpace", "Sin", "Where", "Pow", "Round", "Celu"} <= set(tried)


def _form(schema: onnx.defs.OpSchema) -> tuple[object, ...]:
    attributes = {
        name: (known.required, known.default_value.SerializeToString()) for name, known in schema.attributes.items()
    }
    return attributes, [p.option for p in schema.inputs], [p.option for p in schema.outputs]


def test_sizes_of_constants_are_known() -> None:
    model = graph("y = Add (x, c)", weights={"c": np.zeros((4, 1, 1), np.float32)})
    assert static_sizes(model)["c"] == [4, 1, 1]


@pytest.mark.parametrize(("operator", "opset"), [("Softmax", 13), ("LogSoftmax", 18), ("Hardmax", 23)])
def test_an_axis_that_is_left_out_is_said(operator: str, opset: int) -> None:
    """The compiler takes the default of earlier opsets."""
    model = graph(f"a = {operator} (x)\n y = {operator} <axis = 1> (a)", opset=opset)
    x = {"x": RNG.normal(size=(1, 4, 6, 8)).astype(np.float32)}
    before = run(model, x)[0]
    journal = apply_all(model, DEVICE)
    assert journal[-1].layers[-1] == f"layer '{operator}_0' ({operator})"
    assert [node.attribute[0].i for node in model.graph.node] == [-1, 1]
    np.testing.assert_array_equal(run(model, x)[0], before)
