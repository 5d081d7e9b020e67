"""Each trap of the Myriad X that a network can have gives its caveat or its rewrite, on the layer it is in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from graphs import graph

from oakpoint.fp16 import LARGEST
from oakpoint.layers.check.check import CheckOptions, check_layers
from oakpoint.layers.check.verdicts import CheckReport, LayerVerdict
from oakpoint.models.base import ModelOptions
from oakpoint.models.inputs import ImageOptions, InputOptions

RNG = np.random.default_rng(6)
CONV = "Conv <pads = [1, 1, 1, 1]>"
WEIGHTS: dict[str, Any] = {
    "w": RNG.normal(0, 0.1, (8, 3, 3, 3)).astype(np.float32),
    "small": RNG.normal(0, 1e-9, (8, 8, 3, 3)).astype(np.float32),
    "coarse": RNG.normal(0, 1e-5, (8, 8, 3, 3)).astype(np.float32),
    "loud": np.array(300, np.float32),
    "near": np.array(6e4, np.float32),
    "twice": np.array(2, np.float32),
    "faint": np.full((8, 1, 1), 1e-7, np.float32),
    "mixed": np.array([1, 2, 3, 4, 5, 6, 7e4, 1e-9], np.float32).reshape(8, 1, 1),
    "beyond": np.full((8, 1, 1), 1e6, np.float32),
    "minute": np.array(1e-9, np.float32),
    "none": np.array(-1, np.float32),
    "tiny": np.array([1e-12], np.float32),
    "ones": np.ones(8, np.float32),
    "zeros": np.zeros(8, np.float32),
    "spread": np.full(8, 1e-14, np.float32),
}


@pytest.fixture
def check(tmp_path: Path, image_folder: Path) -> Callable[..., CheckReport]:
    """Check a network of one colour image of 96×64 px, given as text, for a compiler that takes everything."""

    def run(
        body: str, *, opset: int = 17, outputs: str = "float y", said: ModelOptions | None = None, **changes: Any
    ) -> CheckReport:
        model = graph(body, inputs="float[1, 3, 64, 96] image", outputs=outputs, opset=opset, weights=WEIGHTS)
        used = {name for node in model.graph.node for name in node.input}
        for tensor in [tensor for tensor in model.graph.initializer if tensor.name not in used]:
            model.graph.initializer.remove(tensor)
        changes.get("change", lambda _: None)(model)
        onnx.save(model, tmp_path / "m.onnx")
        options = CheckOptions(
            model=str(tmp_path / "m.onnx"), said=said or ModelOptions(), images=image_folder,
            target=changes.get("target", "myriad"),
        )  # fmt: skip
        return check_layers(options, lambda _: None, compiler=lambda images: lambda part: None)

    return run


def of(report: CheckReport, name: str) -> LayerVerdict:
    return next(verdict for verdict in report.layers if verdict.layer.name == name)


def caveats(report: CheckReport, name: str) -> str:
    verdict = of(report, name)
    assert (verdict.kind == "caveat") == bool(verdict.caveats)
    return "; ".join(verdict.caveats)


def test_pixels_that_no_layer_with_weights_takes_cost_a_layer(check: Callable[..., CheckReport]) -> None:
    assert "scaled by a layer of its own, about" in caveats(check("y = Sigmoid (image)"), "Sigmoid_0")
    assert not caveats(check(f"y = {CONV} (image, w)"), "Conv_0")


def test_a_mean_before_a_border_costs_a_layer(check: Callable[..., CheckReport]) -> None:
    said = ModelOptions(inputs=InputOptions(image=ImageOptions(mean=0.5, scale=4.0)))
    assert "mean subtracted in front of it by a layer of its own" in caveats(
        check(f"y = {CONV} (image, w)", said=said), "Conv_0"
    )
    assert not caveats(check("y = Conv (image, w)", said=said), "Conv_0")


def test_weights_below_fp16(check: Callable[..., CheckReport]) -> None:
    report = check(f"a = {CONV} (image, w)\n b = {CONV} (a, small)\n c = {CONV} (a, coarse)\n y = Add (b, c)")
    assert "weights 'small' vanish in FP16" in caveats(report, "Conv_1")
    assert "weights 'coarse' are subnormal in FP16 and lose digits" in caveats(report, "Conv_2")


def test_weights_are_judged_as_they_go_into_the_blob(check: Callable[..., CheckReport]) -> None:
    """A batch norm that makes a convolution's small weights large."""
    report = check(
        f"a = {CONV} (image, w)\n b = {CONV} (a, small)\n"
        "y = BatchNormalization <epsilon = 1.0e-14> (b, ones, zeros, zeros, spread)"
    )
    assert "vanish" not in caveats(report, "Conv_1")
    assert of(report, "BatchNormalization_2").kind == "rewritten"


def test_softmax_over_all_that_follows(check: Callable[..., CheckReport]) -> None:
    body = f"a = {CONV} (image, w)\n y = Softmax <axis = 1> (a)\n z = Softmax <axis = 3> (a)"
    report = check(body, opset=11, outputs="float y, float z")
    assert of(report, "Softmax_1").rewrites == ("earlier-opset (exact)",)
    assert of(report, "Softmax_2").rewrites == ()


