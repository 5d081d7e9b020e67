"""Artefacts that are broken on purpose: each one has to fail its verification, on real photographs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from oakpoint.backends.registry import ModelSource
from oakpoint.bundle.folder import open_bundle
from oakpoint.bundle.interface import image_interface
from oakpoint.bundle.records import DeviceRecord, StageReport, Verdict
from oakpoint.chain.verification import StageVerifier, verify_bundle
from oakpoint.convert.ir_from_onnx import write_ir
from oakpoint.convert.onnx_from_torch import write_onnx
from oakpoint.errors import WeightsError
from oakpoint.features.types import DecodeOptions
from oakpoint.files import sha256_of_file
from oakpoint.myriad.blob import read_blob
from oakpoint.myriad.constants import constants_of
from oakpoint.networks.registry import LoadedNetwork, load_network
from oakpoint.tasks.keypoints.task import INPUT, OUTPUTS, Keypoints, superpoint_preprocess
from oakpoint.verify.tolerances import IR_STAGE, ONNX_STAGE

SIZE = (160, 120)
Change = Callable[[onnx.ModelProto], object]


@pytest.fixture(scope="module")
def verifier(photographs: dict[str, NDArray[np.uint8]]) -> StageVerifier:
    images = {name: photographs[name] for name in ("camera", "coffee")}
    task = Keypoints(decode=DecodeOptions.preset("superpoint"))
    return StageVerifier(images, image_interface(INPUT, superpoint_preprocess(SIZE)), task)


@pytest.fixture(scope="module", params=["small", pytest.param("superpoint", marks=pytest.mark.shared)])
def network(request: pytest.FixtureRequest) -> LoadedNetwork:
    if request.param == "small":
        return request.getfixturevalue("small_network")  # type: ignore[no-any-return]
    return load_network("superpoint", request.getfixturevalue("superpoint_weights"))


@pytest.fixture(scope="module")
def model(network: LoadedNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``model.onnx`` and, beside it, ``model.xml``; both healthy."""
    path = tmp_path_factory.mktemp("healthy") / "model.onnx"
    write_onnx(network.module, path, size=SIZE, input_name=INPUT, output_names=OUTPUTS)
    write_ir(path, path.with_suffix(".xml"), input_shapes=[(1, 1, SIZE[1], SIZE[0])])
    return path


def initializer(proto: onnx.ModelProto, name: str) -> onnx.TensorProto:
    return next(tensor for tensor in proto.graph.initializer if tensor.name == name)


def first_weights(proto: onnx.ModelProto) -> onnx.TensorProto:
    return initializer(proto, proto.graph.node[0].input[1])


def with_values(tensor: onnx.TensorProto, change: Callable[[NDArray[Any]], NDArray[Any]]) -> None:
    values = change(numpy_helper.to_array(tensor).copy())
    tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float32), tensor.name))


