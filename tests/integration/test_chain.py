"""The whole conversion, from a network to a bundle: what is in it, who can read it, and what a failure leaves."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import depthai
import numpy as np
import onnx
import pytest
from device_form import device_form

import oakpoint
from oakpoint.bundle.folder import open_bundle
from oakpoint.bundle.records import TaskRecord, Verdict
from oakpoint.chain.conversion import convert
from oakpoint.chain.options import TARGETS, ConversionOptions
from oakpoint.convert.blob_from_onnx import write_blob
from oakpoint.errors import (
    BundleError,
    ImageError,
    OakpointError,
    OutputError,
    UnsupportedNetworkError,
    UsageError,
    VerificationError,
)
from oakpoint.files import sha256_of_file
from oakpoint.models.base import ModelOptions
from oakpoint.myriad.blob import read_blob
from oakpoint.myriad.format import Location, StageType
from oakpoint.tasks.keypoints.heads.base import Heads
from oakpoint.verify import stages
from oakpoint.verify.tolerances import BLOB_STAGE, DEVICE_STAGE, IR_STAGE, ONNX_STAGE

SMALL, SMALL_SIZE = "small_network:SmallNetwork", (160, 120)
FILES = {
    "onnx": {"model.onnx"},
    "ir": {"model.xml", "model.bin"},
    "blob": {"model.blob", "model.json", "model.stages.json"},
    "archive": {"model.rvc2.tar.xz"},
}
ALWAYS = {"manifest.json", "report.json"}
Copied = Callable[[Path], Path]


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def small(images: Path, **options: Any) -> ConversionOptions:
    return ConversionOptions(**{"model": SMALL, "seed": 0, "size": SMALL_SIZE, "to": "ir", "images": images} | options)


@pytest.mark.parametrize(
    "to",
    [t if t in ("onnx", "ir") else pytest.param(t, marks=pytest.mark.compiler) for t in TARGETS if t != "onnx-archive"],
)
def test_each_target_gives_its_files_and_those_before_it(converted: Callable[..., Path], to: str) -> None:
    bundle = converted(f"small-{to}", model=SMALL, seed=0, size=SMALL_SIZE, to=to)
    expected = set.union(*(FILES[t] for t in TARGETS[: TARGETS.index(to) + 1] if t != "onnx-archive"))  # type: ignore[arg-type]
    assert names_in(bundle) == expected | ALWAYS
    manifest = open_bundle(bundle).manifest
    assert manifest.not_made == {}
    assert set(manifest.hashes()) == expected | {"report.json"}
    assert manifest.device.shaves == (6 if "model.blob" in expected else None)
    reached = [ONNX_STAGE, IR_STAGE, DEVICE_STAGE, BLOB_STAGE]
    reached = reached[: {"onnx": 1, "ir": 2}.get(to, 4)]
    assert manifest.verdicts == dict.fromkeys(reached, Verdict.PASS)
    assert bool(manifest.device.rewrites) is ("model.blob" in expected)


@pytest.mark.compiler
def test_every_artefact_names_what_it_was_made_from(small_blob_bundle: Path) -> None:
    manifest = open_bundle(small_blob_bundle).manifest
    hashes = {kind: set(manifest.artifact(kind).files.values()) for kind in ("onnx", "ir", "blob", "archive")}  # type: ignore[arg-type]
    parents = {a.kind: set(a.parents) for a in manifest.artifacts}
    assert parents["ir"] == parents["blob"] == hashes["onnx"]
    assert parents["archive"] == parents["oak_json"] == parents["stage_map"] == hashes["blob"]
    assert all(artifact.tool and artifact.command for artifact in manifest.artifacts)
    assert manifest.artifact("blob").interface.image.baked
    assert not manifest.artifact("onnx").interface.image.baked
    assert (manifest.weights.trained, manifest.weights.seed) == (False, 0)
    assert manifest.task.parameters["descriptor_dim"] == 16
    assert manifest.network == SMALL
    report = json.loads((small_blob_bundle / "report.json").read_text(), parse_constant=pytest.fail)
    assert {stage["stage"]: stage["verdict"] for stage in report} == {
        stage: verdict.value for stage, verdict in manifest.verdicts.items()
    }
    assert all(check["passed"] for stage in report for check in stage["checks"])


@pytest.mark.compiler
def test_random_weights_are_marked_wherever_a_name_is_shown(small_blob_bundle: Path) -> None:
    config = depthai.NNArchive(str(small_blob_bundle / "model.rvc2.tar.xz")).getConfig()
    assert "random" in config.model.metadata.name.lower()
    assert "NOT TRAINED" in (small_blob_bundle / "manifest.json").read_text()


@pytest.mark.shared
@pytest.mark.compiler
@pytest.mark.parametrize(
    ("heads", "outputs"),
    [
        ("dense", {"semi": (1, 65, 25, 40), "desc": (1, 256, 25, 40)}),
        pytest.param("rtabmap", {"heatmap": (1, 200, 320), "desc": (1, 25, 40, 256)}, marks=pytest.mark.slow),
    ],
)
def test_superpoints_blob_and_archive_are_read_by_depthai(
    request: pytest.FixtureRequest, heads: str, outputs: dict[str, tuple[int, ...]]
) -> None:
    fixture = "superpoint_bundle" if heads == "dense" else "superpoint_rtabmap_bundle"
    bundle = request.getfixturevalue(fixture)
    manifest = open_bundle(bundle).manifest
    assert manifest.weights.name == "SuperPoint v1 (official)"
    assert {spec.name: spec.shape for spec in manifest.artifact("blob").interface.outputs} == outputs
    assert {spec.name: spec.shape for spec in manifest.artifact("onnx").interface.outputs} == {
        "semi": ("N", 65, 25, 40),
        "desc": ("N", 256, 25, 40),
    }

    blob = depthai.OpenVINO.Blob(str(bundle / "model.blob"))
    dtype = depthai.TensorInfo.DataType
    (image,) = blob.networkInputs.values()
    assert (image.name, tuple(reversed(image.dims)), image.dataType) == ("input", (1, 1, 200, 320), dtype.U8F)
    assert {name: tuple(size for size in reversed(t.dims)) for name, t in blob.networkOutputs.items()} == outputs
    assert {tensor.dataType for tensor in blob.networkOutputs.values()} == {dtype.FP16}
    assert (blob.numShaves, blob.numSlices) == (6, 6)

    config = depthai.NNArchive(str(bundle / "model.rvc2.tar.xz")).getConfig().model
    assert {tensor.name: tuple(tensor.shape) for tensor in config.outputs} == outputs
    assert [(tensor.name, tuple(tensor.shape)) for tensor in config.inputs] == [("input", (1, 1, 200, 320))]
    gen1 = json.loads((bundle / "model.json").read_text())["tensors"]
    assert {tensor["output_tensor_name"]: tuple(tensor["output_dimensions"]) for tensor in gen1} == outputs


def hardware_constants(path: Path) -> list[bytes]:
    """The bytes of every weight, bias and scale that a hardware stage of a blob reads."""
    blob = read_blob(path)
    return sorted(
        bytes(blob.constants[buffer.offset : buffer.offset + buffer.layout.nbytes])
        for stage in blob.all_stages()
        if stage.type == StageType.MYRIAD_X_HW_OP
        for buffer in stage.buffers
        if buffer.location is Location.CONSTANT
    )


@pytest.mark.shared
@pytest.mark.compiler
@pytest.mark.parametrize(
    "shaves", [6, pytest.param(5, marks=pytest.mark.slow), pytest.param(10, marks=pytest.mark.slow)]
)
def test_every_constant_of_the_hardware_stages_is_that_of_the_third_partys_blob(
    superpoint_rtabmap_bundle: Path, shared: Path, tmp_path: Path, shaves: int
) -> None:
    blob = superpoint_rtabmap_bundle / "model.blob"
    if shaves != 6:
        blob = tmp_path / "model.blob"
        source = superpoint_rtabmap_bundle / "model.onnx"
        write_blob(source, blob, *device_form(source, (320, 200), heads=Heads("rtabmap")), shaves=shaves)
    ours = hardware_constants(blob)
    theirs = hardware_constants(shared / "blobs" / f"superpoint_200x320_{shaves}shave.blob")
    assert len(set(theirs)) >= 12 * 2
    assert ours == theirs


@pytest.mark.compiler
def test_a_bundle_is_converted_again_with_other_heads_and_size(
    small_bundle: Path, tmp_path: Path, image_folder: Path, listener: Any
) -> None:
    options = ConversionOptions(model=str(small_bundle), size=(96, 64), heads="rtabmap", shaves=4, images=image_folder)
    result = convert(options, tmp_path / "again", listener)
    manifest = open_bundle(tmp_path / "again").manifest
    before = open_bundle(small_bundle).manifest
    assert manifest == result.manifest
    assert (manifest.preprocess.size, manifest.device.heads, manifest.device.shaves) == ((96, 64), "rtabmap", 4)
    assert manifest.weights == before.weights
    assert manifest.network == before.network
    assert manifest.artifact("onnx").parents == (before.artifact("onnx").files["model.onnx"],)
    assert {o.name: o.shape for o in manifest.artifact("blob").interface.outputs} == {
        "heatmap": (1, 64, 96),
        "desc": (1, 8, 12, 16),
    }
    assert manifest.verdicts[BLOB_STAGE] is Verdict.PASS


def test_a_bundle_is_converted_again_in_its_own_place(
    small_bundle: Path, copied: Copied, image_folder: Path, listener: Any
) -> None:
    bundle = copied(small_bundle)
    convert(ConversionOptions(model=str(bundle), size=(96, 64), to="onnx", images=image_folder), bundle, listener)
    assert names_in(bundle) == FILES["onnx"] | ALWAYS
    assert open_bundle(bundle).manifest.preprocess.size == (96, 64)
    convert(ConversionOptions(model=str(bundle), to="onnx", images=image_folder), bundle, listener)
    assert open_bundle(bundle).manifest.preprocess.size == (96, 64), "without a size, the bundle's"


def test_from_an_onnx_file(small_onnx: Path, tmp_path: Path, image_folder: Path, listener: Any) -> None:
    options = ConversionOptions(model=str(small_onnx), size=(96, 64), to="ir", images=image_folder)
    result = convert(options, tmp_path / "b", listener)
    assert result.manifest.network == small_onnx.name
    assert result.manifest.weights.sha256 == sha256_of_file(small_onnx)
    assert result.manifest.verdicts == {IR_STAGE: Verdict.PASS}
    assert result.manifest.artifact("onnx").parents == (sha256_of_file(small_onnx),)


def test_the_batch_of_the_ir(small_onnx: Path, tmp_path: Path, image_folder: Path, listener: Any) -> None:
    result = convert(small(image_folder, batch=4), tmp_path / "b", listener)
    assert result.manifest.artifact("ir").interface.tensors[0].shape == (4, 1, 120, 160)
    assert result.manifest.artifact("onnx").interface.tensors[0].shape == ("N", 1, 120, 160)
    assert result.manifest.verdicts[IR_STAGE] is Verdict.PASS


@pytest.fixture
def fixed_to_four(small_onnx: Path, tmp_path: Path) -> Path:
    model = onnx.load(small_onnx)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 4
    onnx.save(model, tmp_path / "four.onnx")
    return tmp_path / "four.onnx"


@pytest.mark.parametrize(
    ("to", "message"),
    [
        ("blob", "its batch is fixed to 4, and a Myriad X blob has batch 1"),
        ("archive", "its batch is fixed to 4, and a Myriad X blob has batch 1"),
        ("ir", "its batch is fixed to 4, and 1 was asked for; give --batch 4"),
    ],
)
def test_an_onnx_of_a_fixed_batch_is_not_given_another(
    fixed_to_four: Path, tmp_path: Path, image_folder: Path, listener: Any, to: Any, message: str
) -> None:
    options = ConversionOptions(model=str(fixed_to_four), size=SMALL_SIZE, to=to, images=image_folder)
    with pytest.raises(UsageError, match=message):
        convert(options, tmp_path / "b", listener)
    assert not (tmp_path / "b").exists()


def test_an_onnx_of_a_fixed_batch_keeps_it(
    fixed_to_four: Path, tmp_path: Path, image_folder: Path, listener: Any
) -> None:
    options = ConversionOptions(model=str(fixed_to_four), size=SMALL_SIZE, to="ir", batch=4, images=image_folder)
    result = convert(options, tmp_path / "b", listener)
    assert result.manifest.artifact("ir").interface.tensors[0].shape == (4, 1, 120, 160)
    assert result.manifest.verdicts[IR_STAGE] is Verdict.PASS
    again = ConversionOptions(model=str(tmp_path / "b"), to="ir", images=image_folder)
    with pytest.raises(UsageError, match="give --batch 4"):
        convert(again, tmp_path / "c", listener)


def test_two_conversions_give_the_same_bytes(
    small_bundle: Path, tmp_path: Path, image_folder: Path, listener: Any
) -> None:
    convert(small(image_folder), tmp_path / "b", listener)
    assert contents(tmp_path / "b") == contents(small_bundle)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"to": "tflite"}, "target: expected one of onnx, onnx-archive, ir, blob, archive, got 'tflite'"),
        (
            {"heads": "all"},
            "heads: expected one of dense, heatmap, normalised, packed, reduced, rtabmap, yolo, got 'all'",
        ),
        ({"shaves": 17}, "shaves: expected 1 to 16, got 17"),
        ({"batch": 0}, "batch: expected 1 or more, got 0"),
        ({"batch": 2, "to": "blob"}, "batch: a Myriad X blob has batch 1, got 2; take --batch 1, or stop before it"),
        ({"size": (321, 200)}, "size: expected positive multiples of 8, got 321x200; the nearest is 320x200"),
        ({"size": (0, 200)}, "size: expected a positive number of pixels on both sides, got 0x200"),
        ({"size": (0, 200), "model": "superpoint"}, "size: expected positive multiples of 8, got 0x200"),
        ({"size": (321, 200), "model": "superpoint"}, "the nearest is 320x200"),
        ({"size": (328, 200), "model": "edgepoint2"}, "multiples of 32, got 328x200; the nearest is 320x192"),
        ({"size": (80_000_000, 8_000)}, "size: expected at most"),
        ({"size": None}, "size: needed"),
        ({"seed": None}, "weights are needed"),
        ({"model": "nosuch"}, "expected one of acorn, superpoint"),
        ({"model": "missing.onnx", "seed": None}, "no such ONNX file"),
        ({"model": "missing.onnx"}, "holds its own weights"),
    ],
)
def test_what_cannot_be_meant_is_said_before_any_work(
    tmp_path: Path, image_folder: Path, options: dict[str, Any], message: str
) -> None:
    class NoWork:
        def started(self, step: str) -> None:
            pytest.fail(f"{step} was started")

        def finished(self, *_: object) -> None: ...

    with pytest.raises(OakpointError, match=message):
        convert(small(image_folder, **options), tmp_path / "b", NoWork())
    assert names_in(tmp_path) == set()


def test_a_folder_without_images_is_said_before_any_work(tmp_path: Path, listener: Any) -> None:
    (tmp_path / "empty").mkdir()
    for folder, message in (("empty", "no image in this folder"), ("missing", "no such folder")):
        with pytest.raises(ImageError, match=message):
            convert(small(tmp_path / folder), tmp_path / "b", listener)
    assert names_in(tmp_path) == {"empty"}


def test_a_foreign_folder_is_refused_before_any_work(tmp_path: Path, image_folder: Path, listener: Any) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"holds precious\.txt, and is not a bundle"):
        convert(small(image_folder), tmp_path, listener)
    assert names_in(tmp_path) == {"precious.txt"}


def test_an_old_bundle_is_replaced(small_bundle: Path, copied: Copied, image_folder: Path, listener: Any) -> None:
    bundle = copied(small_bundle)
    convert(small(image_folder, to="onnx"), bundle, listener)
    assert names_in(bundle) == FILES["onnx"] | ALWAYS
    assert names_in(bundle.parent) == {bundle.name}


def test_a_failed_verification_leaves_the_old_bundle(
    small_bundle: Path, copied: Copied, image_folder: Path, listener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = copied(small_bundle)
    before = contents(bundle)
    impossible = stages.Tolerance("keypoints compared", "at_least", 1e9, "for this test")
    monkeypatch.setitem(stages.STAGE_TOLERANCES, IR_STAGE, (*stages.STAGE_TOLERANCES[IR_STAGE], impossible))
    with pytest.raises(VerificationError, match=f"failed at {IR_STAGE}: keypoints compared .*no bundle was written"):
        convert(small(image_folder), bundle, listener)
    assert contents(bundle) == before
    assert names_in(bundle.parent) == {bundle.name}
    kept = convert(small(image_folder, keep_failed=True), bundle, listener)
    assert kept.manifest.verdicts[IR_STAGE] is Verdict.FAIL
    assert open_bundle(bundle).manifest == kept.manifest


@pytest.mark.compiler
def test_a_network_that_the_compiler_refuses_leaves_the_old_bundle(
    small_bundle: Path, copied: Copied, image_folder: Path, listener: Any
) -> None:
    bundle = copied(small_bundle)
    before = contents(bundle)
    with pytest.raises(UnsupportedNetworkError, match=r"\(Sin\): no SHAVE kernel computes it"):
        convert(small(image_folder, model="small_network:RefusedNetwork", to="archive"), bundle, listener)
    assert contents(bundle) == before
    assert names_in(bundle.parent) == {bundle.name}


@pytest.mark.compiler
def test_a_stem_that_only_moves_pixels_goes_all_the_way(tmp_path: Path, image_folder: Path, listener: Any) -> None:
    options = small(image_folder, model="small_network:SpaceToDepthNetwork", to="archive")
    assert convert(options, tmp_path / "b", listener).manifest.verdicts[BLOB_STAGE] is Verdict.PASS


@pytest.mark.parametrize(("name", "outputs"), [("WrongOutputs", 2), ("OneOutput", 1)])
def test_a_network_of_another_kind_is_judged_by_its_tensors(
    tmp_path: Path, image_folder: Path, listener: Any, name: str, outputs: int
) -> None:
    result = convert(small(image_folder, model=f"small_network:{name}"), tmp_path / "b", listener)
    assert result.manifest.task == TaskRecord(name="tensors", parameters={})
    assert result.manifest.verdicts == {ONNX_STAGE: Verdict.PASS, IR_STAGE: Verdict.PASS}
    assert len(result.manifest.interface.outputs) == outputs
    for report in result.reports:
        measured = [check.name for check in report.checks if check.name.startswith("cosine of ")]
        assert len(measured) == outputs
    again = convert(
        ConversionOptions(model=str(tmp_path / "b"), to="onnx", images=image_folder), tmp_path / "c", listener
    )
    assert again.manifest.task == result.manifest.task


@pytest.mark.parametrize("name", ["WrongOutputs", "OneOutput"])
def test_said_to_be_for_keypoints_it_is_one_clear_error(
    tmp_path: Path, image_folder: Path, listener: Any, name: str
) -> None:
    options = small(image_folder, model=f"small_network:{name}", said=ModelOptions(task="keypoints"))
    with pytest.raises(OakpointError, match="the network's outputs are not those of keypoints"):
        convert(options, tmp_path / "b", listener)
    assert names_in(tmp_path) == set()


@pytest.mark.parametrize("to", ["onnx", "archive"])
def test_heads_that_a_network_cannot_have_are_told_before_any_work(tmp_path: Path, image_folder: Path, to: str) -> None:
    class NoWork:
        def started(self, step: str) -> None:
            pytest.fail(f"{step} was started")

        def finished(self, *_: object) -> None: ...

    options = small(image_folder, model="small_network:OneOutput", heads="normalised", to=to)
    with pytest.raises(OakpointError, match="heads: expected one of dense for tensors, got 'normalised'"):
        convert(options, tmp_path / "b", NoWork())
    assert names_in(tmp_path) == set()


def test_on_another_platform_the_rest_is_made(
    tmp_path: Path, image_folder: Path, listener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    manifest = convert(small(image_folder, to="archive"), tmp_path / "b", listener).manifest
    assert names_in(tmp_path / "b") == FILES["onnx"] | FILES["ir"] | ALWAYS
    assert set(manifest.not_made) == {"blob", "oak_json", "stage_map", "archive"}
    assert "Linux x86-64" in manifest.not_made["blob"]
    assert set(manifest.verdicts) == {ONNX_STAGE, IR_STAGE}
    with pytest.raises(BundleError, match=r"no blob .*not available on this platform"):
        open_bundle(tmp_path / "b").path("blob")


CONVERTER = """
import sys
from pathlib import Path
from oakpoint.chain.conversion import convert
from oakpoint.chain.options import ConversionOptions
class Listener:
    def started(self, step): print(step, flush=True)
    def finished(self, *_): pass
