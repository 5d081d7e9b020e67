"""What MODEL is: told in one place, by a description that can be sent to another process and opens itself there."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest

from oakpoint.backends.registry import RuntimeOptions
from oakpoint.errors import OakpointError, UsageError
from oakpoint.models.base import Model, ModelOptions
from oakpoint.models.blob_file import BlobModel
from oakpoint.models.bundle_folder import BundleModel
from oakpoint.models.inputs import ImageOptions, InputOptions
from oakpoint.models.naming import model_of
from oakpoint.models.network import NetworkModel
from oakpoint.models.onnx_file import OnnxModel
from oakpoint.tasks.keypoints.task import Keypoints
from oakpoint.tasks.tensors.task import RawTensors

SMALL = "small_network:SmallNetwork"
TINY_BLOB = Path(__file__).parents[2] / "data" / "myriad" / "tiny.blob"
IMAGE = np.random.default_rng(0).integers(0, 256, (120, 160)).astype(np.uint8)


def test_no_file_is_opened_to_tell_what_it_is(tmp_path: Path) -> None:
    for name, kind in (
        ("acorn", NetworkModel),
        ("superpoint", NetworkModel),
        ("my.package:Class", NetworkModel),
        ("nobody", NetworkModel),  # which says the known names when it is loaded
        (tmp_path / "missing.onnx", OnnxModel),
        ("missing.onnx", OnnxModel),
        (tmp_path / "missing.blob", BlobModel),
    ):
        assert type(model_of(name)) is kind, name


def test_a_folder_with_a_manifest_is_a_bundle_whatever_it_holds(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("broken")
    assert model_of(tmp_path) == model_of(str(tmp_path)) == BundleModel(tmp_path, ModelOptions())


def test_a_folder_called_as_a_network_is_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "acorn").mkdir()
    assert isinstance(model_of("acorn"), NetworkModel)


@pytest.mark.parametrize("what", ["file", "folder", "in a bundle", "around a bundle"])
def test_something_else_says_what_lies_near(tmp_path: Path, what: str) -> None:
    bundle, near = tmp_path / "bundle", ""
    path = tmp_path / "notes.txt"
    if what == "folder":
        path = tmp_path / "empty"
        path.mkdir()
    if what in ("in a bundle", "around a bundle"):
        bundle.mkdir()
        (bundle / "manifest.json").touch()
        path = bundle / "notes.txt" if what == "in a bundle" else tmp_path
        near = str(bundle)
    if path.suffix:
        path.touch()
    with pytest.raises(
        UsageError, match=r"neither a bundle \(no manifest.json\) nor a .onnx or .blob file nor"
    ) as caught:
        model_of(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert near in str(caught.value)


@pytest.fixture(params=["network", "weights", "onnx", "bundle"])
def described(request: pytest.FixtureRequest) -> Model:
    """A description of each kind that this machine runs quickly."""
    fixture: Callable[[str], Path] = request.getfixturevalue
    if request.param == "network":
        return model_of(SMALL, ModelOptions(seed=0))
    if request.param == "weights":
        return model_of(SMALL, ModelOptions(weights=fixture("small_weights")))
    return model_of(fixture("small_onnx" if request.param == "onnx" else "small_bundle"))


def found_by(model: Model, backend: str) -> dict[str, np.ndarray]:
    runnable = model.runnable(RuntimeOptions(backend=backend))
    assert isinstance(runnable.task, Keypoints)
    runnable.prepare((160, 120))
    interface = runnable.interface.at((160, 120))
    with runnable.open_at((160, 120)) as opened:
        return opened.run(interface.feed(IMAGE))


def test_a_description_is_sent_to_another_process_and_opens_itself_there(described: Model) -> None:
    sent = pickle.loads(pickle.dumps(described))
    assert sent == described
    assert sent is not described
    expected, got = (found_by(model, "onnxruntime") for model in (described, sent))
    assert set(expected) == set(got) == {"semi", "desc"}
    assert all(np.array_equal(expected[name], got[name]) for name in expected)


def test_it_is_opened_as_often_as_wanted_and_does_not_change(described: Model) -> None:
    before = pickle.dumps(described)
    for _ in range(2):
        found_by(described, "onnxruntime")
    assert pickle.dumps(described) == before
    with pytest.raises((FrozenInstanceError, AttributeError)):
        described.options = ModelOptions()  # type: ignore[attr-defined]


def test_every_kind_finds_the_same_in_the_same_weights(
    small_onnx: Path, small_bundle: Path, small_weights: Path
) -> None:
    models = [model_of(small_onnx), model_of(small_bundle), model_of(SMALL, ModelOptions(weights=small_weights))]
    first, *others = (found_by(model, "onnxruntime") for model in models)
    for other in others:
        for name, array in first.items():
            np.testing.assert_allclose(other[name], array, atol=1e-5)


def test_it_starts_a_conversion(described: Model) -> None:
    origin = described.origin((96, 64))
    assert (origin.network is None) != (origin.model is None)
    assert origin.interface.image.size == (96, 64)
    assert isinstance(origin.task, Keypoints)
    assert [spec.name for spec in origin.interface.tensors] == ["input"]
    assert [spec.name for spec in origin.interface.outputs] == ["semi", "desc"]


def test_a_network_or_an_onnx_of_any_size_wants_one_and_a_bundle_has_one(described: Model) -> None:
    if isinstance(described, NetworkModel):
        with pytest.raises(UsageError, match=r"size: needed for a network .*, as --size 320x200"):
            described.origin(None)
    else:
        assert described.origin(None).interface.image.size == (160, 120)


def test_identities_tell_models_apart_by_content(small_onnx: Path, small_bundle: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(small_onnx.read_bytes())
    runtime = RuntimeOptions(backend="onnxruntime")
    own, same, other = (model_of(path).runnable(runtime).identify() for path in (small_onnx, copy, small_bundle))
    assert own == same
    assert own.model != other.model or small_onnx.read_bytes() == (small_bundle / "model.onnx").read_bytes()


@pytest.mark.parametrize("given", [{"weights": Path("w.pth")}, {"seed": 0}])
@pytest.mark.parametrize("kind", ["small_onnx", "small_bundle"])
def test_weights_for_what_holds_its_own(request: pytest.FixtureRequest, kind: str, given: dict[str, object]) -> None:
    path = request.getfixturevalue(kind)
    with pytest.raises(UsageError, match=f"^{path}: holds its own weights; leave out --weights and --random"):
        model_of(path, ModelOptions(**given)).origin((96, 64))  # type: ignore[arg-type]


def test_a_blob_is_where_a_conversion_ends() -> None:
    with pytest.raises(UsageError, match=r"tiny\.blob: is compiled already; convert the ONNX that it was made from"):
        model_of(TINY_BLOB).origin(None)


@pytest.mark.parametrize("name", ["nobody", "no.such.module:Class", "missing.onnx", "missing.blob"])
def test_what_is_not_there_is_one_line_when_it_is_opened(name: str) -> None:
    for backend in ("torch", "onnxruntime", "myriad_simulator"):
        with pytest.raises(OakpointError) as caught:
            model_of(name).runnable(RuntimeOptions(backend=backend))
        assert "\n" not in str(caught.value)
        assert name.split(":")[0] in str(caught.value)


def test_what_a_class_of_the_users_computes_may_change_with_its_code(small_onnx: Path, small_bundle: Path) -> None:
    assert model_of(SMALL).changes_with_its_code
    for name in ("acorn", "superpoint", small_onnx, small_bundle, TINY_BLOB):
        assert not model_of(name).changes_with_its_code


@pytest.mark.parametrize(
    "said",
    [{"task": "keypoints"}, {"outputs": {"semi": "semi"}}, {"inputs": InputOptions(image=ImageOptions(mean=1.0))}],
)
def test_a_bundle_tells_of_itself(small_bundle: Path, said: dict[str, object]) -> None:
    model = model_of(small_bundle, ModelOptions(**said))  # type: ignore[arg-type]
    message = f"^{small_bundle}: a bundle's manifest tells of its inputs, outputs and task"
    with pytest.raises(UsageError, match=message):
        model.runnable(RuntimeOptions(backend="onnxruntime"))
    with pytest.raises(UsageError, match=message):
        model.origin(None)


def test_a_blob_by_itself_is_told_by_its_tensors(small_blob_bundle: Path) -> None:
    blob = small_blob_bundle / "model.blob"
    keypoints = found_by(model_of(blob), "myriad_simulator")
    assert set(keypoints) == {"semi", "desc"}
    tensors = model_of(blob, ModelOptions(task="tensors")).runnable(RuntimeOptions(backend="myriad_simulator"))
    assert isinstance(tensors.task, RawTensors)
    colour = model_of(blob, ModelOptions(inputs=InputOptions(image=ImageOptions(colour="rgb"))))
    with pytest.raises(UsageError, match=r"--color rgb: the input .* has 1 channel"):
        colour.runnable(RuntimeOptions(backend="myriad_simulator"))
    other = {"keypoints": "semi", "numbers": "desc"}
    renamed = model_of(blob, ModelOptions(task="tensors", outputs=other))
    runnable = renamed.runnable(RuntimeOptions(backend="myriad_simulator"))
    with runnable.open_at((160, 120)) as opened:
        found = opened.run(runnable.interface.feed(IMAGE))
    assert {name: array.tobytes() for name, array in found.items()} == {
        new: keypoints[own].tobytes() for new, own in other.items()
    }
