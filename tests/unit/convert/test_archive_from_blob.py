from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import depthai
import pytest

from oakpoint.bundle.interface import TensorSpec, image_interface
from oakpoint.convert.archive_from_blob import archive_config, write_archive
from oakpoint.images.preprocess import Preprocess

OUTPUTS = (TensorSpec("semi", "float16", (1, 65, 25, 40)), TensorSpec("desc", "float16", (1, 256, 25, 40)))
GREY = Preprocess(size=(320, 200), resize="stretch", interpolation="area")
INTERFACE = image_interface("input", GREY, OUTPUTS).on_device()
HEADS = [
    {
        "name": "keypoints",
        "parser": "Keypoints",
        "outputs": ["semi", "desc"],
        "metadata": {"heads": "dense", "cell_size_px": 8, "nms_radius_px": 4, "threshold": 0.015},
    }
]

# The schema of luxonis-ml (config version 1.0) forbids other keys than these; heads' metadata takes any.
ALLOWED = {
    "": {"config_version", "model"},
    "model": {"metadata", "inputs", "outputs", "heads"},
    "model.metadata": {"name", "path", "precision"},
    "model.inputs": {"name", "dtype", "input_type", "shape", "layout", "preprocessing"},
    "model.inputs.preprocessing": {
        "mean", "scale", "reverse_channels", "interleaved_to_planar", "dai_type", "resize_mode",
    },
    "model.outputs": {"name", "dtype", "shape", "layout"},
    "model.heads": {"name", "parser", "outputs", "metadata"},
}  # fmt: skip


def keys(value: Any, place: str = "") -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    if isinstance(value, list):
        for item in value:
            for inner, names in keys(item, place).items():
                found.setdefault(inner, set()).update(names)
    elif isinstance(value, dict) and place != "model.heads.metadata":
        found[place] = set(value)
        for name, item in value.items():
            for inner, names in keys(item, f"{place}.{name}".strip(".")).items():
                found.setdefault(inner, set()).update(names)
    return found


def written(folder: Path, name: str = "superpoint", content: bytes = bytes(range(256)) * 40) -> Path:
    blob = folder / "model.blob"
    blob.write_bytes(content)
    path = folder / "model.rvc2.tar.xz"
    write_archive(blob, path, name=name, interface=INTERFACE, heads=HEADS)
    return path


def test_the_config_has_only_keys_that_the_schema_knows() -> None:
    found = keys(archive_config("superpoint", "model.blob", INTERFACE, HEADS))
    assert set(found) == set(ALLOWED)
    for place, names in found.items():
        assert names <= ALLOWED[place], place


def test_a_network_of_which_nothing_is_known_has_no_heads() -> None:
    assert archive_config("mine", "model.blob", INTERFACE)["model"]["heads"] == []


@pytest.fixture(scope="module")
def blob(shared: Path) -> bytes:
    return (shared / "blobs" / "superpoint_200x320_6shave.blob").read_bytes()


@pytest.mark.shared
def test_depthai_reads_it(tmp_path: Path, blob: bytes) -> None:
    config = depthai.NNArchive(str(written(tmp_path, content=blob))).getConfig()
    model = config.model
    assert (model.metadata.name, model.metadata.path) == ("superpoint", "model.blob")
    assert [(tensor.name, tensor.shape) for tensor in model.inputs] == [("input", [1, 1, 200, 320])]
    assert model.inputs[0].preprocessing.daiType == "GRAY8"
    assert [(t.name, t.shape, t.dtype.name) for t in model.outputs] == [
        ("semi", [1, 65, 25, 40], "FLOAT16"),
        ("desc", [1, 256, 25, 40], "FLOAT16"),
    ]
    metadata = model.heads[0].metadata.extraParams
    assert metadata["heads"] == "dense"
    assert (metadata["cell_size_px"], metadata["nms_radius_px"], metadata["threshold"]) == (8, 4, 0.015)


def test_it_holds_the_blob_and_nothing_that_leaves_the_folder(tmp_path: Path) -> None:
    path = written(tmp_path)
    with tarfile.open(path) as tar:
        members = tar.getmembers()
        assert [member.name for member in members] == ["config.json", "model.blob"]
        assert all(member.isfile() and member.mtime == 0 and member.uid == 0 for member in members)
        config, blob = (tar.extractfile(member) for member in members)
        assert config is not None
        assert blob is not None
        assert json.load(config)["model"]["metadata"]["path"] == "model.blob"
        assert blob.read() == (tmp_path / "model.blob").read_bytes()


def test_the_same_blob_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = written(tmp_path).read_bytes()
    monkeypatch.setattr("time.time", lambda: 2e9)
    assert written(tmp_path).read_bytes() == first


@pytest.mark.shared
@pytest.mark.parametrize("name", ["../evil", "a/b", "package.module:Class", "x" * 300, "ñ 名"])
def test_any_name_is_only_a_name(tmp_path: Path, blob: bytes, name: str) -> None:
    path = written(tmp_path, name, blob)
    with tarfile.open(path) as tar:
        assert tar.getnames() == ["config.json", "model.blob"]
    assert depthai.NNArchive(str(path)).getConfig().model.metadata.name == name
