"""What holds for every arrow of the chain: the same source gives the same bytes, and a failure leaves nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from device_form import device_form

from oakpoint.bundle.interface import TensorSpec, image_interface
from oakpoint.convert.archive_from_blob import write_archive
from oakpoint.convert.blob_from_onnx import write_blob
from oakpoint.convert.ir_from_onnx import write_ir
from oakpoint.convert.oak_json import write_oak_json
from oakpoint.convert.onnx_from_torch import write_onnx
from oakpoint.convert.onnx_intake import fix_shapes, open_onnx, write_taken
from oakpoint.errors import ConversionError, OakpointError
from oakpoint.tasks.keypoints.task import INPUT, OUTPUTS, superpoint_preprocess

SIZE = (160, 120)
SPECS = (TensorSpec("semi", "float16", (1, 65, 15, 20)),)
Convert = Callable[[Any, Path], object]


def onnx_from_torch(source: Any, target: Path) -> object:
    return write_onnx(source.module, target, size=SIZE, input_name=INPUT, output_names=OUTPUTS)


def onnx_from_onnx(source: Path, target: Path) -> object:
    model = open_onnx(source)
    fix_shapes(model, {INPUT: ("N", 1, SIZE[1], SIZE[0])})
    return write_taken(model, target, {INPUT: "image"} | {name: f"my_{name}" for name in OUTPUTS})


def ir_from_onnx(source: Path, target: Path) -> object:
    return write_ir(source, target, input_shapes=[(1, 1, SIZE[1], SIZE[0])])


def blob_from_onnx(source: Path, target: Path) -> object:
    return write_blob(source, target, *device_form(source, SIZE), shaves=6)


def archive_from_blob(source: Path, target: Path) -> object:
    interface = image_interface(INPUT, superpoint_preprocess(SIZE), SPECS).on_device()
    return write_archive(source, target, name="n", interface=interface, heads=[{"name": "n", "outputs": ["semi"]}])


def json_from_blob(source: Path, target: Path) -> object:
    return write_oak_json(target, SPECS)


CONVERTERS: dict[str, tuple[Convert, str, str]] = {
    # name: converter, fixture of its source, suffix of its target
    "torch → onnx": (onnx_from_torch, "small_network", ".onnx"),
    "onnx → onnx": (onnx_from_onnx, "small_onnx", ".onnx"),
    "onnx → ir": (ir_from_onnx, "small_onnx", ".xml"),
    "onnx → blob": (blob_from_onnx, "small_onnx", ".blob"),
    "blob → archive": (archive_from_blob, "small_onnx", ".tar.xz"),
    "blob → json": (json_from_blob, "small_onnx", ".json"),
}


def named(*names: str) -> list[Any]:
    return [pytest.param(n, marks=[pytest.mark.compiler] if n == "onnx → blob" else []) for n in names]


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("name", named(*CONVERTERS))
def test_the_same_source_gives_the_same_bytes(tmp_path: Path, request: pytest.FixtureRequest, name: str) -> None:
    convert, source, suffix = CONVERTERS[name]
    results = []
    for run in ("first", "second"):
        folder = tmp_path / run
        folder.mkdir()
        convert(request.getfixturevalue(source), folder / f"model{suffix}")
        results.append(content(folder))
    assert results[0].keys() == results[1].keys() == {f"model{suffix}"} | ({"model.bin"} if suffix == ".xml" else set())
    assert results[0] == results[1]
    assert all(results[0].values())


@pytest.mark.parametrize("name", ["onnx → onnx", "onnx → ir", "onnx → blob"])
@pytest.mark.parametrize("kept", [0, 100, 5000])
def test_a_damaged_source_leaves_nothing(tmp_path: Path, small_onnx: Path, name: str, kept: int) -> None:
    convert, _, suffix = CONVERTERS[name]
    source = tmp_path / "damaged.onnx"
    source.write_bytes(small_onnx.read_bytes()[:kept])
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(OakpointError):
        convert(source, folder / f"model{suffix}")
    assert content(folder) == {}


@pytest.mark.compiler
def test_a_refused_network_leaves_nothing(tmp_path: Path) -> None:
    from oakpoint.networks.registry import load_network

    source, folder = tmp_path / "sin.onnx", tmp_path / "out"
    folder.mkdir()
    onnx_from_torch(load_network("small_network:RefusedNetwork", None, seed=0), source)
    with pytest.raises(ConversionError, match=r"layer .*\(Sin\): no SHAVE kernel computes it"):
        blob_from_onnx(source, folder / "model.blob")
    assert content(folder) == {}
