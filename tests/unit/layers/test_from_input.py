"""Where a network is cut for a device, with compilers made up for it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from graphs import graph

from oakpoint.convert.device_graph import DeviceInput
from oakpoint.convert.split.halves import parts_at_size
from oakpoint.convert.split.parts import Parts
from oakpoint.errors import CompilerError, ConversionError, Finding
from oakpoint.layers.cuts.from_input import best_cut, something_is_left
from oakpoint.layers.trying.search import Trial

RNG = np.random.default_rng(3)
CONVOLUTION = "Conv <pads = [1, 1, 1, 1]>"
INPUTS = [DeviceInput(name="image", shape=(1, 3, 16, 24), scale=1 / 255)]


def network(
    body: str,
    outputs: str = "float y",
) -> Parts:
    weights = {
        "w1": RNG.normal(0, 0.1, (8, 3, 3, 3)).astype(np.float32),
        "w2": RNG.normal(0, 0.1, (8, 8, 3, 3)).astype(np.float32),
        "grid": RNG.uniform(-1, 1, (1, 16, 24, 2)).astype(np.float32),
    }
    model = graph(body, inputs="float[1, 3, 16, 24] image", outputs=outputs, opset=17, weights=weights)
    return parts_at_size(model, INPUTS)


def refusing(*operators: str, tried: list[onnx.ModelProto] | None = None) -> Trial:
    def trial(model: onnx.ModelProto) -> str | None:
        onnx.checker.check_model(model)
        if tried is not None:
            tried.append(model)
        wrong = [node for node in model.graph.node if node.op_type in operators]
        return f'Failed to compile layer "{wrong[0].output[0]}": no such kernel' if wrong else None

    return trial


def test_a_network_that_is_taken_is_not_cut() -> None:
    tried: list[onnx.ModelProto] = []
    found = best_cut(network(f"a = {CONVOLUTION} (image, w1)\n y = Relu (a)"), INPUTS, refusing(tried=tried))
    assert found.cut is None
    assert len(tried) == 1


def test_findings_and_refusals_are_behind_the_cut() -> None:
    body = f"""
    a = {CONVOLUTION} (image, w1)
    b = Relu (a)
    c = Softplus (b)
    d = {CONVOLUTION} (c, w2)
    e = GridSample (d, grid)
    y = Sin (e)
    """
    parts = network(body)
    found = best_cut(parts, INPUTS, refusing("Softplus"))
    assert found.cut is not None
    assert sorted(found.cut.on_device) == [0, 1]
    assert found.cut.crossing == ("b",)
    assert set(found.refused) == {"Softplus_2", "GridSample_4", "Sin_5"}
    assert "no such kernel" in found.refused["Softplus_2"]
    later = best_cut(parts, INPUTS, refusing())
    assert later.cut is not None
    assert later.cut.crossing == ("d",)


def test_one_of_two_heads_stays_on_the_device() -> None:
    body = f"a = {CONVOLUTION} (image, w1)\n y = Sigmoid (a)\n b = {CONVOLUTION} (a, w2)\n z = Sin (b)"
    found = best_cut(network(body, "float y, float z"), INPUTS, refusing())
    assert found.cut is not None
    assert (found.cut.crossing, found.cut.finished) == (("b",), ("y",))


def test_where_the_compiler_refuses_the_cheapest_cut_the_longest_part_is_tried() -> None:
    """As an output that it does not give out; the resize is what would go to the host."""
    body = f"a = {CONVOLUTION} (image, w1)\n b = MaxPool <kernel_shape = [1, 1]> (a)\n c = Concat <axis = 1> (b, a)"
    parts = network(f"{body}\n y = Sin (c)")

    def trial(model: onnx.ModelProto) -> str | None:
        return None if any(node.op_type == "Concat" for node in model.graph.node) else "an output of no kind"

    found = best_cut(parts, INPUTS, trial)
    assert found.cut is not None
    assert found.cut.crossing == ("c",)


@pytest.mark.parametrize(
    ("refused", "why"), [((), "computed beforehand|no SHAVE kernel"), (("Relu",), "no such kernel")]
)
def test_a_first_layer_that_is_not_taken_leaves_nothing(refused: tuple[str, ...], why: str) -> None:
    first = "Relu" if refused else "Sin"
    parts = network(f"s = {first} (image)\n y = {CONVOLUTION} (s, w1)")
    with pytest.raises(ConversionError, match=rf"first layer is not taken: {first}_0 \({first}\): .*({why})") as raised:
        best_cut(parts, INPUTS, refusing(*refused))
    assert "\n" not in str(raised.value)


def test_a_compiler_that_refuses_everything_is_believed() -> None:
    parts = network(f"a = {CONVOLUTION} (image, w1)\n y = Relu (a)")
    with pytest.raises((ConversionError, CompilerError)):
        best_cut(parts, INPUTS, lambda model: "out of memory")


def test_whether_something_is_left_is_known_from_findings() -> None:
    parts = network(f"a = {CONVOLUTION} (image, w1)\n y = Sin (a)")
    assert something_is_left(parts, [Finding(layer="Sin_1", operator="Sin", problem="p")])
    assert something_is_left(parts, [Finding(layer="y", operator="Output", problem="p")])
    assert not something_is_left(parts, [Finding(layer="Conv_0", operator="Conv", problem="p")])
    assert not something_is_left(parts, [Finding(layer="image", operator="Input", problem="p")])
