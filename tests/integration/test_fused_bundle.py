"""The decoding graph in a bundle: made, judged, judged again, run, and refused in one line where there is none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

import oakpoint
from oakpoint.bundle.folder import open_bundle
from oakpoint.bundle.records import Verdict
from oakpoint.chain.conversion import convert
from oakpoint.chain.options import ConversionOptions
from oakpoint.chain.verification import verify_bundle
from oakpoint.errors import UsageError
from oakpoint.files import sha256_of_file
from oakpoint.tasks.keypoints.fused import model as fused
from oakpoint.tasks.keypoints.fused.decoding import OUTPUTS
from oakpoint.verify.tolerances import FUSED_STAGE, ONNX_STAGE

Command = Callable[..., Any]
SIZE = 160, 120


@pytest.fixture(scope="module")
def bundle(made_once: Callable[..., Path], listener: Any, image_folder: Path) -> Path:
    options = ConversionOptions(model="acorn", size=SIZE, to="onnx", fused=True, images=image_folder)
    return made_once("acorn-fused", lambda folder: convert(options, folder, listener))


@pytest.fixture
def image(photographs: dict[str, NDArray[np.uint8]]) -> NDArray[np.uint8]:
    return next(iter(photographs.values()))


def test_it_is_an_artefact_with_its_interface_and_its_verdict(bundle: Path) -> None:
    manifest = open_bundle(bundle).manifest
    artifact = manifest.artifact("fused")
    assert artifact.files == {"model.fused.onnx": sha256_of_file(bundle / "model.fused.onnx")}
    assert artifact.parents == tuple(manifest.artifact("onnx").files.values())
    (taken,) = artifact.interface.inputs
    assert (taken.tensor.dtype, taken.tensor.shape) == ("uint8", (1, 1, SIZE[1], SIZE[0]))
    assert taken.preprocess is not None
    assert taken.preprocess.baked
    assert tuple(spec.name for spec in artifact.interface.outputs) == OUTPUTS
    assert manifest.verdicts == {ONNX_STAGE: Verdict.PASS, FUSED_STAGE: Verdict.PASS}


def test_it_runs_without_this_program(bundle: Path, image: NDArray[np.uint8]) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(bundle / "model.fused.onnx"), providers=["CPUExecutionProvider"])
    levels = open_bundle(bundle).manifest.artifact("fused").interface.feed(image)
    keypoints, scores, descriptors = session.run(list(OUTPUTS), levels)
    assert len(keypoints) == len(scores) == len(descriptors) > 0


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_load_runs_the_recorded_graph_and_makes_another_where_it_has_to(
    bundle: Path, image: NDArray[np.uint8], backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with oakpoint.load(bundle, decoding="numpy", backend=backend) as extractor:
        expected, identity = extractor(image), extractor.identity()
    made = []
    own = fused.fused_model
    monkeypatch.setattr(fused, "fused_model", lambda *given: made.append(given) or own(*given))
    with oakpoint.load(bundle, decoding="graph", backend=backend) as extractor:
        got = extractor(image)
        assert not made
        assert extractor.identity() == identity
        np.testing.assert_allclose(got.keypoints, expected.keypoints, atol=1e-3)
        extractor.decode = extractor.decode.with_changes(threshold=0.5)
        assert (extractor(image).scores >= 0.5).all()
        assert len(made) == 1
    with oakpoint.load(bundle, decoding="graph", backend=backend, size=(128, 96)) as extractor:
        extractor(image)
    assert len(made) == 2


def test_an_altered_graph_fails_when_it_is_judged_again(
    bundle: Path, copied: Callable[[Path], Path], photographs: dict[str, NDArray[np.uint8]]
) -> None:
    images = dict(list(photographs.items())[:2])
    first, second = verify_bundle(open_bundle(bundle), images, None)
    assert (first.stage, second.stage, second.verdict) == (ONNX_STAGE, FUSED_STAGE, Verdict.PASS)
    altered = copied(bundle)
    path = altered / "model.fused.onnx"
    model = onnx.load(path)
    threshold = np.float32(open_bundle(bundle).manifest.task.parameters["decode"]["threshold"])
    changed = 0
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size == 1 and values.item() == threshold:
            tensor.CopyFrom(numpy_helper.from_array(np.full_like(values, 2 * threshold), tensor.name))
            changed += 1
    assert changed
    onnx.save(model, path)
    text = (altered / "manifest.json").read_text()
    former = open_bundle(bundle).manifest.artifact("fused").files["model.fused.onnx"]
    (altered / "manifest.json").write_text(text.replace(former, sha256_of_file(path)))
    _, report = verify_bundle(open_bundle(altered), images, None)
    assert report.verdict is Verdict.FAIL
    assert "keypoints that rounding does not explain" in report.summary


def test_run_decodes_in_the_graph_without_a_page(bundle: Path, image_folder: Path, command: Command) -> None:
    found = []
    for decoding in ("numpy", "graph"):
        ran = command("run", bundle, image_folder, "--max-frames", 2, "--decoding", decoding, "--json")
        assert ran.code == 0, ran.err
        facts = json.loads(ran.out)
        assert ("decoding in the graph" in facts["backend"]) == (decoding == "graph")
        found.append(facts["results"])
    assert [len(frame["keypoints"]) for frame in found[0]] == [len(frame["keypoints"]) for frame in found[1]]
    assert len(found[0]) == 2
    ran = command("run", bundle, image_folder, "--decoding", "graph", "--view", "web")
    assert ran.code != 0
    assert len(ran.errors) == 1
    assert ran.errors[0].startswith("error: decoding: graph has its options in it, and no heat map for --view web")


def test_other_networks_are_refused_before_any_work(
    task_onnx: Callable[[str], Path], tmp_path: Path, listener: Any
) -> None:
    options = ConversionOptions(model=str(task_onnx("SmallClassifier")), to="onnx", fused=True)
    with pytest.raises(UsageError, match=r"keypoints.*leave out --fused"):
        convert(options, tmp_path / "b", listener)
    assert not (tmp_path / "b").exists()
