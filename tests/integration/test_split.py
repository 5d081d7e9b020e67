"""``convert --split``: a network in two goes through every command as a whole one does."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from split_networks import SIZE, detector

from oakpoint.backends.registry import ModelSource
from oakpoint.bundle.folder import open_bundle
from oakpoint.bundle.records import Verdict
from oakpoint.chain.conversion import attempt, convert
from oakpoint.chain.options import ConversionOptions
from oakpoint.chain.verification import StageVerifier, verify_bundle
from oakpoint.errors import ConversionError, UsageError
from oakpoint.loading import load_extractor
from oakpoint.models.base import ModelOptions
from oakpoint.models.bundle_folder import device_source_of, tail_of_bundle
from oakpoint.tasks.registry import task_of_bundle
from oakpoint.verify.photographs import load_photographs
from oakpoint.verify.tolerances import BLOB_STAGE, DEVICE_STAGE

REFUSED = "small_network:RefusedNetwork"
"""Keypoints whose descriptors end in a sine, which the device does not take: one head is whole on it, one is not."""

SMALL_SIZE = (160, 120)
Command = Callable[..., Any]
Image = NDArray[np.uint8]


@pytest.fixture(scope="session")
def split_bundle(converted: Callable[..., Path]) -> Path:
    return converted("small-split", model=REFUSED, seed=0, size=SMALL_SIZE, split=("describer",))


@pytest.mark.compiler
def test_the_bundle_has_both_parts_and_says_what_they_cost(split_bundle: Path) -> None:
    manifest = open_bundle(split_bundle).manifest
    split = manifest.split
    assert split is not None
    assert (split.asked, split.finished) == (("describer",), ("semi",))
    assert (split.device_layers, split.host_layers) == (8, 1)
    assert [spec.name for spec in manifest.artifact("blob").interface.outputs] == ["semi", *split.crossing]
    assert split.usb_bytes == 2 * (65 + 16) * 15 * 20
    assert split.device_ms is not None
    assert split.host_ms is not None
    assert "bytes a frame over USB" in split.price()
    assert manifest.verdicts[DEVICE_STAGE] is Verdict.PASS
    assert manifest.verdicts[BLOB_STAGE] is Verdict.PASS
    with tarfile.open(split_bundle / "model.rvc2.tar.xz") as archive:
        config = json.load(archive.extractfile("config.json"))  # type: ignore[arg-type]
    assert config["model"]["heads"] == []
    assert [output["name"] for output in config["model"]["outputs"]] == ["semi", *split.crossing]


@pytest.mark.compiler
def test_it_is_verified_again_as_a_whole(split_bundle: Path, image_folder: Path) -> None:
    reports = verify_bundle(open_bundle(split_bundle), load_photographs(image_folder), None)
    assert {report.stage: report.verdict for report in reports}[BLOB_STAGE] is Verdict.PASS
    assert all(report.verdict is Verdict.PASS for report in reports)


@pytest.mark.compiler
def test_a_fault_of_the_tail_fails_the_blob_s_stage(split_bundle: Path, image_folder: Path, tmp_path: Path) -> None:
    bundle = open_bundle(split_bundle)
    tail = tail_of_bundle(bundle)
    assert tail is not None
    model = onnx.load(tail.path)
    (node,) = model.graph.node
    node.op_type = "Cos"
    onnx.save(model, tmp_path / "tail.onnx")
    verifier = StageVerifier(load_photographs(image_folder), bundle.manifest.interface, task_of_bundle(bundle))
    source = ModelSource(
        onnx=bundle.path("onnx"), blob=bundle.path("blob"), tail=replace(tail, path=tmp_path / "tail.onnx")
    )
    report = verifier.blob_of_onnx(source, bundle.manifest.device, device_source_of(bundle))
    assert report.verdict is Verdict.FAIL
    whole = ModelSource(onnx=bundle.path("onnx"), blob=bundle.path("blob"))
    assert verifier.blob_of_onnx(whole, bundle.manifest.device, device_source_of(bundle)).verdict is Verdict.FAIL


@pytest.mark.compiler
def test_the_simulator_finds_what_the_network_finds(split_bundle: Path, photographs: dict[str, Image]) -> None:
    with (
        load_extractor(split_bundle, backend="myriad_simulator") as chained,
        load_extractor(split_bundle, backend="onnxruntime") as whole,
    ):
        assert "then onnxruntime" in chained.description()
        got, expected = (extractor.dense(photographs["camera"])[0] for extractor in (chained, whole))
        np.testing.assert_allclose(got.descriptors, expected.descriptors, atol=0.01)
        assert chained.identity()["model"] != load_extractor(split_bundle).identity()["model"]
        assert " then " in str(chained.identity()["model"])


@pytest.mark.compiler
@pytest.mark.parametrize("stand_in", ["openvino", "myriad_simulator"])
def test_depthai_s_runtime_takes_it(split_bundle: Path, photographs: dict[str, Image], stand_in: str) -> None:
    pytest.importorskip("depthai")
    from oakpoint.oak.live import LiveStatistics, Timing, live_frames
    from oakpoint.oak.model import open_stand_in
    from oakpoint.oak.replay import open_replay

    model, backend = open_stand_in(split_bundle, stand_in)
    image = np.ascontiguousarray(photographs["camera"][:120, :160])
    assert {spec.name for spec in model.outputs} == {spec.name for spec in backend.outputs}
    with backend, open_replay([image], model, backend) as feed:
        (frame,) = live_frames(feed, LiveStatistics(), Timing(stall_s=None, pair_wait_s=float("inf")))
    with load_extractor(split_bundle, backend="myriad_simulator") as chained:
        expected = chained(image)
    if stand_in == "myriad_simulator":
        np.testing.assert_array_equal(frame.result.keypoints, expected.keypoints)
        np.testing.assert_array_equal(frame.result.descriptors, expected.descriptors)
    assert abs(len(frame.result) - len(expected)) <= 0.1 * len(expected)


@pytest.mark.compiler
def test_a_camera_takes_it(split_bundle: Path, photographs: dict[str, Image]) -> None:
    pytest.importorskip("depthai")
    from depthai_stub import Lens, StubDepthai

    from oakpoint.oak.camera import open_camera
    from oakpoint.oak.extractor import camera_extractor
    from oakpoint.oak.host_frames import open_host_frames_stand_in
    from oakpoint.oak.live import LiveStatistics, Timing, live_frames
    from oakpoint.oak.model import open_device_model, open_stand_in
    from oakpoint.oak.options import OakOptions

    image = np.ascontiguousarray(photographs["camera"][:120, :160])
    model, backend = open_stand_in(split_bundle, "myriad_simulator")
    with load_extractor(split_bundle, backend="myriad_simulator") as chained:
        expected = chained(image)
    with backend:
        stub = StubDepthai(backend, model.preprocess, Lens([image]))
        with open_camera(open_device_model(split_bundle), OakOptions(), depthai=stub) as feed:
            frame = next(iter(live_frames(feed, LiveStatistics(), Timing(stall_s=60, pair_wait_s=60))))
        np.testing.assert_array_equal(frame.result.descriptors, expected.descriptors)
        with model.chained(open_host_frames_stand_in(model, backend)) as frames:
            got = frames.run(model.interface.feed(image))
        assert list(got) == ["semi", "desc"]
    assert camera_extractor(model, OakOptions()).task == model.task


@pytest.mark.compiler
def test_extract_and_inspect_take_it(command: Command, split_bundle: Path, image_folder: Path, tmp_path: Path) -> None:
    ran = command("extract", split_bundle, image_folder, "--backend", "myriad_simulator", "--out", tmp_path / "f.h5")
    assert ran.code == 0, ran.err
    assert command("inspect", split_bundle).code == 0


@pytest.mark.slow
@pytest.mark.compiler
def test_eval_takes_it(command: Command, split_bundle: Path, photographs: dict[str, Image], tmp_path: Path) -> None:
    import cv2

    from oakpoint.evaluate.synthetic import SyntheticOptions, synthetic_sequence

    options = SyntheticOptions(views=2, turn_deg=10.0, largest_view=(320, 240))
    made = synthetic_sequence("camera", photographs["camera"], options)
    folder = tmp_path / "data" / "v_camera"
    folder.mkdir(parents=True)
    views = [other.read() for other in made.others]
    for number, image in enumerate((made.first.read(), *(view.image for view in views)), start=1):
        cv2.imwrite(str(folder / f"{number}.png"), image)
    for number, view in enumerate(views, start=2):
        np.savetxt(folder / f"H_1_{number}", view.other_from_first)
    both = (f"cut={split_bundle}@myriad_simulator", f"whole={split_bundle}@160x120@onnxruntime")
    ran = command("eval", *both, "--dataset", tmp_path / "data", "--json", "--no-cache")
    assert ran.code == 0, ran.err
    protocols = json.loads(ran.out)["protocols"]
    assert {"cut", "whole"} <= set(json.dumps(protocols).replace('"', " ").split())


@pytest.mark.slow
@pytest.mark.compiler
def test_auto_cuts_before_the_refused_head(
    command: Command, tmp_path: Path, image_folder: Path, split_bundle: Path
) -> None:
    ran = command(
        "convert", REFUSED, "--random", "--size", "160x120", "--images", image_folder, "--split", "auto", "--heads",
        "normalised", "--out", tmp_path / "b", "--json",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    split = json.loads(ran.out)["split"]
    assert split["finished"] == ["semi"]
    assert list(split["refused"]) == ["node_sin"]
    assert "heads normalised are for a network that is whole" in split["notes"][0]
    facts = open_bundle(tmp_path / "b").manifest.split
    assert facts is not None
    assert facts.usb_bytes == split["usb_bytes"] == 2 * (65 + 16) * 15 * 20


def test_what_cannot_be_meant_is_told_before_anything_is_written(tmp_path: Path, image_folder: Path) -> None:
    for split, to, message in (
        (("auto", "a"), "blob", "auto finds all cuts itself"),
        (("auto",), "ir", "split: is for a blob"),
        (("",), "blob", "got an empty one"),
    ):
        with pytest.raises(UsageError, match=message):
            ConversionOptions(model="m.onnx", split=split, to=to)  # type: ignore[arg-type]


@pytest.mark.compiler
@pytest.mark.parametrize(
    ("name", "message"), [("nowhere", "no layer, output or module"), ("kept", "nothing of the network is computed")]
)
def test_a_cut_that_is_none(tmp_path: Path, image_folder: Path, listener: Any, name: str, message: str) -> None:
    onnx.save(detector("suppressed"), tmp_path / "m.onnx")
    said = ModelOptions(task="tensors")
    options = ConversionOptions(
        model=str(tmp_path / "m.onnx"), images=image_folder, split=(name,), to="blob", said=said
    )
    with pytest.raises((UsageError, ConversionError), match=message):
        attempt(options, tmp_path / "b", listener)
    assert not (tmp_path / "b").exists()


@pytest.mark.compiler
def test_a_refused_first_layer_gets_one_line_and_no_blob(tmp_path: Path, image_folder: Path, listener: Any) -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> m (float[1, 3, 64, 96] image) => (float y) '
        "{ s = Sin (image)\n y = Conv (s, w) }"
    )
    model.graph.initializer.append(numpy_helper.from_array(np.ones((2, 3, 1, 1), np.float32), "w"))
    onnx.save(model, tmp_path / "m.onnx")
    options = ConversionOptions(model=str(tmp_path / "m.onnx"), images=image_folder, split=("auto",), to="blob")
    outcome = attempt(options, tmp_path / "b", listener)
    assert str(outcome.failure).startswith("split: nothing of the network is left for the device: its first layer")
    assert "\n" not in str(outcome.failure)
    assert not (tmp_path / "b" / "model.blob").exists()
    assert open_bundle(tmp_path / "b").manifest.split is None


@pytest.mark.compiler
def test_without_split_the_way_out_is_told(tmp_path: Path, image_folder: Path, listener: Any) -> None:
    onnx.save(detector("suppressed"), tmp_path / "m.onnx")
    said = ModelOptions(task="tensors")
    options = ConversionOptions(model=str(tmp_path / "m.onnx"), images=image_folder, to="blob", said=said)
    outcome = attempt(options, tmp_path / "b", listener)
    assert "; --split auto leaves what is not taken to the host" in outcome.kept


@pytest.mark.slow
@pytest.mark.compiler
@pytest.mark.parametrize(
    ("name", "crossing"),
    [("Sampled", ["relu_2", "permute"]), ("SampledImage", ["input_handed_on", "permute"]), ("Attention", None)],
)
def test_tails_of_torch_networks(
    tmp_path: Path, image_folder: Path, listener: Any, name: str, crossing: list[str] | None
) -> None:
    options = ConversionOptions(
        model=f"split_networks:{name}", seed=0, size=SIZE, images=image_folder, split=("auto",), to="blob"
    )
    manifest = convert(options, tmp_path / "b", listener).manifest
    assert manifest.split is not None
    assert manifest.verdicts[BLOB_STAGE] is Verdict.PASS
    if crossing is not None:
        assert list(manifest.split.crossing) == crossing


@pytest.mark.slow
@pytest.mark.compiler
@pytest.mark.parametrize(("end", "outputs"), [("suppressed", ["kept"]), ("best", ["chosen"])])
def test_selections_within_the_network_stay_on_the_host(
    tmp_path: Path, image_folder: Path, listener: Any, end: str, outputs: list[str]
) -> None:
    """What crosses before anything is chosen is judged exactly, and what was chosen by its rows."""
    onnx.save(detector(end), tmp_path / "m.onnx")
    options = ConversionOptions(model=str(tmp_path / "m.onnx"), images=image_folder, split=("auto",), to="blob")
    conversion = convert(options, tmp_path / "b", listener)
    split, task = conversion.manifest.split, conversion.manifest.task
    assert split is not None
    assert (task.name, list(task.parameters["selected"])) == ("tensors", outputs)
    report = next(report for report in conversion.reports if report.stage == BLOB_STAGE)
    checked = {check.name for check in report.checks}
    assert {f"cosine of {name}" for name in split.crossing} <= checked
    assert {f"share of the rows of {name} in common" for name in outputs} <= checked
    assert all(report.verdict is Verdict.PASS for report in conversion.reports)


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.compiler
@pytest.mark.parametrize(
    ("name", "weights", "module"),
    [("edgepoint2", "edgepoint2_T32.pth", "block3"), ("alike", "alike-n.pth", "block4")],
)
def test_published_networks_are_whole_and_can_be_cut_by_their_modules(
    tmp_path: Path, image_folder: Path, listener: Any, shared: Path, name: str, weights: str, module: str
) -> None:
    asked = {"model": name, "weights": shared / "weights" / weights, "size": (160, 128), "images": image_folder}
    whole = convert(ConversionOptions(**asked, split=("auto",), to="blob"), tmp_path / "whole", listener)
    assert whole.manifest.split is None
    cut = convert(ConversionOptions(**asked, split=(module,), to="blob"), tmp_path / "cut", listener)
    assert cut.manifest.split is not None
    assert cut.manifest.split.host_layers > 3
    for conversion in (whole, cut):
        assert all(report.verdict is Verdict.PASS for report in conversion.reports)


@pytest.mark.slow
@pytest.mark.compiler
def test_a_network_that_is_whole_on_the_device_is_not_cut(
    tmp_path: Path, image_folder: Path, listener: Any, small_onnx: Path
) -> None:
    options = ConversionOptions(model=str(small_onnx), images=image_folder, split=("auto",), to="blob", heads="packed")
    manifest = convert(options, tmp_path / "b", listener).manifest
    assert manifest.split is None
    assert manifest.device.heads == "packed"
    assert not manifest.has("host_tail")
