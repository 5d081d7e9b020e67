from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from oakpoint.bundle.interface import OPEN_BATCH, TensorSpec
from oakpoint.convert.onnx_intake import (
    fix_shapes,
    fixed_batch,
    given_inputs,
    given_outputs,
    host_tensors,
    open_onnx,
    sizes_are_known,
    write_taken,
)
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
    """The network at one size, its tensors under the chain's names: logits are told by their 65 channels."""
    model = open_onnx(path)
    (image,) = given_inputs(model)
    fix_shapes(model, {image.name: (image.shape[0], 1, size[1], size[0])})
    names = {spec.name: "semi" if spec.shape[1] == 65 else "desc" for spec in given_outputs(model)}
    out = path.parent / "taken.onnx"
    write_taken(model, out, {image.name: "input"} | names)
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
    assert fixed_batch(open_onnx(path)) == expected
    inputs, outputs = host_tensors(taken(path))
    assert {spec.shape[0] for spec in (*inputs, *outputs)} == {"N" if expected is None else expected}


def test_what_a_file_takes_and_gives_before_and_after_its_sizes_are_fixed(tmp_path: Path) -> None:
    model = open_onnx(network(tmp_path / "m.onnx", kind=TensorProto.FLOAT16, shape=(None, 3, "height", None)))
    assert [spec.name for spec in given_outputs(model)] == ["a", "b"]
    (image,) = given_inputs(model)
    assert (image.name, image.dtype, image.shape[:2], len(image.shape)) == ("x", "float16", (OPEN_BATCH, 3), 4)
    assert not any(isinstance(side, int) for side in image.shape[2:])
    fix_shapes(model, {"x": (OPEN_BATCH, 3, 16, 24)})
    assert given_inputs(model) == (TensorSpec("x", "float16", (OPEN_BATCH, 3, 16, 24)),)
    assert given_outputs(model) == (
        TensorSpec("a", "float16", (OPEN_BATCH, 65, 2, 3)),
        TensorSpec("b", "float16", (OPEN_BATCH, 8, 2, 3)),
    )


def test_weights_among_the_inputs_are_none(tmp_path: Path) -> None:
    path = network(tmp_path / "m.onnx")
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    onnx.save(model, path)
    assert [spec.name for spec in given_inputs(open_onnx(path))] == ["x"]
    assert [spec.name for spec in host_tensors(taken(path))[0]] == ["input"]


def test_outputs_without_a_new_name_are_left_out_with_what_only_they_need(tmp_path: Path) -> None:
    model = open_onnx(network(tmp_path / "m.onnx"))
    fix_shapes(model, {"x": ("N", 1, 16, 24)})
    write_taken(model, tmp_path / "out.onnx", {"x": "input", "a": "logits"})
    written = onnx.load(tmp_path / "out.onnx")
    onnx.checker.check_model(written, full_check=True)
    assert [output.name for output in written.graph.output] == ["logits"]
    assert sorted(tensor.name for tensor in written.graph.initializer) == ["w", "w_l"]
    kept = open_onnx(tmp_path / "m.onnx")
    write_taken(kept, tmp_path / "all.onnx", {})
    assert [output.name for output in onnx.load(tmp_path / "all.onnx").graph.output] == ["a", "b"]


def test_a_network_made_for_another_size(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    network(path, shape=("N", 1, 16, 24))
    model = onnx.load(path)
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((1, 65, 2, 3), np.float32), "grid"))
    model.graph.node[1].output[0] = "l0"
    model.graph.node.append(helper.make_node("Add", ["l0", "grid"], ["a"]))
    onnx.save(model, path)
    taken(path)
    with pytest.raises(ConversionError, match=r"the network does not take inputs of x Nx1x32x40 \("):
        taken(path, (40, 32))


@pytest.mark.parametrize("content", [None, b"", b"text", b"\x08\x07" * 50], ids=["missing", "empty", "text", "bytes"])
def test_no_onnx(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "m.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConversionError, match=f"^{path}: (no such ONNX file|not a valid ONNX model)"):
        open_onnx(path)


def test_a_file_cut_short_anywhere(tmp_path: Path) -> None:
    data = network(tmp_path / "m.onnx").read_bytes()
    path = tmp_path / "cut.onnx"
    for length in range(1, len(data), 97):
        path.write_bytes(data[:length])
        with pytest.raises(OakpointError, match=r"cut|network"):
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
    with pytest.raises(ConversionError, match=r"expected its external data beside it, got '../secret'"):
        open_onnx(path)


def saved_apart(folder: Path) -> Path:
    """A network with its weights in a file beside it."""
    folder.mkdir()
    path = network(folder / "m.onnx")
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="w.bin", size_threshold=0)
    return path


