from __future__ import annotations

import importlib
import itertools
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from oakpoint.backends.identity import companions, identity_of_network, sha256_of_model
from oakpoint.bundle.manifest import MANIFEST_FILE, manifest_json, read_manifest
from oakpoint.errors import BackendError, UsageError
from oakpoint.files import sha256_of_file
from oakpoint.loading import load
from oakpoint.networks.registry import load_network, shipped_weights
from oakpoint.oak.extractor import camera_extractor


def outside(tensor: TensorProto, location: str) -> TensorProto:
    """A tensor whose values lie in another file."""
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    del tensor.external_data[:]
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location
    return tensor


def weight(name: str, location: str) -> TensorProto:
    return outside(numpy_helper.from_array(np.zeros(4, np.float32), name), location)


def model_file(path: Path, *locations: str) -> Path:
    """An ONNX with a weight in each of the files: an initialiser, a constant, one of an inner graph, in turn."""
    ranks = itertools.cycle(range(3))
    graph = helper.make_graph([], "g", [], [])
    for number, location in enumerate(locations):
        tensor = weight(f"w{number}", location)
        constant = helper.make_node("Constant", [], [f"w{number}"], value=tensor)
        kind = next(ranks)
        if kind == 0:
            graph.initializer.append(tensor)
        elif kind == 1:
            graph.node.append(constant)
        else:
            inner = helper.make_graph([constant], "inner", [], [])
            graph.node.append(helper.make_node("If", ["c"], ["o"], then_branch=inner, else_branch=inner))
    path.write_bytes(helper.make_model(graph).SerializeToString())
    return path


def test_a_model_in_one_file_is_that_file(small_onnx: Path) -> None:
    assert companions(small_onnx) == ()
    assert sha256_of_model(small_onnx) == sha256_of_file(small_onnx)


@pytest.mark.parametrize("changed", ["a.bin", "sub/b.bin", "c.bin"])
def test_external_data_belongs_to_an_onnx_wherever_it_is_named(tmp_path: Path, changed: str) -> None:
    path = model_file(tmp_path / "m.onnx", "a.bin", "sub/b.bin", "c.bin")
    (tmp_path / "sub").mkdir()
    for name in ("a.bin", "sub/b.bin", "c.bin"):
        (tmp_path / name).write_bytes(bytes(16))
    before = sha256_of_model(path)
    assert before == sha256_of_model(Path(shutil.copytree(tmp_path, tmp_path / "copy")) / "m.onnx")
    (tmp_path / changed).write_bytes(bytes(15) + b"\1")
    assert sha256_of_model(path) != before


@pytest.mark.parametrize("location", ["../w.bin", "/etc/hostname", "sub/../../w.bin"])
def test_external_data_outside_the_folder_is_not_opened(tmp_path: Path, location: str) -> None:
    (tmp_path / "w.bin").touch()
    (tmp_path / "in" / "sub").mkdir(parents=True)
    with pytest.raises(BackendError, match="external data beside it, got"):
        sha256_of_model(model_file(tmp_path / "in" / "m.onnx", location))


def test_a_link_that_leaves_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "w.bin").write_bytes(bytes(16))
    (tmp_path / "in" / "w.bin").symlink_to(tmp_path / "w.bin")
    with pytest.raises(BackendError, match=r"a link to .*/w.bin; copy the file there"):
        sha256_of_model(model_file(tmp_path / "in" / "m.onnx", "w.bin"))


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"external data 'w.bin' is not there"):
        sha256_of_model(model_file(tmp_path / "m.onnx", "w.bin"))
    (tmp_path / "text.onnx").write_text("hello, this is no model")
    with pytest.raises(BackendError, match="not a valid ONNX"):
        sha256_of_model(tmp_path / "text.onnx")
    with pytest.raises(BackendError, match="No such file"):
        sha256_of_model(tmp_path / "missing.onnx")
    (tmp_path / "m.xml").touch()
    with pytest.raises(BackendError, match=r"m.bin: cannot be read"):
        sha256_of_model(tmp_path / "m.xml")


def test_both_files_of_an_ir_count(tmp_path: Path) -> None:
    (tmp_path / "m.xml").write_text("graph")
    found = set()
    for weights in (b"1", b"2"):
        (tmp_path / "m.bin").write_bytes(weights)
        found.add(sha256_of_model(tmp_path / "m.xml"))
    assert len(found) == 2


