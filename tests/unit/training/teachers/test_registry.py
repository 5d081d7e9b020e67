"""Teachers by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from oakpoint.errors import ImageError, UsageError, WeightsError
from oakpoint.features.heatmap import heatmap_from_logits
from oakpoint.networks import licences, recognition
from oakpoint.networks.edgepoint2 import EdgePoint2
from oakpoint.networks.licences import arrays_of
from oakpoint.networks.registry import load_network
from oakpoint.networks.weights import read_state
from oakpoint.training.teachers.probe import probe_teacher
from oakpoint.training.teachers.registry import (
    NetworkTeacher,
    open_teacher,
    restriction_of_teacher,
    teacher_outputs_from_dense,
    weights_of,
)

SMALL = "small_network:SmallNetwork"


@pytest.fixture
def edgepoint2_weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    torch.save(EdgePoint2((4, 8, 8, 16), 12, 4).state_dict(), tmp_path / "tiny.pth")
    return tmp_path / "tiny.pth"


def test_the_name_tells_network_and_weights(edgepoint2_weights: Path) -> None:
    teacher = open_teacher("edgepoint2", edgepoint2_weights)
    record = weights_of(teacher)
    assert record.sha256 is not None
    assert teacher.name == f"edgepoint2 tiny.pth {record.sha256[:12]}"
    assert (record.file, record.licence) == ("tiny.pth", "unknown")


def test_scores_are_probabilities_at_any_size(edgepoint2_weights: Path) -> None:
    teacher = open_teacher("edgepoint2", edgepoint2_weights)
    image = torch.rand(2, 1, 70, 100, generator=torch.Generator().manual_seed(1))
    outputs = teacher(image)
    assert outputs.scores.shape == (2, 1, 70, 100)
    assert outputs.descriptors.shape == (2, 12, 16, 24)
    assert 0 <= float(outputs.scores.min()) <= float(outputs.scores.max()) <= 1
    small = torch.nn.functional.interpolate(image, (64, 96), mode="bilinear", align_corners=False)
    back = torch.nn.functional.interpolate(teacher(small).scores, (70, 100), mode="bilinear", align_corners=False)
    torch.testing.assert_close(outputs.scores, back)
    with pytest.raises(ImageError, match="at least 32×32 px, got 100×31"):
        teacher(image[:, :, :31])


def test_scores_are_the_sigmoid_of_the_networks(edgepoint2_weights: Path) -> None:
    image = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(1))
    module = load_network("edgepoint2", edgepoint2_weights).module
    with torch.inference_mode():
        logits, _ = module(image)
    torch.testing.assert_close(open_teacher("edgepoint2", edgepoint2_weights)(image).scores, torch.sigmoid(logits))


def test_cells_are_laid_out_as_decoding_does() -> None:
    semi = torch.randn(2, 65, 3, 5, generator=torch.Generator().manual_seed(0))
    outputs = teacher_outputs_from_dense((semi, torch.zeros(2, 4, 3, 5)))
    for scores, logits in zip(outputs.scores[:, 0].numpy(), semi.numpy(), strict=True):
        np.testing.assert_allclose(scores, heatmap_from_logits(logits), rtol=1e-5)


def test_networks_of_ours_and_of_the_user(small_weights: Path, tmp_path: Path) -> None:
    teacher = open_teacher(SMALL, small_weights)
    image = torch.rand(1, 1, 45, 64, generator=torch.Generator().manual_seed(1))
    assert teacher.multiple == 8
    assert teacher(image).scores.shape == (1, 1, 45, 64)
    module = load_network("acorn", None, seed=0).module
    torch.save(module.state_dict(), tmp_path / "a.pth")
    whole = image[:, :, :40]
    with torch.inference_mode():
        _, desc = module(whole)
    torch.testing.assert_close(open_teacher("acorn", tmp_path / "a.pth")(whole).descriptors, desc)


def test_a_class_that_is_a_teacher_is_taken() -> None:
    teacher = open_teacher("small_teacher:Brightness", None)
    assert (teacher.name, teacher.multiple) == ("brightness", 1)
    assert (weights_of(teacher).name, weights_of(teacher).licence) == ("brightness", "unknown")


def test_a_teacher_of_ones_own_is_shown_multiples_and_answers_in_f32() -> None:
    teacher = open_teacher("small_teacher:Picky", None)
    outputs = teacher(torch.rand(1, 1, 48, 80))
    assert (outputs.scores.shape, outputs.descriptors.shape) == ((1, 1, 48, 80), (1, 2, 32, 64))
    assert outputs.scores.dtype == outputs.descriptors.dtype == torch.float32
    assert probe_teacher(teacher) == 2


def test_a_teacher_that_is_a_torch_module_takes_weights(tmp_path: Path) -> None:
    torch.save({"gain": torch.full((1, 1), 0.5)}, tmp_path / "gain.pth")
    teacher = open_teacher("small_teacher:LearntBrightness", tmp_path / "gain.pth")
    assert not isinstance(teacher, NetworkTeacher)
    assert float(teacher(torch.ones(1, 1, 8, 8)).scores.mean()) == 0.5
    torch.save({"other": torch.ones(1)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="tensor 'gain' is missing"):
        open_teacher("small_teacher:LearntBrightness", tmp_path / "other.pth")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nosuch", "teacher 'nosuch': expected one of acorn, superpoint, edgepoint2, alike, or package.module:Class"),
        ("small_network:Nope", "cannot be built"),
        ("a:", "expected one of"),
        ("small_network:NOT_A_NETWORK", "expected a torch.nn.Module, got dict"),
        ("small_teacher:Brightness", "expected no weights, which only a torch module takes"),
    ],
)
def test_names_that_cannot_teach(name: str, message: str, small_weights: Path) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        open_teacher(name, small_weights)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["edgepoint2", "alike", "superpoint", SMALL])
def test_weights_are_needed(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="weights are needed"):
        open_teacher(name, None)
    with pytest.raises(WeightsError, match="no such weights file"):
        open_teacher(name, tmp_path / "nosuch.pth")


def test_a_network_without_the_right_outputs(tmp_path: Path) -> None:
    from small_teacher import OneOutput

    torch.save(OneOutput().state_dict(), tmp_path / "one.pth")
    with pytest.raises(UsageError, match=r"expected semi \(1, 65, 8, 8\) and desc \(1, D, 8, 8\), got \(65, 8, 8\)"):
        open_teacher("small_teacher:OneOutput", tmp_path / "one.pth")


def bound_by_values(monkeypatch: pytest.MonkeyPatch, arrays: list[recognition.Array]) -> None:
    """Make these the only known weights, with a licence that binds what learns from them."""
    entry = recognition.KnownWeights("Bound", "bound", "nowhere", restriction="its licence binds what learns")
    sketches = {"Bound": recognition.sketches_of(arrays)}
    monkeypatch.setattr(recognition, "KNOWN_WEIGHTS", (entry,))
    monkeypatch.setattr(licences, "KNOWN_WEIGHTS", (entry,))
    monkeypatch.setattr(recognition, "_sketches", lambda: sketches)


@pytest.mark.parametrize("name", ["small_teacher:WithNetwork", "small_teacher:AroundNetwork"])
def test_weights_within_a_class_of_the_users_bind_as_well(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from small_teacher import drawn_network

    bound_by_values(monkeypatch, arrays_of(drawn_network().state_dict()))
    with pytest.raises(UsageError, match=f"teacher {name}: not taken as a teacher: its licence binds .*--accept-lic"):
        open_teacher(name, None)
    teacher = open_teacher(name, None, accept_licence=True)
    assert (weights_of(teacher).name, weights_of(teacher).licence) == ("Bound", "bound")
    assert restriction_of_teacher(teacher) == "its licence binds what learns"


def test_a_family_member_under_a_prefix(edgepoint2_weights: Path, tmp_path: Path) -> None:
    state = {f"module.{name}": tensor for name, tensor in torch.load(edgepoint2_weights, weights_only=True).items()}
    torch.save(state, tmp_path / "parallel.pth")
    image = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(1))
    expected, found = (open_teacher("edgepoint2", p)(image) for p in (edgepoint2_weights, tmp_path / "parallel.pth"))
    assert torch.equal(expected.scores, found.scores)


def test_weights_whose_licence_extends_to_derivatives(
    small_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound_by_values(monkeypatch, arrays_of(read_state(small_weights)))
    with pytest.raises(UsageError, match=r"small.pth: not taken as a teacher: its licence binds .* --accept-licence"):
        open_teacher(SMALL, small_weights)
    teacher = open_teacher(SMALL, small_weights, accept_licence=True)
    assert weights_of(teacher).licence == "bound"


def test_a_restriction_in_the_header_binds_as_well(tmp_path: Path) -> None:
    from small_network import SmallNetwork

    bound = {"restriction": "its licence binds what learns", "licence": "bound"}
    save_file(SmallNetwork().state_dict(), tmp_path / "child.safetensors", metadata=bound)
    with pytest.raises(UsageError, match=r"not taken as a teacher: its licence binds"):
        open_teacher(SMALL, tmp_path / "child.safetensors")
    teacher = open_teacher(SMALL, tmp_path / "child.safetensors", accept_licence=True)
    assert weights_of(teacher).licence == "bound"


@pytest.mark.shared
def test_superpoints_official_weights_are_refused(superpoint_weights: Path) -> None:
    with pytest.raises(UsageError, match="not taken as a teacher: SuperPoint v1's licence"):
        open_teacher("superpoint", superpoint_weights)
    teacher = open_teacher("superpoint", superpoint_weights, accept_licence=True)
    assert "non-commercial" in weights_of(teacher).licence


@pytest.mark.shared
@pytest.mark.parametrize(
    ("family", "file", "licence"),
    [("edgepoint2", "edgepoint2_S48.pth", "MIT"), ("alike", "alike-n.pth", "BSD-3-Clause")],
)
def test_free_teachers_are_recognised(shared: Path, family: str, file: str, licence: str) -> None:
    assert weights_of(open_teacher(family, shared / "weights" / file)).licence == licence