def flipped(bit: int) -> Callable[[NDArray[Any]], NDArray[Any]]:
    def flip(values: NDArray[Any]) -> NDArray[Any]:
        values.view(np.uint32).flat[values.size // 3] ^= np.uint32(1 << bit)
        return values

    return flip


def largest_weights(proto: onnx.ModelProto) -> onnx.TensorProto:
    return max(proto.graph.initializer, key=lambda tensor: len(tensor.raw_data))


def swap_outputs(proto: onnx.ModelProto) -> None:
    names = {"semi": "desc", "desc": "semi"}
    for node in proto.graph.node:
        node.output[:] = [names.get(name, name) for name in node.output]
    for value, shape in zip(proto.graph.output, [v.type for v in reversed(list(proto.graph.output))], strict=True):
        value.type.CopyFrom(shape)


BROKEN: dict[str, Change] = {
    "missing 1/255": lambda m: with_values(first_weights(m), lambda w: w * 255),
    "1/255 twice": lambda m: with_values(first_weights(m), lambda w: w / 255),
    "swapped outputs": swap_outputs,
    "a low bit of a weight": lambda m: with_values(largest_weights(m), flipped(0)),
    "a middle bit of a weight": lambda m: with_values(largest_weights(m), flipped(20)),
    "the sign of a weight": lambda m: with_values(largest_weights(m), flipped(31)),
    "NaN weights": lambda m: with_values(first_weights(m), lambda w: w * np.nan),
    "zero weights": lambda m: with_values(largest_weights(m), lambda w: w * 0),
    "transposed kernels": lambda m: with_values(first_weights(m), lambda w: w.transpose(0, 1, 3, 2)),
}


def broken(source: Path, target: Path, change: Change) -> Path:
    proto = onnx.load(source)
    change(proto)
    onnx.save(proto, target)
    return target


def test_healthy_stages_pass(verifier: StageVerifier, network: LoadedNetwork, model: Path) -> None:
    for report in (
        verifier.onnx_of_torch(network, model, OUTPUTS),
        verifier.ir_of_onnx(ModelSource(onnx=model, ir=model.with_suffix(".xml"))),
    ):
        assert report.verdict is Verdict.PASS, report.summary
        assert (report.figures or {})["keypoints compared"] > 50


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_onnx_fails(
    verifier: StageVerifier, network: LoadedNetwork, model: Path, tmp_path: Path, fault: str
) -> None:
    report = verifier.onnx_of_torch(network, broken(model, tmp_path / "m.onnx", BROKEN[fault]), OUTPUTS)
    assert report.verdict is Verdict.FAIL, report.summary
    assert report.summary


@pytest.mark.parametrize("fault", [fault for fault in BROKEN if fault != "a low bit of a weight"])  # rounded away
def test_an_ir_of_a_broken_onnx_fails(verifier: StageVerifier, model: Path, tmp_path: Path, fault: str) -> None:
    wrong = broken(model, tmp_path / "m.onnx", BROKEN[fault])
    write_ir(wrong, tmp_path / "m.xml", input_shapes=[(1, 1, SIZE[1], SIZE[0])])
    report = verifier.ir_of_onnx(ModelSource(onnx=model, ir=tmp_path / "m.xml"))
    assert report.verdict is Verdict.FAIL, report.summary


@pytest.mark.parametrize("bit", [0, 5, 15])
def test_one_flipped_bit_in_the_irs_weights_fails(
    verifier: StageVerifier, model: Path, tmp_path: Path, bit: int
) -> None:
    stored = numpy_helper.to_array(largest_weights(onnx.load(model))).astype(np.float16).tobytes()
    data = bytearray(model.with_suffix(".bin").read_bytes())
    place = data.index(stored) + len(stored) // 4 * 2 + bit // 8
    data[place] ^= 1 << bit % 8
    shutil.copy(model.with_suffix(".xml"), tmp_path / "m.xml")
    (tmp_path / "m.bin").write_bytes(data)
    report = verifier.ir_of_onnx(ModelSource(onnx=model, ir=tmp_path / "m.xml"))
    assert report.verdict is Verdict.FAIL, report.summary
    assert "weights rounded to FP16" in report.summary


def test_a_model_for_the_transposed_size_fails(
    verifier: StageVerifier, network: LoadedNetwork, model: Path, tmp_path: Path
) -> None:
    wrong = broken(model, tmp_path / "m.onnx", with_transposed_image)
    report = verifier.onnx_of_torch(network, wrong, OUTPUTS)
    assert report.verdict is Verdict.FAIL, report.summary


@pytest.mark.compiler
def test_a_blob_for_the_transposed_size_fails(verifier: StageVerifier, small_blob_bundle: Path) -> None:
    source = ModelSource(onnx=small_blob_bundle / "model.onnx", blob=small_blob_bundle / "model.blob")
    assert verifier.blob_of_onnx(source, DeviceRecord()).verdict is Verdict.PASS
    turned = replace(verifier, interface=verifier.interface.at((SIZE[1], SIZE[0])))
    report = turned.blob_of_onnx(source, DeviceRecord())
    assert report.verdict is Verdict.FAIL
    assert "compiled for 160x120, not for 120x160" in report.summary


def with_transposed_image(proto: onnx.ModelProto) -> None:
    """A network that takes the image the other way round, and so puts its outputs out the other way round."""
    first = proto.graph.node[0]
    proto.graph.node.insert(0, onnx.helper.make_node("Transpose", [INPUT], ["turned"], perm=[0, 1, 3, 2]))
    first.input[0] = "turned"
    del proto.graph.value_info[:]
    for output in proto.graph.output:
        dims = output.type.tensor_type.shape.dim
        dims[2].dim_value, dims[3].dim_value = dims[3].dim_value, dims[2].dim_value


@pytest.mark.parametrize("kept", [0, 10, 2000, 30000])
def test_a_truncated_onnx_fails(
    verifier: StageVerifier, network: LoadedNetwork, model: Path, tmp_path: Path, kept: int
) -> None:
    (tmp_path / "m.onnx").write_bytes(model.read_bytes()[:kept])
    report = verifier.onnx_of_torch(network, tmp_path / "m.onnx", OUTPUTS)
    assert report.verdict is Verdict.FAIL
    assert "m.onnx" in report.summary


@pytest.mark.parametrize("name", ["m.xml", "m.bin"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_truncated_ir_fails(verifier: StageVerifier, model: Path, tmp_path: Path, name: str, share: float) -> None:
    for suffix in (".xml", ".bin"):
        shutil.copy(model.with_suffix(suffix), tmp_path / f"m{suffix}")
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(len(data) * share)])
    report = verifier.ir_of_onnx(ModelSource(onnx=model, ir=tmp_path / "m.xml"))
    assert report.verdict is Verdict.FAIL
    assert "\n" not in report.summary


# The command, on bundles whose manifests were made to fit the broken files: the hashes are no help then.


def fitted(bundle: Path) -> Path:
    path = bundle / "manifest.json"
    manifest = json.loads(path.read_text())
    for files in (*(artifact["files"] for artifact in manifest["artifacts"]), manifest["files"]):
        for name in files:
            files[name] = sha256_of_file(bundle / name)
    path.write_text(json.dumps(manifest))
    return bundle


def verdicts(reports: tuple[StageReport, ...]) -> dict[str, Verdict]:
    return {report.stage: report.verdict for report in reports}


def test_a_bundle_is_judged_stage_by_stage(
    small_bundle: Path, copied: Callable[[Path], Path], verifier: StageVerifier
) -> None:
    bundle = copied(small_bundle)
    assert verdicts(verify_bundle(open_bundle(bundle), verifier.images, None)) == {
        ONNX_STAGE: Verdict.PASS,  # from its seed
        IR_STAGE: Verdict.PASS,
    }
    onnx_file = bundle / "model.onnx"
    broken(onnx_file, onnx_file, BROKEN["the sign of a weight"])
    assert verdicts(verify_bundle(open_bundle(fitted(bundle)), verifier.images, None)) == {
        ONNX_STAGE: Verdict.FAIL,
        IR_STAGE: Verdict.FAIL,
    }


def test_the_torch_stage_wants_the_weights_of_the_bundle(
    converted: Callable[..., Path], small_weights: Path, verifier: StageVerifier, tmp_path: Path
) -> None:
    import torch

    bundle = converted("small-weights", model="small_network:SmallNetwork", weights=small_weights, size=SIZE, to="ir")
    opened = open_bundle(bundle)
    without = verify_bundle(opened, verifier.images, None)[0]
    assert without.verdict is Verdict.NOTHING_COMPARED
    assert f"--weights ({small_weights.name}, sha256 {sha256_of_file(small_weights)})" in without.summary
    assert verdicts(verify_bundle(opened, verifier.images, small_weights))[ONNX_STAGE] is Verdict.PASS
    other = {name: tensor * 1.5 for name, tensor in torch.load(small_weights, weights_only=True).items()}
    torch.save(other, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="expected the bundle's weights"):
        verify_bundle(opened, verifier.images, tmp_path / "other.pth")


@pytest.mark.parametrize(("fault", "code"), [(None, 0), ("the sign of a weight", 1), ("a low bit of a weight", 1)])
def test_the_commands_exit_code(
    command: Callable[..., Any],
    small_bundle: Path,
    copied: Callable[[Path], Path],
    image_folder: Path,
    fault: str | None,
    code: int,
) -> None:
    bundle = copied(small_bundle)
    if fault is not None:
        broken(bundle / "model.onnx", bundle / "model.onnx", BROKEN[fault])
        fitted(bundle)
    ran = command("verify", bundle, "--images", image_folder)
    assert ran.code == code, ran.out
    assert ("FAIL" in ran.out) == (code == 1)
    facts = json.loads(command("verify", bundle, "--images", image_folder, "--json").out, parse_constant=pytest.fail)
    assert {stage["verdict"] for stage in facts["stages"]} <= {"pass", "fail"}


def test_comparing_nothing_is_exit_code_2(command: Callable[..., Any], small_bundle: Path, tmp_path: Path) -> None:
    ran = command("verify", small_bundle, "--images", tmp_path)
    assert ran.code == 2
    assert "NOTHING COMPARED  no images to compare on" in ran.out
    assert "PASS" not in ran.out


def test_an_altered_file_is_found_before_anything_is_compared(
    command: Callable[..., Any], small_bundle: Path, copied: Callable[[Path], Path]
) -> None:
    bundle = copied(small_bundle)
    broken(bundle / "model.onnx", bundle / "model.onnx", BROKEN["a low bit of a weight"])
    ran = command("verify", bundle)
    assert ran.code == 1
    assert "model.onnx: altered since the conversion" in ran.err


@pytest.mark.parametrize(("name", "verdict"), [("SmallNetwork", Verdict.PASS), ("MixingNetwork", Verdict.FAIL)])
def test_an_ir_for_several_images_is_judged_at_its_own_batch(
    verifier: StageVerifier, tmp_path: Path, name: str, verdict: Verdict
) -> None:
    path = tmp_path / "m.onnx"
    write_onnx(
        load_network(f"small_network:{name}", None, seed=0).module,
        path,
        size=SIZE,
        input_name=INPUT,
        output_names=OUTPUTS,
    )
    write_ir(path, tmp_path / "m.xml", input_shapes=[(3, 1, SIZE[1], SIZE[0])])
    assert verifier.ir_of_onnx(ModelSource(onnx=path, ir=tmp_path / "m.xml")).verdict is verdict


@pytest.mark.compiler
def test_a_low_bit_of_a_blobs_weight_fails_when_its_bundle_is_verified_again(
    verifier: StageVerifier, small_blob_bundle: Path, copied: Callable[[Path], Path]
) -> None:
    bundle = copied(small_blob_bundle)
    healthy = verify_bundle(open_bundle(bundle), verifier.images, None)[-1]
    assert healthy.verdict is Verdict.PASS
    assert (healthy.figures or {})["share of the constants compared"] == 1
    blob = read_blob(bundle / "model.blob")
    places = constants_of(blob).weights[-1].kernel.places
    data = bytearray(blob.data)
    data[blob.header.constant_section + int(places.flat[places.size // 2])] ^= 1
    (bundle / "model.blob").write_bytes(data)
    fitted(bundle)
    report = verify_bundle(open_bundle(bundle), verifier.images, None)[-1]
    assert report.verdict is Verdict.FAIL
    assert "constants as in the device graph" in report.summary
    assert "look for: the blob was not compiled from this ONNX" in report.summary