def test_squares_of_a_norm_overflow(check: Callable[..., CheckReport]) -> None:
    body = f"a = {CONV} (image, w)\n b = Mul (a, loud)\n c = Mul (b, twice)\n y = LpNormalization <axis = 1> (c)"
    report = check(body)
    assert "overflows FP16" in caveats(report, "LpNormalization_3")
    assert report.first_infinity is not None
    assert report.first_infinity.layer.operator == "LpNormalization"
    within = check(body.replace("LpNormalization <axis = 1>", "GlobalLpPool"))
    assert "squares what it is given" in caveats(within, "GlobalLpPool_3")
    summed = check(body.replace("LpNormalization <axis = 1>", "GlobalLpPool <p = 1>"))
    assert "squares" not in caveats(summed, "GlobalLpPool_3")


def test_what_comes_close_to_an_overflow(check: Callable[..., CheckReport]) -> None:
    body = "s = Sigmoid (image)\n a = Mul (s, near)\n b = Relu (a)\n z = Sigmoid (b)"
    body += "\n y = Transpose <perm = [0, 2, 3, 1]> (b)"
    report = check(body, outputs="float y, float z")
    assert (numbers := of(report, "Mul_1").numbers) is not None
    assert LARGEST / 2 < numbers.largest < LARGEST
    assert "on other images it may overflow" in caveats(report, "Mul_1")
    assert not caveats(report, "Relu_2")
    assert not caveats(report, "Transpose_4")


def test_without_an_image_it_is_said_that_nothing_was_measured(tmp_path: Path) -> None:
    model = graph("y = Relu (x)", inputs="float[1, 8, 4, 4] x", outputs="float y", opset=17)
    onnx.save(model, tmp_path / "m.onnx")
    options = CheckOptions(model=str(tmp_path / "m.onnx"), images=tmp_path, target="onnx")
    report = check_layers(options, lambda _: None)
    assert any(note.startswith("numbers were not measured: ") for note in report.notes)
    assert report.images == 0


def test_a_max_pool_of_stride_1_is_cut_into_tiles(check: Callable[..., CheckReport]) -> None:
    pool = "MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]"
    assert "cut into many tiles" in caveats(check(f"a = {CONV} (image, w)\n y = {pool}> (a)"), "MaxPool_1")
    assert not caveats(check(f"a = {CONV} (image, w)\n y = {pool}, strides = [2, 2]> (a)"), "MaxPool_1")


def test_outputs_of_layers_with_several_keep_their_names(check: Callable[..., CheckReport]) -> None:
    report = check(f"a = {CONV} (image, w)\n y, z = Split <axis = 1> (a)", opset=13, outputs="float y, float z")
    assert of(report, "Split_1").kind == "taken"


def test_weights_among_the_inputs_and_behind_an_identity(check: Callable[..., CheckReport]) -> None:
    def listed(model: onnx.ModelProto) -> None:
        model.ir_version = 3
        for tensor in model.graph.initializer:
            value = onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            model.graph.input.insert(0, value)

    report = check(f"i = Identity (w)\n a = {CONV} (image, i)\n y = Relu (a)", opset=8, change=listed)
    assert report.exit_code == 0
    assert [verdict.layer.name for verdict in report.layers if verdict.kind == "refused"] == []


@pytest.mark.parametrize("target", ["myriad", "onnx", "openvino"])
def test_what_is_no_number_in_float32_already(check: Callable[..., CheckReport], target: str) -> None:
    report = check(f"a = {CONV} (image, w)\n b = Abs (a)\n c = Sub (none, b)\n y = Log (c)", target=target)
    assert "not finite in float32 already" in caveats(report, "Log_3")
    assert report.exit_code == 0


def test_epsilons_rise_and_other_small_numbers_are_told(check: Callable[..., CheckReport]) -> None:
    body = f"a = {CONV} (image, w)\n n = ReduceL2 <axes = [1]> (a)\n m = Max (n, tiny)\n y = Div (a, m)"
    assert "epsilons (within 0.001)" in of(check(body), "Max_2").rewrites
    report = check(f"a = {CONV} (image, w)\n b = Mul (a, minute)\n y = Div (b, minute)")
    assert "its constant 1e-09 is 0 in FP16, and what comes of it is 0" in caveats(report, "Mul_1")
    assert "it divides by 0" in caveats(report, "Div_2")


def test_what_only_moves_values_does_not_repeat_what_vanishes(check: Callable[..., CheckReport]) -> None:
    body = f"a = {CONV} (image, w)\n b = Mul (a, faint)\n y = Transpose <perm = [0, 2, 3, 1]> (b)"
    report = check(body)
    assert "vanish" in caveats(report, "Mul_1")
    assert not caveats(report, "Transpose_2")


def test_weights_in_an_ir(check: Callable[..., CheckReport]) -> None:
    body = f"a = {CONV} (image, w)\n b = Mul (a, mixed)\n y = Mul (b, beyond)"
    report = check(body, target="openvino")
    assert "1 of its weights 'mixed' become 65504 in the IR" in caveats(report, "Mul_1")
    assert "12.5% of its weights 'mixed' vanish in the IR" in caveats(report, "Mul_1")
    assert not caveats(report, "Mul_2")  # OpenVINO leaves them in float32
    assert not caveats(check(body, target="onnx"), "Mul_1")
    assert of(report, "Mul_2").numbers is not None
