"""``oakpoint debug`` finds faults that are put in one at a time: the right layer, in the right arrow.

The subjects: SuperPoint, acorn, a detector as YOLO has them and a U-Net. Every fault lies in a bundle that is healthy
otherwise, whose manifest was made to fit, so that no hash gives it away.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import faults
import numpy as np
import onnx
import pytest
from faults import GraphFault
from onnx import helper, numpy_helper
from task_networks import SIZE

from oakpoint.bundle.folder import open_bundle
from oakpoint.convert.blob_from_onnx import compile_graph
from oakpoint.convert.device_graph import DeviceGraph, device_graph, device_inputs
from oakpoint.convert.rewrites.image import normalisation
from oakpoint.errors import OakpointError
from oakpoint.layers.debug.arrows import walk
from oakpoint.layers.debug.bundle_arrows import ARROWS
from oakpoint.layers.debug.debug import DebugOptions, debug_bundle
from oakpoint.layers.debug.forms import BundleForms
from oakpoint.layers.debug.report import ArrowReport, DebugReport
from oakpoint.models.base import ModelOptions
from oakpoint.models.bundle_folder import device_graph_of
from oakpoint.models.inputs import ImageOptions, InputOptions
from oakpoint.myriad.blob import read_blob
from oakpoint.tasks.base import AS_THEY_ARE
from oakpoint.verify.photographs import load_photographs
from oakpoint.verify.tolerances import BLOB_STAGE, DEVICE_STAGE, IR_STAGE, ONNX_STAGE

MEAN, SCALE = (123.675, 116.28, 103.53), (1 / 58.395, 1 / 57.12, 1 / 57.375)
NORMALISED = ModelOptions(inputs=InputOptions(image=ImageOptions(colour="rgb", mean=MEAN, scale=SCALE)))

compiled = [pytest.mark.compiler, pytest.mark.slow]


def quiet(_: str) -> None:
    """Nobody is told what is being done."""


@pytest.fixture(scope="session")
def subject(
    converted: Callable[..., Path], task_onnx: Callable[[str], Path], request: pytest.FixtureRequest
) -> Callable[[str], tuple[Path, Path | None]]:
    """The bundle of a network by its name, and the weights file that it needs."""

    def get(name: str) -> tuple[Path, Path | None]:
        if name == "superpoint":
            return request.getfixturevalue("superpoint_bundle"), request.getfixturevalue("superpoint_weights")
        if name == "acorn":
            return converted("debug-acorn", model="acorn", size=(160, 120), to="blob"), None
        network, heads = {"detector": ("ChannelsFirstDetector", "yolo"), "u-net": ("SmallUNet", AS_THEY_ARE)}[name]
        model = str(task_onnx(network))
        return converted(f"debug-{name}", model=model, size=SIZE, to="blob", heads=heads, said=NORMALISED), None

    return get


def debugged(bundle: Path, weights: Path | None, images: Path, *stages: str) -> DebugReport:
    return debug_bundle(DebugOptions(bundle=bundle, stages=stages, images=(images,), weights=weights), quiet)


def found_in(report: DebugReport, stage: str) -> ArrowReport:
    """The arrow at which a report says the first fault is."""
    assert report.first is not None
    assert report.first.stage == stage, report.first
    return report.first


def holds(arrow: ArrowReport, bundle: Path, tensor: str) -> bool:
    """Whether the first layer at fault is the one that gives a tensor, by itself or with those that run with it."""
    assert arrow.first is not None, arrow
    nodes = onnx.load(bundle / "model.onnx").graph.node
    names = {node.name for node in nodes if tensor in node.output}
    return arrow.first.tensor == tensor or bool(names.intersection(layer.name for layer in arrow.first.layers))


# --- without a fault ------------------------------------------------------------------------------------------------


@pytest.mark.compiler
@pytest.mark.slow
@pytest.mark.parametrize("name", ["acorn", "superpoint", "detector", "u-net"])
def test_no_layer_of_a_healthy_bundle_is_at_fault(
    subject: Callable[[str], tuple[Path, Path | None]], image_folder: Path, name: str
) -> None:
    bundle, weights = subject(name)
    report = debugged(bundle, weights, image_folder)
    assert report.exit_code == 0
    assert report.first is None
    from_torch = name in ("acorn", "superpoint")
    stages = ([ONNX_STAGE] if from_torch else []) + [IR_STAGE, DEVICE_STAGE, BLOB_STAGE]
    assert [arrow.stage for arrow in report.arrows] == stages
    for arrow in report.arrows:
        assert len(arrow.errors) >= 6, f"{arrow.stage}: too little was looked at"
        assert all(np.isfinite(error.own.mean_square) for error in arrow.errors)
        if arrow.stage == BLOB_STAGE:  # FP16 rounds every layer's output, and no other error is as large as a fault
            assert all(error.own.mean_square > 0 for error in arrow.errors)
            assert max(error.own.mean_square for error in arrow.errors) < 4e-3


# --- faults in a graph ----------------------------------------------------------------------------------------------

GRAPH_FAULTS: dict[str, tuple[GraphFault, str]] = {
    "a high bit of a weight": (faults.flipped_bit(2, 0), "channel"),
    "a dropped activation": (faults.dropped(1, "Relu", "Sigmoid"), ""),
    "a wrong pad": (faults.wrong_pad(1), "a wrong pad"),
    "a layer 255 times too large": (faults.scaled(1, 255.0), "scale"),
    "swapped channels": (faults.swapped_channels(2), ""),
}
"""Fault → what makes it, and what its cause says; the bit is chosen by the type."""

HIGH_BIT = {np.dtype(np.float32): 23, np.dtype(np.float16): 10}


def of_type(fault: str, kind: type) -> GraphFault:
    """The fault, of a graph whose weights have this type."""
    return faults.flipped_bit(2, HIGH_BIT[np.dtype(kind)]) if "bit" in fault else GRAPH_FAULTS[fault][0]


@pytest.mark.compiler
@pytest.mark.slow
@pytest.mark.parametrize("fault", GRAPH_FAULTS)
@pytest.mark.parametrize("name", ["acorn", "superpoint"])
def test_faults_of_an_export(
    subject: Callable[[str], tuple[Path, Path | None]], image_folder: Path, tmp_path: Path, name: str, fault: str
) -> None:
    bundle, weights = subject(name)
    faulty = faults.copied(bundle, tmp_path)
    tensor = faults.in_onnx(faulty, of_type(fault, np.float32))
    arrow = found_in(debugged(faulty, weights, image_folder, ONNX_STAGE), ONNX_STAGE)
    assert holds(arrow, bundle, tensor), arrow.first
    assert GRAPH_FAULTS[fault][1] in arrow.cause


@pytest.mark.compiler
@pytest.mark.slow
@pytest.mark.parametrize("fault", GRAPH_FAULTS)
@pytest.mark.parametrize("name", ["acorn", "detector", "u-net"])
def test_faults_of_an_ir(
    subject: Callable[[str], tuple[Path, Path | None]], image_folder: Path, tmp_path: Path, name: str, fault: str
) -> None:
    bundle, weights = subject(name)
    faulty = faults.copied(bundle, tmp_path)
    tensor = faults.in_ir(faulty, of_type(fault, np.float32))
    arrow = found_in(debugged(faulty, weights, image_folder), IR_STAGE)
    assert holds(arrow, bundle, tensor), arrow.first
    assert GRAPH_FAULTS[fault][1] in arrow.cause


@pytest.mark.compiler
@pytest.mark.slow
@pytest.mark.parametrize("fault", GRAPH_FAULTS)
@pytest.mark.parametrize("name", ["acorn", "superpoint", "detector", "u-net"])
def test_faults_of_a_blob(
    subject: Callable[[str], tuple[Path, Path | None]], image_folder: Path, tmp_path: Path, name: str, fault: str
) -> None:
    bundle, weights = subject(name)
    faulty = faults.copied(bundle, tmp_path)
    graph = device_graph_of(open_bundle(bundle)).model
    tensor = faults.in_blob(faulty, of_type(fault, np.float16))
    arrow = found_in(debugged(faulty, weights, image_folder, DEVICE_STAGE, BLOB_STAGE), BLOB_STAGE)
    assert within(arrow, graph, tensor), (tensor, arrow.first)


def within(arrow: ArrowReport, graph: onnx.ModelProto, tensor: str) -> bool:
    """Whether a tensor of the device graph is the first at fault, or one by which that comes from the one seen before.

    Of a layer that runs together with others only the last one's tensor is in memory.
    """
    assert arrow.first is not None, arrow
    seen = {error.tensor for error in arrow.errors}
    makers = {name: node for node in graph.graph.node for name in node.output}
    waiting, found = [arrow.first.tensor], set()
    while waiting:
        name = waiting.pop()
        found.add(name)
        read = makers[name].input if name in makers else ()
        waiting.extend(before for before in read if before not in found and before not in seen)
    return tensor in found


# --- faults of the image's way in, located at the first layer ------------------------------------------------------


def missing_scale(bundle: Path) -> DeviceGraph:
    return _graph(bundle, scale=1.0)


def numbers_of_bgr(bundle: Path) -> DeviceGraph:
    return _graph(bundle, mean=MEAN[::-1], scale=SCALE[::-1])


def swapped_colours(bundle: Path) -> DeviceGraph:
    graph = device_graph_of(open_bundle(bundle))
    faults.swapped_colours(graph.model.graph)
    return graph


def channels_last(bundle: Path) -> DeviceGraph:
    """The bytes of a (1, 3, H, W) image read as if they were (1, H, W, 3)."""
    graph = device_graph_of(open_bundle(bundle))
    faults.read_as_channels_last(graph.model.graph, SIZE)
    return graph


def missing_mean(bundle: Path) -> DeviceGraph:
    return _graph(bundle, mean=0.0)


def _graph(bundle: Path, **preprocess: Any) -> DeviceGraph:
    from dataclasses import replace

    from oakpoint.tasks.registry import task_of_bundle

    opened = open_bundle(bundle)
    manifest = opened.manifest
    interface = manifest.interface.with_preprocess(replace(manifest.interface.image, **preprocess))
    heads = task_of_bundle(opened).device_rewrites(manifest.device, manifest.interface)
    return device_graph(opened.path("onnx"), device_inputs(interface), heads)


IMAGE_FAULTS: dict[str, tuple[Callable[[Path], DeviceGraph], str]] = {
    "missing scale": (missing_scale, "not scaled"),
    "mean and scale of BGR": (numbers_of_bgr, "those of the channels in another order"),
    "swapped colours": (swapped_colours, "RGB for BGR"),
    "missing mean": (missing_mean, "the mean is not subtracted"),
    "channels last": (channels_last, "NHWC for NCHW"),
}


@pytest.mark.compiler
@pytest.mark.slow
@pytest.mark.parametrize("fault", IMAGE_FAULTS)
@pytest.mark.parametrize("name", ["detector", "u-net"])
def test_faults_of_the_image(
    subject: Callable[[str], tuple[Path, Path | None]], image_folder: Path, tmp_path: Path, name: str, fault: str
) -> None:
    bundle, _ = subject(name)
    make, said = IMAGE_FAULTS[fault]
    faulty = faults.copied(bundle, tmp_path)
    faults.in_blob(faulty, None, make(bundle))
    arrow = found_in(debugged(faulty, None, image_folder), BLOB_STAGE)
    assert arrow.first is not None
    before = arrow.errors[: arrow.errors.index(arrow.first)]
    assert [error.tensor for error in before] in ([], ["image_add"]), "the first layer, or the mean before it"
    assert said in arrow.cause


# --- faults of our own rewrites: they are in the arrow from the ONNX to the device graph ---------------------------


@pytest.mark.compiler
@pytest.mark.slow
@pytest.mark.parametrize("name", ["detector", "u-net"])
def test_a_mean_folded_over_padding(
    subject: Callable[[str], tuple[Path, Path | None]],
    image_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    """The mean in the first convolution's bias: what is padded with zeros afterwards is darkened."""
    bundle, _ = subject(name)

    def folded(self: Any, model: onnx.ModelProto) -> tuple[str, ...]:
        first = next(node for node in model.graph.node if node.op_type == "Conv")
        weights, bias = (next(t for t in model.graph.initializer if t.name == name) for name in first.input[1:3])
        values = numpy_helper.to_array(weights) * np.reshape(SCALE, (1, 3, 1, 1)).astype(np.float32)
        offset = (values * np.reshape(MEAN, (1, 3, 1, 1))).sum((1, 2, 3))
        weights.CopyFrom(numpy_helper.from_array(values.astype(np.float32), weights.name))
        changed = (numpy_helper.to_array(bias) - offset).astype(np.float32)
        bias.CopyFrom(numpy_helper.from_array(changed, bias.name))
        return ("folded over the padding",)

    monkeypatch.setattr(normalisation.InputNormalisation, "apply", folded)
    arrow = found_in(debugged(bundle, None, image_folder), DEVICE_STAGE)
    assert arrow.first is not None
    assert arrow.first.layers[0].operator == "Conv"
    assert arrow.first == next(error for error in arrow.errors if error.at_fault)
    assert "border" in arrow.cause


