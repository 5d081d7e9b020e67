"""Networks of the user's own through the chain: what is usual passes, what is not is one line before any work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from oakpoint.bundle.folder import open_bundle
from oakpoint.bundle.records import Verdict
from oakpoint.networks.registry import batch_norms_of, load_network
from oakpoint.verify.constants import share_equal_by_name
from oakpoint.verify.tolerances import BLOB_STAGE, ONNX_STAGE

SIZE = (160, 120)


def test_folded_batch_norms_pass_and_an_altered_weight_does_not(converted: Callable[..., Path], tmp_path: Path) -> None:
    bundle = open_bundle(converted("norms", model="small_network:NormNetwork", seed=0, size=SIZE, to="ir"))
    assert bundle.manifest.verdicts[ONNX_STAGE] is Verdict.PASS
    network = load_network("small_network:NormNetwork", None, seed=0)
    expected = {name: tensor.numpy() for name, tensor in network.module.state_dict().items()}
    norms = batch_norms_of(network)
    assert share_equal_by_name(expected, bundle.path("onnx"), norms) == 1
    assert share_equal_by_name(expected, bundle.path("onnx")) < 1, "the norms were folded"
    model = onnx.load(bundle.path("onnx"))
    tensor = next(t for t in model.graph.initializer if t.name.startswith("neck") and len(t.dims) == 4)
    values = np.array(numpy_helper.to_array(tensor))
    values[3, 2, 1, 1] *= 1.01
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save(model, tmp_path / "altered.onnx")
    assert share_equal_by_name(expected, tmp_path / "altered.onnx", norms) < 1


@pytest.mark.parametrize(
    ("network", "options", "message"),
    [
        (
            "OneOutput",
            ("--task", "keypoints"),
            "task: the network's outputs are not those of keypoints: output (1, 65, 15, 20); leave --task out",
        ),
        ("WrongOutputs", ("--task", "keypoints"), "the network's outputs are not those of keypoints: "),
        ("WrongOutputs", ("--heads", "packed"), "heads: expected one of dense for tensors, got 'packed'"),
        ("OneOutput", ("--output", "semi=moon"), "moon"),
        ("SmallNetwork", ("--task", "moon"), "task: expected one of keypoints, "),
    ],
)
def test_what_the_network_does_not_give_is_one_line_before_any_work(
    command: Callable[..., Any], tmp_path: Path, network: str, options: tuple[str, ...], message: str
) -> None:
    words = ("--random", "--size", "160x120", "--out", tmp_path / "b")
    ran = command("convert", f"small_network:{network}", *words, *options)
    assert ran.code == 1
    assert ran.out == ""
    assert message in ran.err
    assert ran.err.strip().count("\n") == 0
    assert not any(tmp_path.iterdir())


def test_outputs_in_a_dict_and_an_input_in_one(converted: Callable[..., Path]) -> None:
    bundle = open_bundle(converted("dicts", model="small_network:Dicts", seed=0, size=SIZE, to="onnx"))
    assert bundle.manifest.verdicts[ONNX_STAGE] is Verdict.PASS
    network = load_network("small_network:Dicts", None, seed=0)
    expected = {name: tensor.numpy() for name, tensor in network.module.state_dict().items()}
    assert share_equal_by_name(expected, bundle.path("onnx")) == 1


@pytest.mark.compiler
@pytest.mark.parametrize("network", ["NormalisingNetwork", "NormDividingNetwork", "NormNetwork"])
def test_usual_networks_become_verified_blobs(converted: Callable[..., Path], network: str) -> None:
    bundle = open_bundle(converted(f"blob-{network}", model=f"small_network:{network}", seed=0, size=SIZE, to="blob"))
    assert set(bundle.manifest.verdicts.values()) == {Verdict.PASS}
    assert BLOB_STAGE in bundle.manifest.verdicts