def test_a_known_network_is_its_name_and_weights() -> None:
    weights = shipped_weights("acorn")
    assert weights is not None
    with load("acorn", backend="torch") as extractor:
        assert extractor.identity()["model"] == f"acorn {sha256_of_file(weights)}"
        assert extractor.former_identity() == {"model": extractor.identity()["model"]}


CODE = """
from small_network import SmallNetwork
from identity_layer import FACTOR
class Own(SmallNetwork):
    def forward(self, image):
        semi, desc = super().forward(image)
        return FACTOR * semi, desc
"""


@pytest.mark.parametrize("backend", ["onnxruntime", "torch"])
def test_a_class_of_the_users_own_is_what_its_code_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_weights: Path, backend: str
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    found = []
    for code in (CODE, CODE, CODE.replace("desc\n", "-desc\n")):
        (tmp_path / "identity_layer.py").write_text("FACTOR = 2\n")
        (tmp_path / "identity_own.py").write_text(code)
        for name in ("identity_own", "identity_layer"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        with load("identity_own:Own", weights=small_weights, backend=backend) as extractor:
            found.append(extractor.identity()["model"])
            assert extractor.former_identity()["model"] == f"identity_own:Own {sha256_of_file(small_weights)}"
    assert found[0] == found[1] != found[2]


def test_the_makers_version_is_no_part_of_a_graph(tmp_path: Path, small_network: Any, small_onnx: Path) -> None:
    model = onnx.load(small_onnx)
    model.producer_version = "another"
    onnx.save(model, tmp_path / "m.onnx")
    assert identity_of_network(small_network, tmp_path / "m.onnx") == identity_of_network(small_network, small_onnx)
    other = load_network("small_network:SmallNetwork", None, seed=1)
    assert identity_of_network(small_network, None) != identity_of_network(other, None)


def test_arguments_belong_to_a_network(small_network: Any) -> None:
    """They change what the same code makes of the same weights."""
    others = [replace(small_network, arguments=arguments) for arguments in ({"norm": True}, {"norm": False})]
    assert len({identity_of_network(network, None) for network in (small_network, *others)}) == 3


def with_blob(bundle: Path, content: bytes) -> Path:
    """A bundle with a blob that nobody opens."""
    manifest = read_manifest(bundle / MANIFEST_FILE)
    (bundle / "m.blob").write_bytes(content)
    blob = replace(manifest.artifact("onnx"), kind="blob", files={"m.blob": sha256_of_file(bundle / "m.blob")})
    (bundle / MANIFEST_FILE).write_text(manifest_json(replace(manifest, artifacts=(*manifest.artifacts, blob))))
    return bundle


def test_a_bundle_is_the_artefact_that_the_backend_runs(small_bundle: Path, tmp_path: Path) -> None:
    bundles = [
        with_blob(Path(shutil.copytree(small_bundle, tmp_path / name)), name.encode()) for name in ("dense", "packed")
    ]
    backends = ("openvino", "onnxruntime", "torch", "myriad_simulator")
    first, second = ([load(bundle, backend=name).identity() for name in backends] for bundle in bundles)
    assert len({str(one["model"]) for one in first}) == len(backends)
    assert first[:3] == second[:3], "one and the same ONNX, IR and network"
    assert first[3]["model"] != second[3]["model"], "different blobs"
    assert {str(load(bundles[0], backend=name).former_identity()["model"]) for name in backends} == {
        sha256_of_file(small_bundle / "model.onnx")
    }


def test_preprocessing_decoding_and_runtime_belong_to_the_identity(small_bundle: Path) -> None:
    changes: tuple[dict[str, Any], ...] = (
        {}, {"size": (96, 64)}, {"size": "native"}, {"threshold": 0.3}, {"subpixel": "quadratic"}, {"precision": "f16"},
        {"backend": "onnxruntime"},
    )  # fmt: skip
    found = [load(small_bundle, **change).identity() for change in changes]
    assert all(a != b for a, b in itertools.combinations(found, 2))


def test_a_camera_has_none() -> None:
    class Model:
        interface = task = None

    extractor = camera_extractor(Model(), None)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="nothing can be kept"):
        extractor.former_identity()
