from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from oakpoint.convert.ir_from_onnx import write_ir
from oakpoint.verify.constants import onnx_weights, share_equal_by_name, share_rounded_in_ir


def tensors(network: Any) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in network.module.state_dict().items()}


def with_flipped_bit(source: Path, target: Path, tensor: int, bit: int) -> Path:
    model = onnx.load(source)
    weights = model.graph.initializer[tensor]
    values = numpy_helper.to_array(weights).copy()
    values.view(np.uint32).flat[values.size // 2] ^= np.uint32(1 << bit)
    weights.CopyFrom(numpy_helper.from_array(values, weights.name))
    onnx.save(model, target)
    return target


@pytest.fixture(scope="module")
def ir(small_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ir") / "m.xml"
    write_ir(small_onnx, path, input_shape=(1, 1, 120, 160))
    return path


def test_what_was_exported_is_equal(small_network: Any, small_onnx: Path, ir: Path) -> None:
    assert share_equal_by_name(tensors(small_network), small_onnx) == 1.0
    assert share_rounded_in_ir(small_onnx, ir) == 1.0


@pytest.mark.parametrize("bit", [0, 12, 22, 30, 31])
def test_one_flipped_bit_in_the_onnx_shows(small_network: Any, small_onnx: Path, tmp_path: Path, bit: int) -> None:
    for tensor in range(len(onnx_weights(small_onnx))):
        path = with_flipped_bit(small_onnx, tmp_path / "flipped.onnx", tensor, bit)
        assert share_equal_by_name(tensors(small_network), path) < 1.0


@pytest.mark.parametrize("bit", [0, 3, 7])
def test_one_flipped_bit_in_the_ir_shows(small_onnx: Path, ir: Path, tmp_path: Path, bit: int) -> None:
    """In the middle of each constant that ir_constants finds."""
    data = ir.with_suffix(".bin").read_bytes()
    for weights in onnx_weights(small_onnx).values():
        stored = weights.astype(np.float16).tobytes()
        offset = data.index(stored) + len(stored) // 4 * 2
        shutil.copy(ir, tmp_path / "m.xml")
        flipped = bytearray(data)
        flipped[offset] ^= 1 << bit
        (tmp_path / "m.bin").write_bytes(flipped)
        assert share_rounded_in_ir(small_onnx, tmp_path / "m.xml") < 1.0


def test_the_same_values_twice_have_to_stand_there_twice(small_onnx: Path, ir: Path, tmp_path: Path) -> None:
    model = onnx.load(small_onnx)
    first = numpy_helper.to_array(model.graph.initializer[0])
    model.graph.initializer.append(numpy_helper.from_array(first, "again"))
    onnx.save(model, tmp_path / "m.onnx")
    assert share_rounded_in_ir(tmp_path / "m.onnx", ir) < 1.0


def test_nothing_in_common_is_not_a_number(small_onnx: Path) -> None:
    assert np.isnan(share_equal_by_name({"other": np.zeros(3)}, small_onnx))