def test_weights_in_a_file_beside_the_model(tmp_path: Path, rng: np.random.Generator) -> None:
    path = saved_apart(tmp_path / "a")
    image = rng.random((1, 1, 16, 24), np.float32)
    whole = tmp_path / "whole.onnx"
    onnx.save(open_onnx(path), whole)
    for expected, got in zip(run(path, image), run(whole, image), strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file, other: file.unlink(), "its external data 'w.bin' is not there; put it beside the model"),
        (
            lambda file, other: (file.rename(other), file.symlink_to(other)),
            "a link to .*/elsewhere; copy the file there",
        ),
    ],
)
def test_weights_that_are_not_within_the_folder(tmp_path: Path, change: Any, message: str) -> None:
    path = saved_apart(tmp_path / "a")
    change(path.parent / "w.bin", tmp_path / "elsewhere")
    with pytest.raises(ConversionError, match=f"^{path}: .*{message}"):
        open_onnx(path)


def test_weights_among_the_inputs_of_an_old_file_are_none(tmp_path: Path, rng: np.random.Generator) -> None:
    """IR version 3 lists every constant there, here before the image."""
    path = network(tmp_path / "m.onnx", shape=(1, 1, 16, 24))
    model = onnx.load(path)
    image = onnx.ValueInfoProto.FromString(model.graph.input[0].SerializeToString())
    del model.graph.input[:]
    model.graph.input.extend(
        helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims) for tensor in model.graph.initializer
    )
    model.graph.input.append(image)
    model.ir_version, model.opset_import[0].version = 3, 9
    old = tmp_path / "old.onnx"
    onnx.save(model, old)
    read = open_onnx(old)
    assert [value.name for value in read.graph.input] == ["x"]
    onnx.checker.check_model(read, full_check=True)
    onnx.save(read, tmp_path / "read.onnx")
    pixels = rng.random((1, 1, 16, 24), np.float32)
    for expected, got in zip(run(path, pixels), run(tmp_path / "read.onnx", pixels), strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    ("opset", "ir_version", "message"),
    [
        (6, 3, "expected opset 7 or later, got 6"),
        (999, 8, "of opset 999 and IR version 8; onnx .* knows them up to .*pip install --upgrade onnx"),
        (17, 99, "of opset 17 and IR version 99"),
    ],
)
def test_versions_that_cannot_be_read(tmp_path: Path, opset: int, ir_version: int, message: str) -> None:
    path = network(tmp_path / "m.onnx")
    model = onnx.load(path)
    model.opset_import[0].version, model.ir_version = opset, ir_version
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ConversionError, match=f"^{path}: {message}"):
        open_onnx(path)


def test_outputs_without_a_shape_are_valid(tmp_path: Path) -> None:
    path = network(tmp_path / "m.onnx")
    model = onnx.load(path)
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    onnx.save(model, path)
    assert len(open_onnx(path).graph.output) == 2


def test_a_batch_of_minus_one_is_open(tmp_path: Path) -> None:
    model = open_onnx(network(tmp_path / "m.onnx", shape=(-1, 1, 16, 24)))
    assert given_inputs(model)[0].shape == (OPEN_BATCH, 1, 16, 24)
    assert fixed_batch(model) is None


def test_an_output_whose_size_hangs_on_the_batch_is_known_at_a_batch() -> None:
    # As PaddlePaddle's exporter writes it: sizes go through casts, past which nobody follows a name.
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Cast", ["s"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["f"], ["i"], to=TensorProto.INT64),
        helper.make_node("Reshape", ["x", "i"], ["y"]),
    ]
    known = []
    for batch in ("N", 1):
        graph = helper.make_graph(
            nodes,
            "test",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, "h", "w"])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["a", "b", "c", "d"])],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
        fix_shapes(model, {"x": (batch, 3, 16, 24)})
        known.append(sizes_are_known(model))
    assert known == [False, True]


def test_a_sequence_among_the_outputs_is_said(tmp_path: Path) -> None:
    output = helper.make_tensor_sequence_value_info("parts", TensorProto.FLOAT, None)
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 8, 8))
    nodes = [helper.make_node("SplitToSequence", ["x"], ["parts"], axis=1)]
    onnx.save(
        helper.make_model(helper.make_graph(nodes, "split", [image], [output]), ir_version=8), tmp_path / "x.onnx"
    )
    with pytest.raises(ConversionError, match=r"x\.onnx: parts: expected a tensor, got sequence; put in and out"):
        open_onnx(tmp_path / "x.onnx")


def test_a_network_without_inputs_is_refused(tmp_path: Path) -> None:
    node = helper.make_node("Constant", [], ["y"], value_float=1.0)
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [])
    onnx.save(helper.make_model(helper.make_graph([node], "g", [], [output])), tmp_path / "m.onnx")
    with pytest.raises(ConversionError, match="without inputs"):
        open_onnx(tmp_path / "m.onnx")
