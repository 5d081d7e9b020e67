"""A refactor must not move a bit: what the chain makes of known networks is held by its hashes.

A change that is meant to alter an artefact records them anew, and says so in its message:
``python tests/integration/test_process_replay.py`` (with the versions of ``constraints.txt``).
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import onnx
import pytest
from device_form import device_form

from oakpoint.convert.device_graph import device_graph
from oakpoint.myriad.compiler import compile_blob
from oakpoint.tasks.keypoints.heads.base import Heads
from oakpoint.tasks.keypoints.heads.registry import HEADS

RECORD = Path(__file__).parents[1] / "data" / "process_replay.json"
WRITERS = ("numpy", "onnx", "onnxscript", "openvino", "torch")
"""Packages that write or number what is hashed: with other versions of them the bytes are others, and rightly so."""

SIZES = ((160, 120), (320, 200))
NEEDS_SCALE, NEEDS_VALUES = ("normalised",), ("reduced",)
NETWORKS = {"acorn": {"seed": None}, "superpoint": {"seed": 0}}
SCALE, VALUES = 2.0**-4, 32
"""Of the descriptors, fixed here: what a measurement gives may differ from one processor to another."""


def versions() -> dict[str, str]:
    return {name: version(name) for name in WRITERS}


def host_hashes(network: str, size: tuple[int, int], folder: Path) -> dict[str, str]:
    """Of the ONNX and the IR, written to ``folder`` by a process of their own."""
    command = [sys.executable, "-m", "oakpoint", "convert", network, "--size", f"{size[0]}x{size[1]}", "--to", "ir"]
    command += ["--out", str(folder), *(["--random"] if NETWORKS[network]["seed"] is not None else [])]
    subprocess.run(command, check=True, capture_output=True)
    return {
        "model.onnx": _sha256((folder / "model.onnx").read_bytes()),
        "model.xml without numbers": _sha256(_unnumbered((folder / "model.xml").read_text()).encode()),
        "model.bin": _sha256((folder / "model.bin").read_bytes()),
    }


def _unnumbered(xml: str) -> str:
    """An IR without the numbers that OpenVINO counts up for names of its own, in whatever order its threads come."""
    return re.sub(r'name="([A-Za-z]+)_\d+', r'name="\1', xml)


def device_model(model: Path, size: tuple[int, int], heads: str) -> onnx.ModelProto:
    wanted = Heads(heads, SCALE if heads in NEEDS_SCALE else None, VALUES if heads in NEEDS_VALUES else None)
    return device_graph(model, *device_form(model, size, heads=wanted)).model


def device_hash(graph: onnx.ModelProto, heads: str) -> str:
    """Of the device graph; of heads ``reduced`` without the values of the basis, on which linear algebra decides."""
    if heads in NEEDS_VALUES:
        graph = onnx.ModelProto.FromString(graph.SerializeToString())
        for tensor in graph.graph.initializer:
            if tensor.dims:
                tensor.ClearField("raw_data")
    return _sha256(graph.SerializeToString(deterministic=True))


def blob_hash(graph: onnx.ModelProto, folder: Path) -> str:
    onnx.save(graph, folder / "device.onnx")
    compile_blob(folder / "device.onnx", folder / "model.blob", shaves=6)
    return _sha256((folder / "model.blob").read_bytes())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _cases() -> Iterator[tuple[str, tuple[int, int]]]:
    for network in NETWORKS:
        for size in SIZES:
            yield network, size


def _name(network: str, size: tuple[int, int]) -> str:
    return f"{network} {size[0]}x{size[1]}"


def recorded() -> dict[str, dict[str, str]]:
    record: dict[str, dict[str, str]] = json.loads(RECORD.read_text())
    here = versions()
    if others := {name: v for name, v in record["versions"].items() if here[name] != v}:
        pytest.skip(f"recorded with other versions: {others}")
    return record


@pytest.mark.parametrize(
    ("network", "size"),
    [pytest.param(*case, marks=[pytest.mark.slow] if number else []) for number, case in enumerate(_cases())],
)
def test_onnx_ir_and_device_graphs(network: str, size: tuple[int, int], tmp_path: Path) -> None:
    expected = recorded()[_name(network, size)]
    found = host_hashes(network, size, tmp_path / "bundle")
    for heads in HEADS:
        found[f"device graph {heads}"] = device_hash(
            device_model(tmp_path / "bundle" / "model.onnx", size, heads), heads
        )
    assert found == {name: value for name, value in expected.items() if not name.startswith("blob")}


@pytest.mark.slow
@pytest.mark.compiler
@pytest.mark.parametrize(("network", "size"), list(_cases()))
def test_blobs(network: str, size: tuple[int, int], tmp_path: Path) -> None:
    expected = recorded()[_name(network, size)]
    host_hashes(network, size, tmp_path / "bundle")
    for heads in HEADS.keys() - set(NEEDS_VALUES):
        graph = device_model(tmp_path / "bundle" / "model.onnx", size, heads)
        assert blob_hash(graph, tmp_path) == expected[f"blob {heads}"], heads


def record() -> None:
    made: dict[str, dict[str, str]] = {"versions": versions()}
    for network, size in _cases():
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "bundle"
            hashes = host_hashes(network, size, folder)
            for heads in HEADS:
                graph = device_model(folder / "model.onnx", size, heads)
                hashes[f"device graph {heads}"] = device_hash(graph, heads)
                if heads not in NEEDS_VALUES:
                    hashes[f"blob {heads}"] = blob_hash(graph, Path(scratch))
        made[_name(network, size)] = hashes
    RECORD.write_text(json.dumps(made, indent=2) + "\n")


if __name__ == "__main__":
    record()