@pytest.mark.compiler
@pytest.mark.slow
def test_an_average_that_leaves_the_border_out(
    converted: Callable[..., Path], image_folder: Path, tmp_path: Path
) -> None:
    onnx_file = tmp_path / "averaged.onnx"
    onnx.save(averaging_network(), onnx_file)
    bundle = converted("debug-averaged", model=str(onnx_file), size=(96, 64), to="blob", said=NORMALISED)
    assert debugged(bundle, None, image_folder).exit_code == 0
    faulty = faults.copied(bundle, tmp_path)

    def fault(graph: onnx.GraphProto) -> str:
        pool = faults.nodes_of(graph, "AveragePool", "Conv")[1]  # the compiler gets it as a convolution, maybe
        if pool.op_type == "AveragePool":
            faults.attribute(pool, "count_include_pad", 0)
        return str(pool.output[0])

    tensor = faults.in_ir(faulty, fault)
    arrow = found_in(debugged(faulty, None, image_folder), IR_STAGE)
    assert holds(arrow, bundle, tensor)
    assert "border" in arrow.cause


def averaging_network() -> onnx.ModelProto:
    """A convolution, an average over windows that count what is padded, and another convolution."""
    rng = np.random.default_rng(0)
    constants = [
        numpy_helper.from_array(rng.normal(0, 0.3, shape).astype(np.float32), name)
        for name, shape in {"w0": (8, 3, 3, 3), "b0": (8,), "w1": (4, 8, 3, 3), "b1": (4,)}.items()
    ]
    nodes = [
        helper.make_node("Conv", ["image", "w0", "b0"], ["first"], name="first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["first"], ["positive"], name="positive"),
        helper.make_node(
            "AveragePool",
            ["positive"],
            ["averaged"],
            name="averaged",
            kernel_shape=[3, 3],
            pads=[1, 1, 1, 1],
            count_include_pad=1,
        ),
        helper.make_node("Conv", ["averaged", "w1", "b1"], ["last"], name="last", pads=[1, 1, 1, 1]),
    ]
    ends = [helper.make_tensor_value_info("image", 1, [1, 3, 64, 96])], [helper.make_tensor_value_info("last", 1, None)]
    graph = helper.make_graph(nodes, "averaged", *ends, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


# --- what the compiler takes for something else ---------------------------------------------------------------------


@pytest.mark.compiler
@pytest.mark.slow
def test_an_operator_that_the_compiler_takes_for_something_else(
    converted: Callable[..., Path], image_folder: Path, tmp_path: Path
) -> None:
    """The compiler counts what is padded in every average, whatever a device graph without rewrites says of it."""
    network = tmp_path / "pooled.onnx"
    onnx.save(averaging_network(), network)
    bundle = converted("debug-pooled", model=str(network), size=(96, 64), to="blob", said=NORMALISED)
    opened, images = open_bundle(bundle), load_photographs(image_folder)
    graph = device_graph_of(opened)
    pool = faults.nodes_of(graph.model.graph, "AveragePool")[0]
    faults.attribute(pool, "count_include_pad", 0)
    compile_graph(graph, tmp_path / "other.blob", shaves=6)
    assert (tmp_path / "other.blob").read_bytes() == (bundle / "model.blob").read_bytes(), "the attribute is ignored"
    forms = BundleForms(opened, None)
    forms.__dict__["device_graph"] = graph
    (arrow,) = ARROWS[BLOB_STAGE].make(forms, opened)
    first = next(error for error in walk(arrow, images, quiet) if error.at_fault)
    assert first.tensor == pool.output[0]


# --- outputs under other names ------------------------------------------------------------------------------------


@pytest.mark.compiler
@pytest.mark.slow
@pytest.mark.parametrize("name", ["acorn", "detector"])
def test_outputs_under_each_others_name(
    subject: Callable[[str], tuple[Path, Path | None]], image_folder: Path, tmp_path: Path, name: str
) -> None:
    bundle, weights = subject(name)
    graph = device_graph_of(open_bundle(bundle))
    first, second = faults.swap_outputs(graph.model.graph)
    faulty = faults.copied(bundle, tmp_path)
    faults.in_blob(faulty, None, graph)
    arrow = found_in(debugged(faulty, weights, image_folder), BLOB_STAGE)
    if arrow.first is None:  # of other shapes
        assert arrow.outcome == "outputs"
        assert first in arrow.outputs
        assert second in arrow.outputs
    else:
        assert arrow.first.tensor in (first, second)
        assert f"it is what {first if arrow.first.tensor == second else second} should be" in arrow.cause


# --- numbers that FP16 does not have -------------------------------------------------------------------------------


@pytest.mark.compiler
@pytest.mark.slow
def test_an_overflow_of_fp16(
    task_onnx: Callable[[str], Path], image_folder: Path, tmp_path: Path, listener: Any
) -> None:
    """A network that computes the same, with one layer so large and the next one so small that FP16 overflows."""
    model = onnx.load(task_onnx("SmallUNet"))
    tensor = faults.scaled(1, 2.0**14)(model.graph)
    faults.scaled(2, 2.0**-14)(model.graph)
    network, bundle = tmp_path / "large.onnx", tmp_path / "large"
    onnx.save(model, network)
    convert_all_the_same(network, bundle, SIZE, image_folder, listener)
    arrow = found_in(debugged(bundle, None, image_folder), BLOB_STAGE)
    assert within(arrow, device_graph_of(open_bundle(bundle)).model, tensor), arrow.first
    assert arrow.first is not None
    assert arrow.first.kind == "not finite"
    assert "FP16" in arrow.cause


@pytest.mark.compiler
@pytest.mark.slow
def test_a_number_that_fp16_makes_zero(converted: Callable[..., Path], image_folder: Path, tmp_path: Path) -> None:
    """A channel divided by its largest value, or by 1e-12 where that is less: 0/0 in the dark, once 1e-12 is 0."""
    network = tmp_path / "divided.onnx"
    onnx.save(dividing_network(), network)
    bundle = converted("debug-divided", model=str(network), size=(96, 64), to="blob", said=NORMALISED)
    graph = device_graph_of(open_bundle(bundle))  # a rewrite has raised it
    epsilon = next(t for t in graph.model.graph.initializer if 0 < numpy_helper.to_array(t).max() < 1e-3)
    epsilon.CopyFrom(numpy_helper.from_array(np.zeros_like(numpy_helper.to_array(epsilon)), epsilon.name))
    faulty = faults.copied(bundle, tmp_path)
    faults.in_blob(faulty, None, graph)
    arrow = found_in(debugged(faulty, None, image_folder), BLOB_STAGE)
    assert arrow.first is not None
    assert arrow.first.kind == "not finite"
    assert "divided" in arrow.first.shown
    assert "a division by what FP16 makes zero" in arrow.cause


def dividing_network() -> onnx.ModelProto:
    """Two channels of which one is zero, each divided by its largest value or by 1e-12."""
    weights = np.zeros((2, 3, 1, 1), np.float32)
    weights[0] = 1 / 3
    constants = [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(np.float32(1e-12), "epsilon")]
    nodes = [
        helper.make_node("Conv", ["image", "weights"], ["channels"], name="channels"),
        helper.make_node("Relu", ["channels"], ["positive"], name="positive"),
        helper.make_node("ReduceMax", ["positive"], ["largest"], name="largest", axes=[2, 3]),
        helper.make_node("Max", ["largest", "epsilon"], ["safe"], name="safe"),
        helper.make_node("Div", ["positive", "safe"], ["divided"], name="divided"),
    ]
    ends = [helper.make_tensor_value_info(n, 1, s) for n, s in (("image", [1, 3, 64, 96]), ("divided", None))]
    graph = helper.make_graph(nodes, "divided", ends[:1], ends[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def convert_all_the_same(network: Path, bundle: Path, size: tuple[int, int], images: Path, listener: Any) -> None:
    """Convert a network whose blob fails."""
    from oakpoint.chain.conversion import convert
    from oakpoint.chain.options import ConversionOptions

    request = ConversionOptions(
        model=str(network), size=size, to="blob", said=NORMALISED, images=images, keep_failed=True
    )
    with contextlib.suppress(OakpointError):
        convert(request, bundle, listener)
    assert (bundle / "model.blob").is_file()


# --- one bit of the blob's file ------------------------------------------------------------------------------------


@pytest.mark.compiler
@pytest.mark.slow
@pytest.mark.parametrize("name", ["acorn", "superpoint", "detector", "u-net"])
def test_one_flipped_bit_of_a_blobs_weight(
    subject: Callable[[str], tuple[Path, Path | None]], image_folder: Path, tmp_path: Path, name: str
) -> None:
    """The lowest bit of a weight, which no output shows, is found in the constants, with the layer that takes it."""
    from oakpoint.myriad.constants import constants_of

    bundle, weights = subject(name)
    blob = read_blob(bundle / "model.blob")
    taken = constants_of(blob).weights
    kernel = taken[len(taken) // 2].kernel
    place = int(kernel.places.flat[np.abs(np.nan_to_num(kernel.values.astype(np.float32))).argmax()])
    start = (
        len(blob.data) - len(blob.constants) if blob.data.endswith(blob.constants) else blob.data.index(blob.constants)
    )
    faulty = faults.copied(bundle, tmp_path)

    def flip(data: bytearray) -> None:
        data[start + place] ^= 1

    faults.in_bytes(faulty, flip)
    arrow = found_in(debugged(faulty, weights, image_folder, BLOB_STAGE), BLOB_STAGE)
    assert arrow.outcome == "constants"
    assert [constant.text for constant in arrow.altered] == [arrow.altered[0].text]
    assert kernel.stage in arrow.altered[0].text
    assert arrow.altered[0].layer


# --- the command ---------------------------------------------------------------------------------------------------


def test_the_command_says_where_and_why(
    small_bundle: Path, command: Callable[..., Any], image_folder: Path, tmp_path: Path
) -> None:
    faulty = faults.copied(small_bundle, tmp_path)
    tensor = faults.in_ir(faulty, faults.flipped_bit(1, 25))
    report = tmp_path / "report"
    image = image_folder / "coffee.png"
    ran = command("debug", faulty, "--stage", "ir", "--image", image, "--json", "--report", report)
    assert ran.code == 1
    facts = json.loads(ran.out)
    assert facts["first"]["stage"] == IR_STAGE
    assert facts["images"] == ["coffee.png"]
    (arrow,) = facts["arrows"]
    assert arrow["first"] == tensor
    assert arrow["region"]["image"] == "coffee.png"
    saved = json.loads((report / "debug.json").read_text())
    assert saved["arrows"] == facts["arrows"]
    for name in ("errors.png", "worst_ir.png"):
        assert cv2.imread(str(report / name)) is not None

    shown = command("debug", faulty, "--stage", "onnx → ir", "--image", image)
    assert shown.code == 1
    assert "jump" in shown.out
    assert "first:" in shown.out
    assert arrow["cause"][:20] in " ".join(shown.out.split())


def test_the_command_on_a_healthy_bundle(small_bundle: Path, command: Callable[..., Any], image_folder: Path) -> None:
    ran = command("debug", small_bundle, "--image", image_folder)
    assert ran.code == 0
    assert ran.out.count("every layer gives what it should") == 2

    listed = command("debug", small_bundle, "--image", image_folder, "--stage", "ir", "--all")
    assert len(listed.out.splitlines()) > 6


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--stage", "blob"), "has no device graph → blob"),
        (("--stage", "nonsense"), "expected one of onnx, ir, device, blob"),
        (("--image", "no-such.png"), "no-such.png"),
    ],
)
def test_what_cannot_be_looked_at_is_said_in_a_line(
    small_bundle: Path, command: Callable[..., Any], arguments: tuple[str, ...], said: str
) -> None:
    ran = command("debug", small_bundle, *arguments)
    assert ran.code == 1
    assert len(ran.errors) == 1
    assert said in ran.errors[0]


def test_a_report_replaces_nothing_of_the_users(
    small_bundle: Path, command: Callable[..., Any], image_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    ran = command("debug", small_bundle, "--image", image_folder, "--report", folder)
    assert ran.code == 1
    assert (folder / "notes.txt").read_text() == "mine"


# --- the page ------------------------------------------------------------------------------------------------------


def test_the_page_names_tests_that_there_are() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "when-it-differs.md").read_text()
    named = set(re.findall(r"`(test_\w+)`", page))
    assert len(named) >= 8
    missing = named - set(globals())
    assert not missing
    rows = re.findall(r"^\| (\d+) \|", page, re.MULTILINE)
    assert rows == [str(number) for number in range(1, 11)]
