"""A device part and a tail, one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from graphs import graph
from numpy.typing import NDArray

from oakpoint.backends.base import Backend, Tensors
from oakpoint.backends.chained import ChainedBackend, HostTail, finished, open_first_tail, open_tail
from oakpoint.backends.registry import ModelSource, RuntimeOptions, open_backend
from oakpoint.bundle.interface import TensorSpec
from oakpoint.errors import BackendError, UsageError


class Doubling(Backend):
    """Gives what it takes twice, under other names, and tells whether it was closed."""

    def __init__(self, given: str = "x", made: tuple[str, ...] = ("a", "b")) -> None:
        self.description, self.closed = f"doubling {given}", False
        self.inputs = (TensorSpec(given, "float32", (1, 2)),)
        self.outputs = tuple(TensorSpec(name, "float32", (1, 2)) for name in made)

    def _run(self, tensors: Mapping[str, NDArray[Any]]) -> Tensors:
        (array,) = tensors.values()
        return {spec.name: array * 2 for spec in self.outputs}

    def close(self) -> None:
        self.closed = True


ONE = np.ones((1, 2), np.float32)


def test_what_the_device_finished_passes_through_in_the_network_s_order() -> None:
    device, tail = Doubling(), Doubling("b", ("y",))
    with ChainedBackend(device, tail, ["y", "a"]) as chained:
        assert [spec.name for spec in chained.inputs] == ["x"]
        assert [spec.name for spec in chained.outputs] == ["y", "a"]
        assert chained.description == "doubling x, then doubling b"
        got = chained.run({"x": ONE})
    assert list(got) == ["y", "a"]
    np.testing.assert_array_equal(got["y"], 4 * ONE)
    np.testing.assert_array_equal(got["a"], 2 * ONE)
    assert device.closed
    assert tail.closed


def test_parts_of_two_networks_are_refused() -> None:
    with pytest.raises(BackendError, match="the tail reads c, and the device gives a, b"):
        ChainedBackend(Doubling(), Doubling("c", ("y",)), ["y"])
    with pytest.raises(BackendError, match="neither the device nor the tail gives z"):
        ChainedBackend(Doubling(), Doubling("b", ("y",)), ["y", "z"])
    with pytest.raises(BackendError, match="expected the tensors b of the device"):
        finished({"a": ONE}, Doubling("b", ("y",)), ["y"])


@pytest.fixture
def tail(tmp_path: Path) -> Path:
    onnx.save(graph("y = Sin (b)", inputs="float[1, 2] b", outputs="float y", opset=17), tmp_path / "tail.onnx")
    return tmp_path / "tail.onnx"


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_both_runtimes_run_a_tail(tail: Path, runtime: str) -> None:
    with open_tail(tail, runtime) as backend:
        np.testing.assert_allclose(backend.run({"b": ONE})["y"], np.sin(ONE), rtol=1e-5)


def test_a_runtime_is_found_or_each_says_why(tail: Path) -> None:
    runtime, backend = open_first_tail(tail)
    backend.close()
    assert runtime == "onnxruntime"
    with pytest.raises(UsageError, match="expected one of onnxruntime, openvino"):
        open_tail(tail, "tflite")
    model = graph("y = my.own.Thing (b)", inputs="float[1, 2] b", outputs="float y", opset=17, domains=', "my.own": 1')
    onnx.save(model, tail)
    with pytest.raises(BackendError, match=r"^no runtime of the host takes .*the tail: ONNX Runtime.*the tail: Op"):
        open_first_tail(tail)


def test_a_source_with_a_tail_is_opened_as_one_model(tail: Path, tmp_path: Path) -> None:
    path = tmp_path / "device.onnx"
    onnx.save(graph("b = Neg (x)\n a = Abs (x)", inputs="float[1, 2] x", outputs="float b, float a", opset=17), path)
    source = ModelSource(onnx=path, tail=HostTail(path=tail, runtime="onnxruntime", outputs=("a", "y")))
    inputs = [TensorSpec("x", "float32", (1, 2))]
    with open_backend(source, RuntimeOptions(backend="onnxruntime"), inputs) as backend:
        got = backend.run({"x": ONE})
    assert list(got) == ["a", "y"]
    np.testing.assert_allclose(got["y"], np.sin(-ONE), rtol=1e-6)
