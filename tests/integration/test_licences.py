"""Known weights keep their name and licence along the chain, whatever they come as."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch

from oakpoint.bundle.manifest import MANIFEST_FILE
from oakpoint.bundle.records import WeightsRecord
from oakpoint.networks import licences, recognition
from oakpoint.networks.licences import arrays_of
from oakpoint.networks.weights import read_state
from oakpoint.tasks.keypoints.task import INPUT, OUTPUTS

Command = Callable[..., Any]
SMALL = "small_network:SmallNetwork"


@pytest.fixture
def bound(small_network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The small network's weights are known, and their licence binds."""
    entry = recognition.KnownWeights("Bound", "non-commercial", "nowhere", restriction="its licence binds what learns")
    sketches = {"Bound": recognition.sketches_of(arrays_of(small_network.module.state_dict()))}
    monkeypatch.setattr(recognition, "KNOWN_WEIGHTS", (entry,))
    monkeypatch.setattr(licences, "KNOWN_WEIGHTS", (entry,))
    monkeypatch.setattr(recognition, "_sketches", lambda: sketches)


def weights_in(bundle: Path) -> dict[str, object]:
    record: dict[str, object] = json.loads((bundle / MANIFEST_FILE).read_text())["weights"]
    return record


def said(ran: Any) -> list[str]:
    return [line for line in ran.err.splitlines() if line.startswith("note: ") and "non-commercial" in line]


@pytest.mark.usefixtures("bound")
@pytest.mark.parametrize("to", ["onnx", "ir"])
def test_a_foreign_onnx_of_known_weights(
    command: Command, small_onnx: Path, image_folder: Path, tmp_path: Path, to: str
) -> None:
    model = onnx.load(small_onnx)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "foreign.onnx")
    arguments = ("--size", "96x64", "--to", to, "--images", image_folder, "--out", tmp_path / "b")
    ran = command("convert", tmp_path / "foreign.onnx", *arguments)
    assert (weights_in(tmp_path / "b")["name"], weights_in(tmp_path / "b")["licence"]) == ("Bound", "non-commercial")
    assert said(ran) == ["note: Bound: licence non-commercial; this holds for everything converted from it"]
    if to == "onnx":  # nothing is there to compare it with
        assert ran.code == 2
        assert ran.errors[0].startswith("error: nothing was compared: ")
        assert "--to ir" in ran.errors[0]
        ran = command("verify", tmp_path / "b", "--images", image_folder)
        assert (ran.code, ran.out) == (2, "")
        assert "nothing was compared" in ran.err
    else:
        assert ran.code == 0


@pytest.mark.usefixtures("bound")
def test_an_earlier_bundle_that_did_not_know(
    command: Command, small_bundle: Path, copied: Callable[[Path], Path], image_folder: Path, tmp_path: Path
) -> None:
    bundle = copied(small_bundle)
    manifest = json.loads((bundle / MANIFEST_FILE).read_text())
    manifest["weights"] |= {"name": "unknown", "licence": "unknown", "origin": "unknown", "trained": True, "seed": None}
    (bundle / MANIFEST_FILE).write_text(json.dumps(manifest))
    ran = command("convert", bundle, "--to", "ir", "--images", image_folder, "--out", tmp_path / "b")
    assert ran.code == 0
    assert said(ran)
    assert weights_in(tmp_path / "b") == manifest["weights"] | {
        "name": "Bound", "licence": "non-commercial", "origin": "nowhere",
    }  # fmt: skip


@pytest.mark.parametrize("trained", [True, False])
def test_an_onnx_taken_out_of_its_bundle_says_whose_weights_it_has(
    command: Command, small_network: Any, image_folder: Path, tmp_path: Path, trained: bool
) -> None:
    """What learnt from weights with a licence that binds has no known values: the record goes with the file."""
    from safetensors.torch import save_file

    facts = {"restriction": "its licence binds what learns from it", "licence": "non-commercial"}
    save_file(small_network.module.state_dict(), tmp_path / "child.safetensors", metadata=facts)
    source = ("--weights", tmp_path / "child.safetensors") if trained else ("--random",)
    common = ("--size", "96x64", "--images", image_folder)
    assert command("convert", SMALL, *source, *common, "--to", "onnx", "--out", tmp_path / "first").code == 0
    (tmp_path / "first" / "model.onnx").rename(tmp_path / "mine.onnx")
    ran = command("convert", tmp_path / "mine.onnx", *common, "--to", "ir", "--out", tmp_path / "second")
    assert ran.code == 0
    record = weights_in(tmp_path / "second")
    assert (record["file"], record["seed"]) == ("mine.onnx", None)
    assert (record["licence"], record["trained"]) == (("non-commercial", True) if trained else ("none", False))
    assert said(ran) if trained else "RANDOM WEIGHTS" in ran.err
    again = command("convert", tmp_path / "second", *common, "--to", "ir", "--out", tmp_path / "third")
    assert again.code == 0
    assert weights_in(tmp_path / "third") == record


@pytest.mark.usefixtures("bound")
@pytest.mark.parametrize(
    ("role", "form"),
    [
        ("teacher", "bf16"),
        ("init", "prefix"),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (("teacher", "prefix"), ("teacher", "within"), ("init", "bf16"), ("init", "within"))
        ),
    ],
)
def test_learning_from_them_needs_their_licence_accepted_in_every_form(
    command: Command, small_weights: Path, image_folder: Path, tmp_path: Path, form: str, role: str
) -> None:
    state = read_state(small_weights)
    if form == "bf16":
        state = {name: tensor.bfloat16() for name, tensor in state.items()}
    elif form == "prefix":
        state = {f"module.{name}": tensor for name, tensor in state.items()}
    else:
        state |= {"more": torch.randn(64, 64)}  # does not fit: the licence is asked about first
    torch.save(state, tmp_path / "w.pth")
    weights = {
        "teacher": ("--teacher", SMALL, "--teacher-weights", tmp_path / "w.pth", "--init", "scratch"),
        "init": ("--init", tmp_path / "w.pth"),
    }[role]
    ran = command("distill", "--images", image_folder, "--student", SMALL, "--out", tmp_path / "run", *weights)
    assert ran.code == 1
    if form == "within" and role == "init":
        assert "does not belong" in ran.err
    else:
        assert "its licence binds what learns" in ran.errors[-1]
        assert "--accept-licence" in ran.errors[-1]
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("bound")
def test_a_student_that_brings_them_with_it(command: Command, image_folder: Path, tmp_path: Path) -> None:
    arguments = ("--images", image_folder, "--student", "small_teacher:BringsWeights", "--init", "scratch")
    ran = command("distill", *arguments, "--out", tmp_path / "run")
    assert ran.code == 1
    assert "small_teacher:BringsWeights: not taken as initial weights: its licence binds what learns" in ran.errors[-1]
    assert not (tmp_path / "run").exists()


@pytest.mark.shared
def test_superpoints_weights_behind_another_exporter(superpoint_weights: Path, tmp_path: Path) -> None:
    from oakpoint.convert.onnx_from_torch import write_onnx
    from oakpoint.models.naming import model_of
    from oakpoint.networks.registry import load_network

    module = load_network("superpoint", superpoint_weights).module
    write_onnx(module.bfloat16().float(), tmp_path / "m.onnx", size=(64, 64), input_name=INPUT, output_names=OUTPUTS)
    record = model_of(tmp_path / "m.onnx").origin((64, 64)).weights
    assert isinstance(record, WeightsRecord)
    assert record.name == "SuperPoint v1 (official)"
    assert "non-commercial" in record.licence