options = ConversionOptions(model=sys.argv[1], size=(96, 64), to="ir", images=Path(sys.argv[2]))
convert(options, Path(sys.argv[3]), Listener())  # once to warm up
print("warm", flush=True)
while True:
    convert(options, Path(sys.argv[3]), Listener())
"""


@pytest.mark.parametrize("old", [False, True])
def test_a_kill_at_any_moment_leaves_the_old_bundle_or_the_new_one_and_never_a_half(
    small_onnx: Path, image_folder: Path, tmp_path: Path, old: bool
) -> None:
    bundle = tmp_path / "b"
    rng = random.Random(f"kill {old}")
    seen = set()
    for attempt in range(4):
        if not old and bundle.exists():
            for path in bundle.iterdir():
                path.unlink()
            bundle.rmdir()
        command = [sys.executable, "-c", CONVERTER, str(small_onnx), str(image_folder), str(bundle)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout is not None
        with process:
            wanted = "warm" if old else ("onnx", "ir", "verify ir", "warm")[attempt]
            for line in process.stdout:
                if line.strip() == wanted:
                    break
            time.sleep(rng.uniform(0, 0.2))
            process.send_signal(signal.SIGKILL)
        if bundle.exists():
            assert set(contents(bundle)) == FILES["onnx"] | FILES["ir"] | ALWAYS
            open_bundle(bundle)
        seen.add(bundle.exists())
        beside = names_in(tmp_path) - {"b"}
        assert all(name.startswith(".b.oakpoint-") for name in beside), beside
    assert not old or seen == {True}, "with an old bundle there, one is there at any moment"


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.compiler
def test_the_command_stays_under_two_gigabytes(superpoint_weights: Path, tmp_path: Path) -> None:
    code = (
        "import resource, sys; from oakpoint.cli.main import main\n"
        "try: main()\nfinally: print('KIB', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
    )
    arguments = ["convert", "superpoint", "--weights", superpoint_weights, "--size", "320x200", "--out", tmp_path / "b"]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=True, env=os.environ
    )
    assert int(done.stderr.split("KIB")[1]) < 2e6


@pytest.mark.slow
@pytest.mark.compiler
def test_superblob_holds_every_number_of_shaves_and_each_was_executed(converted: Callable[..., Path]) -> None:
    bundle = converted("small-superblob", model=SMALL, seed=0, size=SMALL_SIZE, superblob=True)
    opened = open_bundle(bundle)
    assert opened.manifest.verdicts["blob → superblob"] is Verdict.PASS
    superblob = depthai.OpenVINO.SuperBlob(str(opened.path("superblob")))
    for shaves in (1, 6, 8, 16):
        assert superblob.getBlobWithNumShaves(shaves).numShaves == shaves
    assert bytes(superblob.getBlobWithNumShaves(6).data) == opened.path("blob").read_bytes()


def test_a_bundle_runs_on_every_host_backend(small_bundle: Path, photographs: dict[str, Any]) -> None:
    found = []
    for backend in ("openvino", "onnxruntime", "torch"):
        with oakpoint.load(small_bundle, backend=backend) as extractor:
            found.append(extractor(photographs["camera"]))
    counts = [len(features) for features in found]
    assert min(counts) > 20
    assert max(counts) - min(counts) <= 0.02 * max(counts)
    for features in found:
        assert features.image_size == (512, 512)
        assert np.allclose(np.linalg.norm(features.descriptors, axis=1), 1, atol=1e-5)
    first, second = ({tuple(p) for p in features.keypoints.tolist()} for features in found[1:])
    assert first == second, "ONNX Runtime and torch run the same float32 weights"
