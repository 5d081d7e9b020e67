"""An export is compared with its network at other sizes, and made again for each where it does not hold."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import oakpoint
from oakpoint import export
from oakpoint.backends.registry import ModelSource
from oakpoint.bundle.interface import image_interface
from oakpoint.convert.onnx_from_torch import write_onnx
from oakpoint.errors import BackendError
from oakpoint.export import REFERENCE_SIZE, why_one_size
from oakpoint.networks.registry import load_network
from oakpoint.tasks.keypoints.task import INPUT, OUTPUTS, superpoint_preprocess


@pytest.fixture(scope="session")
def exported(made_once: Callable[..., Path]) -> Callable[[str], tuple[Any, Path]]:
    """A network of ``sized_network`` and its export at 64×64."""

    def get(name: str) -> tuple[Any, Path]:
        network = load_network(f"sized_network:{name}", None, seed=0)

        def write(path: Path) -> None:
            write_onnx(network.module, path, size=REFERENCE_SIZE, input_name=INPUT, output_names=OUTPUTS)

        return network, made_once(f"sized-{name}.onnx", write)

    return get


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("SmallNetwork", None),
        ("Demanding", None),
        ("NotANumber", None),
        ("Factor", "exported at 64x64, its outputs at 104x72 differ from the network's by 0."),
        ("Ramp", "exported at 64x64, it cannot be run at 104x72, where the network can"),
        ("Resized", "exported at 64x64, its outputs at 104x72 have other shapes than the network's"),
        ("OneSize", "it could be compared with the network at no other size (torch 2"),
    ],
)
def test_whether_an_export_holds_at_other_sizes(
    exported: Callable[[str], tuple[Any, Path]], name: str, reason: str | None
) -> None:
    network, path = exported(name)
    interface = image_interface(INPUT, superpoint_preprocess(REFERENCE_SIZE))
    found = why_one_size(network, path, interface, OUTPUTS, size=REFERENCE_SIZE)
    assert found is None if reason is None else found is not None and found.startswith(reason)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    import torch

    torch.save(load_network("small_network:SmallNetwork", None, seed=0).module.state_dict(), tmp_path / "w.pth")
    return tmp_path / "w.pth"


@pytest.mark.parametrize("name", ["Factor", pytest.param("Ramp", marks=pytest.mark.slow)])
def test_images_of_any_size_give_what_the_network_gives(
    name: str, weights: Path, caplog: pytest.LogCaptureFixture, rng: np.random.Generator
) -> None:
    caplog.set_level(logging.WARNING, "oakpoint")
    with (
        oakpoint.load(f"sized_network:{name}", weights=weights, backend="torch") as torch_extractor,
        oakpoint.load(f"sized_network:{name}", weights=weights, backend="onnxruntime") as extractor,
    ):
        assert [record.message.split(":")[1] for record in caplog.records] == [name]
        assert "exported again for each one" in caplog.text
        for height, width in ((64, 96), (96, 64), (64, 96)):
            image = rng.integers(0, 256, (height, width)).astype(np.uint8)
            expected, found = (one.dense(image)[0] for one in (torch_extractor, extractor))
            np.testing.assert_allclose(found.descriptors, expected.descriptors, atol=1e-5)


def test_one_size_for_all_images_needs_no_comparison(
    weights: Path, caplog: pytest.LogCaptureFixture, rng: np.random.Generator
) -> None:
    caplog.set_level(logging.WARNING, "oakpoint")
    image = rng.integers(0, 256, (64, 96)).astype(np.uint8)
    found = []
    for backend in ("torch", "openvino"):
        with oakpoint.load("sized_network:Ramp", weights=weights, size=(96, 64), backend=backend) as extractor:
            found.append(extractor.dense(image)[0].descriptors)
    np.testing.assert_allclose(found[1], found[0], atol=1e-5)
    assert not caplog.records


def test_errors_name_the_network_and_no_temporary_file(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(source: ModelSource, *_: Any, **__: Any) -> Any:
        raise BackendError(f"{source.onnx}: cannot be loaded")

    extractor = oakpoint.load("small_network:SmallNetwork", weights=weights, size=(96, 64))
    monkeypatch.setattr(export, "open_backend", fail)
    with pytest.raises(BackendError, match=r"^small_network:SmallNetwork, exported: cannot be loaded$"):
        extractor(np.zeros((64, 96), np.uint8))
