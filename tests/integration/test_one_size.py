"""A bundle whose export holds for its own size alone says so, and refuses others wherever it is used."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import oakpoint
from oakpoint.bundle.folder import open_bundle
from oakpoint.bundle.records import Verdict
from oakpoint.chain.conversion import convert
from oakpoint.chain.options import ConversionOptions
from oakpoint.convert.one_size import one_size_of
from oakpoint.errors import ConversionError, UsageError

SIZE = (160, 120)
NOT_HERE = r"holds for 160x120 alone, not for 96x64 \(exported at 160x120, .*\); use it at its size, or start from"


@pytest.fixture(scope="session")
def bundle(converted: Callable[..., Path]) -> Path:
    return converted("sized-factor", model="sized_network:Factor", seed=0, size=SIZE, to="ir")


def test_it_is_verified_at_its_size_and_marked(bundle: Path) -> None:
    assert set(open_bundle(bundle).manifest.verdicts.values()) == {Verdict.PASS}
    assert "its outputs at 104x72 differ" in (one_size_of(bundle / "model.onnx") or "")


def test_others_are_not_marked(small_bundle: Path, tmp_path: Path) -> None:
    assert one_size_of(small_bundle / "model.onnx") is None
    assert one_size_of(tmp_path / "missing.onnx") is None


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_another_size_is_refused(bundle: Path, tmp_path: Path, photographs: dict[str, Any], backend: str) -> None:
    alone = shutil.copy(bundle / "model.onnx", tmp_path / "alone.onnx")
    image = photographs["camera"]
    for model in (bundle, alone):
        with oakpoint.load(model, size=(96, 64), backend=backend) as other, pytest.raises(UsageError, match=NOT_HERE):
            other(image)
        with oakpoint.load(model, size="native", backend=backend) as native, pytest.raises(UsageError, match="alone"):
            native(image)
        with oakpoint.load(model, size=SIZE, backend=backend) as own:
            assert len(own(image)) > 20


def test_the_network_itself_takes_any_size(bundle: Path, photographs: dict[str, Any]) -> None:
    with oakpoint.load(bundle, size=(96, 64), backend="torch") as extractor:
        assert extractor(photographs["camera"]).image_size == (512, 512)


def test_it_is_converted_again_at_its_size_alone(
    bundle: Path, tmp_path: Path, image_folder: Path, listener: Any
) -> None:
    for model in (bundle, shutil.copy(bundle / "model.onnx", tmp_path / "alone.onnx")):
        options = ConversionOptions(model=str(model), size=(96, 64), to="ir", images=image_folder)
        with pytest.raises(UsageError, match=NOT_HERE):
            convert(options, tmp_path / "b", listener)
        again = convert(replace(options, size=SIZE), tmp_path / "b", listener)
        assert one_size_of(again.folder / "model.onnx"), "the mark goes with it"


def test_the_command_says_it(tmp_path: Path, image_folder: Path, command: Callable[..., Any]) -> None:
    arguments = ["convert", "sized_network:Ramp", "--random", "--size", "160x120", "--to", "onnx", "--json"]
    ran = command(*arguments, "--images", image_folder, "--out", tmp_path / "b")
    assert ran.code == 0
    assert "cannot be run at 104x72" in json.loads(ran.out)["one_size"]
    assert "note: the bundle holds for 160x120 alone; convert the network again for others" in ran.err


def test_a_batch_that_could_not_be_left_open_stands_in_the_manifest_and_is_not_changed(
    tmp_path: Path, image_folder: Path, listener: Any
) -> None:
    def sequence(batch: int) -> ConversionOptions:
        return ConversionOptions(
            model="sized_network:SequenceNetwork", seed=0, size=SIZE, to="ir", batch=batch, images=image_folder
        )

    with pytest.raises(ConversionError, match=r"its batch fixed to 1, .* and 4 was asked for; give --batch 1; kept in"):
        convert(sequence(4), tmp_path / "b", listener)
    onnx = open_bundle(tmp_path / "b").manifest.artifact("onnx")
    assert onnx.interface.tensors[0].shape == (1, 1, 120, 160)
    assert {spec.shape[0] for spec in onnx.interface.outputs} == {1}
    assert convert(sequence(1), tmp_path / "b", listener).manifest.has("ir")
