"""The verdicts on whole networks, with a compiler made up for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from graphs import graph
from numpy.typing import NDArray

from oakpoint.errors import CompilerUnavailableError, UsageError
from oakpoint.layers.check import cut_prices
from oakpoint.layers.check.check import CheckOptions, check_layers
from oakpoint.layers.check.verdicts import CheckReport, LayerVerdict
from oakpoint.layers.trying.search import Trial

RNG = np.random.default_rng(3)
WEIGHTS = {
    "w1": RNG.normal(0, 0.1, (8, 3, 3, 3)).astype(np.float32),
    "w2": RNG.normal(0, 0.1, (8, 8, 3, 3)).astype(np.float32),
    "grid": RNG.uniform(-1, 1, (1, 16, 24, 2)).astype(np.float32),
    "large": np.array(400, np.float32),
    "rows": RNG.normal(0, 0.1, (8, 8)).astype(np.float32),
    "bias": RNG.normal(0, 0.1, 8).astype(np.float32),
    "tiny": np.full((8, 1, 1), 1e-9, np.float32),
}
CONVOLUTION = "Conv <pads = [1, 1, 1, 1]>"


def refusing(*operators: str) -> Callable[[list[str]], Trial]:
    def trial(model: onnx.ModelProto) -> str | None:
        onnx.checker.check_model(model)
        wrong = [node for node in model.graph.node if node.op_type in operators]
        return f'Failed to compile layer "{wrong[0].output[0]}": no such kernel' if wrong else None

    return lambda images: trial


@pytest.fixture
def check(tmp_path: Path, image_folder: Path) -> Callable[..., CheckReport]:
    """Check a network of one colour image of 24×16 px, given as text."""

    def run(body: str, *refused: str, outputs: str = "float y", target: str = "myriad") -> CheckReport:
        model = graph(body, inputs="float[1, 3, 16, 24] image", outputs=outputs, opset=17, weights=WEIGHTS)
        used = {name for node in model.graph.node for name in node.input}
        for tensor in [tensor for tensor in model.graph.initializer if tensor.name not in used]:
            model.graph.initializer.remove(tensor)
        onnx.save(model, tmp_path / "m.onnx")
        options = CheckOptions(model=str(tmp_path / "m.onnx"), target=target, images=image_folder)
        return check_layers(options, lambda _: None, compiler=refusing(*refused))

    return run


def kinds(report: CheckReport) -> dict[str, str]:
    return {verdict.layer.name: verdict.kind for verdict in report.layers}


def of(report: CheckReport, name: str) -> LayerVerdict:
    return next(verdict for verdict in report.layers if verdict.layer.name == name)


def test_all_taken(check: Callable[..., CheckReport]) -> None:
    report = check(f"a = {CONVOLUTION} (image, w1)\n y = Relu (a)")
    assert kinds(report) == {"Conv_0": "rewritten", "Relu_1": "taken"}
    assert report.exit_code == 0
    assert of(report, "Conv_0").rewrites == ("input-normalisation (within 5e-05)",)
    assert report.images == 2


def test_findings_and_refusals_and_what_is_around_them(check: Callable[..., CheckReport]) -> None:
    body = f"""
    a = {CONVOLUTION} (image, w1)
    b = Softplus (a)
    c = {CONVOLUTION} (b, w2)
    d = GridSample (c, grid)
    e = Relu (d)
    f = Sin (e)
    y = {CONVOLUTION} (f, w2)
    z = HardSwish (c)
    """
    report = check(body, "Softplus", outputs="float y, float z")
    assert kinds(report) == {
        "Conv_0": "rewritten", "Softplus_1": "refused", "Conv_2": "taken", "GridSample_3": "refused", "Relu_4": "taken",
        "Sin_5": "refused", "Conv_6": "taken", "HardSwish_7": "rewritten",
    }  # fmt: skip
    assert report.exit_code == 1
    assert "no such kernel" in of(report, "Softplus_1").problem
    assert "computed" in of(report, "GridSample_3").problem
    assert of(report, "Softplus_1").cut_bytes == 2 * 8 * 16 * 24
    assert of(report, "Sin_5").cut_bytes == 2 * 8 * 16 * 24 * 2  # what it reads, and the other output
    assert report.cut_bytes == 2 * 8 * 16 * 24
    assert any("6,144 bytes a frame" in remedy for remedy in of(report, "Softplus_1").remedies)


def test_a_first_layer_that_is_refused_leaves_nothing_to_cut(check: Callable[..., CheckReport]) -> None:
    report = check(f"s = Sin (image)\n y = {CONVOLUTION} (s, w1)")
    assert kinds(report) == {"Sin_0": "refused", "Conv_1": "taken"}
    assert of(report, "Sin_0").cut_bytes is None
    assert "nothing of the network is left" in of(report, "Sin_0").remedies[-1]
    assert report.facts()["layers"][0]["layer"]["operator"] == "Sin"


def test_a_part_of_a_layer_is_refused(check: Callable[..., CheckReport]) -> None:
    report = check(f"a = {CONVOLUTION} (image, w1)\n y = HardSwish (a)", "Clip", "Mul", "Max", "Min")
    verdict = of(report, "HardSwish_1")
    assert verdict.kind == "refused"
    assert verdict.problem.startswith("its ")


def test_layers_that_are_one_on_the_device_are_refused_together(check: Callable[..., CheckReport]) -> None:
    body = f"""
    a = {CONVOLUTION} (image, w1)
    r = Transpose <perm = [0, 2, 3, 1]> (a)
    m = MatMul (r, rows)
    y = Add (m, bias)
    """
    assert of(check(body), "MatMul_2").kind == "rewritten"
    report = check(body, "Conv")
    assert {name for name, kind in kinds(report).items() if kind == "refused"} == {"Conv_0", "MatMul_2", "Add_3"}
    assert of(report, "MatMul_2").problem.startswith("one layer on the device with Add_3: its Conv: ")


def test_an_open_size_leaves_what_hangs_on_it_untried(check: Callable[..., CheckReport]) -> None:
    body = f"""
    a = {CONVOLUTION} (image, w1)
    n = NonZero (a)
    f = Cast <to = 1> (n)
    y = Exp (f)
    z = Relu (a)
    """
    report = check(body, outputs="float y, float z")
    assert kinds(report) == {
        "Conv_0": "rewritten", "NonZero_1": "refused", "Cast_2": "untried", "Exp_3": "untried", "Relu_4": "taken"
    }  # fmt: skip
    assert report.exit_code == 1


def test_the_layer_that_overflows_is_named(check: Callable[..., CheckReport]) -> None:
    body = f"""
    a = {CONVOLUTION} (image, w1)
    b = Mul (a, large)
    s = Mul (b, b)
    r = Reshape (s, shape)
    y = Sqrt (s)
    """.replace("    r = Reshape (s, shape)\n", "    r = Identity (s)\n    t = Transpose <perm = [0, 2, 3, 1]> (r)\n")
    report = check(body, outputs="float y, float t")
    assert report.first_infinity is not None
    assert report.first_infinity.layer.name == "Mul_2"
    assert "first infinity" in of(report, "Mul_2").caveats[0]
    assert "hands on" in of(report, "Transpose_4").caveats[0]
    assert kinds(report)["Mul_1"] == "taken"
    assert report.exit_code == 0


def test_values_and_weights_that_vanish(check: Callable[..., CheckReport]) -> None:
    report = check(
        f"a = {CONVOLUTION} (image, w1)\n b = Mul (a, tiny)\n y = Relu (a)\n z = Neg (b)", outputs="float y, float z"
    )
    assert "weights 'tiny' vanish" in " ".join(of(report, "Mul_1").caveats)


def test_without_a_compiler_findings_are_told_all_the_same(tmp_path: Path, image_folder: Path) -> None:
    def none(images: list[str]) -> Trial:
        raise CompilerUnavailableError("no compiler here")

    for operator, code in (("Relu", 2), ("Sin", 1)):
        body = f"a = {CONVOLUTION} (image, w1)\n y = {operator} (a)"
        weights = {"w1": WEIGHTS["w1"]}
        model = graph(body, inputs="float[1, 3, 16, 24] image", outputs="float y", opset=17, weights=weights)
        onnx.save(model, tmp_path / "m.onnx")
        options = CheckOptions(model=str(tmp_path / "m.onnx"), images=image_folder)
        report = check_layers(options, lambda _: None, compiler=none)
        assert report.exit_code == code
        assert report.untried == "no compiler here"


def test_layers_of_torch_bear_the_paths_of_their_modules(image_folder: Path) -> None:
    from oakpoint.models.base import ModelOptions

    said = ModelOptions(seed=0)
    options = CheckOptions(model="small_network:SmallNetwork", size=(160, 120), said=said, images=image_folder)
    report = check_layers(options, lambda _: None, compiler=refusing())
    convolutions = [verdict.layer for verdict in report.layers if verdict.layer.operator == "Conv"]
    assert all(layer.module for layer in convolutions)
    assert len({layer.module for layer in convolutions}) == len(convolutions)


@pytest.mark.parametrize("target", ["onnx", "openvino"])
def test_runtimes_of_the_host(tmp_path: Path, target: str) -> None:
    weights = {"w1": WEIGHTS["w1"]}
    body = f"a = {CONVOLUTION} (image, w1)\n b = my.own.Thing (a)\n y = Relu (a)\n z = Neg (b)"
    model = graph(
        body, inputs="float[1, 3, 16, 24] image", outputs="float y, float z", opset=17, weights=weights,
        domains=', "my.own": 1',
    )  # fmt: skip
    onnx.save(model, tmp_path / "m.onnx")
    report = check_layers(CheckOptions(model=str(tmp_path / "m.onnx"), target=target), lambda _: None)
    assert kinds(report) == {"Conv_0": "taken", "Thing_1": "refused", "Relu_2": "taken", "Neg_3": "untried"}
    assert "Thing" in of(report, "Thing_1").problem
    assert report.exit_code == 1


def test_an_unknown_target_and_another_batch(tmp_path: Path) -> None:
    model = graph("y = Relu (x)", inputs="float[2, 3, 16, 24] x", outputs="float y", opset=13)
    onnx.save(model, tmp_path / "m.onnx")
    options = CheckOptions(model=str(tmp_path / "m.onnx"))
    with pytest.raises(UsageError, match="onnx, openvino, myriad"):
        check_layers(replace(options, target="gpu"), lambda _: None)
    with pytest.raises(UsageError, match="batch is fixed to 2"):
        check_layers(options, lambda _: None, compiler=refusing())


def test_numbers_are_measured_on_the_images_given(
    check: Callable[..., CheckReport], photographs: dict[str, NDArray[np.uint8]]
) -> None:
    report = check("y = Identity (image)\n z = Relu (image)", outputs="float y, float z")
    assert of(report, "Relu_1").numbers is not None
    assert report.images == 2
    assert len(photographs) > 2


def test_a_cut_has_its_price_on_the_host(check: Callable[..., CheckReport]) -> None:
    body = f"a = {CONVOLUTION} (image, w1)\n b = Sin (a)\n c = {CONVOLUTION} (b, w2)\n y = GridSample (c, grid)"
    report = check(body)
    for name in ("Sin_1", "GridSample_3"):
        measured = of(report, name).host_ms
        assert measured is not None
        assert measured > 0
        assert "on the host for the rest" in of(report, name).remedies[-1]
    assert report.host_ms is not None
    assert report.facts()["layers"][1]["host_ms"] == of(report, "Sin_1").host_ms
    assert of(report, "Conv_0").host_ms is None


def test_prices_are_measured_while_there_is_time(
    check: Callable[..., CheckReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cut_prices, "PRICES_S", 0.0)
    report = check(f"a = {CONVOLUTION} (image, w1)\n y = Sin (a)")
    assert (of(report, "Sin_1").cut_bytes, of(report, "Sin_1").host_ms) == (2 * 8 * 16 * 24, None)
    assert "the host's time was not measured for 2 of the cuts" in report.notes[0]
