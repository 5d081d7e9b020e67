"""Trial compiles: what is kept of them, and what is asked again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest
from graphs import graph

from oakpoint.errors import CompilerError
from oakpoint.layers.trying import trials
from oakpoint.layers.trying.trials import CompilerTrial, RuntimeTrial


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the compiler was asked; it refuses Abs."""
    calls: list[dict[str, Any]] = []

    def compile_blob(path: Path, blob: Path, **options: Any) -> None:
        calls.append(options)
        if any(node.op_type == "Abs" for node in onnx.load(path).graph.node):
            raise CompilerError(f"{trials.COMPILER} refused the network: layer 'y': unsupported layer type \"Abs\"")

    monkeypatch.setattr(trials, "compile_blob", compile_blob)
    monkeypatch.setattr(trials, "ensure_toolchain", lambda cache: cache)
    return calls


def one(operator: str) -> onnx.ModelProto:
    return graph(f"y = {operator} (x)", inputs="float16[1, 2, 3, 4] x", outputs="float16 y", opset=13)


def test_answers_are_kept_by_content(tmp_path: Path, compiled: list[dict[str, Any]]) -> None:
    said: list[str] = []
    first = CompilerTrial(["x"], said.append, cache=tmp_path)
    assert first(one("Relu")) is None
    assert first(one("Abs")) == "layer 'y': unsupported layer type \"Abs\""
    assert [options["images"] for options in compiled] == [["x"], ["x"]]
    again = CompilerTrial(["x"], said.append, cache=tmp_path)
    assert again(one("Relu")) is None
    assert again(one("Abs")) == "layer 'y': unsupported layer type \"Abs\""
    assert (len(compiled), again.compiled, again.known) == (2, 0, 2)
    assert len(said) == 2
    CompilerTrial([], said.append, cache=tmp_path)(one("Relu"))  # of another type of input
    assert compiled[-1]["images"] == []


def test_names_that_the_compiler_s_option_cannot_have(tmp_path: Path, compiled: list[dict[str, Any]]) -> None:
    model = one("Relu")
    model.graph.input[0].name = model.graph.node[0].input[0] = "input:0"
    assert CompilerTrial(["input:0"], lambda _: None, cache=tmp_path)(model) is None
    assert [options["images"] for options in compiled] == [["input_0_0"]]
    assert model.graph.input[0].name == "input:0"


def test_a_damaged_answer_is_asked_again(
    tmp_path: Path, compiled: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    trial = CompilerTrial([], lambda _: None, cache=tmp_path)
    trial(one("Relu"))
    (kept,) = (tmp_path / trials.CACHE_FOLDER).iterdir()
    kept.write_text("{")
    assert trial(one("Relu")) is None
    assert len(compiled) == 2
    assert "damaged" in caplog.text
    assert trial(one("Relu")) is None
    assert len(compiled) == 2


def test_a_folder_that_cannot_be_written_keeps_nothing(tmp_path: Path, compiled: list[dict[str, Any]]) -> None:
    (tmp_path / trials.CACHE_FOLDER).write_text("in the way")
    trial = CompilerTrial([], lambda _: None, cache=tmp_path)
    assert trial(one("Relu")) is None
    assert trial(one("Relu")) is None


def test_runtimes_say_what_they_lack() -> None:
    from oakpoint.backends.onnxruntime import OnnxRuntimeBackend
    from oakpoint.backends.openvino import OpenVinoBackend

    own = graph(
        "y = my.own.Thing (x)", inputs="float[2] x", outputs="float y", opset=13, domains=', "my.own": 1'
    )  # fmt: skip
    for runtime in (OnnxRuntimeBackend, OpenVinoBackend):
        trial = RuntimeTrial(runtime, lambda _: None)
        assert trial(graph("y = Relu (x)", inputs="float[2] x", outputs="float y", opset=13)) is None
        reason = trial(own)
        assert reason is not None
        assert "Thing" in reason
        assert "/tmp" not in reason
