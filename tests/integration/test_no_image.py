"""Networks that take no picture (a vector, two or four planes) go through the chain on noise, and say so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import graphs
import numpy as np
import onnx
import pytest

from oakpoint.bundle.folder import open_bundle
from oakpoint.bundle.records import Verdict

Command = Callable[..., Any]

RNG = np.random.default_rng(0)
BODIES = {
    "vector": ("float[1, 32] x", "a = MatMul (x, w)\n y = Relu (a)", {"w": RNG.normal(size=(32, 5))}),
    "two planes": ("float[1, 2, 16, 24] x", "y = Conv (x, w)", {"w": RNG.normal(size=(4, 2, 3, 3))}),
    "four planes": ("float[1, 4, 16, 24] x", "y = Conv (x, w)", {"w": RNG.normal(size=(4, 4, 3, 3))}),
}


@pytest.fixture(params=BODIES)
def blind(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An ONNX without a picture among its inputs."""
    inputs, body, weights = BODIES[request.param]
    floats = {name: array.astype(np.float32) for name, array in weights.items()}
    onnx.save(graphs.graph(body, inputs=inputs, weights=floats), tmp_path / "blind.onnx")
    return tmp_path / "blind.onnx"


def test_it_is_converted_and_verified_on_noise(
    command: Command, blind: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bundle = tmp_path / "b"
    ran = command("convert", blind, "--to", "ir", "--out", bundle)
    assert ran.code == 0, ran.err
    assert "no image of 1 or 3 channels, so it is verified on noise, and a host has to feed it" in caplog.text
    assert "PASS" in ran.out
    assert "oakpoint run" not in ran.out
    assert open_bundle(bundle).manifest.task.name == "tensors"
    assert command("verify", bundle).code == 0
    again = command("convert", bundle, "--to", "onnx-archive", "--out", tmp_path / "again")
    assert again.code == 0, again.err


@pytest.mark.slow
def test_it_becomes_a_blob(command: Command, blind: Path, tmp_path: Path) -> None:
    ran = command("convert", blind, "--out", tmp_path / "b")
    assert ran.code == 0, ran.err
    assert open_bundle(tmp_path / "b").manifest.verdicts["onnx → blob"] is Verdict.PASS


def test_a_run_says_what_it_feeds_beside_the_image(
    command: Command, tmp_path: Path, image_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    body = "a = GlobalAveragePool (x)\n b = Flatten (a)\n y = Concat <axis = 1> (b, s)"
    onnx.save(graphs.graph(body, inputs="float[1, 3, 16, 24] x, float[1, 5] s"), tmp_path / "two.onnx")
    assert command("run", tmp_path / "two.onnx", image_folder / "camera.png").code == 0
    assert "two.onnx: what its input s takes is no image; it is fed with noise here" in caplog.text


def test_what_is_for_images_is_refused(command: Command, blind: Path, tmp_path: Path, image_folder: Path) -> None:
    out, image = tmp_path / "b", image_folder / "camera.png"
    for words, message in (
        (("convert", blind, "--size", "24x16", "--out", out), "are for images of 1 or 3 channels, and"),
        (("convert", blind, "--color", "rgb", "--out", out), "are for images of 1 or 3 channels, and"),
        (("convert", blind, "--task", "mask", "--out", out), "task: mask is what is found in an image"),
        (("run", blind, image), "expected a network that takes an image of 1 or 3 channels, got one that takes x"),
        (("extract", blind, image, "--out", tmp_path / "f.h5"), "expected a network with keypoints"),
    ):
        ran = command(*words)
        assert ran.code == 1
        (error,) = ran.errors
        assert message in error
    assert not out.exists()


def test_a_torch_network_of_other_channels_says_what_was_tried(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "planes_network.py").write_text(
        "from torch import nn\n\n\nclass Planes(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.conv = nn.Conv2d(4, 5, 3)\n\n    def forward(self, planes):\n        return self.conv(planes)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    given = ("convert", "planes_network:Planes", "--random", "--to", "onnx", "--out", tmp_path / "b")
    ran = command(*given, "--size", "64x48")
    assert ran.code == 1
    (error,) = ran.errors
    assert "it was tried with grey and with colours: give the shape of what it takes" in error
    assert error.endswith("such as --shape planes=1x4x48x64")
    assert command(*given, "--shape", "planes=1x4x48x64").code == 0
