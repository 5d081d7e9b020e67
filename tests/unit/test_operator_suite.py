"""The benchmark of ONNX's operator suite: which cases count, how ends are told apart, and what its cache keeps."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from oakpoint.errors import (
    BlobError,
    CompilerError,
    ConversionError,
    Finding,
    NotModelledError,
    UnsupportedNetworkError,
)

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def case(suite: ModuleType) -> Any:
    """``y = 2 x`` with x = (1, 2, 3)."""
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        "double",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 3))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    x = np.array([[1, 2, 3]], np.float32)
    return suite.Case("double", ("Add",), model, {"x": x}, {"y": 2 * x})


class Answer:
    """In place of the compilations: the same answer to every device graph."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def compiled(self, model: onnx.ModelProto) -> Any:
        raise self.error


def unchanged(model: onnx.ModelProto) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    return model, ("nothing",)


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (CompilerError("it refused"), "UNEXPLAINED"),
        (NotModelledError("stage 0 is not modelled"), "NOT_MODELLED"),
        (NotModelledError("compiled from a network with batch 3"), "BLOB_ERROR"),
        (BlobError("/a/" + "0" * 64 + ".blob: stage 1 writes over itself"), "BLOB_ERROR"),
    ],
)
def test_what_follows_the_compiler(suite: ModuleType, case: Any, error: Exception, end: str) -> None:
    verdict = suite.judge(case, Answer(error), unchanged)
    assert verdict.end is suite.End[end]
    assert "/" not in verdict.reason
    assert verdict.journal == ("nothing",)


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (ConversionError("layer 'y' (Add): not on this device"), "TERSE"),
        (UnsupportedNetworkError([Finding(layer="y", operator="Add", problem="not there")]), "TERSE"),
        (UnsupportedNetworkError([Finding(layer="y", operator="Add", problem="not there", remedy="Mul")]), "REFUSED"),
    ],
)  # fmt: skip
def test_a_refusal_counts_as_explained_with_a_remedy(suite: ModuleType, case: Any, error: Exception, end: str) -> None:
    def refusing(model: onnx.ModelProto) -> Any:
        raise error

    assert suite.judge(case, Answer(RuntimeError("not asked")), refusing).end is suite.End[end]


def test_values_beyond_fp16_are_not_the_devices_fault(suite: ModuleType, case: Any) -> None:
    case.outputs["y"][0, 0] = 70_000
    assert suite.judge(case, Answer(RuntimeError("not asked")), unchanged).end is suite.End.OUT_OF_RANGE


@pytest.mark.parametrize(
    ("got", "reason"),
    [
        ([100.9, np.inf, np.nan, 0], ""),
        ([101.1, np.inf, np.nan, 0], "off by 1.1"),
        ([100, -np.inf, np.nan, 0], "where it is"),
        ([100, np.inf, 0, 0], "where it is"),
        ([100, np.inf, np.nan, np.nan], "off by nan"),
        ([100, np.inf, np.nan], r"is \(3,\), expected \(2, 2\)"),
    ],
)
def test_what_is_right(suite: ModuleType, got: list[float], reason: str) -> None:
    expected = {"y": np.array([[100, np.inf], [np.nan, 0]], np.float32)}
    found = suite.difference({"y": np.array(got)}, expected)
    assert re.search(reason, found) if reason else not found
    assert suite.difference({}, expected).startswith("output y is missing")


def test_zeros_are_compared_absolutely(suite: ModuleType) -> None:
    zeros = {"y": np.zeros(3, np.float32)}
    assert not suite.difference({"y": np.full(3, 5e-4)}, zeros)
    assert suite.difference({"y": np.full(3, 5e-3)}, zeros)


def test_compilations_are_kept_and_refusals_as_well(
    suite: ModuleType, case: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def compiler(onnx_file: Path, blob: Path, **options: Any) -> None:
        asked.append(options)
        if len(asked) > 1:
            raise CompilerError("not this one")
        blob.write_bytes(tiny)

    tiny = (BENCHMARKS.parent / "tests" / "data" / "myriad" / "tiny.blob").read_bytes()
    monkeypatch.setattr(suite, "compile_blob", compiler)
    other = onnx.ModelProto.FromString(case.model.SerializeToString())
    other.graph.node[0].op_type = "Mul"
    for _ in range(2):  # the second time by another object, as in another run
        compilations = suite.Compilations(tmp_path / "cache")
        assert compilations.compiled(case.model).data == tiny
        with pytest.raises(CompilerError, match="not this one"):
            compilations.compiled(other)
    assert [options["input_type"] for options in asked] == ["FP16", "FP16"]


def test_a_real_case_through_the_products_lowering(suite: ModuleType, case: Any) -> None:
    model, _ = suite.lowered(case.model)
    assert model.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT16
    assert model.opset_import[0].version == 13


@pytest.mark.slow
def test_the_cases_that_count(suite: ModuleType) -> None:
    cases = suite.cases()
    if onnx.__version__.startswith("1.23."):
        assert len(cases) == 771
    names = [case.name for case in cases]
    assert len(set(names)) == len(names) > 600
    assert not any("_expanded" in name for name in names)
    by_name: dict[str, Any] = {case.name: case for case in cases}
    assert set(by_name["conv_with_strides_padding"].inputs) == {"x"}, "weights are constants"
    assert set(by_name["add"].inputs) == {"x", "y"}
    assert set(by_name["gather_0"].inputs) == {"data"}, "whole numbers are constants"
    assert all(
        values.dtype == np.float32 for case in cases for values in (*case.inputs.values(), *case.outputs.values())
    )
