"""The ONNX that comes with acorn's weights: made from these, and all that torch would make of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from safetensors.numpy import load_file

from oakpoint.backends.registry import RuntimeOptions
from oakpoint.bundle.interface import TensorSpec
from oakpoint.convert.onnx_from_torch import export_onnx
from oakpoint.export import REFERENCE_SIZE, why_one_size
from oakpoint.extraction.images import named_images
from oakpoint.extraction.one_file import extract_images
from oakpoint.features.hdf5 import read_features
from oakpoint.loading import load_extractor
from oakpoint.models import network as network_module
from oakpoint.models.base import ModelOptions
from oakpoint.models.inputs import ImageOptions, InputOptions
from oakpoint.models.naming import model_of
from oakpoint.networks.registry import NETWORKS, load_network, shipped_onnx, shipped_weights
from oakpoint.tasks.keypoints.task import INPUT

SHIPPED = [name for name in NETWORKS if shipped_onnx(name) is not None]


def files(name: str) -> tuple[Path, Path]:
    """The weights of a network, and their ONNX."""
    weights, model = shipped_weights(name), shipped_onnx(name)
    assert weights is not None
    assert model is not None
    return weights, model


@pytest.fixture
def through_torch(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Takes the file away, so that torch exports the network; ``undo`` gives it back."""
    monkeypatch.setattr(network_module, "shipped_onnx", lambda _: None)
    return monkeypatch


def test_acorn_is_shipped() -> None:
    assert SHIPPED == ["acorn"]


@pytest.mark.parametrize("name", SHIPPED)
def test_its_constants_are_the_weights_to_the_last_bit(name: str) -> None:
    weights, model = files(name)
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(model).graph.initializer}
    expected = {key: value.astype(np.float32) for key, value in load_file(weights).items()}
    assert constants.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_array_equal(constants[key], value, err_msg=key)


@pytest.mark.parametrize("name", SHIPPED)
def test_its_preset_is_the_one_in_the_weights_header(name: str) -> None:
    assert load_network(name, None).decode_preset == NETWORKS[name].decode_preset


@pytest.mark.parametrize("name", SHIPPED)
def test_torch_computes_the_same_at_every_size(name: str) -> None:
    image = model_of(name).runnable(RuntimeOptions()).interface
    network, (_, model) = load_network(name, None), files(name)
    assert why_one_size(network, model, image, NETWORKS[name].outputs, size=REFERENCE_SIZE) is None


@pytest.mark.parametrize("name", SHIPPED)
def test_the_same_torch_writes_the_same_file(name: str, tmp_path: Path) -> None:
    _, model = files(name)
    if (by := onnx.load(model).producer_version) != torch.__version__:
        pytest.skip(f"written by torch {by}, this is {torch.__version__}")
    width, height = REFERENCE_SIZE
    image = TensorSpec(INPUT, "float32", (1, NETWORKS[name].channels, height, width))
    export_onnx(load_network(name, None).module, tmp_path / "m.onnx", inputs=(image,), outputs=NETWORKS[name].outputs)
    assert (tmp_path / "m.onnx").read_bytes() == model.read_bytes(), "run scripts/export_shipped.py"


SAID = {
    "nothing": ModelOptions(),
    "the task": ModelOptions(task="keypoints"),
    "the image": ModelOptions(inputs=InputOptions(image=ImageOptions(colour="grey", mean=127.5, resize="letterbox"))),
}


@pytest.mark.parametrize("said", SAID.values(), ids=SAID)
def test_it_is_the_model_that_torch_gives(said: ModelOptions, through_torch: pytest.MonkeyPatch) -> None:
    expected = model_of("acorn", said).runnable(RuntimeOptions())
    expected.prepare((64, 64))
    assert expected.source().onnx != shipped_onnx("acorn")
    through_torch.undo()
    found = model_of("acorn", said).runnable(RuntimeOptions())
    assert found.source().onnx == shipped_onnx("acorn")
    assert (found.interface, found.task, found.identify()) == (expected.interface, expected.task, expected.identify())


@pytest.mark.parametrize(
    "said",
    [
        ModelOptions(seed=0),
        ModelOptions(task="tensors"),
        ModelOptions(outputs={"semi": "output_0", "desc": "output_1"}),
        ModelOptions(inputs=InputOptions(shapes={"image": (1, 1, 64, 64)})),
    ],
)
def test_what_makes_another_network_goes_through_torch(said: ModelOptions) -> None:
    runnable = model_of("acorn", said).runnable(RuntimeOptions())
    runnable.prepare((64, 64))
    assert runnable.source().onnx != shipped_onnx("acorn")


def test_weights_of_ones_own_go_through_torch() -> None:
    weights, _ = files("acorn")
    runnable = model_of("acorn", ModelOptions(weights=weights)).runnable(RuntimeOptions())
    runnable.prepare((64, 64))
    assert runnable.source().onnx != shipped_onnx("acorn")


def test_the_backend_torch_is_torch() -> None:
    assert model_of("acorn").runnable(RuntimeOptions(backend="torch")).source().module is not None


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_a_features_file_goes_on_and_features_are_the_same(
    backend: str, image_folder: Path, through_torch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    begun, anew = tmp_path / "begun.h5", tmp_path / "anew.h5"
    first = image_folder / "camera.png"
    assert _extracted(first, begun, backend) == {"camera.png": "extracted"}
    through_torch.undo()
    assert _extracted(image_folder, begun, backend) == {"camera.png": "there", "coffee.png": "extracted"}
    assert _extracted(image_folder, anew, backend) == {"camera.png": "extracted", "coffee.png": "extracted"}
    expected, found = (read_features(path, "camera.png") for path in (begun, anew))
    for part in ("keypoints", "scores", "descriptors"):
        np.testing.assert_array_equal(getattr(found, part), getattr(expected, part))


def _extracted(source: Path, path: Path, backend: str) -> dict[str, str]:
    with load_extractor("acorn", backend=backend, size=(160, 120), threads=1) as extractor:
        results = list(extract_images(named_images(source)[1], extractor, path))
    return {result.name: result.outcome for result in results}
