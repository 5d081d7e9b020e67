"""An ONNX of the user's: told what it is, brought to a size, run and converted under the chain's names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from graphs import graph as graph_of
from onnx import TensorProto, helper, numpy_helper

from oakpoint.backends.registry import RuntimeOptions
from oakpoint.errors import BackendError, ConversionError, UsageError
from oakpoint.models.base import ModelOptions
from oakpoint.models.naming import model_of
from oakpoint.tasks.keypoints.task import Keypoints
from oakpoint.tasks.tensors.task import RawTensors

SIZE = (48, 32)
IMAGE = np.random.default_rng(1).integers(0, 256, (32, 48)).astype(np.uint8)


def network(path: Path, *, image: Any = ("N", 1, "h", "w"), more: bool = True, order: str = "ld") -> Path:
    """Logits ``l`` and descriptors ``d`` of cells, and the largest logit of each channel ``m``."""
    rng = np.random.default_rng(3)
    weights = {
        "w": rng.normal(size=(4, 1, 8, 8)), "wl": rng.normal(size=(65, 4, 1, 1)), "wd": rng.normal(size=(16, 4, 1, 1)),
    }  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["h1"], strides=[8, 8]),
        helper.make_node("Conv", ["h1", "wl"], ["l"]),
        helper.make_node("Conv", ["h1", "wd"], ["d"]),
        helper.make_node("GlobalMaxPool", ["l"], ["m"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, image)],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, [None] * 4) for n in order + ("m" if more else "")],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def expected(path: Path, names: Mapping[str, str]) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    tensor = (IMAGE[None, None] / 255).astype(np.float32)
    return dict(zip(names, session.run(list(names.values()), {"x": tensor}), strict=True))


def found(path: Path, backend: str, options: ModelOptions | None = None) -> dict[str, np.ndarray]:
    runnable = model_of(path, options).runnable(RuntimeOptions(backend=backend))
    interface = runnable.interface.at(SIZE)
    with runnable.open_at(SIZE) as opened:
        return opened.run(interface.feed(IMAGE))


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("order", ["ld", "dl"])
def test_keypoints_are_told_and_run_under_the_chains_names(tmp_path: Path, backend: str, order: str) -> None:
    path = network(tmp_path / "m.onnx", more=False, order=order)
    assert isinstance(model_of(path).runnable(RuntimeOptions(backend=backend)).task, Keypoints)
    got = found(path, backend)
    for name, array in expected(path, {"semi": "l", "desc": "d"}).items():
        np.testing.assert_allclose(got[name], array, atol=1e-4)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_of_more_outputs_those_that_were_said_are_taken(tmp_path: Path, backend: str) -> None:
    path = network(tmp_path / "m.onnx")
    assert isinstance(model_of(path).runnable(RuntimeOptions(backend=backend)).task, RawTensors)
    got = found(path, backend, ModelOptions(outputs={"semi": "l", "desc": "d"}))
    wanted = expected(path, {"semi": "l", "desc": "d"})
    assert set(got) == set(wanted)
    for name, array in wanted.items():
        np.testing.assert_allclose(got[name], array, atol=1e-4)
    other = found(path, backend, ModelOptions(outputs={"largest": "m"}))
    np.testing.assert_allclose(other["largest"], expected(path, {"m": "m"})["m"], atol=1e-4)
    assert set(other) == {"largest"}


def test_an_output_that_is_not_there(tmp_path: Path) -> None:
    path = network(tmp_path / "m.onnx")
    for opened in (
        lambda model: model.origin(SIZE),
        lambda model: model.runnable(RuntimeOptions(backend="onnxruntime")),
    ):
        with pytest.raises(UsageError, match=f"--output semi=moon: {path} has no such output; it has l, d, m"):
            opened(model_of(path, ModelOptions(outputs={"semi": "moon"})))


def test_the_start_of_a_conversion_has_the_chains_names(tmp_path: Path) -> None:
    path = network(tmp_path / "m.onnx", more=False, order="dl")
    origin = model_of(path).origin(SIZE)
    assert (origin.name, origin.network, origin.weights.name) == ("m.onnx", None, "unknown")
    assert origin.names == {"x": "input", "l": "semi", "d": "desc"}
    assert [(spec.name, spec.shape) for spec in origin.interface.outputs] == [
        ("semi", ("N", 65, 4, 6)),
        ("desc", ("N", 16, 4, 6)),
    ]
    assert isinstance(origin.task, Keypoints)
    assert origin.task.descriptor_dim == 16


def test_tensors_keep_their_names(tmp_path: Path) -> None:
    origin = model_of(network(tmp_path / "m.onnx")).origin(SIZE)
    assert isinstance(origin.task, RawTensors)
    assert origin.names == {}
    assert [spec.name for spec in origin.interface.outputs] == ["l", "d", "m"]


def test_a_size_that_its_task_does_not_take(tmp_path: Path) -> None:
    path = network(tmp_path / "m.onnx", more=False)
    with pytest.raises(UsageError, match=r"size: expected positive multiples of 8, got 50x32; the nearest is 48x32"):
        model_of(path).origin((50, 32))


def test_a_fixed_size_is_its_own_and_another_is_refused(tmp_path: Path) -> None:
    path = network(tmp_path / "m.onnx", image=(1, 1, 32, 48), more=False)
    assert model_of(path).origin(None).interface.image.size == SIZE
    assert model_of(path).origin((96, 64)).interface.image.size == (96, 64), "convolutions take any"
    with pytest.raises(UsageError, match=r"size: .*takes images of any size .*; give one, as --size 320x200"):
        model_of(network(tmp_path / "open.onnx")).origin(None)


def test_no_file_and_no_onnx(tmp_path: Path) -> None:
    runtime = RuntimeOptions(backend="onnxruntime")
    with pytest.raises(UsageError, match=f"^{tmp_path}/nothing.onnx: no such ONNX file"):
        model_of(tmp_path / "nothing.onnx").runnable(runtime)
    with pytest.raises(ConversionError, match=f"^{tmp_path}/nothing.onnx: no such ONNX file"):
        model_of(tmp_path / "nothing.onnx").origin(SIZE)
    (tmp_path / "text.onnx").write_text("text")
    for opened in (lambda model: model.origin(SIZE), lambda model: model.runnable(runtime)):
        with pytest.raises(ConversionError, match=r"text\.onnx: not a valid ONNX model"):
            opened(model_of(tmp_path / "text.onnx"))


def test_a_size_that_a_file_fixes_may_be_another_one_where_its_layers_take_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kernel = {"w": np.ones((4, 3, 1, 1), np.float32)}
    weights = {**kernel, "flat": np.array([1, -1]), "m": np.ones((4 * 6 * 8, 5), np.float32)}
    one = "float[1, 3, 6, 8] x"
    onnx.save(graph_of("y = Conv (x, w)", inputs=one, weights=kernel), tmp_path / "any.onnx")
    body = "a = Conv (x, w)\n b = Reshape (a, flat)\n y = MatMul (b, m)"
    onnx.save(graph_of(body, inputs=one, weights=weights), tmp_path / "one.onnx")
    assert model_of(tmp_path / "any.onnx").origin((16, 12)).interface.size == (16, 12)
    assert "any.onnx is made for 8x6 and is converted for 16x12" in caplog.text
    caplog.clear()
    model_of(tmp_path / "any.onnx").origin((8, 6))
    assert "is made for" not in caplog.text
    with pytest.raises(ConversionError, match="does not take inputs of x 1x3x12x16"):
        model_of(tmp_path / "one.onnx").origin((16, 12))
    runnable = model_of(tmp_path / "one.onnx").runnable(RuntimeOptions(backend="openvino"))
    with pytest.raises(BackendError, match=r"one\.onnx: .*; the network is made for 8x6, not for 9x7: --size 8x6$"):
        runnable.open_at((9, 7))
