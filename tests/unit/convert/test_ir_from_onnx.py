from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from oakpoint.convert.ir_from_onnx import ir_constants, write_ir
from oakpoint.errors import ConversionError
from oakpoint.verify.constants import onnx_weights

SHAPE = (1, 1, 120, 160)


def test_every_weight_is_there_rounded_once_to_fp16(small_onnx: Path, tmp_path: Path) -> None:
    tool = write_ir(small_onnx, tmp_path / "m.xml", input_shapes=[SHAPE])
    assert tool.startswith("openvino 20")
    found = sorted(constant.values.astype(np.float16).tobytes() for constant in ir_constants(tmp_path / "m.xml"))
    expected = sorted(array.astype(np.float16).tobytes() for array in onnx_weights(small_onnx).values())
    assert found == expected
    assert {c.values.dtype for c in ir_constants(tmp_path / "m.xml") if c.values.size > 100} == {np.dtype(np.float16)}


def test_the_batch_is_the_one_asked_for(small_onnx: Path, tmp_path: Path) -> None:
    import openvino

    write_ir(small_onnx, tmp_path / "m.xml", input_shapes=[(4, *SHAPE[1:])])
    model = openvino.Core().read_model(tmp_path / "m.xml")
    assert list(model.input(0).shape) == [4, *SHAPE[1:]]
    assert [next(iter(output.shape)) for output in model.outputs] == [4, 4]


@pytest.mark.parametrize("content", [b"", b"text", None], ids=["empty", "text", "cut short"])
def test_what_openvino_cannot_read(small_onnx: Path, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(small_onnx.read_bytes()[:5000] if content is None else content)
    with pytest.raises(ConversionError, match=r"OpenVINO cannot convert m\.onnx: ."):
        write_ir(path, tmp_path / "m.xml", input_shapes=[SHAPE])
    assert not (tmp_path / "m.xml").exists()


def test_an_ir_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "m.xml").write_text("<net/>")
    with pytest.raises(ConversionError, match=r"OpenVINO cannot read m\.xml: ."):
        ir_constants(tmp_path / "m.xml")
