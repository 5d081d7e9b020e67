"""Manifests that earlier versions wrote (``tests/data/schema1``): they say the same still; broken ones are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from earlier_manifest import as_schema_1

from oakpoint.bundle.manifest import Manifest, manifest_json, read_manifest
from oakpoint.errors import BundleError
from oakpoint.features.types import DecodeOptions
from oakpoint.tasks.keypoints.task import Keypoints
from oakpoint.tasks.registry import task_of

FILES = sorted((Path(__file__).parents[2] / "data" / "schema1").glob("*.json"))
DENSE = next(path for path in FILES if path.stem == "dense")
each = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def written(tmp_path: Path, change: Callable[[dict[str, Any]], object] = lambda content: None) -> Path:
    """The manifest of a whole bundle, changed."""
    content = json.loads(DENSE.read_text())
    change(content)
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(content))
    return path


def read(path: Path) -> tuple[Manifest, dict[str, Any]]:
    return read_manifest(path), json.loads(path.read_text())


def test_there_are_such_of_every_kind() -> None:
    assert [path.stem for path in FILES] == ["dense", "failed", "ir", "normalised", "reduced"]
    assert all(json.loads(path.read_text())["schema_version"] == 1 for path in FILES)


@each
def test_what_schema_1_says_stands_where_schema_2_has_it(path: Path) -> None:
    manifest, old = read(path)
    assert manifest.schema_version == 2
    for name in ("oakpoint_version", "network", "not_made", "files"):
        assert getattr(manifest, name) == old[name]
    assert manifest.failure == old.get("failure")
    assert asdict(manifest.weights) == old["weights"]
    assert {stage: verdict.value for stage, verdict in manifest.verdicts.items()} == old["verdicts"]
    assert (manifest.device.heads, manifest.device.shaves) == (old["heads"], old["shaves"])
    assert manifest.preprocess.facts() == old["preprocess"] | {"size": tuple(old["preprocess"]["size"])}
    assert [artifact.kind for artifact in manifest.artifacts] == [artifact["kind"] for artifact in old["artifacts"]]


@each
def test_artefacts_take_and_give_the_same(path: Path) -> None:
    manifest, old = read(path)
    for artifact, told in zip(manifest.artifacts, old["artifacts"], strict=True):
        assert (artifact.files, artifact.tool, artifact.command) == (told["files"], told["tool"], told["command"])
        assert list(artifact.parents) == told["parents"]
        assert json.loads(json.dumps([asdict(spec) for spec in artifact.interface.tensors])) == told["inputs"]
        assert json.loads(json.dumps([asdict(spec) for spec in artifact.interface.outputs])) == told["outputs"]
        assert artifact.interface.image.baked == told["preprocess"]["baked"]
    assert manifest.interface == manifest.artifact("onnx").interface
    assert manifest.interface.batch == "N"


@each
def test_the_task_is_keypoints_with_what_was_said_of_them(path: Path) -> None:
    manifest, old = read(path)
    task = task_of(manifest.task)
    assert isinstance(task, Keypoints)
    assert asdict(task.decode) == old["decode"]
    assert task.descriptor_dim == old["descriptor_dim"]
    assert (task.family, task.activated, task.size_step_px) == ("cells", False, 8)
    assert task.device_rewrites(manifest.device, manifest.interface)


def test_what_was_measured_for_heads() -> None:
    found = {path.stem: read_manifest(path).device.measured for path in FILES}
    assert found["normalised"] == {"descriptor_scale": 1.0}
    assert found["reduced"] == {"descriptor_values": json.loads(FILES[-1].read_text())["descriptor_values"]}
    assert found["dense"] == found["ir"] == found["failed"] == {}


def test_a_conversion_that_failed_says_why_still() -> None:
    manifest = read_manifest(next(path for path in FILES if path.stem == "failed"))
    assert manifest.failure == (
        "myriad_compile 2021.3.0 refused the network: layer 'desc': unsupported layer type \"Abs\""
    )
    assert not manifest.has("blob")
    with pytest.raises(BundleError, match=r"this bundle has no blob .*refused the network.*; it has onnx, ir"):
        manifest.artifact("blob")


@each
def test_it_is_written_again_as_schema_2_and_nothing_is_lost(path: Path, tmp_path: Path) -> None:
    manifest, old = read(path)
    again = tmp_path / "manifest.json"
    again.write_text(manifest_json(manifest))
    assert json.loads(again.read_text())["schema_version"] == 2
    assert read_manifest(again) == manifest
    assert as_schema_1(json.loads(again.read_text())) == old


LATER = ("not_made", "failure", "descriptor_scale", "descriptor_values", "files")


@pytest.mark.parametrize("name", LATER)
def test_keys_that_came_later_may_be_missing(tmp_path: Path, name: str) -> None:
    manifest = read_manifest(written(tmp_path, lambda content: content.pop(name, None)))
    assert manifest.network == "acorn"


def test_a_manifest_from_before_refinement_means_none(tmp_path: Path) -> None:
    manifest = read_manifest(written(tmp_path, lambda content: content["decode"].pop("subpixel")))
    task = task_of(manifest.task)
    assert isinstance(task, Keypoints)
    assert task.decode == DecodeOptions(**json.loads(DENSE.read_text())["decode"]).with_changes(subpixel="none")


def test_without_an_onnx_the_interface_follows_from_the_preprocessing(tmp_path: Path) -> None:
    manifest = read_manifest(written(tmp_path, lambda content: content.update(artifacts=[])))
    assert [(spec.name, spec.dtype, spec.shape) for spec in manifest.interface.tensors] == [
        ("input", "float32", ("N", 1, 120, 160))
    ]
    assert manifest.interface.outputs == ()


PLACES: list[tuple[Any, ...]] = [
    (),
    ("weights",),
    ("preprocess",),
    ("artifacts", 0),
    ("artifacts", 0, "preprocess"),
    ("artifacts", 2, "inputs", 0),
    ("artifacts", 1, "outputs", 1),
]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: ".".join(map(str, place)) or "manifest")
def test_a_key_too_many_is_named_where_it_stands(tmp_path: Path, place: tuple[Any, ...]) -> None:
    def add(content: Any) -> None:
        for key in place:
            content = content[key]
        content["surprise"] = 1

    where = ".".join(map(str, (*place, "surprise")))
    with pytest.raises(BundleError, match=rf"manifest\.json: not a valid manifest: {where}: "):
        read_manifest(written(tmp_path, add))


@pytest.mark.parametrize("name", sorted(set(json.loads(DENSE.read_text())) - {"schema_version", *LATER}))
def test_a_missing_key_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(BundleError, match=f"not a valid manifest: {name}: Field required"):
        read_manifest(written(tmp_path, lambda content: content.pop(name)))


@pytest.mark.parametrize("name", sorted(json.loads(DENSE.read_text())["artifacts"][0]))
def test_a_missing_key_of_an_artefact_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(BundleError, match=f"not a valid manifest: artifacts.1.{name}: Field required"):
        read_manifest(written(tmp_path, lambda content: content["artifacts"][1].pop(name)))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda c: c.update(heads="other"), "heads: "),
        (lambda c: c.update(heads=["dense"]), "heads: "),
        (lambda c: c.update(descriptor_dim="many"), "descriptor_dim: "),
        (lambda c: c.update(shaves="all"), "shaves: "),
        (lambda c: c.update(descriptor_scale="large"), "descriptor_scale: "),
        (lambda c: c.update(preprocess=None), "preprocess: "),
        (lambda c: c.update(preprocess=[320, 200]), "preprocess: "),
        (lambda c: c["preprocess"].update(size=[320]), "preprocess.size"),
        (lambda c: c["preprocess"].update(size=[0, 200]), "size: expected a positive number of pixels"),
        (lambda c: c["preprocess"].update(size="320x200"), "preprocess.size"),
        (lambda c: c["preprocess"].update(resize="squeeze"), "resize: "),
        (lambda c: c["preprocess"].update(scale=-1), "scale: "),
        (lambda c: c.update(decode=None), "decode: "),
        (lambda c: c.update(decode=[]), "decode: "),
        (lambda c: c["verdicts"].update({"onnx → ir": "maybe"}), "verdicts"),
        (lambda c: c.update(artifacts=None), "artifacts: "),
        (lambda c: c.update(artifacts={"kind": "onnx"}), "artifacts"),
        (lambda c: c.update(artifacts=["onnx"]), "artifacts.0: "),
        (lambda c: c.update(artifacts=[None]), "artifacts.0: "),
        (lambda c: c["artifacts"][0].update(kind="tflite"), "artifacts.0.kind: "),
        (lambda c: c["artifacts"][0].update(files={}), "files: "),
        (lambda c: c["artifacts"][0].update(files=["model.onnx"]), "artifacts.0.files: "),
        (lambda c: c["artifacts"][0].update(inputs=[]), "artifacts.0.inputs"),
        (lambda c: c["artifacts"][0].update(inputs=2 * c["artifacts"][0]["inputs"]), "artifacts.0.inputs"),
        (lambda c: c["artifacts"][0].update(inputs=None), "artifacts.0.inputs"),
        (lambda c: c["artifacts"][0].update(inputs={"name": "input"}), "artifacts.0.inputs"),
        (lambda c: c["artifacts"][0].update(preprocess=7), "artifacts.0.preprocess: "),
        (lambda c: c["artifacts"][0]["outputs"][0].update(shape=[[1]]), "artifacts.0.outputs.0.shape"),
        (lambda c: c.update(task={"name": "keypoints", "parameters": {}}), "task: "),
    ],
)
def test_what_cannot_be_meant_is_one_line_that_names_it(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], problem: str
) -> None:
    with pytest.raises(BundleError, match=rf"manifest\.json: not a valid manifest: .*{problem}") as caught:
        read_manifest(written(tmp_path, change))
    assert "\n" not in str(caught.value)


SOMETHING_ELSE = (None, True, 7, -1.5, "text", [], [1], {}, {"a": 1}, [[[]]])


def every_place(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place, *(found for key, item in inner for found in every_place(item, (*place, key)))]


@pytest.mark.parametrize("other", SOMETHING_ELSE, ids=repr)
def test_whatever_stands_anywhere_is_read_or_refused_with_one_error(tmp_path: Path, other: Any) -> None:
    for place in every_place(json.loads(DENSE.read_text()))[1:]:

        def put(content: Any, place: tuple[Any, ...] = place) -> None:
            for key in place[:-1]:
                content = content[key]
            content[place[-1]] = other

        path = written(tmp_path, put)
        said = ""
        try:
            manifest_json(read_manifest(path))
        except BundleError as error:
            said = str(error)
        assert said == "" or said.startswith(f"{path}: "), place
        assert "\n" not in said, place
