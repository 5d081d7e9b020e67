from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from oakpoint.convert.onnx_intake import fixed_batch, host_tensors, read_network, take_onnx
from oakpoint.errors import ConversionError, OakpointError

SIZE = (24, 16)


def network(
    path: Path,
    *,
    image: str = "x",
    logits: str = "a",
    descriptors: str = "b",
    inner: str = "h",
    weights: str = "w",
    order: str = "ld",
    channels: int = 65,
    depth: int = 8,
    stride: int = 8,
    shape: tuple[int | str | None, ...] = ("batch", 1, "height", "width"),
    kind: int = TensorProto.FLOAT,
) -> Path:
    rng = np.random.default_rng(3)
    tensors = {
        weights: rng.normal(size=(4, shape[1] if isinstance(shape[1], int) else 1, stride, stride)),
        "w_l": rng.normal(size=(channels, 4, 1, 1)),
        "w_d": rng.normal(size=(depth, 4, 1, 1)),
    }
    outputs = {"l": logits, "d": descriptors}
    graph = helper.make_graph(
        [
            helper.make_node("Conv", [image, weights], [inner], strides=[stride, stride]),
            helper.make_node("Conv", [inner, "w_l"], [logits]),
            helper.make_node("Conv", [inner, "w_d"], [descriptors]),
        ],
        "test",
        [helper.make_tensor_value_info(image, kind, shape)],
        [helper.make_tensor_value_info(outputs[letter], kind, [None] * 4) for letter in order],
        [
            numpy_helper.from_array(array.astype(helper.tensor_dtype_to_np_dtype(kind)), n)
            for n, array in tensors.items()
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def taken(path: Path, size: tuple[int, int] = SIZE) -> Path:
    out = path.parent / "taken.onnx"
    take_onnx(read_network(path), out, size=size, input_name="input", output_names=("semi", "desc"))
    return out


def run(path: Path, image: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return list(session.run(None, {session.get_inputs()[0].name: image}))


@pytest.mark.parametrize("order", ["ld", "dl"])
def test_names_and_sizes_are_the_chains_and_values_stay(tmp_path: Path, rng: np.random.Generator, order: str) -> None:
    path = network(tmp_path / "m.onnx", order=order)
    out = taken(path)
    model = onnx.load(out)
    onnx.checker.check_model(model, full_check=True)
    assert [value.name for value in model.graph.input] == ["input"]
    assert {spec.name: spec.shape for spec in host_tensors(out)[1]} == {"semi": ("N", 65, 2, 3), "desc": ("N", 8, 2, 3)}
    image = rng.random((2, 1, 16, 24), np.float32)
    for expected, got in zip(run(path, image), run(out, image), strict=True):
        np.testing.assert_array_equal(got, expected)


NAMES = st.sampled_from(["input", "semi", "desc", "input_inner", "semi_inner", "desc_inner", "x", "y", "z"])


@given(names=st.lists(NAMES, min_size=5, max_size=5, unique=True))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_clash_of_names_is_resolved(tmp_path: Path, names: list[str]) -> None:
    image, logits, descriptors, inner, weights = names
    path = network(
        tmp_path / "m.onnx", image=image, logits=logits, descriptors=descriptors, inner=inner, weights=weights
    )
    out = taken(path)
    onnx.checker.check_model(onnx.load(out), full_check=True)
    pixels = np.linspace(0, 1, 16 * 24, dtype=np.float32).reshape(1, 1, 16, 24)
    for expected, got in zip(run(path, pixels), run(out, pixels), strict=True):
        np.testing.assert_array_equal(got, expected)
    assert [output.name for output in onnx.load(out).graph.output] == ["semi", "desc"]


@pytest.mark.parametrize(("batch", "expected"), [("N", None), (None, None), (1, 1), (4, 4)])
def test_the_batch(tmp_path: Path, batch: int | str | None, expected: int | None) -> None:
    path = network(tmp_path / "m.onnx", shape=(batch, 1, 16, 24))
    assert fixed_batch(read_network(path)) == expected
    inputs, outputs = host_tensors(taken(path))
    assert {spec.shape[0] for spec in (*inputs, *outputs)} == {"N" if expected is None else expected}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": ("N", 3, 16, 24)}, r"expected a float32 input \(N, 1, H, W\), got FLOAT \[None, 3, 16, 24\]"),
        ({"kind": TensorProto.DOUBLE}, r"expected a float32 input \(N, 1, H, W\), got DOUBLE"),
        ({"order": "l"}, "expected one input and two outputs .*, got 1 and 1"),
    ],
)
def test_a_network_of_another_kind_is_refused(tmp_path: Path, options: dict[str, object], message: str) -> None:
    path = network(tmp_path / "m.onnx", **options)  # type: ignore[arg-type]
    with pytest.raises(ConversionError, match=f"^{path}: {message}"):
        read_network(path)


@pytest.mark.parametrize(
    ("options", "got"),
    [
        ({"channels": 64}, r"a \(None, 64, 2, 3\), b \(None, 8, 2, 3\)"),
        ({"depth": 65}, r"a \(None, 65, 2, 3\), b \(None, 65, 2, 3\)"),
        ({"stride": 4}, r"a \(None, 65, 4, 6\), b \(None, 8, 4, 6\)"),
    ],
)
def test_outputs_of_another_kind_are_refused(tmp_path: Path, options: dict[str, int], got: str) -> None:
    path = network(tmp_path / "m.onnx", **options)  # type: ignore[arg-type]
    with pytest.raises(ConversionError, match=rf"expected the outputs \(N, 65, 2, 3\) and \(N, D, 2, 3\), got {got}"):
        taken(path)


def test_a_network_made_for_another_size(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    network(path, shape=("N", 1, 16, 24))
    model = onnx.load(path)
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((1, 65, 2, 3), np.float32), "grid"))
    model.graph.node[1].output[0] = "l0"
    model.graph.node.append(helper.make_node("Add", ["l0", "grid"], ["a"]))
    onnx.save(model, path)
    taken(path)
    with pytest.raises(ConversionError, match=r"the network does not take images of 40x32|of 40×32 px"):
        taken(path, (40, 32))


@pytest.mark.parametrize("content", [None, b"", b"text", b"\x08\x07" * 50], ids=["missing", "empty", "text", "bytes"])
def test_no_onnx(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "m.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConversionError, match=f"^{path}: (no such ONNX file|not a valid ONNX model)"):
        read_network(path)


def test_a_file_cut_short_anywhere(tmp_path: Path) -> None:
    data = network(tmp_path / "m.onnx").read_bytes()
    path = tmp_path / "cut.onnx"
    for length in range(1, len(data), 97):
        path.write_bytes(data[:length])
        with pytest.raises(OakpointError, match=r"cut|network|outputs"):
            taken(path)


def test_weights_outside_the_folder_are_not_read(tmp_path: Path) -> None:
    """ONNX may keep tensors in files beside it; a path that leaves the folder is not followed."""
    (tmp_path / "secret").write_bytes(bytes(4096))
    folder = tmp_path / "folder"
    folder.mkdir()
    path = network(folder / "m.onnx")
    model = onnx.load(path)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "../secret"), ("offset", "0"), ("length", "1024")):
        tensor.external_data.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ConversionError, match="not a valid ONNX model"):
        read_network(path)
