from __future__ import annotations

import logging
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from torch import nn

from oakpoint.convert.onnx_from_torch import write_onnx
from oakpoint.errors import ConversionError

NAMES = {"input_name": "input", "output_names": ("semi", "desc")}


class FixedBatch(nn.Module):
    """Works with one image at a time only."""

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if image.shape[0] != 1:
            raise ValueError("one image at a time")
        return image * 2, image + 1


class Impossible(nn.Module):
    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        raise RuntimeError("the moon is down\nand more")


def dims(value: Any) -> list[int | str]:
    return [d.dim_value if d.HasField("dim_value") else d.dim_param for d in value.type.tensor_type.shape.dim]


def test_the_form_of_the_file(small_network: Any, tmp_path: Path) -> None:
    tool = write_onnx(small_network.module, tmp_path / "m.onnx", size=(160, 120), **NAMES)
    assert tool == f"torch {torch.__version__}"
    model = onnx.load(tmp_path / "m.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert {v.name: dims(v) for v in model.graph.input} == {"input": ["N", 1, 120, 160]}
    assert {v.name: dims(v) for v in model.graph.output} == {"semi": ["N", 65, 15, 20], "desc": ["N", 16, 15, 20]}
    names = {name for name in small_network.module.state_dict() if name.endswith("weight")}  # biases are zero here
    assert {tensor.name for tensor in model.graph.initializer} == names


def test_nothing_of_the_exporting_machine_is_in_it(small_onnx: Path) -> None:
    data = small_onnx.read_bytes()
    for trace in (str(Path.cwd()), str(Path.home()), "site-packages", "small_network.py", "pkg.torch"):
        assert trace.encode() not in data, trace


def test_a_batch_that_cannot_be_open_is_fixed(tmp_path: Path) -> None:
    write_onnx(FixedBatch(), tmp_path / "m.onnx", size=(16, 8), **NAMES)
    assert dims(onnx.load(tmp_path / "m.onnx").graph.input[0]) == [1, 1, 8, 16]


def test_a_network_that_cannot_be_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConversionError, match=r"^torch cannot export the network: [^\n]+$"):
        write_onnx(Impossible(), tmp_path / "m.onnx", size=(16, 8), **NAMES)
    assert not list(tmp_path.iterdir())
    assert capsys.readouterr() == ("", "")


def test_an_image_too_large_for_the_memory(small_network: Any, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="no memory for an image of 8000000x8000000 px"):
        write_onnx(small_network.module, tmp_path / "m.onnx", size=(8_000_000, 8_000_000), **NAMES)


def test_exports_side_by_side_leave_the_process_as_it_was(tmp_path: Path, small_network: Any) -> None:
    before = sys.stdout, list(warnings.filters), logging.getLogger("torch.onnx").level
    paths = [tmp_path / f"{number}.onnx" for number in range(3)]
    with ThreadPoolExecutor(3) as pool:
        for _ in pool.map(lambda path: write_onnx(small_network.module, path, size=(64, 64), **NAMES), paths):
            pass
    assert (sys.stdout, list(warnings.filters), logging.getLogger("torch.onnx").level) == before
    assert len({path.read_bytes() for path in paths}) == 1
