"""``oakpoint check`` on small networks, in words, in JSON and by its exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from graphs import graph

Command = Callable[..., Any]

RNG = np.random.default_rng(5)


@pytest.fixture
def onnx_file(tmp_path: Path) -> Callable[..., Path]:
    def write(body: str, **weights: np.ndarray) -> Path:
        model = graph(body, inputs="float[1, 3, 32, 32] image", outputs="float y", opset=17, weights=weights)
        onnx.save(model, tmp_path / "m.onnx")
        return tmp_path / "m.onnx"

    return write


W1 = RNG.normal(0, 0.2, (8, 3, 3, 3)).astype(np.float32)
W2 = RNG.normal(0, 0.2, (8, 8, 3, 3)).astype(np.float32)
SIMPLE = "a = Conv <pads = [1, 1, 1, 1]> (image, w1)\n y = Relu (a)"


def test_for_a_runtime_of_the_host(command: Command, onnx_file: Callable[..., Path]) -> None:
    ran = command("check", onnx_file(SIMPLE, w1=W1), "--target", "onnx")
    assert ran.code == 0
    assert "2 layers, 2 taken" in ran.out
    assert "Relu_1" not in ran.out
    assert "Relu_1" in command("check", onnx_file(SIMPLE, w1=W1), "--target", "onnx", "--all").out


def test_json(command: Command, onnx_file: Callable[..., Path]) -> None:
    facts = json.loads(command("check", onnx_file(SIMPLE, w1=W1), "--target", "openvino", "--json").out)
    assert facts["counts"] == {"refused": 0, "untried": 0, "caveat": 0, "rewritten": 0, "taken": 2}
    assert [layer["layer"]["name"] for layer in facts["layers"]] == ["Conv_0", "Relu_1"]
    assert facts["exit_code"] == 0


def test_what_cannot_be_tried_ends_with_2(command: Command, tmp_path: Path) -> None:
    for arguments in (["none.onnx"], [tmp_path / "none.onnx", "--target", "gpu"]):
        ran = command("check", *arguments)
        assert ran.code == 2
        assert ran.out == ""
        assert len(ran.errors) == 1
        assert ran.errors[0].startswith("error:")


@pytest.mark.compiler
def test_a_network_that_the_device_takes(command: Command, onnx_file: Callable[..., Path], image_folder: Path) -> None:
    ran = command("check", onnx_file(SIMPLE, w1=W1), "--images", image_folder)
    assert ran.code == 0
    assert "taken after a rewrite" in ran.out
    assert "no overflow of FP16 on 2 images" in ran.out


@pytest.mark.slow
@pytest.mark.compiler
def test_the_compiler_s_own_refusal_is_found(
    command: Command,
    onnx_file: Callable[..., Path],
    image_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A convolution with groups in three dimensions, which the table of operators does not tell from others."""
    from oakpoint.files import default_cache

    (tmp_path / "cache").mkdir()
    for tools in default_cache().glob("myriad-*"):  # the compiler, but no answers of earlier runs
        (tmp_path / "cache" / tools.name).symlink_to(tools)
    monkeypatch.setenv("OAKPOINT_CACHE", str(tmp_path / "cache"))
    body = """
    a = Conv <pads = [1, 1, 1, 1]> (image, w1)
    b = Reshape (a, to5)
    c = Conv <pads = [1, 1, 1, 1, 1, 1], group = 2> (b, w3)
    d = Reshape (c, to4)
    e = Sin (d)
    y = Conv <pads = [1, 1, 1, 1]> (e, w2)
    """
    w3 = RNG.normal(0, 0.2, (2, 1, 3, 3, 3)).astype(np.float32)
    path = onnx_file(body, w1=W1, w2=W2, w3=w3, to5=np.array([1, 2, 4, 32, 32]), to4=np.array([1, 8, 32, 32]))
    ran = command("check", path, "--images", image_folder, "--json")
    assert ran.code == 1
    facts = json.loads(ran.out)
    refused = {layer["layer"]["name"]: layer["problem"] for layer in facts["layers"] if layer["kind"] == "refused"}
    assert list(refused) == ["Conv_2", "Sin_4"]
    assert "the compiler refuses it: layer 'c': convolution.cpp:380: number of groups=2" in refused["Conv_2"]
    (remedies,) = (layer["remedies"] for layer in facts["layers"] if layer["layer"]["name"] == "Conv_2")
    assert remedies[0].startswith("train without it: a 3-D convolution without groups")
    assert "bytes a frame over USB" in remedies[1]
    assert facts["counts"]["untried"] == 0
    assert "trial compile 1" in ran.err
    again = command("check", path, "--images", image_folder, "--json")
    assert json.loads(again.out)["trials"] == 0


@pytest.mark.slow
@pytest.mark.compiler
def test_the_layer_that_an_assertion_is_about_is_found(
    command: Command, onnx_file: Callable[..., Path], image_folder: Path
) -> None:
    """A tensor of more dimensions than the compiler has room for, of which it says neither layer nor operator."""
    body = """
    a = Conv <pads = [1, 1, 1, 1]> (image, w1)
    b = Relu (a)
    c = Reshape (b, to11)
    y = Relu (c)
    """
    path = onnx_file(body, w1=W1, to11=np.array([1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 16]))
    ran = command("check", path, "--images", image_folder, "--json")
    assert ran.code == 1
    layers = json.loads(ran.out)["layers"]
    refused = {layer["layer"]["name"]: layer["problem"] for layer in layers if layer["kind"] == "refused"}
    assert "Reshape_2" in refused
    assert "AssertionFailed" in refused["Reshape_2"]
    assert "Conv_0" not in refused


@pytest.mark.slow
@pytest.mark.compiler
def test_heads_are_checked_as_conversion_appends_them(command: Command, small_onnx: Path, image_folder: Path) -> None:
    arguments = ["check", small_onnx, "--size", "160x120", "--images", image_folder, "--json"]
    facts = json.loads(command(*arguments, "--heads", "normalised").out)
    added = [layer["layer"] for layer in facts["layers"] if layer["layer"]["module"].startswith("heads.")]
    assert {"Softmax", "Sqrt", "Div"} <= {layer["operator"] for layer in added}
    assert facts["heads"] == "normalised"
    assert any("scaled by" in note for note in facts["notes"])
    assert facts["exit_code"] == 0
    plain = json.loads(command(*arguments).out)
    assert plain["heads"] == "dense"
    assert len(plain["layers"]) == len(facts["layers"]) - len(added)
    ran = command("check", small_onnx, "--size", "160x120", "--heads", "yolo")
    assert (ran.code, ran.out) == (2, "")
    assert "heads: expected one of" in ran.errors[-1]


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.compiler
def test_superpoint_s_descriptors_are_found_to_overflow(
    command: Command, superpoint_weights: Path, image_folder: Path
) -> None:
    ran = command(
        "check", "superpoint", "--weights", superpoint_weights, "--size", "320x200", "--images", image_folder, "--json"
    )
    facts = json.loads(ran.out)
    assert ran.code == 0
    assert facts["squared_norms"]["desc"] > 65504
    (last,) = [layer for layer in facts["layers"] if layer["layer"]["module"] == "convDb"]
    assert "squared norms of desc" in " ".join(last["caveats"])
    assert facts["first_infinity"] is None
